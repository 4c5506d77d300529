"""Several checkpoints of one training in one plane: their places and surface files.

All surfaces share a grid and the directions of the last checkpoint, which is the origin. Each checkpoint
theta_i is moved from its own place. At the point (a, b) of the grid the net is

    theta_i + (a - a_i) d + (b - b_i) e,

where (a_i, b_i) is the point of the plane that is nearest to theta_i. So the iterate moves over the grid, and
two surfaces differ by the part of the weights that lies outside the plane.
"""

import os
from itertools import compress

import numpy as np
import torch
from torch import nn

from losslandscape.files.file_names import digest, shortened
from losslandscape.files.training_order import differing_parts
from losslandscape.nets import net_plotter, net_tensors
from losslandscape.nets.blocks import blocks
from losslandscape.nets.net_plotter import Direction
from losslandscape.trajectory import checkpoint_files
from losslandscape.trajectory.checkpoint_files import Checkpoints

MIN_CHECKPOINTS = 2  # number of checkpoints of a series


def find(folder: str, pattern: str) -> Checkpoints:
    """Return the checkpoints that match a pattern such as `model_*.t7`, in the order of the training.

    The pattern is tried from the current folder, then inside `folder`.

    Raises:
        InputError: as `checkpoint_files.find`.
    """
    tried = [pattern, os.path.join(folder, pattern)]
    found = next(filter(checkpoint_files.matches, tried), pattern)
    return checkpoint_files.find(found, least=MIN_CHECKPOINTS, option="model_file")


def place(net: nn.Module, last: nn.Module, directions: list[Direction], dir_type: str) -> tuple[float, ...]:
    """Return the coordinates of the point of the plane through `last` that is nearest to `net`.

    The coordinates c solve G c = r in the least-squares sense, over the floating-point tensors. G holds the
    inner products of the directions, and r those of each direction with the difference of the nets.
    """
    tensors = net_tensors.moving_tensors(net, dir_type).values()
    is_floating = [tensor.is_floating_point() for tensor in tensors]
    difference = list(compress(net_plotter.target_direction(last, net, dir_type), is_floating))
    axes = [list(compress(direction, is_floating)) for direction in directions]
    gram = np.array([[_dot(a, b) for b in axes] for a in axes])
    right = np.array([_dot(a, difference) for a in axes])
    return tuple(np.linalg.lstsq(gram, right, rcond=None)[0].tolist())


def surface_files(checkpoints: list[str], surface_name: str, surf_file: str) -> dict[str, str]:
    """Return the surface file of each checkpoint. No two are the same.

    Args:
        checkpoints: the checkpoint files.
        surface_name: name of the last checkpoint's surface. Other surfaces are named after it, and lie beside
            their checkpoints.
        surf_file: the path that all surfaces are named after and lie beside, or an empty string.
    """
    if surf_file:
        paths = [f"{surf_file}_{name}.h5" for name in _distinct_names(checkpoints)]
    else:
        ending = f"_in_{os.path.basename(surface_name)}"
        paths = [checkpoint + ending for checkpoint in checkpoints]
    return dict(zip(checkpoints, map(shortened, paths), strict=True))


def _distinct_names(checkpoints: list[str]) -> list[str]:
    """Return the file names of checkpoints; where two are equal, with the folders that differ in front."""
    names = [os.path.basename(checkpoint) for checkpoint in checkpoints]
    if len(set(names)) < len(names):
        names = [part.replace("/", "_") for part in differing_parts(checkpoints)]
    if len(set(names)) < len(names):  # such as a_b/c and a/b_c
        pairs = zip(names, differing_parts(checkpoints), strict=True)
        names = [f"{name}~{digest(part)}" for name, part in pairs]
    return names


def _dot(a: Direction, b: Direction) -> float:
    """Return the inner product of two directions, in float64."""
    total = 0.0
    for whole in zip(a, b, strict=True):
        for tensor, other in blocks(*whole):
            total += float(torch.vdot(tensor.double().flatten(), other.double().flatten()))
    return total
