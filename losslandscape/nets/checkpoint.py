"""What a checkpoint file holds, under the names that a net has.

Checkpoints come from strangers: they are read as tensors and plain values alone, code in them is not run unless the user asks for it, a
file that asks for more memory than it holds numbers is refused, and whatever is damaged is named. What trainers wrap around the names of a
net (DataParallel, torch.compile, Lightning) is taken off, as the net's own names tell.
"""

import errno
import math
import os
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from losslandscape.core.errors import InputError
from losslandscape.nets import untrusted_pickle

USUAL_KEYS = ("state_dict", "model_state_dict", "model", "net")  # that programs keep a state dict under
WRAPPERS = (
    "module",
    "model",
    "net",
)  # DataParallel's and DDP's, and what Lightning's users call the net in their module
HIDDEN_WRAPPERS = (
    "_orig_mod",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
)  # of torch.compile and others: anywhere in a name
DEPTH = 4  # of usual keys within usual keys

State = dict[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds: tensors by their names, the epoch, the test accuracy in percent (None where not told).

    candidates: all states in the file, by the `state_key` that reads them; `state` is the first.
    """

    state: State
    epoch: int | None = None
    acc: float | None = None
    candidates: dict[str, State] = field(default_factory=dict)


def read_checkpoint(
    path: str | os.PathLike[str], *, state_key: str = "", unsafe_pickle: bool = False
) -> Checkpoint:
    """Read what `torch.save` wrote, in today's or the old file format, or a `.safetensors` file.

    A state dict, or a dict with one under a usual key, or under `state_key`, which may be keys with dots between (`a.b`), and the beginning of names.
    The prefix `module.` that `DataParallel` puts before every name is taken off; others are by `rename`, which knows the net's. Nothing in
    the file is run, unless `unsafe_pickle` is given: then whatever code it holds is run, which pickles of whole nets need, and a net gives
    its `state_dict()`.

    Raises:
        InputError: where there is no such file, or it is not a checkpoint, damaged, or holds more than tensors and plain values.
    """
    path = os.fspath(path)
    saved = _opened(_read(path, unsafe_pickle=unsafe_pickle))
    state = state_of(saved, state_key=state_key, what=path)
    candidates = {
        state_key: state,
        **{key: found for key, found in _states(saved).items() if key not in ("", state_key)},
    }
    epoch, acc = _number(saved.get("epoch")), _number(saved.get("acc"))
    return Checkpoint(state, epoch=None if epoch is None else int(epoch), acc=acc, candidates=candidates)


def state_of(saved: object, *, state_key: str = "", what: str) -> State:
    """The state dict in what a checkpoint file holds, as `read_checkpoint` finds it.

    Raises:
        InputError: naming `what`, and the keys that there are, where there is none.
    """
    saved = _opened(saved)
    if not isinstance(saved, Mapping):
        raise InputError(
            f"{what}: holds a {type(saved).__name__}, not a state dict; save the net's state_dict()"
        )
    found = saved if not state_key else _follow(saved, state_key) or _follow(_usual(saved), state_key)
    state = _usual(found) if found else None
    if not isinstance(state, Mapping) or not any(isinstance(value, Tensor) for value in state.values()):
        keys = [key for key in _states(saved) if key]
        there = (
            f"give --state_key with one of {_listed(keys)}"
            if keys
            else f"save a state dict, or a dict with one under {USUAL_KEYS[0]!r}"
        )
        raise InputError(
            f"{what}: holds no tensors{f' under --state_key {short(state_key)}' if state_key else ''}; {there}"
        )
    state = {str(name): value for name, value in state.items()}
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    return state


def rename(state: Mapping[str, Tensor], net: nn.Module) -> State:
    """The state under the net's own names, if it has all of them under a wrapper's prefix, or without a prefix that all of the net's have; else as it is.

    What lies beside the prefix, such as a loss's own weights, is left out.
    """
    needed = [[bare_name(name) for name in names] for names in needed_names(net)]
    own = {bare_name(name): name for name in net.state_dict()}
    bare = {bare_name(name): value for name, value in state.items()}
    inside = [prefix for prefix in prefixes(bare, needed) if set(prefix.split(".")[:-1]) <= set(WRAPPERS)]
    if inside:
        prefix = inside[0]
        return {
            own.get(name.removeprefix(prefix), name.removeprefix(prefix)): value
            for name, value in bare.items()
            if name.startswith(prefix)
        }
    prefix = _common_prefix(own)
    while prefix:
        if prefixes(bare, [[name.removeprefix(prefix) for name in names] for names in needed])[:1] == [""]:
            return {own.get(prefix + name, prefix + name): value for name, value in bare.items()}
        prefix = ".".join([*prefix.split(".")[:-2], ""])
    return dict(state)


def prefixes(names: Collection[str], needed: list[list[str]]) -> list[str]:
    """All prefixes, "" too, under which `names` have one of each of the lists of alternatives; the shortest first.

    >>> prefixes(["net.w", "net.b", "other.w"], [["w"], ["b"]])
    ['net.']
    """
    names, (first, *_) = set(names), needed or [[""]]
    ends = {name.removesuffix(end) for name in names for end in first if name.endswith(end)}
    return sorted(
        (
            prefix
            for prefix in ends
            if (not prefix or prefix.endswith("."))
            and all(any(prefix + name in names for name in alternatives) for alternatives in needed)
        ),
        key=lambda prefix: (len(prefix), prefix),
    )


def needed_names(net: nn.Module) -> list[list[str]]:
    """The tensors that a checkpoint must have; of the names of a tied tensor it need have but one.

    BN's counters of batches are not among them: PyTorch before 0.4.1 had none, and they are of no use in evaluation.
    """
    groups: dict[Any, list[str]] = {}
    for name, tensor in net.state_dict().items():
        if isinstance(tensor, Tensor) and not name.endswith("num_batches_tracked"):
            place = (tensor.data_ptr(), tensor.shape, tensor.stride()) if tensor.numel() else name
            groups.setdefault(place, []).append(name)
    return list(groups.values())


def bare_name(name: str) -> str:
    """The name without the parts that torch.compile and its like put into it."""
    return ".".join(part for part in name.split(".") if part not in HIDDEN_WRAPPERS)


def _common_prefix(names: Collection[str]) -> str:
    """The modules that all these names begin with, with a dot after each."""
    parts = os.path.commonprefix([name.split(".")[:-1] for name in names]) if names else []
    return "".join(f"{part}." for part in parts)


def _opened(saved: object) -> object:
    return saved.state_dict() if isinstance(saved, nn.Module) else saved


def _usual(saved: Any) -> Any:
    """What lies under a usual key, and in that again; `saved` itself if nothing does."""
    for _ in range(DEPTH):
        within = (_opened(saved[key]) for key in USUAL_KEYS if isinstance(saved, Mapping) and key in saved)
        saved = next((found for found in within if isinstance(found, Mapping)), saved)
    return _opened(saved)


def _follow(saved: Any, state_key: str) -> Any:
    """What lies under `a.b` of nested dicts whose keys may hold dots, or the tensors whose names begin so; None if nothing does."""
    saved = _opened(saved)
    if not state_key or not isinstance(saved, Mapping):
        return saved if not state_key else None
    for key in saved:
        if (
            isinstance(key, str)
            and f"{state_key}.".startswith(f"{key}.")
            and isinstance(_opened(saved[key]), Mapping)
        ):
            found = _follow(saved[key], state_key[len(key) + 1 :])
            if found:
                return found
    return {
        name.removeprefix(f"{state_key}."): value
        for name, value in saved.items()
        if str(name).startswith(f"{state_key}.")
    } or None


def _states(saved: Any) -> dict[str, State]:
    """All dicts of tensors by name within dicts, by their keys with dots between."""
    found: dict[str, State] = {}
    left, seen = [("", saved)], set()
    while left:
        key, value = left.pop(0)
        value = _opened(value)
        if (
            isinstance(value, Mapping)
            and id(value) not in seen
            and all(isinstance(name, str) for name in value)
        ):
            seen.add(id(value))
            if any(isinstance(tensor, Tensor) for tensor in value.values()):
                found[key] = dict(value)
            left += [(f"{key}.{name}".lstrip("."), inner) for name, inner in value.items()]
    return found


def _read(path: str, *, unsafe_pickle: bool) -> object:
    """`torch.load` and its like, their many errors told apart in one sentence."""
    if os.path.isdir(path):
        raise InputError(f"{path}: is a folder; give a checkpoint file in it")
    if not os.path.isfile(path):
        raise InputError(
            f"{path}: there is no such file; give a checkpoint that torch.save wrote, or a .safetensors file"
        )
    safetensors = path.lower().endswith(".safetensors")
    try:
        if safetensors:
            return _read_safetensors(path)
        with open(path, "rb") as file:
            untrusted_pickle.check(file, unsafe_pickle=unsafe_pickle)
        with warnings.catch_warnings(), torch.serialization.safe_globals(untrusted_pickle.SAFE_GLOBALS):
            warnings.simplefilter("ignore")  # on unusual pickles, which end in an error just below
            return torch.load(path, map_location="cpu", weights_only=not unsafe_pickle)
    except InputError:
        raise
    except untrusted_pickle.Foreign as error:
        raise InputError(
            f"{path}: holds more than tensors ({error}) and was not run; save the net's state_dict() alone, or, only if you "
            "trust the file, give --unsafe_pickle to run the code in it"
        ) from error
    except (
        Exception
    ) as error:  # a damaged file meets whichever check comes first: EOFError, KeyError, struct.error, …
        if isinstance(error, OSError) and error.errno not in (
            None,
            errno.EINVAL,
        ):  # EINVAL: a seek to before the start of a cut file
            raise InputError(
                f"{path}: cannot be read ({error.strerror or error}); check its permissions and its disk"
            ) from error
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
            raise InputError(f"{path}: needs more memory than there is; give a smaller checkpoint") from error
        if safetensors:
            raise InputError(
                f"{path}: is not a safetensors file, or it is damaged; copy or save it again"
            ) from error
        if unsafe_pickle:
            raise InputError(
                f"{path}: cannot be unpickled ({type(error).__name__}: {short(error)}); save the net's state_dict() alone"
            ) from error
        raise InputError(
            f"{path}: is not a checkpoint that torch.save wrote, or it is damaged; copy or save it again"
        ) from error


def _read_safetensors(path: str) -> State:
    """The tensors, mapped from the file."""
    try:
        from safetensors import safe_open
    except ImportError as error:
        raise InputError(
            f"{path}: reading it needs the package safetensors; pip install safetensors"
        ) from error
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)


def _number(value: object) -> float | None:
    """A finite number from a Python, NumPy or one-element tensor number; None for anything else."""
    if isinstance(value, np.generic) or isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    try:
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
    except OverflowError:  # a whole number of hundreds of digits
        return None


def short(text: object) -> str:
    """Words of a file or of its reader, which may be long or hold line breaks, as part of a sentence."""
    return " ".join(str(text).split())[:100]


def _listed(names: list[str]) -> str:
    return ", ".join(repr(short(name)) for name in names[:3]) + (", …" if len(names) > 3 else "")
