"""Several checkpoints of one training in one plane: which files, where each lies, and what its surface is called.

All surfaces have one grid and the directions of the last checkpoint, which is the origin. A checkpoint that lies elsewhere is moved from its own place:
at (a, b) of the grid the net is theta_i + (a - a_i) d + (b - b_i) e, where (a_i, b_i) is the nearest point of the plane to theta_i. So the iterate
moves over the grid, and the surface changes by what the plane does not hold.
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
from losslandscape.nets import net_plotter
from losslandscape.nets.net_plotter import Direction

FEWEST = 2


def is_pattern(name: str) -> bool:
    return not os.path.exists(name) and glob.has_magic(name)


def find(folder: str, pattern: str) -> list[str]:
    """The files that a pattern such as `model_*.t7` names, numbers in their names in order. Raises `InputError` for fewer than two."""
    found = glob.glob(pattern) or glob.glob(os.path.join(glob.escape(folder), pattern))
    files = sorted((path for path in found if os.path.isfile(path)), key=natural_order)
    if len(files) < FEWEST:
        raise InputError(
            f"--model_file {pattern} names {len(files)} file{'' if len(files) == 1 else 's'}; a series of surfaces needs {FEWEST} at least"
        )
    return files


def epochs(files: list[str]) -> np.ndarray | None:
    """The last number in each name; None if one has none, or they do not grow."""
    numbers = [re.findall(r"\d+", os.path.splitext(os.path.basename(path))[0]) for path in files]
    found = [int(each[-1]) for each in numbers if each]
    return np.array(found) if len(found) == len(files) and found == sorted(set(found)) else None


def place(net: nn.Module, last: nn.Module, directions: list[Direction], dir_type: str) -> tuple[float, ...]:
    """Coordinates of the point of `last`'s plane that is nearest to `net`, by least squares on what the directions move."""
    moves = [tensor.is_floating_point() for tensor in net_plotter.moving_tensors(net, dir_type).values()]
    difference, *directions = [
        list(compress(direction, moves))
        for direction in (net_plotter.target_direction(last, net, dir_type), *directions)
    ]
    gram = np.array([[_dot(a, b) for b in directions] for a in directions])
    return tuple(
        np.linalg.lstsq(gram, np.array([_dot(a, difference) for a in directions]), rcond=None)[0].tolist()
    )


def surface_files(checkpoints: list[str], surface_name: str, surf_file: str) -> dict[str, str]:
    """The surface file of each: beside the checkpoint, or named after `surf_file` if that is given. Raises `InputError` if two have one name."""
    names = [os.path.basename(checkpoint) for checkpoint in checkpoints]
    if surf_file and (twice := next((name for name in names if names.count(name) > 1), "")):
        raise InputError(
            f"two of the checkpoints are called {twice}, and their surfaces would be one file; leave --surf_file {surf_file} out"
        )
    return {
        checkpoint: f"{surf_file}_{name}.h5"
        if surf_file
        else os.path.join(os.path.dirname(checkpoint), f"{name}_in_{os.path.basename(surface_name)}")
        for checkpoint, name in zip(checkpoints, names, strict=True)
    }


def _dot(a: Direction, b: Direction) -> float:
    return sum(
        float(torch.vdot(s.double().flatten(), t.double().flatten())) for s, t in zip(a, b, strict=True)
    )
