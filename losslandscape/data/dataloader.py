"""Loads a dataset by name, decodes it once, and holds it in memory or in a memory-mapped file.

The datasets are `cifar10` (torchvision's, downloaded if absent), `digits` (scikit-learn's, no download) and
`folder` (any images); an `.npz` file of arrays may replace them. torchvision and scikit-learn are imported
where they are used: each import takes a second on every rank, and a run needs at most one of them.
"""

import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from losslandscape.core.errors import InputError
from losslandscape.core.quantity import PARTS
from losslandscape.core.text import one_line
from losslandscape.data import array_files
from losslandscape.data.image_folder import Allocate, ImageFolder
from losslandscape.data.image_set import ImageSet

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10

DATASETS = ("cifar10", "digits", "folder")

# Mean and standard deviation of each channel of CIFAR-10's training images, from the published program.
CIFAR10_MEAN = tuple(value / 255 for value in (125.3, 123.0, 113.9))
CIFAR10_STD = tuple(value / 255 for value in (63.0, 62.1, 66.7))
DIGITS_MEAN = (0.3053,) * 3
DIGITS_STD = (0.3761,) * 3
DIGITS_TRAIN = 1437  # of 1,797 digits; the last 360 are the test set


def split_indices(count: int, data_split: int, split_idx: int) -> np.ndarray:
    """Return the sample indices of split `split_idx` of `count` samples.

    The `data_split` splits are random and disjoint, with `count // data_split` samples each. Split 0 is the
    published program's `RandomState(0).choice(count, count // data_split, replace=False)`. A single split
    is in order.

    Raises:
        InputError: the split does not exist, or is empty.
    """
    if data_split < 1 or not 0 <= split_idx < data_split:
        raise InputError(
            f"split_idx {split_idx} of data_split {data_split} is no part",
            "give {split_idx} from 0 to {data_split} less one",
        )
    if data_split == 1:
        return np.arange(count)
    size = count // data_split
    if size == 0:
        raise InputError(
            f"data_split {data_split} leaves no sample of {count}", "give a smaller {data_split}"
        )
    return np.random.RandomState(0).permutation(count)[split_idx * size : (split_idx + 1) * size]


def load(
    dataset: str,
    part: str,
    *,
    datapath: str,
    raw_data: bool = False,
    data_split: int = 1,
    split_idx: int = 0,
    count: int | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    npz_file: str = "",
    labels_file: str = "",
    threads: int = 2,
    show_progress: bool = False,
    allocate: Allocate = torch.empty,
) -> ImageSet:
    """Load the training or test images of a dataset, or a random split of them.

    Args:
        dataset: one of `DATASETS`.
        part: `train` or `test`.
        datapath: the folder of the dataset.
        raw_data: whether to leave out the normalisation.
        data_split: the number of splits of the images.
        split_idx: the index of the split to load.
        count: the number of images to use, the first ones, before the split; None for all.
        mean, std: one value per channel, or one for all; None for those of digits if `dataset` is `digits`,
            else those of CIFAR-10.
        npz_file: the file to read images and labels from, instead of the dataset; or "".
        labels_file: the `.npy` file with the labels of all images before the split, such as labels that were
            corrupted for training; or "".
        threads: the number of threads that decode images.
        show_progress: whether to draw a progress bar.
        allocate: the function that makes the tensor of the images: `allocate(shape, dtype=…)`.

    Raises:
        InputError: the dataset is unknown or cannot be read, the split does not exist, or labels, `mean` or
            `std` do not fit the images.
    """
    if part not in PARTS:
        raise ValueError(f"unknown part {part!r}; choose from {', '.join(PARTS)}")
    source = _open_dataset(dataset, part, datapath, npz_file)
    index = split_indices(min(len(source), count or len(source)), data_split, split_idx)
    new_labels = array_files.read_labels(labels_file, len(source))[index] if labels_file else None
    if isinstance(source, ImageFolder):
        images, labels = source.take(index, threads=threads, show_progress=show_progress, allocate=allocate)
    else:
        images, labels = source.take(index, allocate=allocate)
    if new_labels is not None:
        labels = torch.from_numpy(new_labels)
    if raw_data:
        return ImageSet(images, labels)
    own_mean, own_std = (DIGITS_MEAN, DIGITS_STD) if dataset == "digits" else (CIFAR10_MEAN, CIFAR10_STD)
    channels = images.shape[1]
    return ImageSet(
        images,
        labels,
        _per_channel("mean", mean or own_mean, channels),
        _per_channel("std", std or own_std, channels),
    )


def download(dataset: str, datapath: str) -> None:
    """Download CIFAR-10 if it is absent; do nothing for other datasets.

    Call this in one process, before any process calls `load`.
    """
    if dataset == "cifar10":
        _cifar10("train", datapath)


@dataclass(frozen=True)
class _InMemory:
    """A dataset that is in memory: images (N, C, H, W) and labels (N,)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def take(self, index: np.ndarray, *, allocate: Allocate) -> tuple[Tensor, Tensor]:
        chosen = torch.from_numpy(index)
        images = self.images[chosen]
        return allocate(images.shape, dtype=images.dtype).copy_(images), self.labels[chosen]


def _open_dataset(dataset: str, part: str, datapath: str, npz_file: str) -> _InMemory | ImageFolder:
    if npz_file:
        images, labels = array_files.read_images(npz_file)
        return _InMemory(torch.from_numpy(images), torch.from_numpy(labels))
    if dataset == "cifar10":
        data = _cifar10(part, datapath)
        return _InMemory(torch.from_numpy(data.data).permute(0, 3, 1, 2), torch.tensor(data.targets))
    if dataset == "digits":
        return _digits(part)
    if dataset == "folder":
        return ImageFolder(datapath, part)
    raise InputError(f"unknown dataset {dataset!r}; choose from {', '.join(DATASETS)}")


def _cifar10(part: str, datapath: str) -> "CIFAR10":
    """Return torchvision's dataset; download it if it is absent or incomplete."""
    from torchvision.datasets import CIFAR10

    train = part == "train"
    try:
        try:
            return CIFAR10(root=datapath, train=train, download=False)
        except RuntimeError:  # absent or incomplete
            return CIFAR10(root=datapath, train=train, download=True)
    except (OSError, RuntimeError) as error:
        fault = f"CIFAR-10 is not in {datapath!r} and cannot be downloaded ({one_line(error)})"
        raise InputError(fault, "put the folder cifar-10-batches-py there") from error
    except (pickle.UnpicklingError, EOFError, KeyError, ValueError) as error:
        fault = f"the CIFAR-10 files in {datapath!r} cannot be read ({one_line(error)})"
        raise InputError(fault, "remove them to download them again") from error


def _digits(part: str) -> _InMemory:
    """Return the 8x8 grey images, with pixels from 0 to 16, as (N, 3, 32, 32) in [0, 1].

    Each pixel becomes a 4x4 square, and the three channels are equal.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    rows = slice(None, DIGITS_TRAIN) if part == "train" else slice(DIGITS_TRAIN, None)
    pixels = torch.from_numpy(digits.images[rows].astype(np.float32) / 16)
    pixels = pixels.repeat_interleave(4, 1).repeat_interleave(4, 2)
    labels = torch.from_numpy(digits.target[rows].astype(np.int64))
    return _InMemory(pixels[:, None].expand(-1, 3, -1, -1), labels)


def _per_channel(name: str, values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    if len(values) not in (1, channels):
        raise InputError(
            f"{name} has {len(values)} values for images of {channels} channels",
            "give one value, or one per channel",
        )
    return tuple(values) * (channels if len(values) == 1 else 1)
