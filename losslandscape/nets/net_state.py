"""Keeps the state of a net that a forward pass may change: buffers, and attributes of modules.

Observers of fake quantisation update their ranges in evaluation mode too, and a recurrent net may keep its
hidden state. So every pass starts from a saved state; otherwise a loss would depend on the passes before it.
"""

import pickle
import random
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

# The attributes that every module has: parameters, submodules, hooks and so on. No pass changes them.
COMMON_ATTRIBUTES = frozenset(vars(nn.Module()))
CONSTANTS = frozenset((bool, int, float, str, type(None)))  # types of values that have no content to change
WITHOUT_STATE = (nn.Module, type, ModuleType, Dataset, DataLoader)  # objects that are not looked into
# Types of random generators, each with functions that read and set its state.
GENERATORS: dict[type, tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]] = {
    torch.Generator: (torch.Generator.get_state, torch.Generator.set_state),
    random.Random: (random.Random.getstate, random.Random.setstate),
    np.random.RandomState: (np.random.RandomState.get_state, np.random.RandomState.set_state),
    np.random.Generator: (
        lambda generator: generator.bit_generator.state,
        lambda generator, state: setattr(generator.bit_generator, "state", state),
    ),
}


class NetState:
    """A copy of the state of a net: the buffers and the attributes of all its modules.

    Dense tensors, arrays, lists, sets, dicts, deques and random generators are copied, and objects such as a
    cache, with all that they hold. Parameters and objects of torch are not.

    Args:
        net: the net, on its device.
    """

    @torch.no_grad()
    def __init__(self, net: nn.Module):
        seen: set[int] = set()
        self._modules = [
            _Values(f"{path}.".lstrip("."), values, dict(values), _copies(values, seen))
            for path, module in net.named_modules()
            for values in (_buffers(module), vars(module))
        ]

    @torch.no_grad()
    def restore(self) -> None:
        """Restore every buffer and attribute, and remove those that are new."""
        for module in self._modules:
            module.restore()

    @torch.no_grad()
    def changed(self) -> list[str]:
        """Return the names of buffers and attributes that differ from the copy, as in `encoder.hidden`."""
        return [module.path + name for module in self._modules for name in module.changed()]


@contextmanager
def kept(net: nn.Module) -> Iterator[None]:
    """Restore the net's state after the block."""
    state = NetState(net)
    try:
        yield
    finally:
        state.restore()


@dataclass(frozen=True)
class _Values:
    """The buffers or the attributes of a module: the dict itself, and what was in it.

    Attributes:
        path: the path of the module, which ends with a dot unless it is empty.
        values: the dict of the module.
        before: the same values by name, at first.
        copies: a copy of the content of each value that can change.
    """

    path: str
    values: dict[str, Any]
    before: dict[str, Any]
    copies: dict[str, "_Copy"]

    def restore(self) -> None:
        for name in [name for name in self.values if name not in self.before]:
            del self.values[name]
        self.values.update(self.before)
        for copy in self.copies.values():
            copy.restore()

    def changed(self) -> Iterator[str]:
        for name in {**self.before, **self.values}:
            value, before = self.values.get(name), self.before.get(name)
            if name in self.copies:
                is_same = self.copies[name].equals(value)
            else:
                is_same = value is before or (type(value) in CONSTANTS and value == before)
            if not is_same or (name in self.before) != (name in self.values):
                yield name


def _buffers(module: nn.Module) -> dict[str, Any]:
    """Return the buffers, in the module's own dict unless the module is scripted, as then it has none."""
    if isinstance(module, torch.jit.ScriptModule):
        return dict(module.named_buffers(recurse=False))
    return module._buffers


def _copies(values: dict[str, Any], seen: set[int]) -> dict[str, "_Copy"]:
    copies = {name: _copy(value, seen) for name, value in values.items() if name not in COMMON_ATTRIBUTES}
    return {name: copy for name, copy in copies.items() if copy}


