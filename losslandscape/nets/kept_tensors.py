"""Keeps tensors in a temporary file that is mapped into memory, so that they need not stay in RAM.

The file has no name: it is gone when the program ends, even by a kill.
"""

import mmap
import os
import tempfile
from collections.abc import Sequence

import torch
from torch import Tensor

from losslandscape.core.errors import InputError

FOLDER = "/var/tmp"  # unless TMPDIR is set: /tmp is often a part of the memory
ALIGNMENT = 64  # bytes; the start of each tensor is a multiple


def empty(like: Sequence[Tensor], dtypes: Sequence[torch.dtype]) -> list[Tensor]:
    """Return tensors of these shapes and types in a new temporary file. They hold zeros.

    Raises:
        InputError: the disk is full.
    """
    offsets, end = [], 0
    for tensor, dtype in zip(like, dtypes, strict=True):
        offsets.append(end)
        end += -(-tensor.numel() * dtype.itemsize // ALIGNMENT) * ALIGNMENT
    if not end:
        return [torch.empty(tensor.shape, dtype=dtype) for tensor, dtype in zip(like, dtypes, strict=True)]
    memory = _mapped(end)
    return [
        torch.frombuffer(memory, dtype=dtype, count=tensor.numel(), offset=offset).view(tensor.shape)
        if tensor.numel()
        else torch.empty(tensor.shape, dtype=dtype)
        for tensor, dtype, offset in zip(like, dtypes, offsets, strict=True)
    ]


def _mapped(size: int) -> mmap.mmap:
    """Return the memory of a new temporary file. Its place on the disk is reserved."""
    try:
        with tempfile.TemporaryFile(dir=_folder()) as file:
            os.truncate(file.fileno(), size)
            if hasattr(os, "posix_fallocate"):  # without it, a full disk ends the program at a write
                os.posix_fallocate(file.fileno(), 0, size)
            return mmap.mmap(file.fileno(), size)
    except OSError as error:
        fault = f"a temporary file of {size / 2**30:.1f} GiB for tensors of the net cannot be written"
        advice = "make room, or set TMPDIR to a folder that has some"
        raise InputError(f"{fault} ({error.strerror or error})", advice) from error


def _folder() -> str | None:
    """Return a folder on a disk; None for the system's choice."""
    is_usable = os.path.isdir(FOLDER) and os.access(FOLDER, os.W_OK)
    return FOLDER if is_usable and not os.environ.get("TMPDIR") else None
