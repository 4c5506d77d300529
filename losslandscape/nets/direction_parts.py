"""Makes the part of a direction in one tensor, and normalises it (Li et al. 2018, section 4)."""

import torch
from torch import Tensor

from losslandscape.nets.computed_weights import ComputedWeight
from losslandscape.nets.net_tensors import NetTensor, wide

NORMS = ("filter", "layer", "weight", "dfilter", "dlayer")
FILTER_NORM_OFFSET = 1e-10  # the published program's guard against filters of zero norm


def raw_part(d: Tensor, tensor: NetTensor, ignore: str) -> Tensor:
    """Return a random direction's part in a tensor, not yet normalised, from the Gaussian draws `d`."""
    if tensor.by_filters:
        return d
    copied = tensor.kind == "norm" or (tensor.moves and tensor.kind != "buffer")
    if ignore == "biasbn" or not copied:
        return torch.zeros_like(d)
    return tensor.value.to("cpu", torch.float32, copy=True)


def normalise(d: Tensor, tensor: NetTensor, norm: str) -> Tensor:
    """Return a direction's part, normalised against its tensor by one of `NORMS` or ""."""
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


def normalise_motion(parts: list[Tensor], weight: ComputedWeight, norm: str) -> list[Tensor]:
    """Normalise a direction's parts in the tensors of a computed weight by how they move the weight."""
    goal = goal_norms(weight.tensor, norm)
    if goal is None:
        return parts
    if norm in ("filter", "dfilter"):
        return weight.scaled(parts, goal)
    factor = (goal / _not_zero(weight.push(parts).norm())).float()
    return [part * factor for part in parts]


def goal_norms(tensor: NetTensor, norm: str) -> Tensor | None:
    """Return the norms that a direction has in a tensor after it is normalised; None if `norm` sets none.

    They are the norms of its filters, (filters,), or the norm of the whole tensor, ().
    """
    if norm == "filter":
        return tensor.filter_norms(tensor.value)
    if norm == "layer":
        return tensor.value.norm()
    if norm == "dfilter":
        return torch.ones_like(tensor.filter_norms(tensor.value))
    if norm == "dlayer":
        return torch.ones(())
    return None


def _not_zero(norm: Tensor) -> Tensor:
    return norm if norm else torch.ones_like(norm)


def difference(start: Tensor, end: Tensor) -> Tensor:
    """Return `end - start` as float32, with zero where both are equal, even if infinite.

    For a complex tensor, which never moves, return zeros.
    """
    if start.is_complex():
        return torch.zeros(start.shape)
    dtype = wide(start.dtype) if start.is_floating_point() else torch.int64
    start, end = start.to(dtype), end.to(dtype)
    return (end - start).masked_fill_(end == start, 0).float()
