"""Reads the directions of a direction file, which must fit the net, or makes new ones."""

import os
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from losslandscape.core.errors import InputError
from losslandscape.core.provenance import Facts, require_same
from losslandscape.files import h5_util, large_arrays
from losslandscape.nets.net_plotter import Direction, Recipe, make_directions
from losslandscape.nets.net_tensors import moving_tensors


def find_or_make_directions(
    path: str,
    net: nn.Module,
    dir_type: str,
    recipes: list[Recipe],
    *,
    same_dir: bool,
    orthonormal: bool = False,
    made_with: Facts,
    overwrite: bool,
) -> tuple[list[Direction], bool]:
    """Return the directions of a file, or new ones if the file does not exist.

    Args:
        path: the direction file.
        net: the net at the centre.
        dir_type: `weights` or `states`.
        recipes: one for x, then perhaps one for y.
        same_dir: whether the x direction is also y.
        orthonormal: whether the axes of a plane through three nets are orthonormal.
        made_with: the facts that the file must record.
        overwrite: whether to make new directions if those of the file have other facts or do not fit.

    Returns:
        the directions, and whether they are new; the caller must write new ones.

    Raises:
        InputError: without `overwrite`, the file records other facts, or does not fit the net.
    """
    dimensions = len(recipes) + same_dir
    return find_or_make(
        path,
        partial(read_direction_file, path, net, dir_type, dimensions=dimensions),
        partial(make_directions, net, dir_type, recipes, same_dir=same_dir, orthonormal=orthonormal),
        made_with=made_with,
        overwrite=overwrite,
    )


def find_or_make(
    path: str,
    read: Callable[[], list[Direction]],
    make: Callable[[], list[Direction]],
    *,
    made_with: Facts,
    overwrite: bool,
) -> tuple[list[Direction], bool]:
    """Return the directions of a file as `read` gives them, or new ones, and whether they are new.

    The other arguments and the error are those of `find_or_make_directions`.
    """
    if os.path.exists(path):
        try:
            require_same(
                path,
                h5_util.read_made_with(path, "direction"),
                made_with,
                "give {overwrite:True} to make new directions (the old file is kept aside), "
                "or use these with {directions}",
            )
            return read(), False
        except InputError:
            if not overwrite:
                raise
    return make(), True


def read_direction_file(path: str, net: nn.Module, dir_type: str, *, dimensions: int) -> list[Direction]:
    """Return the first `dimensions` (1 or 2) directions of a file.

    Raises:
        InputError: the file has fewer directions, or they do not fit the net.
    """
    stored = h5_util.read_directions(path)
    if len(stored) < dimensions:
        raise InputError(
            f"{path!r} has one direction, and a plane needs two",
            "give {directions} with two, or move this file away",
        )
    advice = f"give a direction file made for this net and {{dir_type:{dir_type}}}"
    return [
        check_fit(repr(path), direction, net, dir_type, advice=advice) for direction in stored[:dimensions]
    ]


def check_fit(
    what: str, direction: list[np.ndarray], net: nn.Module, dir_type: str, *, advice: str
) -> Direction:
    """Return the arrays of a direction as tensors, if their shapes fit the net.

    Args:
        what: the name of the direction, which begins the message.
        direction: one array for each tensor of `moving_tensors`.
        net: the net at the centre.
        dir_type: `weights` or `states`.
        advice: what the user can do if the direction does not fit, as for `InputError`.

    Raises:
        InputError: the number of arrays or a shape differs from the net.
    """
    tensors = moving_tensors(net, dir_type)
    for (name, tensor), values in zip(tensors.items(), direction, strict=False):
        if values.shape != tuple(tensor.shape):
            raise InputError(
                f"{what} does not fit the net: its direction for {name} has shape {list(values.shape)}, "
                f"the net's tensor {list(tensor.shape)}",
                advice,
            )
    if len(direction) != len(tensors):
        raise InputError(
            f"{what} does not fit the net: it has {len(direction)} tensors, the net has {len(tensors)}",
            advice,
        )
    return [_tensor(values) for values in direction]


def _tensor(values: np.ndarray) -> Tensor:
    """Return an array as a tensor in the same memory."""
    if values.dtype == large_arrays.BFLOAT16:
        return torch.from_numpy(values.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(values)


def arrays(directions: list[Direction]) -> list[list[np.ndarray]]:
    """Return directions as arrays, for direction files and fingerprints; they share the tensors' memory."""
    return [[_array(tensor) for tensor in direction] for direction in directions]


def _array(tensor: Tensor) -> np.ndarray:
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(large_arrays.BFLOAT16)
    return tensor.numpy()
