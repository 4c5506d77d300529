"""Finds and replaces the tensors in a batch of any structure, and counts its samples.

A batch may be a tensor, a tuple, a list, a dict, a named tuple, a dataclass, or any object that holds tensors
in its attributes, such as the batches of torch_geometric; all of these may be nested.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils.data import DataLoader, Dataset

# Types that are not looked into: they have no parts, or their tensors do not belong to the batch.
LEAVES = (Tensor, np.ndarray, type, ModuleType, nn.Module, Dataset, DataLoader)
COUNTS = ("num_graphs", "batch_size")  # attributes in which a batch may hold the number of its samples


def leaves(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Yield the name and the value of each leaf of a batch, such as a tensor, a number or a text."""
    yield from _leaves(value, name, set())


def tensors(batch: object) -> list[Tensor]:
    """Return the tensors of a batch, in the batch's order."""
    return [leaf for _, leaf in leaves(batch) if isinstance(leaf, Tensor)]


def each(batch: Any, change: Callable[[Any], Any], kind: type = Tensor) -> Any:
    """Return a copy of a batch with `change` applied to every tensor, or to every leaf of another kind.

    Tuples, lists, dicts and objects are copied as `copy.deepcopy` does; all other leaves are shared.
    """
    parts = [leaf for _, leaf in leaves(batch)]
    memo = {id(part): change(part) if isinstance(part, kind) else part for part in parts}
    if type(batch) is dict or not isinstance(batch, dict):
        return copy.deepcopy(batch, memo)
    copied = copy.copy(batch)  # dicts with attributes often fail in deepcopy, which asks for attributes
    for name, part in batch.items():
        copied[name] = copy.deepcopy(part, memo)
    return copied


def is_named(batch: object) -> bool:
    """Return whether a batch has its tensors by name, as a dict or transformers' BatchEncoding has."""
    return isinstance(batch, Mapping) or (hasattr(batch, "keys") and hasattr(batch, "__getitem__"))


def by_name(batch: Any) -> dict[Any, Any]:
    """Return the values of a batch for which `is_named` is true, as a dict."""
    return {name: batch[name] for name in batch.keys()}  # noqa: SIM118, as iteration may yield no names


def columns(batch: Any) -> dict[Any, Tensor] | None:
    """Return the tensors of a batch, by name or index, if it can be cut between any two samples.

    Only a tuple, list or mapping can be cut, and only if all its parts are dense tensors whose first axes
    have one length. For any other batch return None.
    """
    if is_named(batch):
        parts = by_name(batch)
    elif isinstance(batch, tuple | list):
        parts = dict(enumerate(batch))
    else:
        return None
    are_columns = all(isinstance(part, Tensor) and is_dense(part) and part.dim() for part in parts.values())
    if not are_columns or len({len(part) for part in parts.values()}) != 1:
        return None
    return parts if len(tensors(batch)) == len(parts) else None


def size(batch: object) -> int | None:
    """Return the number of samples in a batch, or None if nothing tells it.

    The number is taken from the first of these that the batch has:

    - an attribute such as `num_graphs`;
    - a list with one object for each sample, such as the targets of a detection;
    - the first axes of all tensors, if they have one length;
    - the batch itself, if it is a list of objects;
    - its tensors and lists, without those inside them, if they have one length.

    After the lists of objects, a batch with a number beside its tensors gives None: the number is probably
    the label of a single sample.
    """
    for name in COUNTS if not isinstance(batch, dict) else ():
        number = getattr(batch, name, None)
        if isinstance(number, int):
            return number
    parts = [part for _, part in _parts(batch) or ()]
    lists = [part for part in parts if _is_list(part)]
    for part in lists:
        if all(map(_is_object, part)):
            return len(part)
    if any(_is_number(part, in_list=isinstance(batch, tuple | list)) for part in parts):
        return None
    lengths = {len(tensor) for tensor in tensors(batch) if tensor.dim()}
    if len(lengths) == 1:
        return lengths.pop()
    if _is_list(batch) and all(map(_is_object, parts)):
        return len(parts)
    lengths = {len(part) for part in [*lists, *(part for part in parts if isinstance(part, Tensor))]}
    return lengths.pop() if len(lengths) == 1 else None


def nbytes(tensor: Tensor) -> int:
    """Return the size of a tensor in bytes; for a sparse tensor, the size of its entries."""
    return sum(part.nbytes for part in dense_parts(tensor))


def is_dense(tensor: Tensor) -> bool:
    """Return whether a tensor's values lie in memory as an array: it is neither sparse nor nested."""
    return tensor.layout is torch.strided and not tensor.is_nested


def dense_parts(tensor: Tensor) -> list[Tensor]:
    """Return the dense tensors that hold a sparse or nested tensor; a dense tensor is its only part."""
    if is_dense(tensor):
        return [tensor]
    if tensor.is_nested:
        return list(tensor.unbind())
    entries = tensor.to_sparse_coo().coalesce()
    return [entries.indices(), entries.values()]


def as_array(tensor: Tensor) -> np.ndarray:
    """Return a tensor as an array; bfloat16, which NumPy lacks, as bytes."""
    if tensor.dtype == torch.bfloat16:
        return tensor.contiguous().view(torch.uint8).numpy()
    return tensor.numpy()


def _leaves(value: object, name: str, seen: set[int]) -> Iterator[tuple[str, object]]:
    if id(value) in seen:  # an object may hold the object that holds it
        return
    parts = _parts(value)
    if parts is None:
        yield name, value
        return
    seen.add(id(value))
    for part_name, part in parts:
        yield from _leaves(part, f"{name}{part_name}", seen)


def _parts(value: object) -> list[tuple[str, object]] | None:
    """Return the parts of a tuple, list, dict or object, with their names; None for a leaf."""
    if isinstance(value, LEAVES):
        return None
    if isinstance(value, PackedSequence):  # its `batch_sizes` must stay on the CPU
        moved = ("data", "sorted_indices", "unsorted_indices")
        return [(f".{name}", getattr(value, name)) for name in moved]
    if isinstance(value, dict):
        return [(f"[{name!r}]", part) for name, part in value.items()]
    if isinstance(value, tuple | list):
        return [(f"[{i}]", part) for i, part in enumerate(value)]
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    names = [name for name in slots if not name.startswith("__") and hasattr(value, name)]
    state = {**{name: getattr(value, name) for name in names}, **getattr(value, "__dict__", {})}
    return [(f".{name}", part) for name, part in state.items()] or None


def _is_list(value: object) -> TypeGuard[tuple | list]:
    """Return whether a value is a list or tuple that may hold one part for each sample."""
    return isinstance(value, tuple | list) and bool(value) and not hasattr(value, "_fields")


def _is_object(value: object) -> bool:
    """Return whether a value holds parts by name, as a dict or a graph does."""
    return not isinstance(value, tuple | list) and bool(_parts(value))


def _is_number(value: object, *, in_list: bool) -> bool:
    """Return whether a value is a tensor without axes, or a plain number in a list or tuple."""
    return (isinstance(value, Tensor) and value.dim() == 0) or (in_list and isinstance(value, int | float))
