"""Images and labels, decoded once and held in memory.

Three data sets by name: `cifar10` (torchvision, downloaded when absent), `digits` (scikit-learn's, no download) and `folder`
(any images, `DIR/train/<class>/*` and `DIR/test/<class>/*`); or tensors from an `.npz` file. torchvision and scikit-learn are
imported where they are used: each takes a second on every rank, and a run needs one of them at most.
"""
import pickle
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from errors import InputError

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10

DATASETS = ("cifar10", "digits", "folder")
PARTS = ("train", "test")

CIFAR10_MEAN = tuple(value / 255 for value in (125.3, 123.0, 113.9))
CIFAR10_STD = tuple(value / 255 for value in (63.0, 62.1, 66.7))
DIGITS_MEAN, DIGITS_STD = (0.3053,) * 3, (0.3761,) * 3
DIGITS_TRAIN = 1437  # the first 1,437 of the 1,797 digits train, the last 360 test


@dataclass(frozen=True)
class ImageSet:
    """Images (N, C, H, W), uint8 or float32 in [0, 1]; labels (N,) int64; the normalisation, or None for raw images."""

    images: Tensor
    labels: Tensor
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def num_classes(self) -> int:
        return int(self.labels.max()) + 1

    def batch(self, index: slice | Tensor) -> Tensor:
        """The chosen images as the net takes them: float32, scaled to [0, 1], normalised."""
        images = self.images[index]
        images = images.float().div_(255) if images.dtype == torch.uint8 else images.clone()
        if self.mean is not None:
            shape = (1, -1, 1, 1)
            images.sub_(images.new_tensor(self.mean).view(shape)).div_(images.new_tensor(self.std).view(shape))
        return images

    def to(self, device: torch.device | str) -> "ImageSet":
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))


def split_indices(count: int, data_split: int, split_idx: int) -> np.ndarray:
    """Indices of the `split_idx`-th of `data_split` disjoint random parts of `count` samples, `count // data_split` each.

    Part 0 is the published program's: `RandomState(0).choice(count, count // data_split, replace=False)`.
    """
    if data_split < 1 or not 0 <= split_idx < data_split:
        raise InputError(f"--split_idx {split_idx} of --data_split {data_split}: the index must be from 0 to the number of parts less one")
    if data_split == 1:
        return np.arange(count)
    size = count // data_split
    if size == 0:
        raise InputError(f"--data_split {data_split} leaves no image of {count}; give a smaller number")
    return np.random.RandomState(0).permutation(count)[split_idx * size:(split_idx + 1) * size]


def load(dataset: str, part: str, *, datapath: str, raw_data: bool = False, data_split: int = 1, split_idx: int = 0,
         mean: tuple[float, ...] | None = None, std: tuple[float, ...] | None = None, npz_file: str = "",
         labels_file: str = "", threads: int = 2, show_progress: bool = False) -> ImageSet:
    """One part ("train" or "test") of a data set, or of it the `split_idx`-th of `data_split` random parts.

    `npz_file` replaces the data set's images by the arrays `images` and `labels` of that file, `labels_file` (.npy) the labels of
    the whole, unsplit set, as training with corrupted labels keeps them. `mean` and `std` replace the data set's own
    normalisation, `raw_data` leaves it out. Only the images asked for are decoded.

    Raises `InputError` for an unknown data set, a folder of another layout, images that do not stack, a bad split.
    """
    if part not in PARTS:
        raise ValueError(f"unknown part {part!r}; choose from {', '.join(PARTS)}")

    new_labels = None

    def choose(count: int) -> np.ndarray:
        nonlocal new_labels
        chosen = split_indices(count, data_split, split_idx)
        if labels_file:
            new_labels = torch.from_numpy(_npy_labels(labels_file, count)[chosen])
        return chosen

    if npz_file:
        images, labels = _npz_arrays(npz_file, choose)
    elif dataset == "cifar10":
        images, labels = _cifar10_arrays(datapath, part, choose)
    elif dataset == "digits":
        images, labels = _digits_arrays(part, choose)
    elif dataset == "folder":
        images, labels = _folder_arrays(datapath, part, choose, threads=threads, show_progress=show_progress)
    else:
        raise InputError(f"unknown data set {dataset!r}; choose from {', '.join(DATASETS)}")
    if new_labels is not None:
        labels = new_labels
    if raw_data:
        return ImageSet(images, labels)
    own_mean, own_std = (DIGITS_MEAN, DIGITS_STD) if dataset == "digits" else (CIFAR10_MEAN, CIFAR10_STD)
    return ImageSet(images, labels, _per_channel("--mean", mean or own_mean, images.shape[1]),
                    _per_channel("--std", std or own_std, images.shape[1]))


def download(dataset: str, datapath: str) -> None:
    """Fetch what `load` needs and does not find; for one process, before the others load."""
    if dataset == "cifar10":
        _cifar10("train", datapath)


