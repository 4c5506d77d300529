"""Images and labels, decoded once and held in memory, or in a file that is mapped into it.

Three data sets by name: `cifar10` (torchvision, downloaded when absent), `digits` (scikit-learn's, no download) and `folder`
(any images, `DIR/train/<class>/*` and `DIR/test/<class>/*`); or tensors from an `.npz` file. torchvision and scikit-learn are
imported where they are used: each takes a second on every rank, and a run needs one of them at most.
"""

import math
import os
import pickle
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from losslandscape.core.errors import InputError
from losslandscape.core.text import one_line

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10, ImageFolder

DATASETS = ("cifar10", "digits", "folder")
PARTS = ("train", "test")

Allocate = Callable[..., Tensor]  # as torch.empty: (shape, dtype=…) -> Tensor

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
        return self.normalised(self.images[index])

    def normalised(self, images: Tensor) -> Tensor:
        """Images of this set, on any device, as the net takes them."""
        scale = 255 if images.dtype == torch.uint8 else 1
        images = images.to(torch.float32, memory_format=torch.contiguous_format, copy=True).div_(scale)
        if self.mean is not None:
            images.sub_(_channel_constant(self.mean, images.device)).div_(
                _channel_constant(self.std, images.device)
            )
        return images

    def to(self, device: torch.device | str) -> "ImageSet":
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))

    # What every set of samples can, as `samples.SampleSet` does it:

    @property
    def device(self) -> torch.device:
        return self.images.device

    @property
    def nbytes(self) -> int:
        return self.images.nbytes + self.labels.nbytes

    def raw_batches(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(self.images.split(batch_size), self.labels.split(batch_size), strict=True)

    def prepared(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        images, labels = batch
        return self.normalised(images), labels.clone()

    def take(self, index: np.ndarray | Tensor) -> "ImageSet":
        index = torch.as_tensor(index, device=self.device)
        return replace(self, images=self.images[index], labels=self.labels[index])

    def arrays(self) -> Iterator[np.ndarray]:
        yield self.images.numpy()
        yield self.labels.numpy()


@cache
def _channel_constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Kept on the device: copying it there would wait for the device, and cannot be part of a CUDA graph."""
    return torch.tensor(values, device=device).view(1, -1, 1, 1)


def split_indices(count: int, data_split: int, split_idx: int) -> np.ndarray:
    """Indices of the `split_idx`-th of `data_split` disjoint random parts of `count` samples, `count // data_split` each.

    Part 0 is the published program's: `RandomState(0).choice(count, count // data_split, replace=False)`.
    """
    if data_split < 1 or not 0 <= split_idx < data_split:
        raise InputError(
            f"--split_idx {split_idx} of --data_split {data_split}: the index must be from 0 to the number of parts less one"
        )
    if data_split == 1:
        return np.arange(count)
    size = count // data_split
    if size == 0:
        raise InputError(f"--data_split {data_split} leaves no image of {count}; give a smaller number")
    return np.random.RandomState(0).permutation(count)[split_idx * size : (split_idx + 1) * size]


def load(
    dataset: str,
    part: str,
    *,
    datapath: str,
    raw_data: bool = False,
    data_split: int = 1,
    split_idx: int = 0,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    npz_file: str = "",
    labels_file: str = "",
    threads: int = 2,
    show_progress: bool = False,
    allocate: Allocate = torch.empty,
) -> ImageSet:
    """One part ("train" or "test") of a data set, or of it the `split_idx`-th of `data_split` random parts.

    `npz_file` replaces the data set's images by the arrays `images` and `labels` of that file, `labels_file` (.npy) the labels of
    the whole, unsplit set, as training with corrupted labels keeps them. `mean` and `std` replace the data set's own
    normalisation, `raw_data` leaves it out. Only the images asked for are decoded. `allocate(shape, dtype=…)` makes the tensor that
    they are put into.

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
        images, labels = _folder_arrays(
            datapath, part, choose, threads=threads, show_progress=show_progress, allocate=allocate
        )
    else:
        raise InputError(f"unknown data set {dataset!r}; choose from {', '.join(DATASETS)}")
    if npz_file or dataset != "folder":
        images = allocate(images.shape, dtype=images.dtype).copy_(images)
    if new_labels is not None:
        labels = new_labels
    if raw_data:
        return ImageSet(images, labels)
    own_mean, own_std = (DIGITS_MEAN, DIGITS_STD) if dataset == "digits" else (CIFAR10_MEAN, CIFAR10_STD)
    return ImageSet(
        images,
        labels,
        _per_channel("--mean", mean or own_mean, images.shape[1]),
        _per_channel("--std", std or own_std, images.shape[1]),
    )


def download(dataset: str, datapath: str) -> None:
    """Fetch what `load` needs and does not find; for one process, before the others load."""
    if dataset == "cifar10":
        _cifar10("train", datapath)


def _per_channel(flag: str, values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    if len(values) not in (1, channels):
        raise InputError(
            f"{flag} has {len(values)} values for images of {channels} channels; give one, or one a channel"
        )
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
        raise InputError(
            f"CIFAR-10 is not in {datapath!r} and cannot be downloaded ({one_line(error)}); put the folder "
            "cifar-10-batches-py there"
        ) from error
    except (pickle.UnpicklingError, EOFError, KeyError, ValueError) as error:
        raise InputError(
            f"the CIFAR-10 files in {datapath!r} cannot be read ({one_line(error)}); remove them to download anew"
        ) from error


def _cifar10_arrays(datapath: str, part: str, choose: Callable[[int], np.ndarray]) -> tuple[Tensor, Tensor]:
    data = _cifar10(part, datapath)
    index = choose(len(data.data))
    return torch.from_numpy(data.data[index]).permute(0, 3, 1, 2), torch.tensor(data.targets)[index]


def _digits_arrays(part: str, choose: Callable[[int], np.ndarray]) -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    rows = slice(None, DIGITS_TRAIN) if part == "train" else slice(DIGITS_TRAIN, None)
    images, labels = digits.images[rows], digits.target[rows]
    index = choose(len(images))
    pixels = torch.from_numpy(images[index].astype(np.float32) / 16)
    pixels = pixels.repeat_interleave(4, 1).repeat_interleave(4, 2)
    return pixels[:, None].expand(-1, 3, -1, -1), torch.from_numpy(labels[index].astype(np.int64))


def _folder_arrays(
    datapath: str,
    part: str,
    choose: Callable[[int], np.ndarray],
    *,
    threads: int,
    show_progress: bool,
    allocate: Allocate,
) -> tuple[Tensor, Tensor]:
    root = Path(datapath) / part
    if not root.is_dir():
        raise InputError(
            f"{str(root)!r} is not a folder; --dataset folder expects images in DIR/train/<class>/ and DIR/test/<class>/"
        )
    from torchvision.datasets import ImageFolder

    try:
        folder = ImageFolder(str(root))
    except FileNotFoundError as error:
        raise InputError(
            f"{str(root)!r} holds no class folders with images; --dataset folder expects images in "
            "DIR/train/<class>/ and DIR/test/<class>/"
        ) from error
    chosen = [folder.samples[i] for i in choose(len(folder.samples))]
    labels = torch.tensor([label for _, label in chosen])
    train = root.with_name("train")
    if part != "train" and train.is_dir():
        labels = _classes_of_train(folder, train)[labels]

    def decode(path: str) -> Tensor:
        try:
            return torch.from_numpy(np.array(folder.loader(path)))
        except (
            OSError,
            SyntaxError,
            ValueError,
        ) as error:  # what Pillow raises for a file that is not the image it claims to be
            raise InputError(
                f"{path!r} cannot be read as an image ({one_line(error)}); mend or remove it"
            ) from error

    first_path, first = chosen[0][0], decode(chosen[0][0])
    images = allocate(
        (len(chosen), *first.shape), dtype=first.dtype
    )  # a pixel's colours side by side, as they are decoded

    def fill(i: int) -> None:
        path, image = chosen[i][0], decode(chosen[i][0])
        if image.shape != first.shape:
            raise InputError(
                f"{path!r} is {_size(image)} pixels and {first_path!r} is {_size(first)}; all images must have one size"
            )
        images[i] = image

    with ThreadPoolExecutor(max(1, threads)) as pool:
        for _ in tqdm(
            pool.map(fill, range(len(chosen))),
            f"decoding {part} images",
            len(chosen),
            unit="image",
            leave=False,
            delay=1,
            disable=not show_progress,
        ):
            pass
    return images.permute(0, 3, 1, 2), labels


def _classes_of_train(folder: "ImageFolder", train: Path) -> Tensor:
    """For each class of the folder, its number among the classes of the training images."""
    numbers = folder.find_classes(str(train))[1]
    for name in folder.classes:
        if name not in numbers:
            raise InputError(
                f"{folder.root!r} has the class {name!r}, which {str(train)!r} has not; the parts must have the same classes"
            )
    return torch.tensor([numbers[name] for name in folder.classes])


DEFLATE = 1032  # how many bytes one byte of a compressed file can stand for, at most


def _npz_arrays(path: str, choose: Callable[[int], np.ndarray]) -> tuple[Tensor, Tensor]:
    images, labels = _from_file(
        path,
        "data",
        _read_images_and_labels,
        "is not an .npz file with the arrays 'images' (N, C, H, W) and 'labels' (N,); pickled loaders are "
        "not read, as a pickle can run code: save the two arrays with numpy.savez",
    )
    if (
        images.ndim != 4
        or images.dtype not in (np.uint8, np.float32)
        or labels.shape != images.shape[:1]
        or labels.dtype.kind not in "iu"
    ):
        raise InputError(
            f"{path!r} holds images of shape {images.shape} ({images.dtype}) and labels of shape {labels.shape} "
            f"({labels.dtype}); they must be (N, C, H, W), uint8 or float32 in [0, 1], and (N,) whole numbers"
        )
    if images.size == 0 or labels.astype(np.int64).min() < 0:
        raise InputError(
            f"{path!r} holds no images, or a label below 0; give at least one image, and labels from 0"
        )
    index = choose(len(images))
    return torch.from_numpy(images[index]), torch.from_numpy(labels[index].astype(np.int64))


def _from_file(path: str, what: str, read: Callable[[BinaryIO, int], Any], fault: str) -> Any:
    """What `read(file, bytes)` makes of a file, or a sentence that tells its fault. Nothing is unpickled."""
    if not os.path.isfile(path):
        raise InputError(f"there is no {what} file {path!r}")
    try:
        with open(path, "rb") as file:
            return read(file, os.fstat(file.fileno()).st_size)
    except MemoryError as error:
        raise InputError(f"{path!r} needs more memory than there is; give fewer images") from error
    except PermissionError as error:
        raise InputError(f"{path!r} cannot be read; check its permissions") from error
    except (
        Exception
    ) as error:  # a damaged file meets whichever check comes first: BadZipFile, zlib.error, TokenError, …
        raise InputError(f"{path!r} {fault} ({one_line(error)})") from error


def _read_images_and_labels(file: BinaryIO, size: int) -> list[np.ndarray]:
    with zipfile.ZipFile(file) as archive:
        return [_read_member(archive, name, size) for name in ("images.npy", "labels.npy")]


def _read_member(archive: zipfile.ZipFile, name: str, size: int) -> np.ndarray:
    info = archive.getinfo(name)
    if (
        info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        or info.file_size > size * DEFLATE
    ):
        raise ValueError(f"{name} declares more than the file holds")
    with archive.open(info) as member:
        return _read_array(member, info.file_size)


def _read_array(file: BinaryIO, size: int) -> np.ndarray:
    """An array of numbers in NumPy's format, whose header must declare just the bytes that there are, before memory is taken for them."""
    headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, _, dtype = headers[np.lib.format.read_magic(file)](file)
    if dtype.kind not in "biufc" or math.prod(shape) * dtype.itemsize != size - file.tell():
        raise ValueError(f"declares shape {shape} of {dtype}, which is not what it holds")
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def _size(image: Tensor) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"


def _npy_labels(path: str, count: int) -> np.ndarray:
    labels = _from_file(path, "label", _read_array, "is not an .npy file of labels")
    if labels.shape != (count,) or labels.dtype.kind not in "iu" or labels.astype(np.int64).min() < 0:
        raise InputError(
            f"{path!r} does not hold one label, a whole number from 0, for each of the {count} images"
        )
    return labels.astype(np.int64)
