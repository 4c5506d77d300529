"""Holds labelled images in memory, and normalises them for a net."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class ImageSet:
    """A set of labelled images that has the methods of `samples.SampleSet`, and some for images alone.

    Args:
        images: (N, C, H, W) pixels, uint8 or float32 in [0, 1].
        labels: (N,) class indices, int64.
        mean: the mean of each channel on the scale [0, 1]; None to leave images as they are.
        std: the standard deviation of each channel on that scale; None to leave images as they are.
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
        """Return the images at these indices, in this order."""
        index = torch.as_tensor(index, device=self.device)
        return replace(self, images=self.images[index], labels=self.labels[index])

    def batch(self, index: slice | Tensor) -> Tensor:
        """Return some images as input of a net: float32, scaled to [0, 1], then normalised."""
        return self.normalised(self.images[index])

    def normalised(self, images: Tensor) -> Tensor:
        """Return a copy of images of this set, on any device, as input of a net."""
        scale = 255 if images.dtype == torch.uint8 else 1
        images = images.to(torch.float32, memory_format=torch.contiguous_format, copy=True).div_(scale)
        if self.mean is not None and self.std is not None:
            images.sub_(_per_channel(self.mean, images.device))
            images.div_(_per_channel(self.std, images.device))
        return images

    def raw_batches(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield all images and labels in order as views, with at most `batch_size` images in a batch."""
        return zip(self.images.split(batch_size), self.labels.split(batch_size), strict=True)

    def prepared(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return a batch of `raw_batches`, on any device, normalised; net and loss may change this copy."""
        images, labels = batch
        return self.normalised(images), labels.clone()

    @property
    def chunks(self) -> tuple[tuple[Tensor, Tensor]]:
        """All images and labels, as the only chunk."""
        return ((self.images, self.labels),)

    def with_chunks(self, chunks: Iterable[tuple[Tensor, Tensor]]) -> "ImageSet":
        """Return a set with the images and labels of this one chunk instead."""
        [(images, labels)] = chunks
        return replace(self, images=images, labels=labels)

    def arrays(self) -> Iterator[np.ndarray]:
        """Yield the arrays for the set's fingerprint."""
        yield self.images.numpy()
        yield self.labels.numpy()


@cache
def _per_channel(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Return the values as (1, C, 1, 1), cached: a copy to the GPU waits, and cannot be in a CUDA graph."""
    return torch.tensor(values, device=device).view(1, -1, 1, 1)
