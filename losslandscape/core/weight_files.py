"""Find the files of a checkpoint: one file, shards with an index, or a folder that holds one checkpoint.

The layouts are those of torch.save and safetensors, of transformers (shards and `…index.json`), and of
torch.distributed.checkpoint (a folder with `.metadata` and `*.distcp`), which FSDP and Lightning write too.
"""

import json
import os
import re

from losslandscape.core.errors import InputError
from losslandscape.core.text import shortlist

INDEX = ".index.json"
DISTRIBUTED = ".metadata"  # the file that makes a folder one of torch.distributed.checkpoint
PART = ".distcp"
ENDINGS = (".safetensors", ".bin", ".pt", ".pth", ".t7", ".ckpt")
SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})(\.safetensors|\.bin)")
# Files and folders that trainers write beside the weights.
OF_OPTIMIZER = r"optim(izer)?s?([_.\d]|$)"
OF_TRAINING = re.compile(rf"{OF_OPTIMIZER}|opt_state|scheduler|scaler|rng_state|random_states|training_args")
NAMES_SHOWN = 6  # a message lists this many names of a folder


def find(path: str) -> str:
    """Return the one checkpoint at a path.

    Args:
        path: a file, the index of shards, or a folder. In a folder without a checkpoint, the folders in it
            are searched too.

    Returns:
        A file, an index, or a folder for which `is_distributed` is true.

    Raises:
        InputError: the path is a part of a checkpoint, or a folder with none or several.
    """
    if os.path.isdir(path):
        return _only_checkpoint(path)
    if os.path.isfile(path):
        _require_whole(path)
    return path


def files_of(path: str) -> list[str]:
    """Return the files whose bytes are the weights of the one checkpoint at a path.

    Raises:
        InputError: `find` or `shard_of_tensors` raises it.
    """
    path = find(path)
    folder = path if is_distributed(path) else os.path.dirname(path)
    if is_distributed(path):
        parts = [name for name in _names(path) if name.endswith(PART)]
        return [os.path.join(folder, name) for name in (DISTRIBUTED, *parts)]
    if is_index(path):
        return [path, *(os.path.join(folder, name) for name in sorted({*shard_of_tensors(path).values()}))]
    return [path]


def is_index(path: str) -> bool:
    """Return whether a file is the index of shards."""
    return path.endswith(INDEX)


def is_distributed(path: str) -> bool:
    """Return whether a path is a folder that torch.distributed.checkpoint wrote."""
    return os.path.isfile(os.path.join(path, DISTRIBUTED))


def shard_of_tensors(index: str) -> dict[str, str]:
    """Return the shard of each tensor, by the tensor's name, from an index.

    Raises:
        InputError: the file is no index, or a shard is not beside it.
    """
    try:
        with open(index, encoding="utf-8") as file:
            shards = json.load(file)["weight_map"]
        if not shards or any(os.path.basename(shard) != shard for shard in shards.values()):
            raise ValueError("the shards lie beside their index")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        fault = f"{index}: is not an index of shards, with the file of each tensor in its weight_map"
        raise InputError(fault, "copy it again") from error
    for shard in shards.values():
        if not os.path.isfile(os.path.join(os.path.dirname(index), shard)):
            raise InputError(f"{index}: its shard {shard} is not there", "copy all shards beside it")
    return shards


def _require_whole(path: str) -> None:
    """Raise `InputError` if a file is a part of a checkpoint; the advice names the whole."""
    folder, name = os.path.split(path)
    if name == DISTRIBUTED or name.endswith(PART):
        whole = folder or os.curdir
        raise InputError(f"{path}: is a part of a distributed checkpoint", f"give the folder {_plain(whole)}")
    shard = _shard(name)
    if shard:
        index = os.path.join(folder, _index_of(shard))
        fault = f"{path}: is shard {int(shard[2])} of {int(shard[3])} of a checkpoint"
        if os.path.isfile(index):
            raise InputError(fault, f"give {_plain(index)} or its folder")
        raise InputError(f"{fault}, and {_index_of(shard)} is not there", "copy the index beside the shards")


def _shard(name: str) -> re.Match[str] | None:
    shard = SHARD.fullmatch(name)
    return shard if shard and int(shard[3]) > 1 else None


def _index_of(shard: re.Match[str]) -> str:
    return f"{shard[1]}{shard[4]}{INDEX}"


def _only_checkpoint(folder: str) -> str:
    names = _checkpoints(folder)
    if not names:
        for inner in sorted(_names(folder), key=lambda name: (len(name), name)):
            if os.path.isdir(os.path.join(folder, inner)) and not OF_TRAINING.match(inner):
                names += [os.path.join(inner, name) for name in _checkpoints(os.path.join(folder, inner))]
    if len(names) == 1:
        return os.path.normpath(os.path.join(folder, names[0]))
    if names:
        fault = f"{folder}: is a folder with {len(names)} checkpoints: {shortlist(names, NAMES_SHOWN)}"
        raise InputError(fault, "give one of them")
    content = _names(folder)
    for shard in filter(None, map(_shard, content)):
        fault = f"{folder}: is a folder with shards, whose {_index_of(shard)} is not there"
        raise InputError(fault, "copy the index beside the shards")
    fault = (
        f"{folder}: is a folder without a checkpoint; it has {shortlist(content, NAMES_SHOWN) or 'nothing'}"
    )
    raise InputError(fault, f"give a file ({', '.join(ENDINGS)}), or a folder with one")


def _checkpoints(folder: str) -> list[str]:
    """Return the names of the checkpoints that lie in a folder; `.` if the folder itself is one."""
    if is_distributed(folder):
        return [os.curdir]
    names = [name for name in _names(folder) if os.path.isfile(os.path.join(folder, name))]
    return [name for name in names if is_index(name)] + [name for name in names if _is_whole(name, names)]


def _is_whole(name: str, beside: list[str]) -> bool:
    """Return whether a file is a checkpoint by itself, by its name and those of the files beside it."""
    shard = SHARD.fullmatch(name)
    if not name.endswith(ENDINGS) or OF_TRAINING.match(name):
        return False
    return not shard or (not _shard(name) and _index_of(shard) not in beside)


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror})", "check its permissions") from error


def _plain(path: str) -> str:
    """Return a path for an advice, in which braces would name options."""
    return path.replace("{", "{{").replace("}", "}}")
