"""Samples of any kind, as batches of tensors: what a net and a loss are measured on.

A batch is a tuple of tensors (inputs, then the target) or a dict of tensors by name; the first axis of each counts the samples. Samples that
stack are one chunk. Those that do not, such as sentences padded batch by batch, stay in the chunks in which they came, and a batch is
part of one chunk.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from losslandscape.core.errors import InputError
from losslandscape.data.dataloader import ImageSet

Batch = tuple[Tensor, ...] | dict[str, Tensor]


def tensors(batch: Batch) -> list[Tensor]:
    return list(batch.values() if isinstance(batch, dict) else batch)


def each(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    """The batch with every tensor changed."""
    return (
        {name: change(tensor) for name, tensor in batch.items()}
        if isinstance(batch, dict)
        else tuple(map(change, batch))
    )


def size(batch: Batch) -> int:
    """How many samples a batch has."""
    return len(tensors(batch)[0])


@dataclass(frozen=True)
class SampleSet:
    """Samples in memory; each chunk is a batch as large as it came."""

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

    def raw_batches(self, batch_size: int) -> Iterator[Batch]:
        """All samples in order, at most `batch_size` at a time; views of what is in memory."""
        for chunk in self.chunks:
            for parts in zip(*(tensor.split(batch_size) for tensor in tensors(chunk)), strict=True):
                yield dict(zip(chunk, parts, strict=True)) if isinstance(chunk, dict) else parts

    def prepared(self, batch: Batch) -> Batch:
        """A batch of `raw_batches`, on any device, as net and loss take it: theirs to write into."""
        return each(batch, torch.clone)

    def take(self, index: np.ndarray | Tensor) -> "SampleSet":
        """The samples of these numbers; within a chunk in the given order."""
        index, start, taken = torch.as_tensor(index), 0, []
        for chunk in self.chunks:
            here = index[(index >= start) & (index < start + size(chunk))] - start
            if len(here):
                taken.append(each(chunk, lambda tensor, here=here: tensor[here.to(tensor.device)]))
            start += size(chunk)
        return SampleSet(tuple(taken))

    def arrays(self) -> Iterator[np.ndarray]:
        """All that tells these samples from others."""
        for chunk in self.chunks:
            if isinstance(chunk, dict):
                yield np.frombuffer(" ".join(chunk).encode(), np.uint8)
            yield from (
                tensor.contiguous().view(torch.uint8).numpy()
                if tensor.dtype == torch.bfloat16
                else tensor.numpy()
                for tensor in tensors(chunk)
            )


Samples = ImageSet | SampleSet  # what nets and losses are measured on


def stack(batches: Iterable[Batch]) -> SampleSet:
    """Batches, whose tensors were checked by `as_batch`, as few chunks as their shapes allow.

    Raises `InputError` if they are not alike: a tuple and a dict, other names, other numbers of tensors.
    """
    groups: list[list[Batch]] = []
    first = None
    for batch in batches:
        first = batch if first is None else first
        if _kind(batch) != _kind(first):
            raise InputError(
                f"the data has batches of {_kind(first)} and of {_kind(batch)}; give all the same kind"
            )
        if not groups or _form(batch) != _form(groups[-1][0]):
            groups.append([])
        groups[-1].append(batch)
    if first is None:
        raise InputError("the data has no batch; give at least one sample")
    return SampleSet(tuple(_join(group) for group in groups))


def as_batch(value: object) -> Batch:
    """What a data set gave for a batch, checked: tensors or arrays whose first axes are as long. Raises `InputError`, saying what came."""
    if isinstance(value, Tensor):
        value = (value,)
    if not isinstance(value, dict | tuple | list) and hasattr(value, "keys"):  # transformers' BatchEncoding
        value = {name: value[name] for name in value.keys()}  # noqa: SIM118
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, tuple | list)
        else None
    )
    if not items:
        raise InputError(
            f"a batch of the data is {_described(value)}; give a tuple or a dict of tensors whose first axis counts the samples"
        )
    found = {}
    for name, part in items:
        part = torch.from_numpy(part) if isinstance(part, np.ndarray) and part.dtype.kind in "biufc" else part
        if not isinstance(part, Tensor) or part.dim() == 0:
            raise InputError(
                f"{name!r} in a batch of the data is {_described(part)}; give a tensor whose first axis counts the samples"
            )
        found[name] = part.detach().cpu()
    lengths = {name: len(part) for name, part in found.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(
            f"a batch of the data has tensors of {lengths} samples; their first axes must be as long"
        )
    return found if isinstance(value, dict) else tuple(found.values())


def _kind(batch: Batch) -> str:
    return f"a dict of {', '.join(map(str, batch))}" if isinstance(batch, dict) else f"{len(batch)} tensors"


def _form(batch: Batch) -> list[tuple[torch.Size, torch.dtype]]:
    return [(tensor.shape[1:], tensor.dtype) for tensor in tensors(batch)]


def _join(batches: list[Batch]) -> Batch:
    if isinstance(batches[0], dict):
        return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
    return tuple(torch.cat(parts) for parts in zip(*batches, strict=True))


def _described(value: object) -> str:
    return f"a {type(value).__name__}" + (" without axes" if isinstance(value, Tensor) else "")
