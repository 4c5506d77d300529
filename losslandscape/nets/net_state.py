"""Keeps the state of a net that a forward pass may change: buffers, and attributes of modules.

Observers of fake quantisation update their ranges in evaluation mode too, and a recurrent net may keep its
hidden state. So every pass starts from a saved state; otherwise a loss would depend on the passes before it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from losslandscape.nets.value_copies import ValueCopy, copy_of, is_same

# The attributes that every module has: parameters, submodules, hooks and so on. No pass changes them.
COMMON_ATTRIBUTES = frozenset(vars(nn.Module()))


class NetState:
    """A copy of the state of a net: the buffers and the attributes of all its modules.

    Dense tensors, arrays, lists, sets, dicts, deques and random generators are copied. So are objects such as
    a cache, with everything that they hold. Parameters and objects of torch are not copied.

    Args:
        net: the net, on its device.
    """

    @torch.no_grad()
    def __init__(self, net: nn.Module):
        seen: set[int] = set()
        self._dicts = [
            _DictCopy(f"{path}.".lstrip("."), values, dict(values), _copies(values, seen))
            for path, module in net.named_modules()
            for values in (_buffers(module), vars(module))
        ]

    @torch.no_grad()
    def restore(self) -> None:
        """Restore every buffer and attribute, and remove those that are new."""
        for values in self._dicts:
            values.restore()

    @torch.no_grad()
    def changed(self) -> list[str]:
        """Return the names of buffers and attributes that differ from the copy, as in `encoder.hidden`."""
        return [values.path + name for values in self._dicts for name in values.changed()]


@contextmanager
def unchanged_state(net: nn.Module) -> Iterator[None]:
    """Restore the net's buffers and attributes after the block."""
    state = NetState(net)
    try:
        yield
    finally:
        state.restore()


@dataclass(frozen=True)
class _DictCopy:
    """A copy of the dict that holds the buffers or the attributes of a module.

    Attributes:
        path: the path of the module, which ends with a dot unless it is empty.
        values: the dict of the module.
        before: the values by name at the time of the copy.
        copies: a copy of the content of each value that can change.
    """

    path: str
    values: dict[str, Any]
    before: dict[str, Any]
    copies: dict[str, ValueCopy]

    def restore(self) -> None:
        for name in [name for name in self.values if name not in self.before]:
            del self.values[name]
        self.values.update(self.before)
        for copy in self.copies.values():
            copy.restore()

    def changed(self) -> Iterator[str]:
        for name in {**self.before, **self.values}:
            was_there, is_there = name in self.before, name in self.values
            value, before = self.values.get(name), self.before.get(name)
            if was_there != is_there or not is_same(value, before, self.copies.get(name)):
                yield name


def _buffers(module: nn.Module) -> dict[str, Any]:
    """Return the dict of a module's buffers; of a scripted module, which has no such dict, a new one."""
    if isinstance(module, torch.jit.ScriptModule):
        return dict(module.named_buffers(recurse=False))
    return module._buffers


def _copies(values: dict[str, Any], seen: set[int]) -> dict[str, ValueCopy]:
    copies = {name: copy_of(value, seen) for name, value in values.items() if name not in COMMON_ATTRIBUTES}
    return {name: copy for name, copy in copies.items() if copy}
