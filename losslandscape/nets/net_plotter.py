"""Directions in the space of a net's weights: draw, normalise, difference; and moving a net along them.

A direction is a list of float32 tensors, one for each tensor that moves: the net's parameters in `net.parameters()` order
(`weights`), or its whole `state_dict()` with the BN statistics (`states`). Li et al. 2018, sections 3 and 4.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import compress

import numpy as np
import torch
from torch import Tensor, nn

from losslandscape.core.errors import InputError, require_choice
from losslandscape.core.provenance import Facts, require_same
from losslandscape.files import h5_util
from losslandscape.nets import net_tensors
from losslandscape.nets.net_tensors import NetTensor

SEED = 123  # of random directions, the published program's; --idx N draws from SEED + N
NORMS = ("filter", "layer", "weight", "dfilter", "dlayer")
IGNORES = ("biasbn",)
FILTER_NORM_OFFSET = 1e-10  # the published program's guard against filters of zero norm
NAMES_TOLD = 5  # of the net's tensors, to somebody whose --params fits none

Direction = list[Tensor]


def moving_tensors(net: nn.Module, dir_type: str) -> dict[str, Tensor]:
    """The tensors that a direction of this type has, by name, in its order. They share storage with the net; tied ones are one."""
    return {tensor.names[0]: tensor.value for tensor in net_tensors.tensors(net, dir_type)}


def ignored(net: nn.Module, dir_type: str, ignore: str) -> frozenset[str]:
    """The names of the tensors that stay where they are with this `ignore`: with `biasbn` all of norm layers, and those of at most one dimension."""
    return frozenset(
        tensor.names[0]
        for tensor in net_tensors.tensors(net, dir_type)
        if ignore == "biasbn" and _of_bias_or_norm(tensor)
    )


def _of_bias_or_norm(tensor: NetTensor) -> bool:
    return tensor.kind == "norm" or tensor.value.dim() <= 1


def chosen(net: nn.Module, dir_type: str, params: str) -> frozenset[str]:
    """The names of the tensors that the regular expression `params` finds (`re.search`) in one of their names; all without one.

    Raises `InputError` if it is none, or finds none.
    """
    tensors = net_tensors.tensors(net, dir_type)
    try:
        found = frozenset(
            tensor.names[0] for tensor in tensors if any(re.search(params, name) for name in tensor.names)
        )
    except re.error as error:
        raise InputError(
            f"params {params!r} is not a regular expression ({error}); write . ( [ * + ? as \\. and so on where they stand for themselves"
        ) from error
    if not found:
        names = [tensor.names[0] for tensor in tensors]
        step = -(-len(names) // NAMES_TOLD)
        raise InputError(
            f"params {params!r} is found in none of the {len(names)} names of the net's {dir_type}; give a part of names such as {', '.join(names[::step])}"
        )
    return found


def random_direction(
    net: nn.Module, dir_type: str, *, norm: str = "", ignore: str = "", params: str = ""
) -> Direction:
    """A Gaussian direction, normalised against the net (Li et al. 2018, section 4).

    Draws from torch's global generator on the CPU, one `randn` a tensor, whatever moves: the order of the draws is the published program's.
    Tensors of norm layers, and others of at most one dimension, are zero with `ignore="biasbn"`, else a copy of the net's; zero are buffers
    that are not norm layers', and what is not `chosen` by `params`.
    """
    tensors = net_tensors.tensors(net, dir_type)
    drawn = [torch.randn(tensor.value.shape, dtype=torch.float32, device="cpu") for tensor in tensors]
    return _only(
        net,
        dir_type,
        params,
        [_random(d, tensor, norm, ignore) for d, tensor in zip(drawn, tensors, strict=True)],
    )


def _random(d: Tensor, tensor: NetTensor, norm: str, ignore: str) -> Tensor:
    if tensor.by_filters:
        return _normalise(d, tensor, norm)
    if ignore == "biasbn" or not (tensor.kind == "norm" or tensor.moves and tensor.kind != "buffer"):
        return torch.zeros_like(d)
    return tensor.value.to("cpu", torch.float32, copy=True)


def _normalise(d: Tensor, tensor: NetTensor, norm: str) -> Tensor:
    w = tensor.value.to("cpu", torch.float32)
    if norm == "filter":
        return d * tensor.spread(tensor.filter_norms(w) / (tensor.filter_norms(d) + FILTER_NORM_OFFSET))
    if norm == "layer":
        return d * (w.norm() / _not_zero(d.norm()))
    if norm == "weight":
        return d * w
    if norm == "dfilter":
        return d / tensor.spread(tensor.filter_norms(d) + FILTER_NORM_OFFSET)
    if norm == "dlayer":
        return d / _not_zero(d.norm())
    if norm == "":
        return d
    raise ValueError(f"unknown norm {norm!r}; choose from {', '.join(NORMS)}")


def _not_zero(norm: Tensor) -> Tensor:
    return norm if norm else torch.ones_like(norm)


def _only(net: nn.Module, dir_type: str, params: str, direction: Direction) -> Direction:
    """The direction with zeros where `params` does not choose."""
    if not params:
        return direction
    names = chosen(net, dir_type, params)
    return [
        d if name in names else torch.zeros_like(d)
        for name, d in zip(moving_tensors(net, dir_type), direction, strict=True)
    ]


def target_direction(net: nn.Module, other: nn.Module, dir_type: str, *, params: str = "") -> Direction:
    """The difference from `net` to `other`, not normalised; zero in what is not `chosen` by `params`.

    Raises `InputError` if the other net has other tensors.
    """
    here, there = moving_tensors(net, dir_type), moving_tensors(other, dir_type)
    for name, tensor in here.items():
        if name not in there or there[name].shape != tensor.shape:
            found = f"has shape {list(there[name].shape)} there" if name in there else "is not there"
            raise InputError(
                f"the direction to another net needs one of the same shape: {name} of shape {list(tensor.shape)} {found}; give one that is built as "
                "the net at the centre"
            )
    return _only(
        net, dir_type, params, [_difference(tensor.cpu(), there[name].cpu()) for name, tensor in here.items()]
    )


def _difference(here: Tensor, there: Tensor) -> Tensor:
    """there - here as float32, zero where they are the same, infinite or not; complex numbers, which never move, count as the same."""
    if here.is_complex():
        return torch.zeros(here.shape)
    wide = net_tensors.wide(here.dtype) if here.is_floating_point() else torch.int64
    here, there = here.to(wide), there.to(wide)
    return (there - here).masked_fill_(there == here, 0).float()


def vector_direction(
    net: nn.Module, dir_type: str, vector: Direction, *, norm: str = "", ignore: str = "", params: str = ""
) -> Direction:
    """A direction along a given one, such as an eigenvector of the Hessian, whose sign and length mean nothing.

    Its largest entry becomes positive. It is zero in what `ignore` and `params` leave out, and normalised against the net, with a tensor of at
    most one dimension as one filter; without `norm` its length becomes 1.

    Raises `InputError` if nothing is left of it.
    """
    tensors = net_tensors.tensors(net, dir_type)
    still = ignored(net, dir_type, ignore)
    direction = _only(
        net,
        dir_type,
        params,
        [
            torch.zeros_like(d)
            if tensor.names[0] in still or not tensor.moves
            else d.to("cpu", torch.float32)
            for d, tensor in zip(vector, tensors, strict=True)
        ],
    )
    length = sum(float(d.double().square().sum()) for d in direction) ** 0.5
    if not 0 < length < float("inf"):
        raise InputError(
            f"the vector that a direction is to follow has length {length:g} in what moves; choose other parameters with --params or without "
            "--xignore and --yignore, or take random directions"
        )
    ends = [end for d in direction if d.numel() for end in (d.max(), d.min())]
    sign = 1 if max(ends, key=abs) > 0 else -1
    direction = [d * (sign / length) for d in direction]
    return [_normalise(d, tensor, norm) for d, tensor in zip(direction, tensors, strict=True)]


def from_flat(net: nn.Module, dir_type: str, names: Iterable[str], vector: Tensor) -> Direction:
    """A vector (n,) over the parameters of these names, as `hess_vec_prod.Curvature` has them, as a direction that is zero elsewhere."""
    tensors = moving_tensors(net, dir_type)
    direction = {name: torch.zeros(tensor.shape) for name, tensor in tensors.items()}
    names = tuple(names)
    for name, part in zip(
        names,
        vector.detach().to("cpu", torch.float32).split([tensors[name].numel() for name in names]),
        strict=True,
    ):
        direction[name] = part.reshape(tensors[name].shape).clone()
    return list(direction.values())


@dataclass(frozen=True)
class Recipe:
    """How a direction is made: towards another net, along a vector, or at random. The first two are made only then, as building a net draws random numbers.

    norm, one of `NORMS` or "", and ignore, one of `IGNORES` or "", are not for other nets; params is for all.
    """

    target: Callable[[], nn.Module] | None = None
    norm: str = ""
    ignore: str = ""
    params: str = ""
    vector: Callable[[], Direction] | None = None

    def __post_init__(self):
        require_choice("norm", self.norm, (*NORMS, ""))
        require_choice("ignore", self.ignore, (*IGNORES, ""))

    def make(self, net: nn.Module, dir_type: str) -> Direction:
        if self.target is not None:
            return target_direction(net, self.target(), dir_type, params=self.params)
        if self.vector is not None:
            return vector_direction(
                net, dir_type, self.vector(), norm=self.norm, ignore=self.ignore, params=self.params
            )
        return random_direction(net, dir_type, norm=self.norm, ignore=self.ignore, params=self.params)


def make_directions(
    net: nn.Module, dir_type: str, recipes: list[Recipe], *, same_dir: bool = False
) -> list[Direction]:
    """A direction for each recipe (x, then y); with `same_dir` the x direction serves as y too."""
    directions = [recipe.make(net, dir_type) for recipe in recipes]
    return [*directions, directions[0]] if same_dir else directions


def find_or_make_directions(
    path: str,
    net: nn.Module,
    dir_type: str,
    recipes: list[Recipe],
    *,
    same_dir: bool,
    made_with: Facts,
    overwrite: bool,
) -> tuple[list[Direction], bool]:
    """The directions of a file, if it was made with the same; new ones if there is no file. And whether they are new, and to be written.

    Raises `InputError`, naming what differs, if the file was made with something else, or does not fit the net; with `overwrite` new ones
    are made then.
    """
    if os.path.exists(path):
        try:
            require_same(
                path,
                h5_util.read_made_with(path, "direction"),
                made_with,
                "give --overwrite, or overwrite=True from Python, to make new directions "
                "(the old file is kept aside), or use these with --dir_file, or directions= from Python",
            )
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
        raise InputError(
            f"{path!r} has one direction where a surface with --y needs two; give a --dir_file with two, or move this one away"
        )
    advice = f"give a direction file made for this net and --dir_type {dir_type}"
    return [
        check_fit(repr(path), direction, net, dir_type, advice=advice) for direction in stored[:dimensions]
    ]


def check_fit(
    what: str, direction: list[np.ndarray], net: nn.Module, dir_type: str, *, advice: str
) -> Direction:
    """The arrays of a direction as tensors. Raises `InputError`, naming `what` they are, if they are not for this net."""
    tensors = moving_tensors(net, dir_type)
    for (name, tensor), values in zip(tensors.items(), direction, strict=False):
        if values.shape != tuple(tensor.shape):
            raise InputError(
                f"{what} does not fit the net: its direction for {name} has shape {list(values.shape)}, "
                f"the net's tensor {list(tensor.shape)}; {advice}"
            )
    if len(direction) != len(tensors):
        raise InputError(
            f"{what} does not fit the net: it has {len(direction)} tensors where the net has {len(tensors)} {dir_type}; {advice}"
        )
    return [torch.from_numpy(values) for values in direction]


def cosine(a: Direction, b: Direction) -> float:
    """Cosine of the angle between two directions; NaN if one is zero."""
    dot, aa, bb = 0.0, 0.0, 0.0
    for p, q in zip(a, b, strict=True):
        p, q = p.double().flatten(), q.double().flatten()
        dot, aa, bb = (
            dot + float(torch.vdot(p, q)),
            aa + float(torch.vdot(p, p)),
            bb + float(torch.vdot(q, q)),
        )
    return dot / (aa * bb) ** 0.5 if aa > 0 and bb > 0 else float("nan")


def negative_variances(
    net: nn.Module, directions: list[Direction], points: np.ndarray
) -> tuple[list[str], np.ndarray]:
    """Where the variance of any batch norm is negative, so that the loss is NaN.

    Args:
        directions: of type `states`.
        points: (n, number of directions) coordinates.

    Returns:
        the names of the layers, of several at a point the net's first, and the points (m, number of directions), nearest to the centre first.
    """
    layers = np.full(len(points), "", object)
    index = {name: i for i, name in enumerate(moving_tensors(net, "states"))}
    for name, layer in net.named_modules():
        place = index.get(f"{name}.running_var") if net_tensors.is_norm(layer) else None
        if place is None or not hasattr(layer, "eps"):
            continue
        steps = np.stack([direction[place].double().numpy() for direction in directions])
        variances = layer.running_var.double().cpu().numpy() + layer.eps + points @ steps
        layers[(layers == "") & (variances < 0).any(axis=1)] = name
    bad = np.flatnonzero(layers != "")
    bad = bad[np.argsort(np.linalg.norm(points[bad], axis=1), kind="stable")]
    return layers[bad].tolist(), points[bad]


@contextmanager
def moving(
    net: nn.Module, directions: list[Direction], dir_type: str
) -> Iterator[Callable[[tuple[float, ...]], None]]:
    """Within the block, `move((alpha, beta))` puts the net at theta* + alpha x + beta y (1-D: `move((alpha,))`).

    Every move starts from a snapshot of theta*, never from where the net was, and the net ends as it began. What is coarser than float32 is added up
    in float32 and rounded once. Whole numbers (BN's `num_batches_tracked`, which evaluation does not use), and what no direction
    moves, are left alone.
    """
    tensors = moving_tensors(net, dir_type).values()
    moved = [
        tensor.is_floating_point() and any(d.any() for d in parts)
        for tensor, *parts in zip(tensors, *directions, strict=True)
    ]
    tensors = list(compress(tensors, moved))
    start = [tensor.to(net_tensors.wide(tensor.dtype), copy=True) for tensor in tensors]
    axes = [
        [d.to(w.device, w.dtype) for d, w in zip(compress(direction, moved), start, strict=True)]
        for direction in directions
    ]
    sums = [
        tensor if tensor.dtype == w.dtype else torch.empty_like(w)
        for tensor, w in zip(tensors, start, strict=True)
    ]
    rounded = [(tensor, w) for tensor, w in zip(tensors, sums, strict=True) if tensor is not w]

    @torch.no_grad()
    def move(coordinates: tuple[float, ...]) -> None:
        if not tensors:
            return
        torch._foreach_copy_(sums, start)
        for coordinate, axis in zip(coordinates, axes, strict=True):
            torch._foreach_add_(sums, axis, alpha=coordinate)
        for tensor, value in rounded:
            tensor.copy_(value)

    try:
        yield move
    finally:
        with torch.no_grad():
            for tensor, value in zip(tensors, start, strict=True):
                tensor.copy_(value)
