"""From a name and a checkpoint file to a net that is ready to be measured.

Checkpoints come from strangers: they are read as tensors and plain values alone, code in them is not run unless the user asks for it, a
file that asks for more memory than it holds numbers is refused, and whatever is damaged or does not fit the net is named, since a net
loaded by halves draws a landscape that looks right and is not.
"""
import errno
import io
import math
import os
import pickle
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor, nn

from cifar10.models import MODELS
from errors import InputError

# What a NumPy number is pickled with: old checkpoints hold their accuracy so. NumPy 2 moved the function, files keep the name.
_scalar = np.float64(0).__reduce__()[0]
_NUMPY_NUMBERS = [
    (_scalar, "numpy.core.multiarray.scalar"),
    (_scalar, "numpy._core.multiarray.scalar"),
    np.dtype,
    *{type(np.dtype(kind)) for kind in (np.float16, np.float32, np.float64, np.int32, np.int64)},
]


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds: tensors by their names in the net, the epoch, the test accuracy in percent (None where not told)."""

    state: dict[str, Tensor]
    epoch: int | None = None
    acc: float | None = None


def build(model: str) -> nn.Module:
    """The net of that name with fresh random weights, which take draws from torch's global generator.

    Raises:
        InputError: for an unknown name.
    """
    if model not in MODELS:
        raise InputError(f"there is no model {model!r}; choose one of {', '.join(sorted(MODELS))}")
    return MODELS[model]()


def find(folder: str, name: str) -> str:
    """A model file as given, or in `folder` if it is there only."""
    inside = os.path.join(folder, name)
    return inside if folder and name and not os.path.exists(name) and os.path.exists(inside) else name


def load(model: str, model_file: str = "", *, unsafe_pickle: bool = False) -> nn.Module:
    """The net on the CPU in evaluation mode, with the weights of `model_file` if one is given.

    The net is built with random weights in either case, so that the draws that follow (directions) do not depend on the file.
    `unsafe_pickle` is that of `read_checkpoint`.

    Raises:
        InputError: for an unknown name, or a file that cannot be read or does not fit.
    """
    net = build(model)
    if model_file:
        load_state(net, read_checkpoint(model_file, unsafe_pickle=unsafe_pickle).state, what=model_file)
    return net.eval()


def read_checkpoint(path: str | os.PathLike[str], *, unsafe_pickle: bool = False) -> Checkpoint:
    """Read what `torch.save` wrote: a state dict, or a dict with one under `state_dict`; in today's or the old file format.

    The prefix `module.` that `DataParallel` puts before every name is taken off. Nothing in the file is run, unless
    `unsafe_pickle` is given: then whatever code it holds is run, which pickles of whole nets need, and a net gives its `state_dict()`.

    Raises:
        InputError: where there is no such file, or it is not a checkpoint, damaged, or holds more than tensors and plain values.
    """
    saved = _state_of(_read(os.fspath(path), unsafe_pickle=unsafe_pickle))
    if not isinstance(saved, Mapping):
        raise InputError(f"{path}: holds a {type(saved).__name__}, not a state dict; save the net's state_dict()")
    state = _state_of(saved.get("state_dict", saved))
    if not isinstance(state, Mapping) or not any(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path}: holds no tensors; save a state dict, or a dict with one under 'state_dict'")
    state = {str(name): value for name, value in state.items()}
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    epoch, acc = _number(saved.get("epoch")), _number(saved.get("acc"))
    return Checkpoint(state, epoch=None if epoch is None else int(epoch), acc=acc)


def load_state(net: nn.Module, state: Mapping[str, Tensor], *, what: str) -> None:
    """Copy `state` into the net; all or nothing.

    A missing `num_batches_tracked` is fine (PyTorch before 0.4.1 had none; it is of no use in evaluation), and so is NaN.

    Args:
        net: changed in place.
        state: tensors by name, of the net's shapes; floating-point ones may differ in precision.
        what: where they come from, for the message.

    Raises:
        InputError: naming the first tensor, in the net's order, that is missing or does not fit, or one that the net lacks.
    """
    own = net.state_dict()
    for name, tensor in own.items():
        if name in state:
            fault = _misfit(state[name], tensor)
        else:
            fault = "" if name.endswith("num_batches_tracked") else "is missing"
        if fault:
            raise InputError(f"{what}: tensor {name!r} {fault}; is it the file of another model?")
    for name in state:
        if name not in own:
            raise InputError(f"{what}: tensor {_short(name)!r} is not in the net; is it the file of another model?")
    net.load_state_dict({**own, **state})


def _state_of(saved: object) -> object:
    return saved.state_dict() if isinstance(saved, nn.Module) else saved


def _read(path: str, *, unsafe_pickle: bool) -> object:
    """`torch.load`, its many errors told apart in one sentence."""
    if os.path.isdir(path):
        raise InputError(f"{path}: is a folder; give a checkpoint file in it")
    if not os.path.isfile(path):
        raise InputError(f"{path}: there is no such file; give a checkpoint that torch.save wrote")
    try:
        with open(path, "rb") as file:
            _check_file(file, unsafe_pickle=unsafe_pickle)
        with warnings.catch_warnings(), torch.serialization.safe_globals(_NUMPY_NUMBERS):
            warnings.simplefilter("ignore")  # on unusual pickles, which end in an error just below
            return torch.load(path, map_location="cpu", weights_only=not unsafe_pickle)
    except _Foreign as error:
        raise InputError(f"{path}: holds more than tensors ({error}) and was not run; save the net's state_dict() alone, or, only if you "
                         "trust the file, give --unsafe_pickle to run the code in it") from error
    except Exception as error:  # a damaged file meets whichever check comes first: EOFError, KeyError, struct.error, …
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # EINVAL: a seek to before the start of a cut file
            raise InputError(f"{path}: cannot be read ({error.strerror or error}); check its permissions and its disk") from error
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
            raise InputError(f"{path}: needs more memory than there is; give a smaller checkpoint") from error
        if unsafe_pickle:
            raise InputError(f"{path}: cannot be unpickled ({type(error).__name__}: {_short(error)}); save the net's state_dict() alone") from error
        raise InputError(f"{path}: is not a checkpoint that torch.save wrote, or it is damaged; copy or save it again") from error


def _short(text: object) -> str:
    """Words of a file or of its reader, which may be long or hold line breaks, as part of a sentence."""
    return " ".join(str(text).split())[:100]


def _misfit(value: object, tensor: Tensor) -> str:
    """What keeps `value` from being copied into the net's `tensor`; empty if nothing does."""
    if not isinstance(value, Tensor):
        return f"is a {type(value).__name__}, not a tensor"
    if value.layout is not torch.strided or value.is_quantized or value.is_meta:
        return "is sparse, quantized or without data, where the net's is dense"
    if value.shape != tensor.shape:
        return f"has shape {_short(list(value.shape))}, where the net's has {list(tensor.shape)}"
    if value.is_complex() or tensor.is_floating_point() and not value.is_floating_point():
        return f"is of {value.dtype}, where the net's is of {tensor.dtype}"
    return ""


