"""Several checkpoints of one training in one plane: their files, places and surface files.

All surfaces share a grid and the directions of the last checkpoint, which is the origin. Each checkpoint
theta_i is moved from its own place. At the point (a, b) of the grid the net is

    theta_i + (a - a_i) d + (b - b_i) e,

where (a_i, b_i) is the point of the plane that is nearest to theta_i. So the iterate moves over the grid, and
two surfaces differ by the part of the weights that lies outside the plane.
"""

import glob
import os
import re
from itertools import compress

import numpy as np
import torch
from torch import nn

from losslandscape.core.errors import InputError
from losslandscape.files.file_names import natural_order
from losslandscape.nets import net_plotter, net_tensors
from losslandscape.nets.net_plotter import Direction

MIN_CHECKPOINTS = 2  # number of checkpoints of a series


def is_pattern(name: str) -> bool:
    """Return whether a name is a pattern of files, as `model_*.t7` is, and not an existing file."""
    return not os.path.exists(name) and glob.has_magic(name)


def find(folder: str, pattern: str) -> list[str]:
    """Return the files that match a pattern such as `model_*.t7`, in the order of the numbers in their names.

    The pattern is tried from the current folder, then inside `folder`.

    Raises:
        InputError: if fewer than two files match.
    """
    paths = glob.glob(pattern) or glob.glob(os.path.join(glob.escape(folder), pattern))
    files = sorted((path for path in paths if os.path.isfile(path)), key=natural_order)
    if len(files) < MIN_CHECKPOINTS:
        count = f"{len(files)} file{'' if len(files) == 1 else 's'}"
        fault = f"{pattern} matches {count}, and a series of surfaces needs at least {MIN_CHECKPOINTS}"
        raise InputError(fault, "give another {model_file}")
    return files


def epochs(files: list[str]) -> np.ndarray | None:
    """Return the last number in each name (files,), or None if a name has none or they do not increase."""
    numbers = []
    for path in files:
        stem, _ = os.path.splitext(os.path.basename(path))
        digits = re.findall(r"\d+", stem)
        if not digits:
            return None
        numbers.append(int(digits[-1]))
    is_increasing = numbers == sorted(set(numbers))
    return np.array(numbers) if is_increasing else None


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
    """Return the surface file of each checkpoint.

    Args:
        checkpoints: the checkpoint files.
        surface_name: name of the last checkpoint's surface. Other surfaces are named after it, and lie beside
            their checkpoints.
        surf_file: the path that all surfaces are named after and lie beside, or an empty string.

    Raises:
        InputError: if two surfaces would have the same path.
    """
    names = [os.path.basename(checkpoint) for checkpoint in checkpoints]
    if surf_file:
        for name in names:
            if names.count(name) > 1:
                fault = f"two of the checkpoints are called {name}, so their surfaces would be one file"
                raise InputError(fault, "leave {surf_file} out")
        paths = [f"{surf_file}_{name}.h5" for name in names]
    else:
        folders = [os.path.dirname(checkpoint) for checkpoint in checkpoints]
        ending = f"_in_{os.path.basename(surface_name)}"
        paths = [os.path.join(folder, name + ending) for folder, name in zip(folders, names, strict=True)]
    return dict(zip(checkpoints, paths, strict=True))


def _dot(a: Direction, b: Direction) -> float:
    """Return the inner product of two directions, in float64."""
    total = 0.0
    for one, other in zip(a, b, strict=True):
        total += float(torch.vdot(one.double().flatten(), other.double().flatten()))
    return total
