"""Keeps the state of a net that a forward pass may change: buffers, and attributes of modules.

Observers of fake quantisation update their ranges in evaluation mode too, and a recurrent net may keep its
hidden state. So every pass starts from a saved state; otherwise a loss would depend on the passes before it.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

# The attributes that every module has: parameters, submodules, hooks and so on. No pass changes them.
COMMON_ATTRIBUTES = frozenset(vars(nn.Module()))


class NetState:
    """A copy of the state of a net: the buffers and the attributes of all its modules.

    Dense tensors, lists, dicts and deques are copied, with all that they hold. Parameters and other objects
    are not.

    Args:
        net: the net, on its device.
    """

    @torch.no_grad()
    def __init__(self, net: nn.Module):
        self._saved = [
            (f"{path}.".lstrip("."), values, {name: _save(values[name]) for name in _state_names(values)})
            for path, module in net.named_modules()
            for values in (_buffers(module), vars(module))
        ]

    @torch.no_grad()
    def restore(self) -> None:
        """Restore every buffer and attribute, and remove those that are new."""
        for _, values, saved in self._saved:
            for name in _state_names(values):
                if name not in saved:
                    del values[name]
            for name, value in saved.items():
                values[name] = value.restored()

    @torch.no_grad()
    def changed(self) -> list[str]:
        """Return the names of buffers and attributes that differ from the copy, as in `encoder.hidden`."""
        names = []
        for prefix, values, saved in self._saved:
            for name in {**saved, **dict.fromkeys(_state_names(values))}:
                if name not in saved or name not in values or not saved[name].equals(values[name]):
                    names.append(prefix + name)
        return names


@contextmanager
def kept(net: nn.Module) -> Iterator[None]:
    """Restore the net's state after the block."""
    state = NetState(net)
    try:
        yield
    finally:
        state.restore()


def _buffers(module: nn.Module) -> dict[str, Any]:
    """Return the buffers, in the module's own dict unless the module is scripted, as then it has none."""
    if isinstance(module, torch.jit.ScriptModule):
        return dict(module.named_buffers(recurse=False))
    return module._buffers


def _state_names(values: dict[str, Any]) -> list[str]:
    return [name for name in values if name not in COMMON_ATTRIBUTES]


def _save(value: Any) -> "_Saved":
    if isinstance(value, Tensor) and _is_plain(value):
        return _SavedTensor(value)
    if isinstance(value, dict | list | tuple | deque):
        return _SavedItems(value)
    return _Saved(value)


def _is_plain(tensor: Tensor) -> bool:
    is_dense = tensor.layout is torch.strided and not tensor.is_quantized
    return is_dense and not isinstance(tensor, nn.Parameter)


class _Saved:
    """A value without a copy: a number, a text, a parameter, or an object that is not entered."""

    def __init__(self, value: Any):
        self._value = value

    def restored(self) -> Any:
        """Return the value itself, with its old content."""
        return self._value

    def equals(self, value: Any) -> bool:
        """Return whether a value is the saved one, or has the same content."""
        if isinstance(value, bool | int | float | str):
            return type(value) is type(self._value) and value == self._value
        return value is self._value


class _SavedTensor(_Saved):
    """A tensor, with a copy of its content."""

    def __init__(self, value: Tensor):
        super().__init__(value)
        self._copy = value.detach().clone()

    def restored(self) -> Tensor:
        if self._value.shape == self._copy.shape:
            self._value.copy_(self._copy)
        else:  # the pass has resized it
            self._value.data = self._copy.clone()
        return self._value

    def equals(self, value: Any) -> bool:
        if not isinstance(value, Tensor) or value.shape != self._copy.shape:
            return False
        same = (value == self._copy) | ((value != value) & (self._copy != self._copy))  # NaN equals NaN
        return bool(same.all())


class _SavedItems(_Saved):
    """A list, tuple, deque or dict, with a copy of each item."""

    def __init__(self, value: Any):
        super().__init__(value)
        self._items = {key: _save(item) for key, item in _items(value).items()}

    def restored(self) -> Any:
        items = {key: item.restored() for key, item in self._items.items()}
        if isinstance(self._value, dict):
            self._value.clear()
            self._value.update(items)
        elif not isinstance(self._value, tuple):
            self._value.clear()
            self._value.extend(items.values())
        return self._value

    def equals(self, value: Any) -> bool:
        if type(value) is not type(self._value):
            return False
        items = _items(value)
        return items.keys() == self._items.keys() and all(
            saved.equals(items[key]) for key, saved in self._items.items()
        )


def _items(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else dict(enumerate(value))
