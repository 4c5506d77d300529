"""Reads and writes a checkpoint: a net's tensors by name, the epoch and the accuracy."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from losslandscape.core import weight_files
from losslandscape.core.errors import InputError
from losslandscape.core.text import one_line, shortlist
from losslandscape.files.atomic_file import replacing
from losslandscape.nets import adapters, checkpoint_parts
from losslandscape.nets.tensor_names import State, below, with_versions

# Training programs store it there; `app` is the key in the guide to torch.distributed.checkpoint.
STATE_DICT_KEYS = ("state_dict", "model_state_dict", "model", "net", "app")
TRAINER_STATE = "trainer_state.json"  # in which a trainer of transformers keeps the epoch
MAX_DEPTH = 4  # levels of nested dicts under these keys
KEYS_SHOWN = 3  # a message lists this many keys of states


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint file that this program uses.

    Args:
        state: the tensors by name.
        epoch: the epoch of training; None if the file does not name it.
        acc: the test accuracy in percent; None if the file does not name it.
        candidates: all states in the file, by the `state_key` that selects each; `state` is the first.
        is_adapter: whether the state is an adapter's, so that the net's other tensors are not in it.
        mapped_files: the files in which the tensors lie, as they are mapped into memory; empty if they are
            read.
    """

    state: State
    epoch: int | None = None
    acc: float | None = None
    candidates: dict[str, State] = field(default_factory=dict)
    is_adapter: bool = False
    mapped_files: tuple[str, ...] = ()


def read_checkpoint(
    path: str | PathLike[str], *, state_key: str = "", unsafe_pickle: bool = False
) -> Checkpoint:
    """Read a file of `torch.save`, in the current or an old format, or a `.safetensors` file.

    Shards with an index, folders of torch.distributed.checkpoint, and folders with one checkpoint are read
    likewise (`core.weight_files`). The file holds a state dict, or a dict with a state dict under one of
    `STATE_DICT_KEYS` or `state_key`.
    The prefix `module.` of `DataParallel` is removed if all names have it. `tensor_names.rename`, which knows
    the net's names, removes other prefixes.

    Args:
        path: the file or folder to read.
        state_key: the keys of nested dicts, joined by dots (`a.b`). The last ones may be a prefix of tensor
            names instead.
        unsafe_pickle: whether to run the code in the file. A whole net is replaced by its `state_dict()`.

    Raises:
        InputError: there is not one checkpoint at `path`, it cannot be read, or it holds no state dict.
    """
    path = weight_files.find(fspath(path))
    saved = _unwrapped(checkpoint_parts.read(path, unsafe_pickle=unsafe_pickle))
    state = state_of(saved, state_key=state_key, what=path)
    others = {key: other for key, other in _states(saved).items() if key not in ("", state_key)}
    epoch = _finite_float(saved.get("epoch", _epoch_of_trainer(path)))
    return Checkpoint(
        state,
        epoch=None if epoch is None else int(epoch),
        acc=_finite_float(saved.get("acc")),
        candidates={state_key: state, **others},
        is_adapter=adapters.is_adapter(path, state),
        mapped_files=checkpoint_parts.mapped_files(path),
    )


def write_checkpoint(
    path: str, net: nn.Module, *, epoch: int | None = None, acc: float | None = None
) -> None:
    """Write a net's state, with the epoch and the accuracy in percent if they are known, in one step."""
    known = {name: value for name, value in (("epoch", epoch), ("acc", acc)) if value is not None}
    with replacing(path, lasting=True) as part:
        torch.save(
            {**known, "state_dict": {name: value.cpu() for name, value in net.state_dict().items()}}, part
        )


def _epoch_of_trainer(path: str) -> object:
    """Return the epoch in the file that a trainer of transformers keeps beside the weights, or None."""
    try:
        with open(os.path.join(os.path.dirname(path), TRAINER_STATE), encoding="utf-8") as file:
            return json.load(file).get("epoch")
    except (OSError, ValueError, AttributeError):
        return None


