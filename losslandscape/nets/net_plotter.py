"""Makes directions in the space of a net's weights: drawn at random, towards another net, or along a vector.

A direction is a list of float32 tensors on the CPU, one per tensor of `net_tensors.tensors`: the net's
parameters in their order (`weights`), or its whole state dict with the BN statistics (`states`). Those of
large nets are made in `large_directions`. The theory is in Li et al. 2018, "Visualizing the Loss Landscape of
Neural Nets", sections 3 and 4.

Where a layer computes its weight from other tensors (`computed_weights`), a direction is normalised by this
weight: by how far the direction moves it, to first order.
"""

from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from losslandscape.core.errors import InputError, require_choice
from losslandscape.nets import large_directions, net_tensors, plane
from losslandscape.nets.blocks import blocks, is_large
from losslandscape.nets.computed_weights import computed_weights
from losslandscape.nets.direction_parts import NORMS, difference, normalise, normalise_motion, raw_part
from losslandscape.nets.net_tensors import IGNORES, NetTensor, moving_tensors

Direction = list[Tensor]


@dataclass(frozen=True)
class Recipe:
    """A recipe that makes a direction: towards another net, along a vector, or else at random.

    `make` calls `target` or `vector` only when it needs the result, because building a net draws random
    numbers.

    Args:
        target: returns the other net. `norm` and `ignore` do not apply to a direction towards it.
        norm: how to normalise the direction against the net, one of `NORMS` or "".
        ignore: in which tensors the direction is zero, one of `IGNORES` or "".
        params: a regular expression; the direction is zero in tensors whose names do not match. "" keeps all.
        vector: returns the vector to follow, such as an eigenvector of the Hessian.
        name: the name of the vector.
    """

    target: Callable[[], nn.Module] | None = None
    norm: str = ""
    ignore: str = ""
    params: str = ""
    vector: Callable[[], Direction] | None = None
    name: str = ""

    def __post_init__(self) -> None:
        require_choice("norm", self.norm, (*NORMS, ""))
        require_choice("ignore", self.ignore, (*IGNORES, ""))

    def make(self, net: nn.Module, dir_type: str) -> Direction:
        if self.target is not None:
            return target_direction(net, self.target(), dir_type, params=self.params)
        options = {"norm": self.norm, "ignore": self.ignore, "params": self.params}
        if self.vector is not None:
            return vector_direction(net, dir_type, self.vector(), **options)
        return random_direction(net, dir_type, **options)


def make_directions(
    net: nn.Module,
    dir_type: str,
    recipes: list[Recipe],
    *,
    same_dir: bool = False,
    orthonormal: bool = False,
) -> list[Direction]:
    """Return one direction for each recipe (x, then y).

    With `same_dir` the x direction is also y. With `orthonormal` the two lead to other nets, and the axes
    become orthonormal in their plane.
    """
    directions = [recipe.make(net, dir_type) for recipe in recipes]
    if orthonormal:
        return plane.orthonormal(net, dir_type, directions)
    return [*directions, directions[0]] if same_dir else directions


def random_direction(
    net: nn.Module, dir_type: str, *, norm: str = "", ignore: str = "", params: str = ""
) -> Direction:
    """Return a Gaussian direction, normalised against the net (Li et al. 2018, section 4).

    In parameters of at most one dimension and in norm layers, the direction is not random: it is a copy of
    the net's tensor, or zero with `ignore="biasbn"`. It is also zero in buffers outside of norm layers, and
    in tensors that `params` does not choose.

    Like the published program, this function calls `randn` once for every tensor, in order, with torch's
    global generator on the CPU, even where it does not use the result. In a large net (`core.large`), each
    tensor has a generator of its own.

    Args:
        net: the net, on any device.
        dir_type: `weights` or `states`.
        norm, ignore, params: the options of `Recipe`.
    """
    if is_large(net):
        chosen = _chosen(net, dir_type, params)
        return large_directions.random_direction(net, dir_type, norm=norm, ignore=ignore, chosen=chosen)
    tensors = net_tensors.tensors(net, dir_type)
    draws = [torch.randn(tensor.value.shape, dtype=torch.float32, device="cpu") for tensor in tensors]
    parts = [raw_part(d, tensor, ignore) for d, tensor in zip(draws, tensors, strict=True)]
    raw = _only_chosen(parts, net, dir_type, params)
    places = {place for place, tensor in enumerate(tensors) if tensor.by_filters}
    # `_only_chosen` again, because 0 times a negative weight is -0, which has other bits in a file than 0.
    return _only_chosen(_normalised(raw, net, tensors, norm, places), net, dir_type, params)


def _normalised(
    raw: Direction, net: nn.Module, tensors: list[NetTensor], norm: str, places: Set[int]
) -> Direction:
    """Return a direction that is normalised in the tensors at these places.

    If a layer computes its weight from stored tensors, these are scaled together. Their entries without an
    effect on the weight become zero.
    """
    direction = list(raw)
    for place in places:
        direction[place] = normalise(raw[place], tensors[place], norm)
    for weight in computed_weights(net, tensors):
        stored = direction if norm == "weight" else raw
        parts = weight.masked([stored[place] for place in weight.members])
        if not places.isdisjoint(weight.members):
            parts = normalise_motion(parts, weight, norm)
        for place, part in zip(weight.members, parts, strict=True):
            direction[place] = part
    return direction


