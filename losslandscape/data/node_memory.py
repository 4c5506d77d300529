"""The data that a surface is measured on, decoded once a node: its ranks share one copy, in a temporary file that each maps into memory.

The file has no name any more as soon as all ranks have mapped it, so that it goes when they do. The operating system keeps it in
memory where there is room and reads it from the disk where there is not, so images may be larger than the memory.
"""

import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

import torch
from torch import Tensor

from losslandscape.core import user_code
from losslandscape.core.errors import InputError
from losslandscape.core.provenance import fingerprint_of_arrays
from losslandscape.data import dataloader, samples, user_data
from losslandscape.data.dataloader import ImageSet
from losslandscape.data.samples import Samples, SampleSet
from losslandscape.parallel.mpi4pytorch import Serial, together

ALIGNMENT = 64  # bytes


def load_parts(
    ranks: Serial,
    dataset: str,
    datapath: str,
    *,
    test_set: bool,
    npz_files: dict[str, str],
    labels_file: str,
    data_split: int,
    split_idx: int,
    **preparation,
) -> dict[str, Samples]:
    """What to measure on, by part: a share of the training set, and the whole test set if asked for.

    `preparation` is that of `dataloader.load`. Raises `InputError` where it, or a file, is given for data of the user's own.
    """
    if user_code.is_own(dataset):
        given = {
            "--trainloader": npz_files["train"],
            "--testloader": npz_files["test"],
            "--train_labels": labels_file,
            **{f"--{name}": preparation.get(name) for name in ("raw_data", "mean", "std")},
        }
        if unused := [flag for flag, value in given.items() if value]:
            raise InputError(
                f"{unused[0]} is for images, and --dataset {dataset} makes its own data; leave {unused[0]} out, or let the function do it"
            )
        return share(
            ranks,
            lambda: user_data.load(
                dataset,
                test_set=test_set,
                data_split=data_split,
                split_idx=split_idx,
                show_progress=ranks.rank == 0,
            ),
        )
    if not npz_files["train"]:
        together(ranks, lambda: dataloader.download(dataset, datapath), only=True)
    subset = {
        "train": {"labels_file": labels_file, "data_split": data_split, "split_idx": split_idx},
        "test": {},
    }
    return {
        part: load_once_a_node(
            ranks,
            lambda allocate, part=part: dataloader.load(
                dataset,
                part,
                datapath=datapath,
                npz_file=npz_files[part],
                show_progress=ranks.rank == 0,
                allocate=allocate,
                **subset[part],
                **preparation,
            ),
        )
        for part in (("train", "test") if test_set else ("train",))
    }


def load_once_a_node(ranks: Serial, load: Callable[[dataloader.Allocate], ImageSet]) -> ImageSet:
    """What `load(allocate)` makes, on every rank, though only one rank of each node runs it; the others map its images.

    Raises on all ranks what `load` raises on one of them, and `InputError` where the temporary folder has no room.
    """
    with ExitStack() as until_all_have_mapped:
        path = (
            until_all_have_mapped.enter_context(tempfile.NamedTemporaryFile(prefix="loss_landscape_")).name
            if ranks.local_rank == 0
            else ""
        )

        def load_into_file() -> ImageSet | None:
            return load(partial(_allocate, path)) if ranks.local_rank == 0 else None

        loaded = together(ranks, load_into_file)
        mine = (
            (
                path,
                loaded.images.dtype,
                loaded.images.shape,
                loaded.images.stride(),
                replace(loaded, images=torch.empty(0)),
            )
            if loaded
            else None
        )
        path, dtype, shape, stride, rest = ranks.gather_node(mine)[0]
        images = together(ranks, lambda: _map(path, shape, dtype).as_strided(shape, stride))
    return replace(rest, images=images)


def _allocate(path: str, shape: tuple[int, ...], *, dtype: torch.dtype) -> Tensor:
    """A tensor in this file, for which room is reserved: a mapped file that cannot grow ends the program when it is written."""
    size = torch.Size(shape).numel() * dtype.itemsize
    try:
        with open(path, "r+b") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
    except OSError as error:
        raise InputError(
            f"no room for {size / 2**20:.0f} MiB of images in {os.path.dirname(path)!r} ({error.strerror}); set TMPDIR to a folder with room"
        ) from error
    return _map(path, shape, dtype)


def _map(path: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.from_file(path, shared=True, size=torch.Size(shape).numel(), dtype=dtype).view(shape)


@dataclass(frozen=True)
class _Place:
    """Where a tensor lies in the file."""

    start: int
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def stop(self) -> int:
        return self.start + torch.Size(self.shape).numel() * self.dtype.itemsize

    def of(self, content: Tensor) -> Tensor:
        return content[self.start : self.stop].view(self.dtype).view(self.shape)


def share(ranks: Serial, load: Callable[[], dict[str, SampleSet]]) -> dict[str, SampleSet]:
    """What `load()` makes, on every rank, though only one rank of each node runs it; the others map its tensors.

    Raises on all ranks what `load` raises on one of them, and `InputError` where nodes load different samples, or the temporary folder has no room.
    """
    loaded = together(ranks, lambda: load() if ranks.local_rank == 0 else None)
    prints = {
        value
        for value in ranks.gather_all(
            fingerprint_of_arrays(chain(*(data.arrays() for data in loaded.values()))) if loaded else None
        )
        if value
    }
    if len(prints) > 1:
        raise InputError("the data differs from node to node; make it without random numbers, or seed them")
    if ranks.local_size == 1:
        return loaded
    with ExitStack() as until_all_have_mapped:
        path = (
            until_all_have_mapped.enter_context(tempfile.NamedTemporaryFile(prefix="loss_landscape_")).name
            if ranks.local_rank == 0
            else ""
        )
        path, plan = ranks.gather_node((path, _plan(loaded)) if loaded else None)[0]
        size = max(
            place.stop for chunks in plan.values() for chunk in chunks for place in samples.tensors(chunk)
        )

        def write() -> None:
            if loaded:
                content = _allocate(path, (size,), dtype=torch.uint8)
                for part, chunks in plan.items():
                    for places, chunk in zip(chunks, loaded[part].chunks, strict=True):
                        for place, tensor in zip(
                            samples.tensors(places), samples.tensors(chunk), strict=True
                        ):
                            place.of(content).copy_(tensor)

        together(ranks, write)
        content = together(ranks, lambda: _map(path, (size,), torch.uint8))
    return {
        part: SampleSet(tuple(samples.each(chunk, lambda place: place.of(content)) for chunk in chunks))
        for part, chunks in plan.items()
    }


def _plan(sets: dict[str, SampleSet]) -> dict[str, list]:
    """The sets with a place in one file for each tensor."""
    end = 0

    def place(tensor: Tensor) -> _Place:
        nonlocal end
        found = _Place(-(-end // ALIGNMENT) * ALIGNMENT, tuple(tensor.shape), tensor.dtype)
        end = found.stop
        return found

    return {part: [samples.each(chunk, place) for chunk in data.chunks] for part, data in sets.items()}
