"""Directions in the space of a net's weights: draw, normalise, difference; and moving a net along them.

A direction is a list of float32 tensors, one for each tensor that moves: the net's parameters in `net.parameters()` order
(`weights`), or its whole `state_dict()` with the BN statistics (`states`). Li et al. 2018, sections 3 and 4.
"""
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import compress

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

import h5_util
from errors import InputError
from provenance import Facts, require_same

DIRECTION_TYPES = ("weights", "states")
NORMS = ("filter", "layer", "weight", "dfilter", "dlayer")
IGNORES = ("biasbn",)
FILTER_NORM_OFFSET = 1e-10  # the published program's guard against filters of zero norm

Direction = list[Tensor]
Axis = tuple[float, float, int]  # min, max, number of points


def moving_tensors(net: nn.Module, dir_type: str) -> dict[str, Tensor]:
    """The tensors that a direction of this type moves, by name, in the direction's order. They share storage with the net."""
    if dir_type == "weights":
        return {name: parameter.detach() for name, parameter in net.named_parameters()}
    if dir_type == "states":
        return net.state_dict()
    raise ValueError(f"unknown direction type {dir_type!r}; choose from {', '.join(DIRECTION_TYPES)}")


def random_direction(net: nn.Module, dir_type: str, *, norm: str = "", ignore: str = "") -> Direction:
    """A Gaussian direction, normalised against the net (Li et al. 2018, section 4).

    Draws from torch's global generator on the CPU, one `randn` a tensor, scalars included: the order of the draws is the
    published program's. Tensors of at most one dimension (biases, BN) are zero with `ignore="biasbn"`, else a copy of the net's.
    """
    tensors = list(moving_tensors(net, dir_type).values())
    drawn = [torch.randn(tensor.shape) for tensor in tensors]
    return [_normalise(d, w.cpu(), norm, ignore) for d, w in zip(drawn, tensors, strict=True)]


def _normalise(d: Tensor, w: Tensor, norm: str, ignore: str) -> Tensor:
    if d.dim() <= 1:
        return torch.zeros_like(d) if ignore == "biasbn" else w.to(d.dtype, copy=True)
    if norm == "filter":
        return d * (_filter_norms(w) / (_filter_norms(d) + FILTER_NORM_OFFSET))
    if norm == "layer":
        return d * (w.norm() / d.norm())
    if norm == "weight":
        return d * w
    if norm == "dfilter":
        return d / (_filter_norms(d) + FILTER_NORM_OFFSET)
    if norm == "dlayer":
        return d / d.norm()
    if norm == "":
        return d
    raise ValueError(f"unknown norm {norm!r}; choose from {', '.join(NORMS)}")


def _filter_norms(tensor: Tensor) -> Tensor:
    """Frobenius norm of each slice along the first axis, in a shape that broadcasts against the tensor."""
    return tensor.flatten(1).norm(dim=1).view(-1, *[1] * (tensor.dim() - 1))


def target_direction(net: nn.Module, other: nn.Module, dir_type: str) -> Direction:
    """The difference from `net` to `other`, not normalised."""
    return [(there - here.cpu()).float() for here, there in zip(
        moving_tensors(net, dir_type).values(), moving_tensors(other, dir_type).values(), strict=True)]


@dataclass(frozen=True)
class Recipe:
    """How a direction is made: towards another net, which is built only then as building draws random numbers, or at random."""

    target: Callable[[], nn.Module] | None = None
    norm: str = ""
    ignore: str = ""

    def make(self, net: nn.Module, dir_type: str) -> Direction:
        if self.target is not None:
            return target_direction(net, self.target(), dir_type)
        return random_direction(net, dir_type, norm=self.norm, ignore=self.ignore)


def make_directions(net: nn.Module, dir_type: str, recipes: list[Recipe], *, same_dir: bool = False) -> list[Direction]:
    """A direction for each recipe (x, then y); with `same_dir` the x direction serves as y too."""
    directions = [recipe.make(net, dir_type) for recipe in recipes]
    return [*directions, directions[0]] if same_dir else directions


def find_or_make_directions(path: str, net: nn.Module, dir_type: str, recipes: list[Recipe], *, same_dir: bool, made_with: Facts,
                            overwrite: bool) -> tuple[list[Direction], bool]:
    """The directions of a file, if it was made with the same; new ones if there is no file. And whether they are new, and to be written.

    Raises `InputError`, naming what differs, if the file was made with something else, or does not fit the net; with `overwrite` new ones
    are made then.
    """
    if os.path.exists(path):
        try:
            require_same(path, h5_util.read_made_with(path, "direction"), made_with, "give --overwrite to make new directions (the old file is kept aside), "
                         "or use these with --dir_file")
            return read_direction_file(path, net, dir_type, dimensions=len(recipes) + same_dir), False
        except InputError:
            if not overwrite:
                raise
    return make_directions(net, dir_type, recipes, same_dir=same_dir), True


def arrays(directions: list[Direction]) -> list[list[np.ndarray]]:
    """Directions as files and fingerprints take them."""
    return [[tensor.numpy() for tensor in direction] for direction in directions]


def read_direction_file(path: str, net: nn.Module, dir_type: str, *, dimensions: int) -> list[Direction]:
    """The first one or two directions of a file. Raises `InputError` if it has fewer, or if they are not for this net."""
    stored = h5_util.read_directions(path)
    if len(stored) < dimensions:
        raise InputError(f"{path!r} has one direction where a surface with --y needs two; give a --dir_file with two, or move this one away")
    return [_check_fit(path, direction, net, dir_type) for direction in stored[:dimensions]]


