"""Keeps the tensors of a net as they are at the minimiser; those of a large net without a copy in memory.

A tensor that was loaded from a mapped checkpoint lies in this file already. All others are written to a
temporary file, once.
"""

import os
import weakref
from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from losslandscape.core.errors import InputError
from losslandscape.nets import kept_tensors
from losslandscape.nets.blocks import blocks, holds, is_large
from losslandscape.nets.tensor_names import with_ties

Stamp = tuple[int, int, int, int]

# The tensors of each net that lie in files, by name.
_in_files: "weakref.WeakKeyDictionary[nn.Module, dict[str, Tensor]]" = weakref.WeakKeyDictionary()
# The mapped files of each net's checkpoint, with their stamps when they were mapped.
_stamps: "weakref.WeakKeyDictionary[nn.Module, dict[str, Stamp | None]]" = weakref.WeakKeyDictionary()


def remember(net: nn.Module, state: Mapping[str, Tensor], files: Iterable[str]) -> None:
    """Remember the tensors of a mapped checkpoint.

    Args:
        net: the net that was loaded from it.
        state: the tensors, by their names in the net.
        files: the mapped files.
    """
    _in_files.setdefault(net, {}).update(with_ties(net, state))
    _stamps[net] = {path: _stamp(path) for path in files}


def require_unchanged(net: nn.Module) -> None:
    """Raise `InputError` if the checkpoint of a large net was written to after it was mapped.

    A checkpoint that was replaced by another file, or removed, is still mapped as it was.
    """
    for path, before in _stamps.get(net, {}).items():
        now = _stamp(path)
        if now is not None and before is not None and now[:2] == before[:2] and now != before:
            fault = f"{path!r} was overwritten while it was measured"
            raise InputError(fault, "measure a copy of it; its surface file is as it was before")


def _stamp(path: str) -> Stamp | None:
    """Return the identity of a file, its size and the time of its last change; None if it is not there."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def kept(net: nn.Module, tensors: Mapping[str, Tensor]) -> list[Tensor]:
    """Return tensors as they are now, perhaps in a narrower type; later moves of the net do not change them.

    Args:
        net: the net that has the tensors. If it is large, the returned tensors lie in files, on the CPU.
        tensors: some of its tensors, by name.
    """
    if not is_large(net):
        return [tensor.detach().clone() for tensor in tensors.values()]
    known = _in_files.setdefault(net, {})
    new = {
        name: tensor
        for name, tensor in tensors.items()
        if name not in known or not holds(known[name], tensor)
    }
    room = kept_tensors.empty(list(new.values()), [tensor.dtype for tensor in new.values()])
    for (name, tensor), into in zip(new.items(), room, strict=True):
        copy(into, tensor)
        known[name] = into
    return [known[name] for name in tensors]


def copy(into: Tensor, source: Tensor) -> None:
    """Copy a tensor into another, block by block, perhaps from another device."""
    for part, values in blocks(into.detach(), source.detach()):
        part.copy_(values)
