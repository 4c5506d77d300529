"""What a checkpoint holds: a net's tensors by name, the epoch and the accuracy."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import Any

import numpy as np
from torch import Tensor, nn

from losslandscape.core.errors import InputError
from losslandscape.core.text import one_line
from losslandscape.nets import checkpoint_file
from losslandscape.nets.tensor_names import State, below

USUAL_KEYS = ("state_dict", "model_state_dict", "model", "net")  # under which programs keep a state dict
DEPTH = 4  # of usual keys inside usual keys
KEYS_SHOWN = 3  # in a message


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    Args:
        state: the tensors by name.
        epoch: None if the file does not say.
        acc: the test accuracy in percent; None if the file does not say.
        candidates: all states in the file, by the `state_key` that reads them; `state` is the first.
    """

    state: State
    epoch: int | None = None
    acc: float | None = None
    candidates: dict[str, State] = field(default_factory=dict)


def read_checkpoint(
    path: str | PathLike[str], *, state_key: str = "", unsafe_pickle: bool = False
) -> Checkpoint:
    """Read what `torch.save` wrote, in today's or an old format, or a `.safetensors` file.

    The file holds a state dict, or a dict with one under a usual key or under `state_key`. The prefix
    `module.` of `DataParallel` is removed from names. Other prefixes are left to `tensor_names.rename`, which
    knows the net's names.

    Args:
        path: the file.
        state_key: keys with dots between (`a.b`), then perhaps the beginning of names.
        unsafe_pickle: run the code in the file. Of a whole net, its `state_dict()` is taken.

    Raises:
        InputError: as `checkpoint_file.read`, or the file holds no state dict.
    """
    path = fspath(path)
    saved = _opened(checkpoint_file.read(path, unsafe_pickle=unsafe_pickle))
    state = state_of(saved, state_key=state_key, what=path)
    others = {key: other for key, other in _states(saved).items() if key not in ("", state_key)}
    epoch = _number(saved.get("epoch"))
    return Checkpoint(
        state,
        epoch=None if epoch is None else int(epoch),
        acc=_number(saved.get("acc")),
        candidates={state_key: state, **others},
    )


def state_of(saved: object, *, state_key: str = "", what: str) -> State:
    """The state dict in what a checkpoint file holds, as `read_checkpoint` finds it.

    Raises:
        InputError: there is none; it names `what`, and the keys of the states.
    """
    saved = _opened(saved)
    if not isinstance(saved, Mapping):
        fault = f"{what}: holds a {type(saved).__name__}, not a state dict"
        raise InputError(fault, "save the net's state_dict()")
    start = _follow(saved, state_key) or _follow(_usual(saved), state_key) if state_key else saved
    state = _usual(start) if start else None
    if not isinstance(state, Mapping) or not any(isinstance(value, Tensor) for value in state.values()):
        raise _no_tensors(saved, state_key, what)
    state = {str(name): value for name, value in state.items()}
    return below("module.", state) if all(name.startswith("module.") for name in state) else state


def _no_tensors(saved: Mapping, state_key: str, what: str) -> InputError:
    place = f" under state_key {one_line(state_key)}" if state_key else ""
    keys = [repr(one_line(key)) for key in _states(saved) if key]
    if not keys:
        advice = f"save a state dict, or a dict with one under {USUAL_KEYS[0]!r}"
        return InputError(f"{what}: holds no tensors{place}", advice)
    names = ", ".join(keys[:KEYS_SHOWN]) + (", …" if len(keys) > KEYS_SHOWN else "")
    return InputError(
        f"{what}: holds no tensors{place}, but under {names}", "give one of these as {state_key}"
    )


def _opened(saved: Any) -> Any:
    """The state dict of a whole net; anything else as it is."""
    return saved.state_dict() if isinstance(saved, nn.Module) else saved


def _usual(saved: Any) -> Any:
    """The dict under a usual key, and under one inside of that; `saved` itself if there is none."""
    for _ in range(DEPTH):
        if not isinstance(saved, Mapping):
            break
        inside = [_opened(saved[key]) for key in USUAL_KEYS if key in saved]
        saved = next((value for value in inside if isinstance(value, Mapping)), saved)
    return _opened(saved)


def _follow(saved: Any, state_key: str) -> Any:
    """The value under `a.b` of nested dicts, whose keys may hold dots themselves.

    Instead of the last keys these may be the beginning of tensors' names. None if there is nothing.
    """
    saved = _opened(saved)
    if not state_key:
        return saved
    if not isinstance(saved, Mapping):
        return None
    for key, value in saved.items():
        is_on_the_way = isinstance(key, str) and f"{state_key}.".startswith(f"{key}.")
        if is_on_the_way and isinstance(_opened(value), Mapping):
            end = _follow(value, state_key[len(key) + 1 :])
            if end:
                return end
    prefix = f"{state_key}."
    named = {name: value for name, value in saved.items() if isinstance(name, str)}
    return below(prefix, named) or None


def _states(saved: Any) -> dict[str, State]:
    """All dicts of tensors inside nested dicts, by their keys with dots between."""
    states: dict[str, State] = {}
    queue, seen = [("", saved)], set()
    while queue:
        key, value = queue.pop(0)
        value = _opened(value)
        if not isinstance(value, Mapping) or id(value) in seen:
            continue
        if not all(isinstance(name, str) for name in value):
            continue
        seen.add(id(value))
        if any(isinstance(tensor, Tensor) for tensor in value.values()):
            states[key] = dict(value)
        queue += [(f"{key}.{name}".lstrip("."), inner) for name, inner in value.items()]
    return states


def _number(value: object) -> float | None:
    """A finite number of Python, NumPy or a tensor of one element; None for anything else."""
    if isinstance(value, np.generic) or (isinstance(value, Tensor) and value.numel() == 1):
        value = value.item()
    try:
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
    except OverflowError:  # a whole number of hundreds of digits
        return None
