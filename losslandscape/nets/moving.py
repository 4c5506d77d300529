"""Moves a net along directions, from theta* to theta* + a x + b y, and back at the end."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import compress

import torch
from torch import Tensor, nn

from losslandscape.nets import net_tensors
from losslandscape.nets.block_moves import moving_by_blocks
from losslandscape.nets.blocks import is_large
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
        with moving_by_blocks(net, directions, dir_type) as move_by_blocks:
            yield move_by_blocks
        return
    everything = list(net_tensors.moving_tensors(net, dir_type).values())
    moved = [
        tensor.is_floating_point() and any(d.any() for d in parts)
        for tensor, *parts in zip(everything, *directions, strict=True)
    ]
    tensors = list(compress(everything, moved))
    with snapshot(tensors) as start:
        axes = [like(start, compress(direction, moved)) for direction in directions]
        sums = [
            tensor if tensor.dtype == w.dtype else torch.empty_like(w)
            for tensor, w in zip(tensors, start, strict=True)
        ]
        rounded = [
            (tensor, total) for tensor, total in zip(tensors, sums, strict=True) if tensor is not total
        ]

        @torch.no_grad()
        def move(coordinates: Sequence[float]) -> None:
            if not tensors:
                return
            torch._foreach_copy_(sums, start)
            for coordinate, axis in zip(coordinates, axes, strict=True):
                torch._foreach_add_(sums, axis, alpha=coordinate)
            for tensor, total in rounded:
                tensor.copy_(total)

        yield move


@contextmanager
def snapshot(tensors: list[Tensor]) -> Iterator[list[Tensor]]:
    """Yield copies of tensors, in at least float32; after the block the tensors have these values again."""
    start = [tensor.to(net_tensors.wide(tensor.dtype), copy=True) for tensor in tensors]
    try:
        yield start
    finally:
        with torch.no_grad():
            for tensor, w in zip(tensors, start, strict=True):
                tensor.copy_(w)


def like(start: list[Tensor], parts: Iterable[Tensor]) -> list[Tensor]:
    """Return each part on the device and in the type of its tensor in `start`."""
    return [part.to(w.device, w.dtype) for part, w in zip(parts, start, strict=True)]