def _chosen(net: nn.Module, dir_type: str, params: str) -> frozenset[str] | None:
    """Return the names of the tensors that `params` chooses; None for all."""
    return net_tensors.chosen(net, dir_type, params) if params else None


def _only_chosen(direction: Direction, net: nn.Module, dir_type: str, params: str) -> Direction:
    """Return the direction with zeros in the tensors that `params` does not choose."""
    names = _chosen(net, dir_type, params)
    if names is None:
        return direction
    return [
        d if name in names else torch.zeros_like(d)
        for name, d in zip(moving_tensors(net, dir_type), direction, strict=True)
    ]


def target_direction(net: nn.Module, other: nn.Module, dir_type: str, *, params: str = "") -> Direction:
    """Return `other` minus `net`, not normalised, with zeros in the tensors that `params` does not choose.

    Raises:
        InputError: `other` lacks a tensor of `net`, or has it in another shape.
    """
    starts, ends = moving_tensors(net, dir_type), moving_tensors(other, dir_type)
    for name, start in starts.items():
        require_same_shape(name, start, ends.get(name))
    if is_large(net):
        return large_directions.target_direction(starts, ends, _chosen(net, dir_type, params))
    direction = [difference(start.cpu(), ends[name].cpu()) for name, start in starts.items()]
    return _only_chosen(direction, net, dir_type, params)


def require_same_shape(name: str, start: Tensor, end: Tensor | None) -> None:
    """Raise `InputError` unless a tensor of the net and that of another net have one shape."""
    if end is not None and end.shape == start.shape:
        return
    other = "the other has no such tensor" if end is None else f"{list(end.shape)} in the other"
    raise InputError(
        f"the two nets differ: {name} has shape {list(start.shape)} in the net at the centre; {other}",
        "a direction needs two nets that are built in the same way",
    )


def vector_direction(
    net: nn.Module,
    dir_type: str,
    vector: Direction,
    *,
    norm: str = "",
    ignore: str = "",
    params: str = "",
) -> Direction:
    """Return a direction along a vector of arbitrary sign and length, such as an eigenvector of the Hessian.

    The entry of largest magnitude becomes positive. The direction is zero in tensors that `ignore` and
    `params` leave out. With a `norm` it is normalised against the net, where a tensor of at most one
    dimension counts as one filter. Without a `norm` its length becomes 1.

    Raises:
        InputError: in the tensors that move, the vector is zero or not finite.
    """
    tensors = net_tensors.tensors(net, dir_type)
    still = net_tensors.ignored(net, dir_type, ignore)
    moved = [
        d.to("cpu", torch.float32) if tensor.moves and tensor.names[0] not in still else torch.zeros(d.shape)
        for d, tensor in zip(vector, tensors, strict=True)
    ]
    direction = _only_chosen(moved, net, dir_type, params)
    length = sum(float(d.double().square().sum()) for d in direction) ** 0.5
    if not 0 < length < float("inf"):
        raise InputError(
            f"the vector to follow has length {length:g} in the parameters that move",
            "choose other parameters with {params}, leave {xignore} and {yignore} out, "
            "or take random directions",
        )
    scale = _sign(direction) / length
    raw = [d * scale for d in direction]
    return _normalised(raw, net, tensors, norm, set(range(len(tensors))))


def _sign(direction: Direction) -> int:
    """Return the sign of the entry of largest magnitude, as 1 or -1."""
    extremes = [end for d in direction if d.numel() for end in (d.max(), d.min())]
    return 1 if max(extremes, key=abs) > 0 else -1


def from_flat(net: nn.Module, dir_type: str, names: Iterable[str], vector: Tensor) -> Direction:
    """Return a vector over some parameters as a direction, which is zero in all other tensors.

    Args:
        net: the net that determines the shapes.
        dir_type: `weights` or `states`.
        names: the names of these parameters, in the order of the vector, as in `hess_vec_prod.Curvature`.
        vector: (n,) the entries of these parameters, flattened one after the other.
    """
    tensors = moving_tensors(net, dir_type)
    direction = {name: torch.zeros(tensor.shape) for name, tensor in tensors.items()}
    names = tuple(names)
    parts = vector.detach().to("cpu", torch.float32).split([tensors[name].numel() for name in names])
    for name, part in zip(names, parts, strict=True):
        direction[name] = part.reshape(tensors[name].shape).clone()
    return list(direction.values())


def cosine(a: Direction, b: Direction) -> float:
    """Return the cosine of the angle between two directions; NaN if one is zero."""
    dot, aa, bb = 0.0, 0.0, 0.0
    for whole in zip(a, b, strict=True):
        for p, q in blocks(*whole):
            p, q = p.double().flatten(), q.double().flatten()
            dot += float(torch.vdot(p, q))
            aa += float(torch.vdot(p, p))
            bb += float(torch.vdot(q, q))
    return dot / (aa * bb) ** 0.5 if aa > 0 and bb > 0 else float("nan")
