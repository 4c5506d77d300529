"""Cuts large tensors into blocks, so that no copy of a whole tensor in another type is needed."""

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from losslandscape.core import large
from losslandscape.nets.net_tensors import NARROW, NetTensor, wide


def is_large(net: nn.Module) -> bool:
    """Return whether a net is large by `core.large`, by the number of its parameters."""
    return large.is_large(sum(tensor.numel() for tensor in net.parameters() if not is_lazy(tensor)))


def blocks(*tensors: Tensor, size: int = 0) -> Iterator[tuple[Tensor, ...]]:
    """Cut tensors of one shape into blocks, and yield the views of all tensors for each block.

    Args:
        tensors: one or more tensors of one shape.
        size: the most numbers in a block; 0 for `large.BLOCK`.
    """
    first, size = tensors[0], size or large.BLOCK
    if first.numel() <= size:
        yield tensors
    elif all(tensor.is_contiguous() for tensor in tensors):
        yield from zip(*(tensor.view(-1).split(size) for tensor in tensors), strict=True)
    elif rows := size * len(first) // first.numel():
        yield from zip(*(tensor.split(rows) for tensor in tensors), strict=True)
    else:
        for parts in zip(*tensors, strict=True):
            yield from blocks(*parts, size=size)


def filter_blocks(tensor: NetTensor, *values: Tensor) -> Iterator[tuple[NetTensor, ...]]:
    """Cut a tensor of the net, and values of its shape, into groups of whole filters, and yield each group.

    The parts of a group are `NetTensor`s, of at most `large.BLOCK` numbers or one filter.
    """
    alike = [tensor, *(replace(tensor, value=value) for value in values)]
    numbers = tensor.value.numel()
    if numbers <= large.BLOCK or tensor.value.dim() <= 1:
        yield tuple(alike)
        return
    axis = 1 if tensor.transposed else 0
    filters = max(1, large.BLOCK * tensor.value.shape[axis] // numbers)
    cut = [part.value.split(filters, axis) for part in alike]
    for parts in zip(*cut, strict=True):
        yield tuple(replace(tensor, value=part) for part in parts)


def filter_norms(tensor: NetTensor, values: Tensor) -> Tensor:
    """Return `NetTensor.filter_norms` of values on any device and of any precision: (filters,) on the CPU."""
    norms = []
    for _, part in filter_blocks(tensor, values):
        norms.append(part.filter_norms(part.value.to(wide(values.dtype))).cpu())
    if not tensor.transposed:
        return torch.cat(norms)
    return torch.cat([norm.view(tensor.transposed, -1) for norm in norms], dim=1).flatten()


def length(tensor: Tensor) -> float:
    """Return the Euclidean norm of all numbers of a tensor."""
    norms = [float(torch.linalg.vector_norm(part.to(wide(part.dtype)))) for (part,) in blocks(tensor)]
    return norms[0] if len(norms) == 1 else math.hypot(*norms)


def any_not_zero(tensor: Tensor) -> bool:
    """Return whether any number of a tensor is not zero."""
    return any(bool(part.any()) for (part,) in blocks(tensor))


def holds(kept: Tensor, tensor: Tensor) -> bool:
    """Return whether a tensor equals `kept` bit by bit, or after `kept` was widened to float32."""
    is_widened = kept.dtype in NARROW and tensor.dtype == torch.float32
    if kept.shape != tensor.shape or not (kept.dtype == tensor.dtype or is_widened):
        return False
    return all(
        torch.equal(_bits(part.cpu().to(tensor.dtype)), _bits(own.cpu()))
        for part, own in blocks(kept.detach(), tensor.detach())
    )


def _bits(tensor: Tensor) -> Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)
