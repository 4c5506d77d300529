"""Holds samples of any kind in memory, as batches of tensors for nets and losses.

A batch is a tuple of tensors (inputs, then the target) or a dict of tensors by name. The first axis of each
tensor counts the samples. Samples of one shape form one chunk. Others, such as sentences that are padded per
batch, stay in the batches of the user, one chunk each. A batch for the net never spans two chunks.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from losslandscape.core.errors import InputError
from losslandscape.data.image_set import ImageSet

Batch = tuple[Tensor, ...] | dict[str, Tensor]


def tensors(batch: Batch) -> list[Tensor]:
    """Return the tensors of a batch, in the batch's order."""
    return list(batch.values() if isinstance(batch, dict) else batch)


def each(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    """Return the batch with `change` applied to every tensor."""
    if isinstance(batch, dict):
        return {name: change(tensor) for name, tensor in batch.items()}
    return tuple(map(change, batch))


def size(batch: Batch) -> int:
    """Return the number of samples in a batch."""
    return len(tensors(batch)[0])


@dataclass(frozen=True)
class SampleSet:
    """A set of samples that are in memory; each chunk is a batch of any size."""

    chunks: tuple[Batch, ...]

    def __len__(self) -> int:
        return sum(map(size, self.chunks))

    @property
    def device(self) -> torch.device:
        return tensors(self.chunks[0])[0].device

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for chunk in self.chunks for tensor in tensors(chunk))

    def to(self, device: torch.device | str) -> "SampleSet":
        return SampleSet(tuple(each(chunk, lambda tensor: tensor.to(device)) for chunk in self.chunks))

    def take(self, index: np.ndarray | Tensor) -> "SampleSet":
        """Return the samples at these indices, chunk by chunk; within a chunk in the order of `index`."""
        index = torch.as_tensor(index)
        start, taken = 0, []
        for chunk in self.chunks:
            stop = start + size(chunk)
            inside = index[(index >= start) & (index < stop)] - start
            if len(inside):
                taken.append(_rows(chunk, inside))
            start = stop
        return SampleSet(tuple(taken))

    def raw_batches(self, batch_size: int) -> Iterator[Batch]:
        """Yield all samples in order as views, with at most `batch_size` samples in a batch."""
        for chunk in self.chunks:
            for parts in zip(*(tensor.split(batch_size) for tensor in tensors(chunk)), strict=True):
                yield dict(zip(chunk, parts, strict=True)) if isinstance(chunk, dict) else parts

    def prepared(self, batch: Batch) -> Batch:
        """Return a copy of a batch of `raw_batches`, on any device, which net and loss may change."""
        return each(batch, torch.clone)

    def with_chunks(self, chunks: Iterable[Batch]) -> "SampleSet":
        """Return a set with these chunks instead."""
        return SampleSet(tuple(chunks))

    def arrays(self) -> Iterator[np.ndarray]:
        """Yield the arrays for the set's fingerprint: the names and values of tensors."""
        for chunk in self.chunks:
            if isinstance(chunk, dict):
                yield np.frombuffer(" ".join(chunk).encode(), np.uint8)
            yield from map(_as_array, tensors(chunk))


Samples = ImageSet | SampleSet


def as_batch(value: object) -> Batch:
    """Return a batch of the user's data as tensors on the CPU.

    Raises:
        InputError: it is not a tensor, or a tuple, list or dict of tensors or numeric arrays; or their first
            axes differ in length.
    """
    if isinstance(value, Tensor):
        value = (value,)
    if not isinstance(value, dict | tuple | list) and hasattr(value, "keys"):  # transformers' BatchEncoding
        value = {name: value[name] for name in value.keys()}  # type: ignore[index]  # noqa: SIM118
    if not value or not isinstance(value, dict | tuple | list):
        raise InputError(
            f"a batch of the data is {_described(value)}",
            "give a tuple or a dict of tensors whose first axis counts the samples",
        )
    items: Iterable[tuple[Any, object]] = value.items() if isinstance(value, dict) else enumerate(value)
    batch = {name: _as_tensor(name, part) for name, part in items}
    lengths = {name: len(tensor) for name, tensor in batch.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(
            f"a batch of the data has tensors of {lengths} samples", "their first axes must have one length"
        )
    return batch if isinstance(value, dict) else tuple(batch.values())


def stack(batches: Iterable[Batch]) -> SampleSet:
    """Join consecutive batches of `as_batch` into one chunk while their shapes and types agree.

    Raises:
        InputError: there is no batch; or batches differ in kind, in names or in the number of tensors.
    """
    groups: list[list[Batch]] = []
    for batch in batches:
        if groups and _kind(batch) != _kind(groups[0][0]):
            fault = f"the data has batches of {_kind(groups[0][0])} and of {_kind(batch)}"
            raise InputError(fault, "give all the same kind")
        if not groups or _layout(batch) != _layout(groups[-1][0]):
            groups.append([])
        groups[-1].append(batch)
    if not groups:
        raise InputError("the data has no batch", "give at least one sample")
    return SampleSet(tuple(map(_join, groups)))


def _rows(batch: Batch, index: Tensor) -> Batch:
    return each(batch, lambda tensor: tensor[index.to(tensor.device)])


def _as_tensor(name: object, part: object) -> Tensor:
    if isinstance(part, np.ndarray) and part.dtype.kind in "biufc":
        part = torch.from_numpy(part)
    if not isinstance(part, Tensor) or part.dim() == 0:
        raise InputError(
            f"{name!r} in a batch of the data is {_described(part)}",
            "give a tensor whose first axis counts the samples",
        )
    return part.detach().cpu()


def _as_array(tensor: Tensor) -> np.ndarray:
    """Return a tensor as an array; bfloat16, which NumPy lacks, as bytes."""
    if tensor.dtype == torch.bfloat16:
        return tensor.contiguous().view(torch.uint8).numpy()
    return tensor.numpy()


def _kind(batch: Batch) -> str:
    return f"a dict of {', '.join(map(str, batch))}" if isinstance(batch, dict) else f"{len(batch)} tensors"


def _layout(batch: Batch) -> list[tuple[torch.Size, torch.dtype]]:
    return [(tensor.shape[1:], tensor.dtype) for tensor in tensors(batch)]


def _join(batches: list[Batch]) -> Batch:
    if isinstance(batches[0], dict):
        return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}  # type: ignore[call-overload]
    return tuple(torch.cat(parts) for parts in zip(*batches, strict=True))


def _described(value: object) -> str:
    return f"a {type(value).__name__}" + (" without axes" if isinstance(value, Tensor) else "")
