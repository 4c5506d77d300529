"""Provides batches on the net's device. Data too large for a GPU is copied there batch by batch."""

from collections.abc import Iterator

import numpy as np
import torch

from losslandscape.data import structure
from losslandscape.data.samples import Batch, Samples
from losslandscape.data.structure import is_dense


def place(
    sets: dict[str, Samples], device: torch.device, *, memory: int | None = None, sharers: int = 1
) -> dict[str, Samples]:
    """Move as many sets to the GPU as fit there. On a CPU the sets stay as they are.

    Args:
        sets: the samples of each part of the data. The parts are moved in this order.
        device: the net's device.
        memory: the bytes that all sets together may take on the GPU. None stands for half of the free memory,
            divided by `sharers`.
        sharers: the number of ranks that share this GPU.
    """
    if device.type != "cuda":
        return sets
    if memory is None:
        free, _ = torch.cuda.mem_get_info(device)
        memory = free // 2 // sharers
    placed = {}
    for part, data in sets.items():
        if data.nbytes <= memory:
            memory -= data.nbytes
            placed[part] = data.to(device)
        else:
            placed[part] = data
    return placed


def first(data: Samples, count: int) -> Samples:
    """Return the first samples, or all if there are fewer."""
    return data.take(np.arange(min(count, len(data))))


def batches(data: Samples, batch_size: int, device: torch.device) -> Iterator[Batch]:
    """Return batches of all samples in order, on the device, in the form that net and loss expect."""
    if data.device == device:
        return (_prepared(data, batch) for batch in data.raw_batches(batch_size))
    if device.type == "cpu":
        raise ValueError("data is on a GPU and the net is not")
    return _copied_batches(data, batch_size, device)


def _prepared(data: Samples, batch: Batch) -> Batch:
    return data.prepared(batch)


def _copied_batches(data: Samples, batch_size: int, device: torch.device) -> Iterator[Batch]:
    """Yield batches copied to a GPU. The next batch is copied while the current batch is used."""
    copying = torch.cuda.Stream(device)
    computing = torch.cuda.current_stream(device)
    sources = list(data.raw_batches(batch_size))
    next_batch = _copy(sources[0], device, copying)
    for next_source in [*sources[1:], None]:
        computing.wait_stream(copying)
        batch = next_batch
        for tensor in filter(is_dense, structure.tensors(batch)):
            tensor.record_stream(computing)  # the memory is not reused before the computation ends
        if next_source is not None:
            next_batch = _copy(next_source, device, copying)
        yield _prepared(data, structure.each(batch, lambda tensor: tensor.to(device)))


def _copy(batch: Batch, device: torch.device, stream: torch.cuda.Stream) -> Batch:
    """Start to copy a batch to the device on this stream, and return the copy without waiting.

    Sparse and nested tensors, which cannot be pinned, stay where they are.
    """

    def copied(tensor: torch.Tensor) -> torch.Tensor:
        if not is_dense(tensor):
            return tensor
        return tensor.contiguous().pin_memory().to(device, non_blocking=True)

    with torch.cuda.stream(stream):
        return structure.each(batch, copied)
