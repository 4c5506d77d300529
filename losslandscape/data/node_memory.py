"""Shares data among the ranks of a node: one rank loads the data, and all map the same copy into memory.

The copy is in a temporary file. It is unlinked as soon as all ranks have mapped it, so the operating system
deletes it when the last rank ends. Pages that do not fit in memory are read from the disk, so images may need
more than the memory.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from losslandscape.core.errors import InputError
from losslandscape.core.provenance import fingerprint_of_arrays
from losslandscape.data import samples
from losslandscape.data.image_set import ImageSet
from losslandscape.data.samples import Samples
from losslandscape.parallel.mpi4pytorch import Serial

ALIGNMENT = 64  # bytes; each tensor starts at a multiple of this in the file

Sets = dict[str, Samples]
Plan = Any  # `Sets` with a `_Place` instead of each tensor


def load_images(ranks: Serial, load: Callable[..., ImageSet], *args: object, **options: object) -> ImageSet:
    """Call `load(*args, allocate=…, **options)` on one rank per node, and map its images on the others.

    Args:
        ranks: all ranks; each must call this function.
        load: a function such as `dataloader.load`, which writes the images into a tensor of
            `allocate(shape, dtype=…)`.

    Raises:
        InputError: `load` raises it on one rank, or the temporary folder has no room. All ranks raise it.
    """
    with _file_of_node(ranks) as path:
        options["allocate"] = partial(_allocate, path)
        loaded = ranks.all(_on_first_of_node, ranks, load, *args, **options)
        layout: Any = _without_images(loaded) if loaded else None
        dtype, shape, stride, rest = ranks.gather_node(layout)[0]
        images = ranks.all(_map, path, shape, dtype).as_strided(shape, stride)
    return replace(rest, images=images)


def load_samples(ranks: Serial, load: Callable[..., Sets], *args: object, **options: object) -> Sets:
    """Call `load(*args, **options)` on one rank per node, and map its tensors on the others.

    Raises:
        InputError: `load` raises it on one rank, nodes load different samples, or the temporary folder has no
            room. All ranks raise it.
    """
    loaded = ranks.all(_on_first_of_node, ranks, load, *args, **options)
    _require_same_on_all_nodes(ranks, loaded)
    if ranks.local_size == 1:
        return loaded
    with _file_of_node(ranks) as path:
        plan: Plan = ranks.gather_node(_plan(loaded) if loaded else None)[0]
        ranks.all(_on_first_of_node, ranks, _write, path, plan, loaded)
        content = ranks.all(_map, path, (_size(plan),), torch.uint8)
    return _read(content, plan)


def _on_first_of_node(ranks: Serial, act: Callable[..., Any], *args: object, **options: object) -> Any:
    return act(*args, **options) if ranks.local_rank == 0 else None


@contextmanager
def _file_of_node(ranks: Serial) -> Iterator[str]:
    """Yield the path of a temporary file for all ranks of the node; unlink the file after the block."""
    with ExitStack() as stack:
        file = ranks.all(_on_first_of_node, ranks, tempfile.NamedTemporaryFile, prefix="loss_landscape_")
        if file:
            stack.enter_context(file)
        yield ranks.gather_node(file.name if file else "")[0]


def _allocate(path: str, shape: tuple[int, ...], *, dtype: torch.dtype) -> Tensor:
    """Return a tensor that is mapped to this file.

    Reserve disk space first: a write to a mapped page without disk space kills the program.
    """
    size = torch.Size(shape).numel() * dtype.itemsize
    try:
        with open(path, "r+b") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
    except OSError as error:
        folder = os.path.dirname(path)
        fault = f"no room for {size / 2**20:.0f} MiB of data in {folder!r} ({error.strerror})"
        raise InputError(fault, "set TMPDIR to a folder with room") from error
    return _map(path, shape, dtype)


def _map(path: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.from_file(path, shared=True, size=torch.Size(shape).numel(), dtype=dtype).view(shape)


def _without_images(data: ImageSet) -> tuple[torch.dtype, torch.Size, tuple[int, ...], ImageSet]:
    """Return the type, shape and strides of the images, and the set without them."""
    images = data.images
    return images.dtype, images.shape, images.stride(), replace(data, images=torch.empty(0))


def _require_same_on_all_nodes(ranks: Serial, loaded: Sets | None) -> None:
    arrays = chain(*(data.arrays() for data in loaded.values())) if loaded else ()
    prints = ranks.gather_all(fingerprint_of_arrays(arrays) if loaded else None)
    if len(set(prints) - {None}) > 1:
        raise InputError(
            "the data differs from node to node", "make it without random numbers, or with a fixed seed"
        )


@dataclass(frozen=True)
class _Place:
    """The position of a tensor in the file, with its shape and type; `start` and `stop` are in bytes."""

    start: int
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def stop(self) -> int:
        return self.start + torch.Size(self.shape).numel() * self.dtype.itemsize

    def of(self, content: Tensor) -> Tensor:
        return content[self.start : self.stop].view(self.dtype).view(self.shape)


def _plan(sets: Sets) -> Plan:
    """Assign a place in the file to every tensor, one after the other."""
    end = 0

    def place(tensor: Tensor) -> Any:
        nonlocal end
        start = -(-end // ALIGNMENT) * ALIGNMENT
        new = _Place(start, tuple(tensor.shape), tensor.dtype)
        end = new.stop
        return new

    return _map_each(sets, place)


def _size(plan: Plan) -> int:
    return max(place.stop for place in _tensors(plan))


def _write(path: str, plan: Plan, sets: Sets) -> None:
    content = _allocate(path, (_size(plan),), dtype=torch.uint8)
    for place, tensor in zip(_tensors(plan), _tensors(sets), strict=True):
        place.of(content).copy_(tensor)


def _read(content: Tensor, plan: Plan) -> Sets:
    def tensor(place: Any) -> Tensor:
        return place.of(content)

    return _map_each(plan, tensor)


def _tensors(sets: Any) -> list[Any]:
    """Return all tensors of some sets, or all places of a plan."""
    return [tensor for data in sets.values() for chunk in data.chunks for tensor in samples.tensors(chunk)]


def _map_each(sets: Any, change: Callable[[Any], Any]) -> Any:
    """Return the sets with `change` applied to every tensor or place."""
    return {
        name: data.with_chunks([samples.each(chunk, change) for chunk in data.chunks])
        for name, data in sets.items()
    }
