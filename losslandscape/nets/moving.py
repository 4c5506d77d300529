"""Moves a net along directions, from theta* to theta* + a x + b y, and back at the end."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import compress

import torch
from torch import nn

from losslandscape.nets import minimiser, net_tensors
from losslandscape.nets.blocks import any_not_zero, blocks, is_large
from losslandscape.nets.net_plotter import Direction


@contextmanager
def moving(
    net: nn.Module, directions: list[Direction], dir_type: str
) -> Iterator[Callable[[Sequence[float]], None]]:
    """Yield `move`: `move((a, b))` puts the net at theta* + a x + b y (in one dimension `move((a,))`).

    Every move starts from a snapshot of theta*, never from the last position. So the weights at a point do
    not depend on the order of the points. After the block the net is at theta* again. The snapshot of a large
    net (`core.large`) is in a file.

    Sums are computed in float32, or in the tensor's type if that is wider, and rounded once to the tensor's
    type. A tensor does not change if it is not floating-point (BN's `num_batches_tracked`, which evaluation
    does not use), or if its part of every direction is zero.

    Args:
        net: the net, on any device; it is moved in place.
        directions: one or two directions.
        dir_type: the type of the directions, `weights` or `states`.
    """
    if is_large(net):
        with _moving_by_blocks(net, directions, dir_type) as move_by_blocks:
            yield move_by_blocks
        return
    everything = list(net_tensors.moving_tensors(net, dir_type).values())
    moved = [
        tensor.is_floating_point() and any(d.any() for d in parts)
        for tensor, *parts in zip(everything, *directions, strict=True)
    ]
    tensors = list(compress(everything, moved))
    start = [tensor.to(net_tensors.wide(tensor.dtype), copy=True) for tensor in tensors]
    axes = [
        [d.to(w.device, w.dtype) for d, w in zip(compress(direction, moved), start, strict=True)]
        for direction in directions
    ]
    sums = [
        tensor if tensor.dtype == w.dtype else torch.empty_like(w)
        for tensor, w in zip(tensors, start, strict=True)
    ]
    rounded = [(tensor, total) for tensor, total in zip(tensors, sums, strict=True) if tensor is not total]

    @torch.no_grad()
    def move(coordinates: Sequence[float]) -> None:
        if not tensors:
            return
        torch._foreach_copy_(sums, start)
        for coordinate, axis in zip(coordinates, axes, strict=True):
            torch._foreach_add_(sums, axis, alpha=coordinate)
        for tensor, total in rounded:
            tensor.copy_(total)

    try:
        yield move
    finally:
        with torch.no_grad():
            for tensor, w in zip(tensors, start, strict=True):
                tensor.copy_(w)


@contextmanager
def _moving_by_blocks(
    net: nn.Module, directions: list[Direction], dir_type: str
) -> Iterator[Callable[[Sequence[float]], None]]:
    """Move a large net as `moving` does, with a few blocks of memory beyond the net's own."""
    named = net_tensors.moving_tensors(net, dir_type)
    parts = {
        name: [d if any_not_zero(d) else None for d in of_tensor]
        for (name, tensor), *of_tensor in zip(named.items(), *directions, strict=True)
        if tensor.is_floating_point()
    }
    tensors = {
        name: named[name] for name, of_tensor in parts.items() if any(d is not None for d in of_tensor)
    }
    start = minimiser.kept(net, tensors)

    @torch.no_grad()
    def move(coordinates: Sequence[float]) -> None:
        for (name, tensor), w in zip(tensors.items(), start, strict=True):
            steps = [(c, d) for c, d in zip(coordinates, parts[name], strict=True) if d is not None and c]
            for into, begin, *along in blocks(tensor, w, *(d for _, d in steps)):
                total = begin.to(tensor.device, net_tensors.wide(tensor.dtype), copy=True)
                for (coordinate, _), d in zip(steps, along, strict=True):
                    total.add_(d.to(total), alpha=coordinate)
                into.copy_(total)

    try:
        yield move
    finally:
        with torch.no_grad():
            for tensor, w in zip(tensors.values(), start, strict=True):
                minimiser.copy(tensor, w)
