"""Holds samples of any kind in memory, as batches of tensors for nets and losses.

A `SampleSet` can be cut between any two samples. Its batch is a tuple of tensors (inputs, then the target),
a dict of tensors by name, or a named tuple or mapping of another class. The first axis of each tensor counts
the samples. Samples of one shape form one chunk. Others, such as sentences that are padded per batch, stay
in the batches of the user, one chunk each. A batch for the net never spans two chunks.

Batches of any other structure stay as they are, in `OwnBatches`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor

from losslandscape.core.errors import InputError
from losslandscape.data.image_set import ImageSet
from losslandscape.data.own_batches import OwnBatches
from losslandscape.data.structure import as_array, columns, each, is_named, tensors

Batch = Any  # what a loss receives: tensors in any structure (`data.structure`)


@dataclass(frozen=True)
class SampleSet:
    """A set of samples that are in memory; each chunk is a batch of any size.

    Args:
        chunks: the samples.
        own_sizes: the numbers of samples in the user's own batches, in order, if the samples came in batches;
            empty if they came one by one, or all in one batch. No own batch spans two chunks.
    """

    chunks: tuple[Batch, ...]
    own_sizes: tuple[int, ...] = ()

    def __len__(self) -> int:
        return sum(map(_length, self.chunks))

    @property
    def device(self) -> torch.device:
        return tensors(self.chunks[0])[0].device

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for chunk in self.chunks for tensor in tensors(chunk))

    def to(self, device: torch.device | str) -> "SampleSet":
        return self.with_chunks(each(chunk, lambda tensor: tensor.to(device)) for chunk in self.chunks)

    def take(self, index: np.ndarray | Tensor) -> "SampleSet":
        """Return the samples at these indices, chunk by chunk; within a chunk in the order of `index`.

        They form own batches of the first own batch's size.
        """
        index = torch.as_tensor(index)
        start, taken = 0, []
        for chunk in self.chunks:
            stop = start + _length(chunk)
            inside = index[(index >= start) & (index < stop)] - start
            if len(inside):
                taken.append(_rows(chunk, inside))
            start = stop
        sizes: list[int] = []
        if self.own_sizes:
            sizes = [size for chunk in taken for size in _equal_sizes(_length(chunk), self.own_sizes[0])]
        return SampleSet(tuple(taken), tuple(sizes))

    def raw_batches(self, batch_size: int) -> Iterator[Batch]:
        """Yield all samples in order as views, with at most `batch_size` samples in a batch."""
        for chunk in self.chunks:
            for start in range(0, _length(chunk), batch_size):
                yield _slice(chunk, start, start + batch_size)

    def in_own_batches(self) -> OwnBatches | None:
        """Return views of the samples in the user's own batches; None if they did not come in batches."""
        if not self.own_sizes:
            return None
        stops, batches, start = list(accumulate(self.own_sizes)), [], 0
        for chunk in self.chunks:
            end = start + _length(chunk)
            inside = [stop - start for stop in stops if start < stop <= end]
            batches += [_slice(chunk, low, high) for low, high in zip([0, *inside], inside, strict=False)]
            start = end
        return OwnBatches(tuple(batches), self.own_sizes)

    def prepared(self, batch: Batch) -> Batch:
        """Return a copy of a batch of `raw_batches`, on any device, which net and loss may change."""
        return each(batch, torch.clone)

    def with_chunks(self, chunks: Iterable[Batch]) -> "SampleSet":
        """Return a set with these chunks instead, of the same sizes."""
        return replace(self, chunks=tuple(chunks))

    def arrays(self) -> Iterator[np.ndarray]:
        """Yield the arrays for the set's fingerprint: the names and values of tensors."""
        for chunk in self.chunks:
            if is_named(chunk):
                yield np.frombuffer(" ".join(map(str, chunk.keys())).encode(), np.uint8)
            yield from map(as_array, tensors(chunk))


Samples = ImageSet | SampleSet | OwnBatches


