"""From a name and a checkpoint file to a net that is ready to be measured.

Checkpoints come from strangers: they are read as tensors and plain values alone (`weights_only`), code in them is never run, and
whatever does not fit the net is named, since a net loaded by halves draws a landscape that looks right and is not.
"""
import errno
import math
import os
import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

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


def load(model: str, model_file: str = "") -> nn.Module:
    """The net on the CPU in evaluation mode, with the weights of `model_file` if one is given.

    The net is built with random weights in either case, so that the draws that follow (directions) do not depend on the file.

    Raises:
        InputError: for an unknown name, or a file that cannot be read or does not fit.
    """
    net = build(model)
    if model_file:
        load_state(net, read_checkpoint(model_file).state, what=model_file)
    return net.eval()


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read what `torch.save` wrote: a state dict, or a dict with one under `state_dict`; in today's or the old file format.

    The prefix `module.` that `DataParallel` puts before every name is taken off. Nothing in the file is run.

    Raises:
        InputError: where there is no such file, or it is not a checkpoint, damaged, or holds more than tensors and plain values.
    """
    saved = _read(os.fspath(path))
    if not isinstance(saved, Mapping):
        raise InputError(f"{path}: holds a {type(saved).__name__}, not a state dict; save the net's state_dict()")
    state = saved.get("state_dict", saved)
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
            raise InputError(f"{what}: tensor {name!r} is not in the net; is it the file of another model?")
    net.load_state_dict({**own, **state})


def _read(path: str) -> object:
    """`torch.load` without code, its many errors told apart in one sentence."""
    if os.path.isdir(path):
        raise InputError(f"{path}: is a folder; give a checkpoint file in it")
    if not os.path.exists(path):
        raise InputError(f"{path}: there is no such file; give a checkpoint that torch.save wrote")
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_NUMPY_NUMBERS):
            warnings.simplefilter("ignore")  # on unusual pickles, which end in an error just below
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file meets whichever check comes first: EOFError, KeyError, struct.error, …
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # EINVAL: a seek to before the start of a cut file
            raise InputError(f"{path}: cannot be read ({error.strerror or error}); check its permissions and its disk") from error
        if _wants_code(path, error):
            raise InputError(f"{path}: holds more than tensors and was not run; save the net's state_dict() alone") from error
        raise InputError(f"{path}: is not a checkpoint that torch.save wrote, or it is damaged; copy or save it again") from error


def _wants_code(path: str, error: Exception) -> bool:
    """Whether the reader stopped at a name that it would have to import, a compiled net, or a plain pickle."""
    message = str(error)
    if isinstance(error, pickle.UnpicklingError) and "GLOBAL" in message or "TorchScript" in message:
        return True
    with open(path, "rb") as file:
        return file.read(2) in (b"\x80\x04", b"\x80\x05")  # pickle's protocols 4 and 5; torch.save writes 2


def _misfit(value: object, tensor: Tensor) -> str:
    """What keeps `value` from being copied into the net's `tensor`; empty if nothing does."""
    if not isinstance(value, Tensor):
        return f"is a {type(value).__name__}, not a tensor"
    if value.layout is not torch.strided or value.is_quantized or value.is_meta:
        return "is sparse, quantized or without data, where the net's is dense"
    if value.shape != tensor.shape:
        return f"has shape {list(value.shape)}, where the net's has {list(tensor.shape)}"
    if value.is_complex() or tensor.is_floating_point() and not value.is_floating_point():
        return f"is of {value.dtype}, where the net's is of {tensor.dtype}"
    return ""


def _number(value: object) -> float | None:
    """A finite number from a Python, NumPy or one-element tensor number; None for anything else."""
    if isinstance(value, np.generic) or isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
