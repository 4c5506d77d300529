"""What the pickle in a checkpoint would make, found out before it makes anything.

torch.load with weights_only runs no code, but a few bytes can make it take any amount of memory, go on for hours or crash, and it does not
compare checksums. So a pickle has a dry run first, in which nothing is made of it.
"""

import argparse
import io
import os
import pickle
import zipfile
from collections.abc import Iterable
from types import SimpleNamespace
from typing import BinaryIO

import numpy as np
import torch

# What a NumPy number is pickled with: old checkpoints hold their accuracy so. NumPy 2 moved the function, files keep the name.
_scalar = np.float64(0).__reduce__()[0]
SAFE_GLOBALS = [  # that torch.load is to allow besides its own; a Namespace is how people keep the command line of a training
    (_scalar, "numpy.core.multiarray.scalar"),
    (_scalar, "numpy._core.multiarray.scalar"),
    np.dtype,
    *{type(np.dtype(kind)) for kind in (np.float16, np.float32, np.float64, np.int32, np.int64)},
    argparse.Namespace,
]


class Foreign(Exception):
    """A checkpoint wants something that is neither a tensor nor a plain value; the message names it."""


_NUMPY_KINDS = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")
_MAKERS = {  # all that a checkpoint may call
    "collections.OrderedDict",
    "collections.Counter",
    "torch.Size",
    "torch.device",
    "_codecs.encode",
    "numpy.dtype",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "argparse.Namespace",
    *(f"torch._utils._rebuild_{what}" for what in ("tensor", "tensor_v2", "tensor_v3", "parameter")),
}
_DTYPES = {
    **{name: value for name, value in vars(torch).items() if isinstance(value, torch.dtype)},
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": torch.uint8,
}


def check(file: BinaryIO, *, unsafe_pickle: bool) -> None:
    """Raise `Foreign` for a file with code, and ValueError for one that declares more than it holds or has not its own checksums."""
    size = os.fstat(file.fileno()).st_size
    is_zip = file.read(4) == b"PK\x03\x04"
    file.seek(0)
    if not is_zip and not unsafe_pickle:
        _check_legacy(file, size)
    if is_zip:
        with zipfile.ZipFile(file) as archive:
            if not unsafe_pickle:
                _check_archive(archive, size)
            _compare_checksums(archive)


def _check_archive(archive: zipfile.ZipFile, size: int) -> None:
    lengths = {record.filename: record.file_size for record in archive.infolist()}
    root = next(iter(lengths)).partition("/")[0]
    if f"{root}/constants.pkl" in lengths:
        raise Foreign("a compiled net")
    if sum(lengths.values()) > size:
        raise ValueError("the archive declares more than the file holds; torch.save does not compress")
    storages = _DryRun(io.BytesIO(archive.read(f"{root}/data.pkl")), size).run().storages
    if any(lengths[f"{root}/data/{key}"] != length for key, length in storages.items()):
        raise ValueError("a tensor declares another size than its record has")


def _compare_checksums(archive: zipfile.ZipFile) -> None:
    for record in archive.infolist():
        if record.CRC:  # 0: saved without, as torch.serialization.set_crc32_options(False) asks for
            with archive.open(record) as content:
                while content.read(2**20):
                    pass


def _check_legacy(file: BinaryIO, size: int) -> None:
    """The format before PyTorch 1.6: pickles one after the other, and then the numbers of the storages that they declare."""
    if _DryRun(file, size).load() != torch.serialization.MAGIC_NUMBER:
        raise ValueError("not a checkpoint")
    for _ in ("protocol", "machine"):
        _DryRun(file, size).load()
    storages = _DryRun(file, size).run().storages
    keys = _DryRun(file, size).load()
    if not set(_plain(keys)) <= set(storages) or sum(storages.values()) > size:
        raise ValueError("the tensors declare more than the file holds")


