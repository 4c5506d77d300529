"""Directions in the space of a net's weights: drawn at random, towards another net, or along a vector.

A direction is a list of float32 tensors on the CPU, one per tensor of `net_tensors.tensors`: the net's
parameters in their order (`weights`), or its whole state dict with the BN statistics (`states`). The theory
is in Li et al. 2018, "Visualizing the Loss Landscape of Neural Nets", sections 3 and 4.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from losslandscape.core.errors import InputError, require_choice
from losslandscape.nets import net_tensors
from losslandscape.nets.net_tensors import IGNORES, NetTensor, moving_tensors

SEED = 123  # of random directions in the published program; --idx N draws from SEED + N
NORMS = ("filter", "layer", "weight", "dfilter", "dlayer")
FILTER_NORM_OFFSET = 1e-10  # the published program's guard against filters of zero norm

Direction = list[Tensor]


@dataclass(frozen=True)
class Recipe:
    """How a direction is made: towards another net, along a vector, or else at random.

    Net and vector are made only when they are needed, because building a net draws random numbers.

    Args:
        target: makes the other net. Norm and ignore do not apply to it.
        norm: how the direction is normalised against the net, one of `NORMS` or "".
        ignore: which tensors are zero, one of `IGNORES` or "".
        params: regular expression for the names of the tensors that are not zero; "" for all.
        vector: makes the direction to follow, such as an eigenvector of the Hessian.
    """

    target: Callable[[], nn.Module] | None = None
    norm: str = ""
    ignore: str = ""
    params: str = ""
    vector: Callable[[], Direction] | None = None

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
    net: nn.Module, dir_type: str, recipes: list[Recipe], *, same_dir: bool = False
) -> list[Direction]:
    """A direction per recipe (x, then y); with `same_dir` the x direction is also y."""
    directions = [recipe.make(net, dir_type) for recipe in recipes]
    return [*directions, directions[0]] if same_dir else directions


def random_direction(
    net: nn.Module, dir_type: str, *, norm: str = "", ignore: str = "", params: str = ""
) -> Direction:
    """A Gaussian direction, normalised against the net (Li et al. 2018, section 4).

    Biases, norm layers and other tensors of at most one dimension are not drawn: they are a copy of the
    net's tensor, or zero with `ignore="biasbn"`. Zero are also buffers outside of norm layers, and what
    `params` does not choose.

    It makes one `randn` per tensor, in order, from torch's global generator on the CPU, also for tensors that
    are not drawn: so does the published program.

    Args:
        net: on any device.
        dir_type: `weights` or `states`.
        norm, ignore, params: as in `Recipe`.
    """
    tensors = net_tensors.tensors(net, dir_type)
    draws = [torch.randn(tensor.value.shape, dtype=torch.float32, device="cpu") for tensor in tensors]
    direction = [_random(d, tensor, norm, ignore) for d, tensor in zip(draws, tensors, strict=True)]
    return _only_chosen(direction, net, dir_type, params)


def _random(d: Tensor, tensor: NetTensor, norm: str, ignore: str) -> Tensor:
    if tensor.by_filters:
        return _normalise(d, tensor, norm)
    copied = tensor.kind == "norm" or (tensor.moves and tensor.kind != "buffer")
    if ignore == "biasbn" or not copied:
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


def _only_chosen(direction: Direction, net: nn.Module, dir_type: str, params: str) -> Direction:
    """The direction with zeros where `params` does not choose."""
    if not params:
        return direction
    names = net_tensors.chosen(net, dir_type, params)
    return [
        d if name in names else torch.zeros_like(d)
        for name, d in zip(moving_tensors(net, dir_type), direction, strict=True)
    ]


def target_direction(net: nn.Module, other: nn.Module, dir_type: str, *, params: str = "") -> Direction:
    """The difference from `net` to `other`, not normalised, and zero in what `params` does not choose.

    Raises:
        InputError: the other net has other tensors.
    """
    here, there = moving_tensors(net, dir_type), moving_tensors(other, dir_type)
    for name, tensor in here.items():
        _require_same_shape(name, tensor, there.get(name))
    direction = [_difference(tensor.cpu(), there[name].cpu()) for name, tensor in here.items()]
    return _only_chosen(direction, net, dir_type, params)


def _require_same_shape(name: str, here: Tensor, there: Tensor | None) -> None:
    if there is not None and there.shape == here.shape:
        return
    other = "the other has no such tensor" if there is None else f"{list(there.shape)} in the other"
    raise InputError(
        f"the two nets differ: {name} has shape {list(here.shape)} in the net at the centre; {other}",
        "a direction needs two nets that are built in the same way",
    )


def _difference(here: Tensor, there: Tensor) -> Tensor:
    """there - here as float32, and zero where both are equal, even if infinite.

    Complex tensors, which never move, count as equal.
    """
    if here.is_complex():
        return torch.zeros(here.shape)
    dtype = net_tensors.wide(here.dtype) if here.is_floating_point() else torch.int64
    here, there = here.to(dtype), there.to(dtype)
    return (there - here).masked_fill_(there == here, 0).float()


def vector_direction(
    net: nn.Module,
    dir_type: str,
    vector: Direction,
    *,
    norm: str = "",
    ignore: str = "",
    params: str = "",
) -> Direction:
    """A direction along a vector whose sign and length mean nothing, such as an eigenvector of the Hessian.

    Its largest entry becomes positive. It is zero in what `ignore` and `params` leave out. With a `norm` it
    is normalised against the net, where a tensor of at most one dimension counts as one filter; without,
    its length becomes 1.

    Raises:
        InputError: the vector is zero in all that moves, or not finite.
    """
    tensors = net_tensors.tensors(net, dir_type)
    still = net_tensors.ignored(net, dir_type, ignore)
    moved = [
        d.to("cpu", torch.float32) if tensor.moves and tensor.names[0] not in still else torch.zeros_like(d)
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
    direction = [d * scale for d in direction]
    return [_normalise(d, tensor, norm) for d, tensor in zip(direction, tensors, strict=True)]


def _sign(direction: Direction) -> int:
    """The sign of the entry of the largest magnitude."""
    extremes = [end for d in direction if d.numel() for end in (d.max(), d.min())]
    return 1 if max(extremes, key=abs) > 0 else -1


def from_flat(net: nn.Module, dir_type: str, names: Iterable[str], vector: Tensor) -> Direction:
    """A vector over some parameters as a direction, which is zero in all others.

    Args:
        net: the net, which gives the shapes.
        dir_type: `weights` or `states`.
        names: of the parameters, in the order of the vector, as `hess_vec_prod.Curvature` has them.
        vector: (n,) all their entries.
    """
    tensors = moving_tensors(net, dir_type)
    direction = {name: torch.zeros(tensor.shape) for name, tensor in tensors.items()}
    names = tuple(names)
    parts = vector.detach().to("cpu", torch.float32).split([tensors[name].numel() for name in names])
    for name, part in zip(names, parts, strict=True):
        direction[name] = part.reshape(tensors[name].shape).clone()
    return list(direction.values())


def cosine(a: Direction, b: Direction) -> float:
    """Cosine of the angle between two directions; NaN if one is zero."""
    dot, aa, bb = 0.0, 0.0, 0.0
    for p, q in zip(a, b, strict=True):
        p, q = p.double().flatten(), q.double().flatten()
        dot += float(torch.vdot(p, q))
        aa += float(torch.vdot(p, p))
        bb += float(torch.vdot(q, q))
    return dot / (aa * bb) ** 0.5 if aa > 0 and bb > 0 else float("nan")
