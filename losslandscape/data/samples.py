"""Samples of any kind as batches of tensors, on which nets and losses are measured.

A batch is a tuple of tensors (inputs, then the target) or a dict of tensors by name. The first axis of each
counts the samples. Samples that stack form one chunk. Others, such as sentences padded per batch, stay in the
chunks in which they came; a batch never spans two chunks.
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
    """The tensors of a batch, in its order."""
    return list(batch.values() if isinstance(batch, dict) else batch)


def each(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    """The batch with every tensor changed."""
    if isinstance(batch, dict):
        return {name: change(tensor) for name, tensor in batch.items()}
    return tuple(map(change, batch))


def size(batch: Batch) -> int:
    """The number of samples of a batch."""
    return len(tensors(batch)[0])


@dataclass(frozen=True)
class SampleSet:
    """Samples in memory; each chunk is a batch of any size."""

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
        """The samples of these numbers: chunk by chunk, within a chunk in the given order."""
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
        """All samples in order, at most `batch_size` at a time, as views."""
        for chunk in self.chunks:
            for parts in zip(*(tensor.split(batch_size) for tensor in tensors(chunk)), strict=True):
                yield dict(zip(chunk, parts, strict=True)) if isinstance(chunk, dict) else parts

    def prepared(self, batch: Batch) -> Batch:
        """A batch of `raw_batches`, on any device, as net and loss take it: copies that they may change."""
        return each(batch, torch.clone)

    def with_chunks(self, chunks: Iterable[Batch]) -> "SampleSet":
        """A set that differs in its tensors."""
        return SampleSet(tuple(chunks))

    def arrays(self) -> Iterator[np.ndarray]:
        """What its fingerprint is made of: names and values."""
        for chunk in self.chunks:
            if isinstance(chunk, dict):
                yield np.frombuffer(" ".join(chunk).encode(), np.uint8)
            yield from map(_as_array, tensors(chunk))


Samples = ImageSet | SampleSet  # on which nets and losses are measured


def as_batch(value: object) -> Batch:
    """What a dataset gave as a batch, as tensors on the CPU.

    Raises:
        InputError: it is no tuple or dict of tensors or arrays whose first axes have one length.
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
    """Batches of `as_batch` in as few chunks as their shapes allow.

    Raises:
        InputError: there is none, or they differ: a tuple and a dict, other names, other numbers of tensors.
    """
    groups: list[list[Batch]] = []
    for batch in batches:
        if groups and _kind(batch) != _kind(groups[0][0]):
            fault = f"the data has batches of {_kind(groups[0][0])} and of {_kind(batch)}"
            raise InputError(fault, "give all the same kind")
        if not groups or _form(batch) != _form(groups[-1][0]):
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
    """NumPy has no bfloat16; its bytes serve as well."""
    if tensor.dtype == torch.bfloat16:
        return tensor.contiguous().view(torch.uint8).numpy()
    return tensor.numpy()


def _kind(batch: Batch) -> str:
    return f"a dict of {', '.join(map(str, batch))}" if isinstance(batch, dict) else f"{len(batch)} tensors"


def _form(batch: Batch) -> list[tuple[torch.Size, torch.dtype]]:
    return [(tensor.shape[1:], tensor.dtype) for tensor in tensors(batch)]


def _join(batches: list[Batch]) -> Batch:
    if isinstance(batches[0], dict):
        return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}  # type: ignore[call-overload]
    return tuple(torch.cat(parts) for parts in zip(*batches, strict=True))


def _described(value: object) -> str:
    return f"a {type(value).__name__}" + (" without axes" if isinstance(value, Tensor) else "")
