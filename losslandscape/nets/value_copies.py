"""Copies the content of a value, such as a list of tensors, so that the value can get it back later."""

import pickle
import random
from collections import deque
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

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


class ValueCopy:
    """A copy of the content of a value."""

    def restore(self) -> None:
        """Put the content back into the value."""
        raise NotImplementedError

    def equals(self, value: Any) -> bool:
        """Return whether a value has the content of the copy."""
        raise NotImplementedError


def copy_of(value: Any, seen: set[int]) -> ValueCopy | None:
    """Return a copy of a value's content, or None if nothing can change in the value or it is not copied.

    Args:
        value: the value. Parameters, sparse and quantised tensors, objects of torch and data are not copied.
        seen: the identities of the objects that are copied already, as two objects may hold each other. The
            identities of further objects are added.
    """
    if type(value) in CONSTANTS:
        return None
    if isinstance(value, Tensor):
        is_dense = value.layout is torch.strided and not value.is_quantized
        return TensorCopy(value) if is_dense and not isinstance(value, nn.Parameter) else None
    if isinstance(value, tuple) and all(type(item) in CONSTANTS for item in value):
        return None
    if isinstance(value, np.ndarray):
        return ArrayCopy(value) if value.flags.writeable else None
    if isinstance(value, dict | list | tuple | set | deque):
        return ItemsCopy(value, seen)
    for kind, (read, write) in GENERATORS.items():
        if isinstance(value, kind):
            return GeneratorCopy(value, read, write)
    if not _has_state(value) or id(value) in seen:
        return None
    seen.add(id(value))
    return ObjectCopy(value, seen)


def is_same(value: Any, before: Any, copy: ValueCopy | None) -> bool:
    """Return whether a value has the content that `before` had when it was copied.

    Args:
        value: the present value.
        before: the value at the time of the copy.
        copy: the copy of its content; None if it has none.
    """
    if copy:
        return copy.equals(value)
    return value is before or (type(value) in CONSTANTS and value == before)


def _has_state(value: Any) -> bool:
    """Return whether a value is an object with attributes, and neither torch's nor the user's data."""
    if isinstance(value, WITHOUT_STATE) or type(value).__module__.split(".")[0] == "torch":
        return False
    return type(getattr(value, "__dict__", None)) is dict


class TensorCopy(ValueCopy):
    """A copy of the numbers of a dense tensor."""

    def __init__(self, value: Tensor):
        self._value, self._copy = value, value.detach().clone()

    def restore(self) -> None:
        if self._value.shape == self._copy.shape:
            self._value.copy_(self._copy)
        else:  # the tensor was resized
            self._value.data = self._copy.clone()

    def equals(self, value: Any) -> bool:
        if not isinstance(value, Tensor) or value.shape != self._copy.shape:
            return False
        same = (value == self._copy) | ((value != value) & (self._copy != self._copy))  # NaN equals NaN
        return bool(same.all())


class ArrayCopy(ValueCopy):
    """A copy of the numbers of an array."""

    def __init__(self, value: np.ndarray):
        self._value, self._copy = value, value.copy()

    def restore(self) -> None:
        self._value[...] = self._copy

    def equals(self, value: Any) -> bool:
        has_shape = isinstance(value, np.ndarray) and value.shape == self._copy.shape
        return has_shape and value.tobytes() == self._copy.tobytes()


class ItemsCopy(ValueCopy):
    """A copy of a list, tuple, set, deque or dict, and of each item."""

    def __init__(self, value: Any, seen: set[int]):
        self._value = value
        self._items = _items(value)
        self._copies = {key: copy for key, item in self._items.items() if (copy := copy_of(item, seen))}

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
        return items.keys() == self._items.keys() and all(
            is_same(item, self._items[key], self._copies.get(key)) for key, item in items.items()
        )


class ObjectCopy(ItemsCopy):
    """A copy of the attributes of an object."""

    def __init__(self, value: Any, seen: set[int]):
        super().__init__(vars(value), seen)
        self._type = type(value)

    def equals(self, value: Any) -> bool:
        return type(value) is self._type and super().equals(vars(value))


class GeneratorCopy(ValueCopy):
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
    """Return the items by key or index, in a new dict."""
    return dict(value) if isinstance(value, dict) else dict(enumerate(value))