def as_batch(value: object) -> Batch:
    """Return a batch of the user's data with its tensors on the CPU.

    If it can be cut between any two samples, arrays become tensors, and a list becomes a tuple.

    Raises:
        InputError: it holds no tensor.
    """
    if isinstance(value, Tensor | np.ndarray):
        value = (value,)
    batch = each(value, lambda tensor: tensor.detach().to("cpu"))
    converted = each(batch, _as_tensor, np.ndarray)
    if columns(converted) is not None:
        return tuple(converted) if isinstance(converted, list) else converted
    if not tensors(batch):
        raise InputError(
            f"a batch of the data, of type {type(value).__name__}, holds no tensor",
            "give a tuple or a dict of tensors whose first axis counts the samples",
        )
    return batch


def cut(batch: Batch, count: int) -> Batch:
    """Return the first `count` samples of a batch, or the whole batch if it cannot be cut."""
    return batch if columns(batch) is None else _slice(batch, 0, count)


def gather(batches: Iterable[Batch], *, are_own: bool) -> SampleSet | OwnBatches:
    """Return batches of `as_batch` as one set: a `SampleSet` if every batch can be cut.

    Args:
        batches: consecutive batches.
        are_own: whether the user made these batches, so that the set remembers their sizes.

    Raises:
        InputError: there is no batch; or batches that can be cut differ in their names or number of tensors.
    """
    batches = list(batches)
    if any(columns(batch) is None for batch in batches):
        return OwnBatches.of(batches)
    joined = stack(batches)
    return replace(joined, own_sizes=tuple(map(_length, batches))) if are_own else joined


def spread(data: Samples, count: int) -> Samples:
    """Return about `count` samples, or fewer, at even distances; data may be sorted by class.

    Own batches stay whole, so one batch is returned even if it is larger.
    """
    if isinstance(data, OwnBatches):
        number = max(1, len(data.batches) * count // max(len(data), count))
        return data.pick(np.linspace(0, len(data.batches) - 1, number).astype(int))
    return data.take(np.linspace(0, len(data) - 1, min(count, len(data))).astype(int))


def stack(batches: Iterable[Batch]) -> SampleSet:
    """Join consecutive batches that can be cut into one chunk while their shapes and types agree.

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


def _length(chunk: Batch) -> int:
    return len(tensors(chunk)[0])


def _rows(batch: Batch, index: Tensor) -> Batch:
    return each(batch, lambda tensor: tensor[index.to(tensor.device)])


def _slice(batch: Batch, start: int, stop: int) -> Batch:
    return each(batch, lambda tensor: tensor[start:stop])


def _equal_sizes(count: int, size: int) -> list[int]:
    """Return the sizes of batches that hold `count` samples: all `size`, and the last one maybe smaller."""
    return [min(size, count - start) for start in range(0, count, size)]


def _as_tensor(array: np.ndarray) -> Tensor | np.ndarray:
    return torch.from_numpy(array) if array.dtype.kind in "biufc" else array


def _kind(batch: Batch) -> str:
    parts = columns(batch) or {}
    return f"a dict of {', '.join(map(str, parts))}" if is_named(batch) else f"{len(parts)} tensors"


def _layout(batch: Batch) -> list[tuple[torch.Size, torch.dtype]]:
    return [(tensor.shape[1:], tensor.dtype) for tensor in tensors(batch)]


def _join(batches: list[Batch]) -> Batch:
    """Return consecutive batches as one, of the class of the first."""
    first = batches[0]
    parts = [torch.cat(parts) for parts in zip(*map(tensors, batches), strict=True)]
    if type(first) is tuple:  # every part has memory of its own, even if the user gave one tensor twice
        return tuple(parts)
    if type(first) is dict:
        return dict(zip(first, parts, strict=True))
    joined = dict(zip(map(id, tensors(first)), parts, strict=True))
    return each(first, lambda tensor: joined[id(tensor)])