def _per_channel(flag: str, values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    if len(values) not in (1, channels):
        raise InputError(f"{flag} has {len(values)} values for images of {channels} channels; give one, or one a channel")
    return tuple(values) * (channels if len(values) == 1 else 1)


def _cifar10(part: str, datapath: str) -> "CIFAR10":
    """torchvision's data set, downloaded unless it is there."""
    from torchvision.datasets import CIFAR10
    train = part == "train"
    try:
        try:
            return CIFAR10(root=datapath, train=train, download=False)
        except RuntimeError:  # not there, or not whole
            return CIFAR10(root=datapath, train=train, download=True)
    except (OSError, RuntimeError) as error:
        raise InputError(f"CIFAR-10 is not in {datapath!r} and cannot be downloaded ({_one_line(error)}); put the folder "
                         "cifar-10-batches-py there") from error
    except (pickle.UnpicklingError, EOFError, KeyError, ValueError) as error:
        raise InputError(f"the CIFAR-10 files in {datapath!r} cannot be read ({_one_line(error)}); remove them to download anew") from error


def _cifar10_arrays(datapath: str, part: str, choose: Callable[[int], np.ndarray]) -> tuple[Tensor, Tensor]:
    data = _cifar10(part, datapath)
    index = choose(len(data.data))
    return torch.from_numpy(data.data[index]).permute(0, 3, 1, 2).contiguous(), torch.tensor(data.targets)[index]


def _digits_arrays(part: str, choose: Callable[[int], np.ndarray]) -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits
    digits = load_digits()
    rows = slice(None, DIGITS_TRAIN) if part == "train" else slice(DIGITS_TRAIN, None)
    images, labels = digits.images[rows], digits.target[rows]
    index = choose(len(images))
    pixels = torch.from_numpy(images[index].astype(np.float32) / 16)
    pixels = pixels.repeat_interleave(4, 1).repeat_interleave(4, 2)
    return pixels[:, None].expand(-1, 3, -1, -1).contiguous(), torch.from_numpy(labels[index].astype(np.int64))


def _folder_arrays(datapath: str, part: str, choose: Callable[[int], np.ndarray], *, threads: int,
                   show_progress: bool) -> tuple[Tensor, Tensor]:
    root = Path(datapath) / part
    if not root.is_dir():
        raise InputError(f"{str(root)!r} is not a folder; --dataset folder expects images in DIR/train/<class>/ and DIR/test/<class>/")
    from torchvision.datasets import ImageFolder
    try:
        folder = ImageFolder(str(root))
    except FileNotFoundError as error:
        raise InputError(f"{str(root)!r} holds no class folders with images; --dataset folder expects images in "
                         "DIR/train/<class>/ and DIR/test/<class>/") from error
    chosen = [folder.samples[i] for i in choose(len(folder.samples))]

    def decode(path: str) -> Tensor:
        try:
            return torch.from_numpy(np.array(folder.loader(path))).permute(2, 0, 1)
        except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for a file that is not the image it claims to be
            raise InputError(f"{path!r} cannot be read as an image ({_one_line(error)}); mend or remove it") from error

    with ThreadPoolExecutor(max(1, threads)) as pool:
        decoded = list(tqdm(pool.map(decode, (path for path, _ in chosen)), f"decoding {part} images", len(chosen),
                            unit="image", leave=False, delay=1, disable=not show_progress))
    for (path, _), image in zip(chosen, decoded, strict=True):
        if image.shape != decoded[0].shape:
            raise InputError(f"{path!r} is {_size(image)} pixels and {chosen[0][0]!r} is {_size(decoded[0])}; all images must have one size")
    return torch.stack(decoded), torch.tensor([label for _, label in chosen])


def _npz_arrays(path: str, choose: Callable[[int], np.ndarray]) -> tuple[Tensor, Tensor]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            images, labels = arrays["images"], arrays["labels"]
    except FileNotFoundError as error:
        raise InputError(f"there is no data file {path!r}") from error
    except (ValueError, KeyError, EOFError, OSError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path!r} is not an .npz file with the arrays 'images' (N, C, H, W) and 'labels' (N,); pickled loaders are "
                         "not read, as a pickle can run code: save the two arrays with numpy.savez") from error
    if images.ndim != 4 or images.dtype not in (np.uint8, np.float32) or labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
        raise InputError(f"{path!r} holds images of shape {images.shape} ({images.dtype}) and labels of shape {labels.shape} "
                         f"({labels.dtype}); they must be (N, C, H, W), uint8 or float32 in [0, 1], and (N,) whole numbers")
    index = choose(len(images))
    return torch.from_numpy(images[index]), torch.from_numpy(labels[index].astype(np.int64))


def _size(image: Tensor) -> str:
    return f"{image.shape[2]}x{image.shape[1]}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _npy_labels(path: str, count: int) -> np.ndarray:
    try:
        labels = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise InputError(f"there is no label file {path!r}") from error
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"{path!r} is not an .npy file of labels ({_one_line(error)})") from error
    if not isinstance(labels, np.ndarray) or labels.shape != (count,) or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise InputError(f"{path!r} does not hold one label, a whole number from 0, for each of the {count} images")
    return labels.astype(np.int64)