def _copy(value: Any, seen: set[int]) -> "_Copy | None":
    """Return a copy of a value's content; None if it has no content that can change, or is not copied.

    Args:
        value: the value.
        seen: the identities of the objects that are copied already; an object may hold the one that holds it.
    """
    if type(value) in CONSTANTS:
        return None
    if isinstance(value, Tensor):
        is_dense = value.layout is torch.strided and not value.is_quantized
        return _TensorCopy(value) if is_dense and not isinstance(value, nn.Parameter) else None
    if isinstance(value, tuple) and all(type(item) in CONSTANTS for item in value):
        return None
    if isinstance(value, np.ndarray):
        return _ArrayCopy(value) if value.flags.writeable else None
    if isinstance(value, dict | list | tuple | set | deque):
        return _ItemsCopy(value, seen)
    for kind, (read, write) in GENERATORS.items():
        if isinstance(value, kind):
            return _GeneratorCopy(value, read, write)
    if not _has_state(value) or id(value) in seen:
        return None
    seen.add(id(value))
    return _ObjectCopy(value, seen)


def _has_state(value: Any) -> bool:
    """Return whether a value is an object with attributes, and neither torch's nor the user's data."""
    if isinstance(value, WITHOUT_STATE) or type(value).__module__.split(".")[0] == "torch":
        return False
    return type(getattr(value, "__dict__", None)) is dict


class _Copy:
    """A copy of the content of a value."""

    def restore(self) -> None:
        """Put the content back into the value."""
        raise NotImplementedError

    def equals(self, value: Any) -> bool:
        """Return whether a value has the content of the copy."""
        raise NotImplementedError


class _TensorCopy(_Copy):
    def __init__(self, value: Tensor):
        self._value, self._copy = value, value.detach().clone()

    def restore(self) -> None:
        if self._value.shape == self._copy.shape:
            self._value.copy_(self._copy)
        else:  # the pass has resized it
            self._value.data = self._copy.clone()

    def equals(self, value: Any) -> bool:
        if not isinstance(value, Tensor) or value.shape != self._copy.shape:
            return False
        same = (value == self._copy) | ((value != value) & (self._copy != self._copy))  # NaN equals NaN
        return bool(same.all())


class _ArrayCopy(_Copy):
    def __init__(self, value: np.ndarray):
        self._value, self._copy = value, value.copy()

    def restore(self) -> None:
        self._value[...] = self._copy

    def equals(self, value: Any) -> bool:
        same_shape = isinstance(value, np.ndarray) and value.shape == self._copy.shape
        return same_shape and value.tobytes() == self._copy.tobytes()


class _ItemsCopy(_Copy):
    """A copy of a list, tuple, set, deque or dict, and of each item."""

    def __init__(self, value: Any, seen: set[int]):
        self._value = value
        self._items = _items(value)
        self._copies = {key: copy for key, item in self._items.items() if (copy := _copy(item, seen))}

    def restore(self) -> None:
        if not isinstance(self._value, tuple):
            self._value.clear()
        if isinstance(self._value, dict):
            self._value.update(self._items)
        elif isinstance(self._value, set):
            self._value.update(self._items.values())
        elif not isinstance(self._value, tuple):
            self._value.extend(self._items.values())
        for copy in self._copies.values():
            copy.restore()

    def equals(self, value: Any) -> bool:
        if type(value) is not type(self._value):
            return False
        items = _items(value)
        return items.keys() == self._items.keys() and all(self._is_same(key, items[key]) for key in items)

    def _is_same(self, key: Any, item: Any) -> bool:
        if key in self._copies:
            return self._copies[key].equals(item)
        return item is self._items[key] or (type(item) in CONSTANTS and item == self._items[key])


class _ObjectCopy(_ItemsCopy):
    """A copy of the attributes of an object."""

    def __init__(self, value: Any, seen: set[int]):
        super().__init__(vars(value), seen)
        self._type = type(value)

    def equals(self, value: Any) -> bool:
        return type(value) is self._type and super().equals(vars(value))


class _GeneratorCopy(_Copy):
    """A copy of the state of a random generator."""

    def __init__(self, value: Any, read: Callable[[Any], Any], write: Callable[[Any, Any], Any]):
        self._value, self._read, self._write = value, read, write
        self._state = read(value)

    def restore(self) -> None:
        self._write(self._value, self._state)

    def equals(self, value: Any) -> bool:
        return type(value) is type(self._value) and _bytes(self._read(value)) == _bytes(self._state)


def _bytes(state: Any) -> bytes:
    return state.numpy().tobytes() if isinstance(state, Tensor) else pickle.dumps(state)


def _items(value: Any) -> dict[Any, Any]:
    """Return the items by key or index, in a dict of its own."""
    return dict(value) if isinstance(value, dict) else dict(enumerate(value))
