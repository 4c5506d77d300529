"""Reads an untrusted checkpoint file: tensors and plain values, and no code unless the user asks for it.

torch.load with `weights_only` runs no code. It does not compare checksums, and it unpacks compressed archives
of any size, so `check_archive` runs first. Every error becomes one sentence.
"""

import argparse
import errno
import os
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from losslandscape.core import large
from losslandscape.core.errors import InputError
from losslandscape.core.text import with_type

# Old checkpoints store the accuracy as a NumPy scalar. NumPy 2 moved the function that constructs it.
_scalar: Callable[..., Any] = np.float64(0).__reduce__()[0]  # type: ignore[assignment]
_NUMPY_TYPES = (np.float16, np.float32, np.float64, np.int32, np.int64)

# What torch.load may construct besides its own types. Many programs store their options as a Namespace.
SAFE_GLOBALS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_scalar, "numpy.core.multiarray.scalar"),
    (_scalar, "numpy._core.multiarray.scalar"),
    np.dtype,
    *{type(np.dtype(kind)) for kind in _NUMPY_TYPES},
    argparse.Namespace,
]

DAMAGED = "copy or save it again"
ONLY_TENSORS = "save the net's state_dict() alone"


def read(path: str, *, unsafe_pickle: bool = False) -> object:
    """Return the content of a file that `torch.save` or safetensors wrote, with its tensors on the CPU.

    Args:
        path: the file to read; the ending `.safetensors` selects that format.
        unsafe_pickle: whether to run the code in the file, which a pickled whole net needs.

    Raises:
        InputError: the file does not exist, is not a checkpoint, is damaged, or holds more than tensors and
            plain values; or the package safetensors or memory is missing.
    """
    if not os.path.isfile(path):
        advice = "give a checkpoint that torch.save wrote, or a .safetensors file"
        raise InputError(f"{path}: there is no such file", advice)
    with damage_in_one_sentence(path, unsafe_pickle=unsafe_pickle):
        if path.lower().endswith(".safetensors"):
            return _read_safetensors(path)
        with open(path, "rb") as file:
            check_archive(file)
        return load_pickle(path, what=path, unsafe_pickle=unsafe_pickle)


@contextmanager
def damage_in_one_sentence(path: str, *, unsafe_pickle: bool = False) -> Iterator[None]:
    """Turn every error in the block into an `InputError` about the checkpoint at `path`."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # a damaged file may raise EOFError, KeyError, struct.error, …
        _require_memory_and_disk(path, error)
        if unsafe_pickle:
            fault = f"{path}: cannot be unpickled ({with_type(error)})"
            raise InputError(fault, ONLY_TENSORS) from error
        raise InputError(
            f"{path}: is not a checkpoint that torch.save wrote, or is damaged", DAMAGED
        ) from error


def load_pickle(file: str | BinaryIO, *, what: str, unsafe_pickle: bool = False) -> Any:
    """Return what torch.save wrote to a file, with its tensors on the CPU.

    Raises:
        InputError: the file holds more than tensors and plain values. The message begins with `what`.
    """
    mapped = isinstance(file, str) and is_mapped(file)
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(SAFE_GLOBALS):
            warnings.simplefilter("ignore")  # about odd pickles, for which the code below raises
            return torch.load(file, map_location="cpu", weights_only=not unsafe_pickle, mmap=mapped)
    except Exception as error:
        refused = "" if unsafe_pickle else _refused(str(error))
        if not refused:
            raise
        raise code_refused(what, refused) from error


def is_mapped(path: str) -> bool:
    """Return whether the tensors of a file stay in the file, which is mapped into memory, after it is read.

    So it is for files of large nets, except those that PyTorch before 1.6 wrote.
    """
    if path.lower().endswith(".safetensors"):
        return True
    return os.path.getsize(path) >= 2 * large.LARGE and zipfile.is_zipfile(path)


def code_refused(what: str, refused: str) -> InputError:
    """Return the error for a file that would run code; `refused` names the code."""
    return InputError(
        f"{what}: holds more than tensors ({refused}) and was not run",
        f"{ONLY_TENSORS}, or, only if you trust the file, run its code with {{unsafe_pickle:True}}",
    )


def _refused(message: str) -> str:
    """Return what torch.load refused to construct, from its message; "" if it failed for another reason."""
    if "TorchScript archives" in message:
        return "a compiled net"
    name = re.search(r"GLOBAL (\S+)", message)
    return repr(name[1][:100]) if name else ""


def check_archive(file: BinaryIO) -> None:
    """Raise an error if an archive unpacks to more bytes than the file has, or fails its checksums.

    Nets of torch.jit are compressed; torch.load reads none of them without `unsafe_pickle`.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if file.read(4) == b"PK\x03\x04":  # else it is no zip archive: the format before PyTorch 1.6
        with zipfile.ZipFile(file) as archive:
            _check_records(archive, size)
    file.seek(0)


def _check_records(archive: zipfile.ZipFile, size: int) -> None:
    records = archive.infolist()
    is_compiled = any(record.filename.endswith("/constants.pkl") for record in records)
    if not is_compiled and sum(record.file_size for record in records) > size:
        raise ValueError("torch.save does not compress")
    for record in records:
        if record.CRC:  # 0 if saved without: torch.serialization.set_crc32_options(False)
            _compare_checksum(archive, record)


def _compare_checksum(archive: zipfile.ZipFile, record: zipfile.ZipInfo) -> None:
    with archive.open(record) as content:
        while content.read(2**20):  # raises an error at the end if the checksum differs
            pass


def _read_safetensors(path: str) -> dict[str, Tensor]:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise InputError(
            f"{path}: reading it needs the package safetensors", "pip install safetensors"
        ) from error
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise InputError(f"{path}: is not a safetensors file, or is damaged", DAMAGED) from error


def _require_memory_and_disk(path: str, error: Exception) -> None:
    """Raise `InputError` if the disk or a lack of memory caused this error, not the file's content."""
    # In a truncated file torch seeks to before the start: EINVAL.
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
        fault = f"{path}: cannot be read ({error.strerror or error})"
        raise InputError(fault, "check its permissions and its disk") from error
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        raise InputError(f"{path}: needs more memory than there is", "give a smaller checkpoint") from error
