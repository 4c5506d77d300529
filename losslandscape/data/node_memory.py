"""Shares data among the ranks of a node: one rank loads the data, and all map the same copy into memory.

The copy is in a temporary file. It is unlinked as soon as all ranks have mapped it, so the operating system
deletes it when the last rank ends. Pages that do not fit in memory are read from the disk, so images may need
more than the memory.
"""

import os
import pickle
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
from losslandscape.core.text import one_line
from losslandscape.data import structure
from losslandscape.data.image_set import ImageSet
from losslandscape.data.samples import Samples
from losslandscape.data.structure import is_dense
from losslandscape.parallel.mpi4pytorch import Serial

ALIGNMENT = 64  # bytes; each tensor starts at a multiple of this in the file

Sets = dict[str, Samples]


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


def load_samples(
    ranks: Serial,
    load: Callable[..., Sets],
    *args: object,
    define_classes: Callable[[], object] = lambda: None,
    **options: object,
) -> Sets:
    """Call `load(*args, **options)` on one rank per node, and map its tensors on the others.

    Args:
        ranks: all ranks; each must call this function.
        load: loads the samples.
        args, options: the arguments of `load`.
        define_classes: defines the classes of the user's batches, where a rank does not know them yet.

    Raises:
        InputError: `load` raises it on one rank, nodes load different samples, or the temporary folder has no
            room. All ranks raise it.
    """
    loaded = ranks.all(_on_first_of_node, ranks, load, *args, **options)
    _require_same_on_all_nodes(ranks, loaded)
    if ranks.local_size == 1:
        return loaded
    with _file_of_node(ranks) as path:
        pickled = ranks.gather_node(ranks.all(_on_first_of_node, ranks, _plan, loaded))[0]
        plan = ranks.all(_unpickled, pickled, define_classes)
        ranks.all(_on_first_of_node, ranks, _write, path, plan, loaded)
        content = ranks.all(_map, path, (plan.size,), torch.uint8)
    return plan.read(content)


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
        """Return the tensor that lies here in the content of the file, as a view."""
        return content[self.start : self.stop].view(self.dtype).view(self.shape)


@dataclass(frozen=True)
class _Plan:
    """The places of all tensors in the file, and the sets with an empty tensor instead of each.

    A sparse or nested tensor stays in its set, and its place is None.
    """

    sets: Sets
    places: list[_Place | None]

    @property
    def size(self) -> int:
        """The size of the file in bytes."""
        return max(place.stop for place in self.places if place)

    def read(self, content: Tensor) -> Sets:
        """Return the sets with the tensors that lie in the content of the file."""
        places = iter(self.places)

        def tensor(stand_in: Tensor) -> Tensor:
            place = next(places)
            return place.of(content) if place else stand_in

        return _each(self.sets, tensor)


def _plan(sets: Sets) -> bytes:
    """Assign a place in the file to every dense tensor, one after the other; return the pickled `_Plan`.

    Raises:
        InputError: the batches have a class that cannot be pickled.
    """
    places: list[_Place | None] = []
    end = 0

    def stand_in(tensor: Tensor) -> Tensor:
        nonlocal end
        if not is_dense(tensor):
            places.append(None)
            return tensor
        place = _Place(-(-end // ALIGNMENT) * ALIGNMENT, tuple(tensor.shape), tensor.dtype)
        places.append(place)
        end = place.stop
        return torch.empty(0)

    plan = _Plan(_each(sets, stand_in), places)
    try:
        return pickle.dumps(plan)
    except Exception as error:  # a class of the user's may raise anything
        fault = f"the batches of the data cannot be sent to other ranks ({one_line(error)})"
        raise InputError(fault, "define their class at the top of its file, or use one rank") from error


def _unpickled(plan: bytes, define_classes: Callable[[], object]) -> _Plan:
    try:
        return pickle.loads(plan)
    except (ImportError, AttributeError):
        define_classes()
        return pickle.loads(plan)


def _write(path: str, plan: _Plan, sets: Sets) -> None:
    content = _allocate(path, (plan.size,), dtype=torch.uint8)
    tensors = [
        tensor for data in sets.values() for chunk in data.chunks for tensor in structure.tensors(chunk)
    ]
    for place, tensor in zip(plan.places, tensors, strict=True):
        if place:
            place.of(content).copy_(tensor)


def _each(sets: Sets, change: Callable[[Tensor], Tensor]) -> Sets:
    """Return the sets with `change` applied to every tensor."""
    return {
        name: data.with_chunks([structure.each(chunk, change) for chunk in data.chunks])
        for name, data in sets.items()
    }