def state_of(saved: object, *, state_key: str = "", what: str) -> State:
    """Return the state dict in the content of a checkpoint file, as `read_checkpoint` does.

    Raises:
        InputError: `saved` has no state dict there. The message names `what`, and the keys of other states.
    """
    saved = _unwrapped(saved)
    if not isinstance(saved, Mapping):
        fault = f"{what}: holds a {type(saved).__name__}, not a state dict"
        raise InputError(fault, "save the net's state_dict()")
    start = _follow(saved, state_key) or _follow(_innermost(saved), state_key) if state_key else saved
    state = _innermost(start) if start else None
    if not isinstance(state, Mapping) or not any(isinstance(value, Tensor) for value in state.values()):
        raise _no_tensors(saved, state_key, what)
    state = with_versions({str(name): value for name, value in state.items()}, state)
    return below("module.", state) if all(name.startswith("module.") for name in state) else state


def _no_tensors(saved: Mapping, state_key: str, what: str) -> InputError:
    place = f" under state_key {one_line(state_key)}" if state_key else ""
    keys = [repr(one_line(key)) for key in _states(saved) if key]
    if not keys:
        advice = f"save a state dict, or a dict with one under {STATE_DICT_KEYS[0]!r}"
        return InputError(f"{what}: holds no tensors{place}", advice)
    names = shortlist(keys, KEYS_SHOWN)
    return InputError(
        f"{what}: holds no tensors{place}, but under {names}", "give one of these as {state_key}"
    )


def _unwrapped(saved: Any) -> Any:
    """Return the state dict of a whole net; return anything else unchanged."""
    return saved.state_dict() if isinstance(saved, nn.Module) else saved


def _innermost(saved: Any) -> Any:
    """Return the innermost dict under `STATE_DICT_KEYS`, which may nest; without such a key, `saved`."""
    for _ in range(MAX_DEPTH):
        if not isinstance(saved, Mapping):
            break
        inside = [_unwrapped(saved[key]) for key in STATE_DICT_KEYS if key in saved]
        saved = next((value for value in inside if isinstance(value, Mapping)), saved)
    return _unwrapped(saved)


def _follow(saved: Any, state_key: str) -> Any:
    """Return the value under `a.b` in nested dicts, whose keys may contain dots themselves.

    If the last part of `state_key` is a prefix of tensor names, return the tensors below the prefix. Return
    None if nothing matches.
    """
    saved = _unwrapped(saved)
    if not state_key:
        return saved
    if not isinstance(saved, Mapping):
        return None
    for key, value in saved.items():
        begins_path = isinstance(key, str) and f"{state_key}.".startswith(f"{key}.")
        if begins_path and isinstance(_unwrapped(value), Mapping):
            end = _follow(value, state_key[len(key) + 1 :])
            if end:
                return end
    prefix = f"{state_key}."
    named = {name: value for name, value in saved.items() if isinstance(name, str)}
    return below(prefix, with_versions(named, saved)) or None


def _states(saved: Any) -> dict[str, State]:
    """Return every dict with a tensor among nested dicts, by its path: the keys joined by dots."""
    states: dict[str, State] = {}
    queue, seen = [("", saved)], set()
    while queue:
        key, value = queue.pop(0)
        value = _unwrapped(value)
        if not isinstance(value, Mapping) or id(value) in seen:
            continue
        if not all(isinstance(name, str) for name in value):
            continue
        seen.add(id(value))
        if any(isinstance(tensor, Tensor) for tensor in value.values()):
            states[key] = with_versions(dict(value), value)
        queue += [(f"{key}.{name}".lstrip("."), inner) for name, inner in value.items()]
    return states


def _finite_float(value: object) -> float | None:
    """Return a finite number of Python, NumPy or a one-element tensor as a float; else None."""
    if isinstance(value, np.generic) or (isinstance(value, Tensor) and value.numel() == 1):
        value = value.item()
    try:
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
    except OverflowError:  # an integer of hundreds of digits
        return None
