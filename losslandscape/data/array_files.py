"""Images and labels from `.npz` and `.npy` files of strangers.

Nothing is unpickled, and no memory is taken for numbers that a file only declares.
"""

import math
import os
import zipfile
from collections.abc import Callable
from typing import IO, TypeVar

import numpy as np

from losslandscape.core.errors import InputError
from losslandscape.core.text import one_line

T = TypeVar("T")

MOST_COMPRESSED = 1032  # bytes at most that one byte of a deflated file stands for
HEADER_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_images(path: str) -> tuple[np.ndarray, np.ndarray]:
    """The images (N, C, H, W), uint8 or float32, and labels (N,) int64 of an `.npz` file.

    Raises:
        InputError: there is no such file, it cannot be read, or it holds something else.
    """
    images, labels = _read_file(
        path,
        _read_archive,
        fault="is not an .npz file with the arrays 'images' (N, C, H, W) and 'labels' (N,)",
        advice="save the two arrays with numpy.savez; pickled loaders are not read, as a pickle can run code",
    )
    are_images = images.ndim == 4 and images.dtype in (np.uint8, np.float32)
    are_labels = labels.shape == images.shape[:1] and labels.dtype.kind in "iu"
    if not are_images or not are_labels:
        raise InputError(
            f"{path!r} holds images of shape {images.shape} ({images.dtype}) and labels of shape "
            f"{labels.shape} ({labels.dtype})",
            "give (N, C, H, W), uint8 or float32 in [0, 1], and (N,) whole numbers",
        )
    labels = labels.astype(np.int64)
    if images.size == 0 or labels.min() < 0:
        raise InputError(f"{path!r} holds no images, or a label below 0", "give images, and labels from 0")
    return images, labels


def read_labels(path: str, count: int) -> np.ndarray:
    """The labels (count,) int64 of an `.npy` file.

    Raises:
        InputError: there is no such file, it cannot be read, or it holds something else.
    """
    labels = _read_file(path, _read_array, fault="is not an .npy file of labels", advice="")
    if labels.shape == (count,) and labels.dtype.kind in "iu":
        labels = labels.astype(np.int64)
        if labels.min() >= 0:
            return labels
    raise InputError(f"{path!r} does not hold a label, a whole number from 0, for each of the {count} images")


def _read_file(path: str, read: Callable[[IO[bytes], int], T], *, fault: str, advice: str) -> T:
    """`read(file, bytes)`, with every error as a sentence."""
    if not os.path.isfile(path):
        raise InputError(f"there is no file {path!r}")
    try:
        with open(path, "rb") as file:
            return read(file, os.fstat(file.fileno()).st_size)
    except MemoryError as error:
        raise InputError(f"{path!r} needs more memory than there is", "give fewer images") from error
    except PermissionError as error:
        raise InputError(f"{path!r} cannot be read", "check its permissions") from error
    except Exception as error:  # a damaged file may raise BadZipFile, zlib.error, TokenError, …
        raise InputError(f"{path!r} {fault} ({one_line(error)})", advice) from error


def _read_archive(file: IO[bytes], size: int) -> tuple[np.ndarray, np.ndarray]:
    with zipfile.ZipFile(file) as archive:
        return _read_member(archive, "images.npy", size), _read_member(archive, "labels.npy", size)


def _read_member(archive: zipfile.ZipFile, name: str, size: int) -> np.ndarray:
    info = archive.getinfo(name)
    known = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    if not known or info.file_size > size * MOST_COMPRESSED:
        raise ValueError(f"{name} declares more than the file holds")
    with archive.open(info) as member:
        return _read_array(member, info.file_size)


def _read_array(file: IO[bytes], size: int) -> np.ndarray:
    """An array of numbers in NumPy's format.

    Its header must declare exactly the bytes that follow, before memory is taken for them.
    """
    shape, _, dtype = HEADER_READERS[np.lib.format.read_magic(file)](file)
    if dtype.kind not in "biufc" or math.prod(shape) * dtype.itemsize != size - file.tell():
        raise ValueError(f"declares shape {shape} of {dtype}, and holds something else")
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)
