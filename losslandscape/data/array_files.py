"""Reads images and labels from `.npz` and `.npy` files, which may come from an untrusted source.

Nothing is unpickled, and no memory is allocated for an array that is larger than its file can hold.
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

MAX_DEFLATE_RATIO = 1032  # one byte of deflated data expands to at most this many bytes
HEADER_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_images(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Read images (N, C, H, W), uint8 or float32, and labels (N,), int64, from an `.npz` file.

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
    """Read labels (count,), int64, from an `.npy` file.

    Raises:
        InputError: there is no such file, it cannot be read, or it holds something else.
    """
    labels = _read_file(path, _read_array, fault="is not an .npy file of labels", advice="")
    if labels.shape == (count,) and labels.dtype.kind in "iu":
        labels = labels.astype(np.int64)
        if labels.min() >= 0:
            return labels
    raise InputError(f"{path!r} must hold {count} labels, one for each image, and each a whole number from 0")


def _read_file(path: str, read: Callable[[IO[bytes], int], T], *, fault: str, advice: str) -> T:
    """Return `read(file, size)`, with the size in bytes; turn every error into an `InputError`."""
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
    is_supported = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    if not is_supported or info.file_size > size * MAX_DEFLATE_RATIO:
        raise ValueError(
            f"{name} is neither stored nor deflated, or its declared size is larger than the file can hold"
        )
    with archive.open(info) as member:
        return _read_array(member, info.file_size)


def _read_array(file: IO[bytes], size: int) -> np.ndarray:
    """Read an array of numbers in NumPy's format from a file of this size in bytes.

    Memory is allocated only after the header has declared exactly the bytes that follow it.
    """
    shape, _, dtype = HEADER_READERS[np.lib.format.read_magic(file)](file)
    is_numeric = dtype.kind in "biufc"  # bool, signed and unsigned integer, float, complex
    if not is_numeric or math.prod(shape) * dtype.itemsize != size - file.tell():
        raise ValueError(
            f"its header declares shape {shape} of {dtype}, but the file holds no such array of numbers"
        )
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)
