"""Holds the batches of the user's loader unchanged, for data that cannot be cut between any two samples."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from losslandscape.data import structure


@dataclass(frozen=True)
class OwnBatches:
    """A set of samples in the user's own batches, such as graphs or the images and targets of a detection.

    Args:
        batches: the batches, of any structure (`data.structure`).
        sizes: the number of samples in each batch.
        counted: whether the batches themselves tell their sizes; otherwise each size is 1.
    """

    batches: tuple[Any, ...]
    sizes: tuple[int, ...]
    counted: bool = True

    @classmethod
    def of(cls, batches: Iterable[Any]) -> "OwnBatches":
        """Return these batches with their sizes."""
        batches = tuple(batches)
        sizes = [size for size in map(structure.size, batches) if size is not None]
        counted = len(sizes) == len(batches)
        return cls(batches, tuple(sizes) if counted else (1,) * len(batches), counted)

    def __len__(self) -> int:
        return sum(self.sizes)

    @property
    def device(self) -> torch.device:
        return structure.tensors(self.batches[0])[0].device

    @property
    def nbytes(self) -> int:
        return sum(map(structure.nbytes, structure.tensors(self.batches)))

    def to(self, device: torch.device | str) -> "OwnBatches":
        return self._each(lambda tensor: tensor.to(device))

    def take(self, index: np.ndarray | Tensor) -> "OwnBatches":
        """Return the whole batches that contain the samples at these indices, in the order of this set."""
        ends = np.cumsum(self.sizes)
        return self.pick(np.unique(np.searchsorted(ends, np.asarray(index), side="right")))

    def pick(self, index: Iterable[int]) -> "OwnBatches":
        """Return the batches at these indices, in this order."""
        chosen = [int(i) for i in index]
        batches = tuple(self.batches[i] for i in chosen)
        return replace(self, batches=batches, sizes=tuple(self.sizes[i] for i in chosen))

    def raw_batches(self, batch_size: int) -> Iterator[Any]:
        """Yield all batches in order, whatever `batch_size` is."""
        return iter(self.batches)

    def prepared(self, batch: Any) -> Any:
        """Return a copy of a batch of `raw_batches`, on any device, which net and loss may change."""
        return structure.each(batch, torch.clone)

    @property
    def chunks(self) -> tuple[Any, ...]:
        """The batches."""
        return self.batches

    def with_chunks(self, chunks: Iterable[Any]) -> "OwnBatches":
        """Return a set with these batches instead, of the same sizes."""
        return replace(self, batches=tuple(chunks))

    def arrays(self) -> Iterator[np.ndarray]:
        """Yield the arrays for the set's fingerprint: the names of all parts, and their values."""
        for batch in self.batches:
            leaves = list(structure.leaves(batch))
            lines = [f"{name} {_text(leaf)}" for name, leaf in leaves]
            yield np.frombuffer("\n".join(lines).encode(), np.uint8)
            for _, leaf in leaves:
                yield from _arrays(leaf)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "OwnBatches":
        return self.with_chunks(structure.each(batch, change) for batch in self.batches)


def _arrays(leaf: object) -> list[np.ndarray]:
    """Return the numbers of a tensor or an array; nothing for another leaf."""
    if isinstance(leaf, Tensor):
        return [structure.as_array(part) for part in structure.dense_parts(leaf)]
    return [leaf] if isinstance(leaf, np.ndarray) and leaf.dtype.kind != "O" else []


def _text(leaf: object) -> str:
    """Return the type of a leaf as text, with its value if it is a number or a text."""
    is_simple = leaf is None or isinstance(leaf, str | bytes | int | float | complex | np.generic)
    return f"{type(leaf).__name__} {leaf!r}" if is_simple else type(leaf).__name__
