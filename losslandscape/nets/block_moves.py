"""Moves a large net block by block, from mapped files, with little memory beyond the net (`core.large`)."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from losslandscape.core import large
from losslandscape.nets import minimiser, net_tensors
from losslandscape.nets.blocks import any_not_zero, blocks

IN_FLIGHT = 4  # blocks that wait for a GPU at most


@contextmanager
def moving_by_blocks(
    net: nn.Module, directions: Sequence[Sequence[Tensor]], dir_type: str
) -> Iterator[Callable[[Sequence[float]], None]]:
    """Move a large net as `moving.moving` does. Each tensor may be on another device.

    Raises:
        InputError: the net's checkpoint was overwritten in the block.
    """
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

    def move(coordinates: Sequence[float]) -> None:
        for (name, tensor), w in zip(tensors.items(), start, strict=True):
            along = zip(coordinates, parts[name], strict=True)
            _put(tensor, w, [(coordinate, d) for coordinate, d in along if d is not None and coordinate])
        minimiser.require_unchanged(net)

    try:
        yield move
    finally:
        for tensor, w in zip(tensors.values(), start, strict=True):
            _put(tensor, w, [])
        minimiser.require_unchanged(net)


@torch.no_grad()
def _put(tensor: Tensor, start: Tensor, steps: Sequence[tuple[float, Tensor]]) -> None:
    """Set a tensor to `start` plus each direction times its coordinate, rounded once."""
    on_gpu = tensor.device.type == "cuda"
    size = large.GPU_BLOCK if on_gpu else large.BLOCK
    behind: deque[torch.cuda.Event] = deque()
    for into, *sources in blocks(tensor, start, *(d for _, d in steps), size=size):
        begin, *along = (_on(part, tensor.device) for part in sources)
        total = begin.to(net_tensors.wide(tensor.dtype), copy=True)
        for (coordinate, _), d in zip(steps, along, strict=True):
            total.add_(d.to(total.dtype), alpha=coordinate)
        into.copy_(total)
        if on_gpu:
            behind.append(torch.cuda.current_stream(tensor.device).record_event())
            if len(behind) > IN_FLIGHT:
                behind.popleft().synchronize()


def _on(part: Tensor, device: torch.device) -> Tensor:
    """Return a block on a device. A GPU gets it from pinned memory, and the CPU does not wait."""
    return part.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else part.to(device)
