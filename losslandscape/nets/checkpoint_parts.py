"""Reads checkpoints in several files: shards with an index, and folders of torch.distributed.checkpoint.

The `.metadata` of such a folder is a pickle, and so is each value in its `.distcp` files. No code in them
runs: the metadata may name only the classes that torch writes there, and a value is read as tensors and plain
values. torch's own reader would run it.
"""

import io
import os
import pickle
import re
from collections.abc import Mapping
from math import prod
from typing import Any, BinaryIO

import torch
from torch import Tensor

from losslandscape.core import weight_files
from losslandscape.core.errors import InputError
from losslandscape.core.text import one_line
from losslandscape.nets import checkpoint_file

OPTIMIZER = re.compile(
    weight_files.OF_OPTIMIZER
)  # keys of the optimizer's state, which is not read: it may be twice as large as the weights
OF_LIGHTNING = "meta.pt"  # in this file Lightning keeps epoch and hyperparameters

_PLANNING, _FILES = "torch.distributed.checkpoint.metadata", "torch.distributed.checkpoint.filesystem"
_SAFE_CLASSES = {
    *((_PLANNING, name) for name in ("Metadata", "MetadataIndex", "StorageMeta", "TensorProperties")),
    *((_PLANNING, name) for name in ("TensorStorageMetadata", "ChunkStorageMetadata")),
    *((_PLANNING, name) for name in ("BytesStorageMetadata", "_MEM_FORMAT_ENCODING")),
    *((_FILES, name) for name in ("_StorageInfo", "_StoragePrefix")),
    *((module, name) for module in ("pathlib", "pathlib._local") for name in ("PosixPath", "WindowsPath")),
    ("collections", "OrderedDict"),
    ("torch", "Size"),
    ("torch.serialization", "_get_layout"),
}


def read(path: str, *, unsafe_pickle: bool = False) -> object:
    """Return the content of the checkpoint at a path, as one file would hold it.

    Args:
        path: what `weight_files.find` returns: a file, the index of shards, or a distributed folder.
        unsafe_pickle: whether to run the code in the files.

    Raises:
        InputError: `checkpoint_file.read` raises it, or a part is missing or damaged.
    """
    if weight_files.is_index(path):
        return _read_shards(path, unsafe_pickle=unsafe_pickle)
    if weight_files.is_distributed(path):
        return _read_distributed(path, unsafe_pickle=unsafe_pickle)
    return checkpoint_file.read(path, unsafe_pickle=unsafe_pickle)


def mapped_files(path: str) -> tuple[str, ...]:
    """Return the files in which the tensors that `read` returns stay; empty unless all are mapped."""
    if weight_files.is_distributed(path):
        return ()
    parts = tuple(part for part in weight_files.files_of(path) if not weight_files.is_index(part))
    return parts if all(map(checkpoint_file.is_mapped, parts)) else ()


def _read_shards(index: str, *, unsafe_pickle: bool) -> dict[str, Tensor]:
    shard_of = weight_files.shard_of_tensors(index)
    state: dict[str, Tensor] = {}
    for shard in sorted(set(shard_of.values())):
        path = os.path.join(os.path.dirname(index), shard)
        content = checkpoint_file.read(path, unsafe_pickle=unsafe_pickle)
        for name in [name for name, its_shard in shard_of.items() if its_shard == shard]:
            if not isinstance(content, Mapping) or name not in content:
                fault = f"{path}: lacks {one_line(name)!r}, which the index says it has"
                raise InputError(fault, "copy the shards and the index again")
            state[name] = content[name]
    return state


def _read_distributed(folder: str, *, unsafe_pickle: bool) -> dict[str, Any]:
    content: dict[str, Any] = {}
    with checkpoint_file.damage_in_one_sentence(folder, unsafe_pickle=unsafe_pickle):
        metadata = _metadata(folder, unsafe_pickle=unsafe_pickle)
        places = {(key.fqn, tuple(key.offset or ())): place for key, place in metadata.storage_data.items()}
        for name, entry in metadata.state_dict_metadata.items():
            keys = [str(key) for key in (metadata.planner_data or {}).get(name, (name,))]
            if any(map(OPTIMIZER.match, keys)):
                continue
            if hasattr(entry, "chunks"):
                _put(content, keys, _tensor(folder, entry, name, places))
                continue
            try:
                _put(content, keys, _value(folder, places[name, ()], unsafe_pickle=unsafe_pickle))
            except InputError:  # an object of the user: no part of the weights
                continue
    return {**_lightning_facts(folder), **content}


def _lightning_facts(folder: str) -> dict[str, Any]:
    """Return the plain values that Lightning keeps beside the parts; nothing if they are not readable."""
    try:
        facts = checkpoint_file.read(os.path.join(folder, OF_LIGHTNING))
    except InputError:
        return {}
    return dict(facts) if isinstance(facts, Mapping) else {}


def _put(content: dict[str, Any], keys: list[str], value: object) -> None:
    """Put a value into nested dicts."""
    *outer, last = keys
    for key in outer:
        content = content.setdefault(key, {})
    content[last] = value


def _tensor(folder: str, entry: Any, name: str, places: Mapping[Any, Any]) -> Tensor:
    """Return a tensor from its chunks, which ranks wrote."""
    if sum(prod(chunk.sizes) for chunk in entry.chunks) != prod(entry.size):
        raise ValueError("the chunks do not cover the tensor")
    tensor = torch.empty(entry.size, dtype=entry.properties.dtype)
    for chunk in entry.chunks:
        part = _value(folder, places[name, tuple(chunk.offsets)])
        within = tuple(
            slice(start, start + size) for start, size in zip(chunk.offsets, chunk.sizes, strict=True)
        )
        if part.shape != tensor[within].shape:
            raise ValueError("a chunk has another shape than the metadata says")
        tensor[within] = part
    return tensor


def _value(folder: str, place: Any, *, unsafe_pickle: bool = False) -> Any:
    """Return the value that torch.save wrote at this place of a file of the folder."""
    if getattr(place, "transform_descriptors", None):
        raise InputError(f"{folder}: its parts are compressed", "save them without extensions")
    part = os.path.basename(place.relative_path)
    if not os.path.isfile(os.path.join(folder, part)):
        raise InputError(f"{folder}: lacks its file {part}", "copy the whole folder")
    with open(os.path.join(folder, part), "rb") as file:
        file.seek(place.offset)
        content = io.BytesIO(file.read(place.length))
    checkpoint_file.check_archive(content)
    return checkpoint_file.load_pickle(content, what=folder, unsafe_pickle=unsafe_pickle)


def _metadata(folder: str, *, unsafe_pickle: bool) -> Any:
    with open(os.path.join(folder, weight_files.DISTRIBUTED), "rb") as file:
        return pickle.load(file) if unsafe_pickle else _MetadataUnpickler(file, folder).load()


class _MetadataUnpickler(pickle.Unpickler):
    """Constructs only the classes that torch writes into `.metadata`."""

    def __init__(self, file: BinaryIO, folder: str):
        super().__init__(file)
        self._folder = folder

    def find_class(self, module: str, name: str) -> Any:
        is_dtype = module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)
        if is_dtype or (module, name) in _SAFE_CLASSES:
            return super().find_class(module, name)
        raise checkpoint_file.code_refused(self._folder, repr(f"{module}.{name}"[:100]))