def _number(value: object) -> float | None:
    """A finite number from a Python, NumPy or one-element tensor number; None for anything else."""
    if isinstance(value, np.generic) or isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    try:
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
    except OverflowError:  # a whole number of hundreds of digits
        return None


# What a file declares ---------------------------------------------------------------------------------------------------------
#
# torch.load with weights_only runs no code, but a few bytes can make it take any amount of memory, go on for hours or crash, and it does
# not compare checksums. So a pickle has a dry run first, in which nothing is made of it.

class _Foreign(Exception):
    """A checkpoint wants something that is neither a tensor nor a plain value; the message names it."""


_NUMPY_KINDS = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")
_MAKERS = {  # all that a checkpoint may call
    "collections.OrderedDict", "collections.Counter", "torch.Size", "torch.device", "_codecs.encode", "numpy.dtype",
    "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar",
    *(f"torch._utils._rebuild_{what}" for what in ("tensor", "tensor_v2", "tensor_v3", "parameter")),
}
_DTYPES = {
    **{name: value for name, value in vars(torch).items() if isinstance(value, torch.dtype)},
    "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16, "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64, "IntStorage": torch.int32, "ShortStorage": torch.int16, "CharStorage": torch.int8,
    "ByteStorage": torch.uint8, "BoolStorage": torch.bool, "ComplexFloatStorage": torch.complex64, "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": torch.uint8,
}


def _check_file(file: BinaryIO, *, unsafe_pickle: bool) -> None:
    """Raise `_Foreign` for a file with code, and ValueError for one that declares more than it holds or has not its own checksums."""
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
        raise _Foreign("a compiled net")
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


class _DryRun(pickle._Unpickler):  # the one written in Python, as that of C takes memory for what a pickle declares
    """Goes through a pickle of at most `size` bytes and makes nothing; `storages` are the bytes that its tensors declare, by key."""

    dispatch = dict(pickle._Unpickler.dispatch)
    for code in (pickle.DICT, pickle.ADDITEMS, pickle.FROZENSET, pickle.BYTEARRAY8):  # not of torch.save; they hash, or take memory
        del dispatch[code[0]]

    def __init__(self, file: BinaryIO, size: int) -> None:
        super().__init__(SimpleNamespace(read=lambda length: file.read(min(length, size)), readline=file.readline), encoding="utf-8")
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
        raise _Foreign(repr(_short(f"{module}.{name}")))

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

    dispatch[pickle.SETITEM[0]], dispatch[pickle.SETITEMS[0]] = load_setitem, load_setitems


class _Nothing(dict):
    """What a dry run makes of everything that a pickle calls: it can be called, filled and changed, and nothing comes of it."""

    __slots__ = ("maker", "run")

    def __init__(self, maker: str, run: _DryRun) -> None:
        self.maker, self.run = maker, run

    def __call__(self, *arguments: object) -> "_Nothing":
        self.run.copies(sum(len(argument) for argument in arguments if isinstance(argument, str | bytes | tuple | list | dict)))
        if self.maker == "collections.OrderedDict":  # empty, or made of pairs by Python 2
            _plain(key for pairs in arguments for key, _ in pairs)
        if self.maker == "collections.Counter":
            _plain(*arguments)
        if self.maker == "_codecs.encode" and arguments[1:] not in (("latin1",), ("latin-1",)):  # some codecs take hours
            raise ValueError("not how pickle writes bytes")
        if self.maker == "numpy.dtype" and (arguments[0] not in _NUMPY_KINDS or arguments[1:] not in ((False, True), (0, 1))):
            raise ValueError("not how NumPy writes the kind of a number")
        return _Nothing(f"{self.maker}()", self.run)

    def __setstate__(self, state: object) -> None:
        if self.maker == "numpy.dtype()" and tuple(state[2:]) != (None, None, None, -1, -1, 0):
            raise ValueError("not how NumPy writes the kind of a number")


def _plain(keys: Iterable[object] = ()) -> list[object]:
    """The keys, if all are texts and numbers: Python crashes when it hashes a tuple in a tuple in a tuple, a million times."""
    keys = list(keys)
    if not all(isinstance(key, str | bytes | int | float | None) for key in keys):
        raise ValueError("a key that is no text and no number")
    return keys