def _check_fit(path: str, direction: list[np.ndarray], net: nn.Module, dir_type: str) -> Direction:
    tensors = moving_tensors(net, dir_type)
    advice = f"give a direction file made for this net and --dir_type {dir_type}"
    for (name, tensor), values in zip(tensors.items(), direction, strict=False):
        if values.shape != tuple(tensor.shape):
            raise InputError(f"{path!r} does not fit the net: its direction for {name} has shape {list(values.shape)}, "
                             f"the net's tensor {list(tensor.shape)}; {advice}")
    if len(direction) != len(tensors):
        raise InputError(f"{path!r} does not fit the net: it has {len(direction)} tensors where the net has {len(tensors)} {dir_type}; {advice}")
    return [torch.from_numpy(values) for values in direction]


def cosine(a: Direction, b: Direction) -> float:
    """Cosine of the angle between two directions; NaN if one is zero."""
    dot, aa, bb = (sum(float(torch.vdot(s.double().flatten(), t.double().flatten())) for s, t in zip(p, q, strict=True))
                   for p, q in ((a, b), (a, a), (b, b)))
    return dot / (aa * bb) ** 0.5 if aa > 0 and bb > 0 else float("nan")


def first_negative_variance(net: nn.Module, directions: list[Direction], points: np.ndarray) -> tuple[str, np.ndarray] | None:
    """The first batch norm whose variance becomes negative, so that the loss is NaN, and the points at which it does.

    Args:
        directions: of type `states`.
        points: (n, number of directions) coordinates.

    Returns:
        the layer's name and its points (m, number of directions), nearest to the centre first; None if there is no such layer.
    """
    index = {name: i for i, name in enumerate(net.state_dict())}
    for name, layer in net.named_modules():
        if not isinstance(layer, _BatchNorm) or layer.running_var is None:
            continue
        steps = np.stack([direction[index[f"{name}.running_var"]].double().numpy() for direction in directions])
        variances = layer.running_var.double().cpu().numpy() + layer.eps + points @ steps
        if (bad := (variances < 0).any(axis=1)).any():
            return name, points[bad][np.argsort(np.linalg.norm(points[bad], axis=1))]
    return None


@contextmanager
def moving(net: nn.Module, directions: list[Direction], dir_type: str) -> Iterator[Callable[[tuple[float, ...]], None]]:
    """Within the block, `move((alpha, beta))` puts the net at theta* + alpha x + beta y (1-D: `move((alpha,))`).

    Every move starts from a snapshot of theta*, never from where the net was, and the net ends as it began. Whole numbers
    (BN's `num_batches_tracked`, which evaluation does not use) stay as they are.
    """
    moved = [tensor.is_floating_point() for tensor in moving_tensors(net, dir_type).values()]
    tensors = list(compress(moving_tensors(net, dir_type).values(), moved))
    start = [tensor.clone() for tensor in tensors]
    axes = [[d.to(t.device, t.dtype) for d, t in zip(compress(direction, moved), tensors, strict=True)] for direction in directions]

    @torch.no_grad()
    def move(coordinates: tuple[float, ...]) -> None:
        torch._foreach_copy_(tensors, start)
        for coordinate, axis in zip(coordinates, axes, strict=True):
            torch._foreach_add_(tensors, axis, alpha=coordinate)

    try:
        yield move
    finally:
        with torch.no_grad():
            torch._foreach_copy_(tensors, start)


def direction_file_name(model_file: str, dir_type: str, *, model_file2: str = "", model_file3: str = "", two_d: bool = False,
                        xignore: str = "", xnorm: str = "", yignore: str = "", ynorm: str = "", same_dir: bool = False,
                        idx: int = 0) -> str:
    """The published program's name for a direction file: beside the checkpoint, and telling what it was made with."""
    name = _joined_name(model_file, model_file2) if model_file2 else model_file
    name += f"_{dir_type}" + _flag("xignore", xignore) + _flag("xnorm", xnorm)
    if two_d and model_file3:
        name += "_" + _other_name(model_file, model_file3)
    elif two_d:
        name += _flag("yignore", yignore) + _flag("ynorm", ynorm) + ("_same_dir" if same_dir else "")
    return name + (f"_idx={idx}" if idx > 0 else "") + ".h5"


def _flag(name: str, value: str) -> str:
    return f"_{name}={value}" if value else ""


def _joined_name(model_file: str, other: str) -> str:
    if os.path.dirname(model_file) == os.path.dirname(other):
        return f"{model_file}_{os.path.basename(other)}"
    folder, name = os.path.split(model_file)
    return (f"{folder}_{name}" if folder else name) + "_" + _other_name(model_file, other)


def _other_name(model_file: str, other: str) -> str:
    """Name of a second model: its file name, after its folder (below the deepest common one) where that is another.

    Slashes of deeper folders become underscores: the name is that of a file, not of a folder that does not exist.
    """
    folder, name = os.path.split(other)
    if folder == os.path.dirname(model_file):
        return name
    common = []
    for ours, theirs in zip(os.path.dirname(model_file).split("/"), folder.split("/"), strict=False):
        if ours != theirs:
            break
        common.append(ours)
    below = "_".join(part for part in folder.split("/")[len(common):] if part)
    return f"{below}_{name}"


def surface_file_name(dir_file: str, x: Axis, y: Axis | None, *, raw_data: bool = False, data_split: int = 1,
                      split_idx: int = 0) -> str:
    """The published program's name for a surface file; an axis prints as [min,max,number]."""
    name = f"{dir_file}_[{x[0]},{x[1]},{x[2]}]" + (f"x[{y[0]},{y[1]},{y[2]}]" if y else "")
    if raw_data:
        name += "_rawdata"
    if data_split > 1:
        name += f"_datasplit={data_split}_splitidx={split_idx}"
    return name + ".h5"