class _DryRun(
    pickle._Unpickler
):  # the one written in Python, as that of C takes memory for what a pickle declares
    """Goes through a pickle of at most `size` bytes and makes nothing; `storages` are the bytes that its tensors declare, by key."""

    dispatch = dict(pickle._Unpickler.dispatch)
    for code in (
        pickle.DICT,
        pickle.ADDITEMS,
        pickle.FROZENSET,
        pickle.BYTEARRAY8,
    ):  # not of torch.save; they hash, or take memory
        del dispatch[code[0]]

    def __init__(self, file: BinaryIO, size: int) -> None:
        super().__init__(
            SimpleNamespace(read=lambda length: file.read(min(length, size)), readline=file.readline),
            encoding="utf-8",
        )
        self.left, self.storages = size, {}

    def run(self) -> "_DryRun":
        self.load()
        return self

    def copies(self, length: int) -> None:
        """Count what a call copies: a pickle may name a long text or list many times in few bytes, but a genuine one does not."""
        self.left -= length
        if self.left < 0:
            raise ValueError("the pickle makes more than the file holds")

    def find_class(self, module: str, name: str) -> object:
        if module in ("torch", "torch.storage", "torch.cuda") and name in _DTYPES:
            return _DTYPES[name]
        if f"{module}.{name}" in _MAKERS:
            return _Nothing(f"{module}.{name}", self)
        raise Foreign(repr(f"{module}.{name}"[:100]))

    def persistent_load(self, saved_id: tuple) -> None:
        kind, dtype, key, location, number, *view = saved_id
        view_key, *view_place = view[0] if view and view[0] is not None else ("", 0)
        _plain([kind, key, location, view_key])
        if kind != "storage" or not all(type(value) is int and value >= 0 for value in [number, *view_place]):
            raise ValueError("not a storage of torch.save")
        length = number * dtype.itemsize
        if self.storages.setdefault(str(key), length) != length:
            raise ValueError("one storage of two sizes")

    def load_setitem(self) -> None:
        _plain(self.stack[-2:-1])
        super().load_setitem()

    def load_setitems(self) -> None:
        _plain(self.stack[::2])
        super().load_setitems()

    def load_newobj(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = self.stack[-1](*arguments)

    dispatch[pickle.SETITEM[0]], dispatch[pickle.SETITEMS[0]], dispatch[pickle.NEWOBJ[0]] = (
        load_setitem,
        load_setitems,
        load_newobj,
    )


class _Nothing(dict):
    """What a dry run makes of everything that a pickle calls: it can be called, filled and changed, and nothing comes of it."""

    __slots__ = ("maker", "run")

    def __init__(self, maker: str, run: _DryRun) -> None:
        self.maker, self.run = maker, run

    def __call__(self, *arguments: object) -> "_Nothing":
        self.run.copies(
            sum(
                len(argument)
                for argument in arguments
                if isinstance(argument, str | bytes | tuple | list | dict)
            )
        )
        if self.maker == "collections.OrderedDict":  # empty, or made of pairs by Python 2
            _plain(key for pairs in arguments for key, _ in pairs)
        if self.maker == "collections.Counter":
            _plain(*arguments)
        if self.maker == "_codecs.encode" and arguments[1:] not in (
            ("latin1",),
            ("latin-1",),
        ):  # some codecs take hours
            raise ValueError("not how pickle writes bytes")
        if self.maker == "numpy.dtype" and (
            arguments[0] not in _NUMPY_KINDS or arguments[1:] not in ((False, True), (0, 1))
        ):
            raise ValueError("not how NumPy writes the kind of a number")
        return _Nothing(f"{self.maker}()", self.run)

    def __setstate__(self, state: object) -> None:
        if self.maker == "numpy.dtype()" and tuple(state[2:]) != (None, None, None, -1, -1, 0):
            raise ValueError("not how NumPy writes the kind of a number")
        if self.maker in ("collections.OrderedDict()", "argparse.Namespace()") and not isinstance(
            state, dict
        ):
            raise ValueError("not how pickle writes what an object holds")


def _plain(keys: Iterable[object] = ()) -> list[object]:
    """The keys, if all are texts and numbers: Python crashes when it hashes a tuple in a tuple in a tuple, a million times."""
    keys = list(keys)
    if not all(isinstance(key, str | bytes | int | float | None) for key in keys):
        raise ValueError("a key that is no text and no number")
    return keys
