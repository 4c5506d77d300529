"""Labelled images in memory, and how they become a net's input."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class ImageSet:
    """Labelled images.

    Its methods are those of `samples.SampleSet`, and some for images alone.

    Args:
        images: (N, C, H, W), uint8 or float32 in [0, 1].
        labels: (N,) int64.
        mean: per channel, for images in [0, 1]; None for raw images.
        std: per channel; None for raw images.
    """

    images: Tensor
    labels: Tensor
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def num_classes(self) -> int:
        return int(self.labels.max()) + 1

    @property
    def device(self) -> torch.device:
        return self.images.device

    @property
    def nbytes(self) -> int:
        return self.images.nbytes + self.labels.nbytes

    def to(self, device: torch.device | str) -> "ImageSet":
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))

    def take(self, index: np.ndarray | Tensor) -> "ImageSet":
        """The images of these numbers, in this order."""
        index = torch.as_tensor(index, device=self.device)
        return replace(self, images=self.images[index], labels=self.labels[index])

    def batch(self, index: slice | Tensor) -> Tensor:
        """Some images as the net takes them: float32, scaled to [0, 1], normalised."""
        return self.normalised(self.images[index])

    def normalised(self, images: Tensor) -> Tensor:
        """Images of this set, on any device, as the net takes them; always a copy."""
        scale = 255 if images.dtype == torch.uint8 else 1
        images = images.to(torch.float32, memory_format=torch.contiguous_format, copy=True).div_(scale)
        if self.mean is not None and self.std is not None:
            images.sub_(_per_channel(self.mean, images.device))
            images.div_(_per_channel(self.std, images.device))
        return images

    def raw_batches(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All images and labels in order, at most `batch_size` at a time, as views."""
        return zip(self.images.split(batch_size), self.labels.split(batch_size), strict=True)

    def prepared(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """A batch of `raw_batches`, on any device, as net and loss take it: copies that they may change."""
        images, labels = batch
        return self.normalised(images), labels.clone()

    @property
    def chunks(self) -> tuple[tuple[Tensor, Tensor]]:
        """All tensors, as batches."""
        return ((self.images, self.labels),)

    def with_chunks(self, chunks: Iterable[tuple[Tensor, Tensor]]) -> "ImageSet":
        """A set that differs in its tensors."""
        [(images, labels)] = chunks
        return replace(self, images=images, labels=labels)

    def arrays(self) -> Iterator[np.ndarray]:
        """What its fingerprint is made of."""
        yield self.images.numpy()
        yield self.labels.numpy()


@cache
def _per_channel(values: tuple[float, ...], device: torch.device) -> Tensor:
    """(1, C, 1, 1). Kept on the device: a copy would wait for it, and cannot be part of a CUDA graph."""
    return torch.tensor(values, device=device).view(1, -1, 1, 1)
