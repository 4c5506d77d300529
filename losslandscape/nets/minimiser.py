"""Keeps the tensors of a net as they are at the minimiser; those of a large net without a copy in memory.

A tensor that was loaded from a mapped checkpoint lies in this file already. All others are written to a
temporary file, once.
"""

import weakref
from collections.abc import Mapping

from torch import Tensor, nn

from losslandscape.nets import kept_tensors
from losslandscape.nets.blocks import blocks, holds, is_large
from losslandscape.nets.tensor_names import with_ties

# Of each net, its tensors as they lie in files, by name.
_in_files: "weakref.WeakKeyDictionary[nn.Module, dict[str, Tensor]]" = weakref.WeakKeyDictionary()


def remember(net: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Remember the tensors of a mapped checkpoint, by their names in the net that was loaded from it."""
    _in_files.setdefault(net, {}).update(with_ties(net, state))


def kept(net: nn.Module, tensors: Mapping[str, Tensor]) -> list[Tensor]:
    """Return the present numbers of tensors, perhaps in a narrower type; later changes do not reach them.

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
