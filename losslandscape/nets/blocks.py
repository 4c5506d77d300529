"""Cuts large tensors into blocks, so that no copy of a whole tensor in another type is needed."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from losslandscape.core import large
from losslandscape.nets.net_tensors import NetTensor


def is_large(net: nn.Module) -> bool:
    """Return whether a net is large by `core.large`, by the number of its parameters."""
    return large.is_large(sum(tensor.numel() for tensor in net.parameters() if not is_lazy(tensor)))


def blocks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield the tensors, which have one shape, cut alike into views of at most `large.BLOCK` numbers."""
    first = tensors[0]
    if first.numel() <= large.BLOCK:
        yield tensors
    elif all(tensor.is_contiguous() for tensor in tensors):
        yield from zip(*(tensor.view(-1).split(large.BLOCK) for tensor in tensors), strict=True)
    elif rows := large.BLOCK * len(first) // first.numel():
        yield from zip(*(tensor.split(rows) for tensor in tensors), strict=True)
    else:
        for parts in zip(*tensors, strict=True):
            yield from blocks(*parts)


def filter_blocks(tensor: NetTensor, *values: Tensor) -> Iterator[tuple[NetTensor, ...]]:
    """Yield a tensor of the net, and values in its shape, cut alike into groups of whole filters.

    Each group is a `NetTensor`, with at most `large.BLOCK` numbers or one filter.
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


def any_not_zero(tensor: Tensor) -> bool:
    """Return whether any number of a tensor is not zero."""
    return any(bool(part.any()) for (part,) in blocks(tensor))


def have_same_bits(a: Tensor, b: Tensor) -> bool:
    """Return whether two tensors have one type and shape and the same bits; NaN may equal NaN."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    return all(torch.equal(_bits(p.cpu()), _bits(q.cpu())) for p, q in blocks(a.detach(), b.detach()))


def _bits(tensor: Tensor) -> Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)
