"""Removes from the names of a checkpoint's tensors the parts that wrappers added in training.

DataParallel, torch.compile, Lightning and others wrap the net in another module. This adds a prefix, or a
part in the middle, to the names of tensors. The net's own names decide which parts are removed.
"""

import os
from collections import OrderedDict
from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor, nn

State = dict[str, Tensor]

# The names that DataParallel, DDP and users of Lightning give to the net inside the wrapper.
WRAPPERS = ("module", "model", "net")
# The names of torch.compile, FSDP and activation checkpointing, which may be anywhere in a tensor's name.
HIDDEN_WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")


def rename(state: Mapping[str, Tensor], net: nn.Module) -> State:
    """Return the state with the net's own names if only wrappers' parts differ; else an unchanged copy.

    Either the state has all of the net's names under a prefix of wrappers, or it lacks a prefix that all of
    the net's names have. In the first case, tensors without the prefix, such as weights of a loss, are left
    out.
    """
    needed = [[bare_name(name) for name in names] for names in needed_names(net)]
    own = {bare_name(name): name for name in net.state_dict()}
    bare = {bare_name(name): value for name, value in state.items()}
    for prefix in prefixes(bare, needed):
        if set(prefix.split(".")[:-1]) <= set(WRAPPERS):
            inside = {own.get(name, name): value for name, value in below(prefix, bare).items()}
            return with_versions(inside, state, {path: prefix + path for path in _module_paths(net)})
    prefix = _common_prefix(own)
    while prefix:
        without = [[name.removeprefix(prefix) for name in names] for names in needed]
        if "" in prefixes(bare, without):
            inside = {own.get(prefix + name, prefix + name): value for name, value in bare.items()}
            paths = [path for path in _module_paths(net) if f"{path}.".startswith(prefix)]
            return with_versions(inside, state, {path: f"{path}.".removeprefix(prefix) for path in paths})
        prefix = ".".join([*prefix.split(".")[:-2], ""])
    return with_versions(dict(state), state)


def with_versions(state: State, source: Mapping[str, Any], paths: Mapping[str, str] | None = None) -> State:
    """Return a state with the versions of modules that torch keeps in the state dict `source`.

    A module with its own loading tells old files from new ones by its version. Files of safetensors have
    none.

    Args:
        state: the tensors.
        source: the state dict that may have versions.
        paths: for each module, its path in `source`; None if the paths are the same. Dots at the end and the
            parts of `HIDDEN_WRAPPERS` do not count.
    """
    versions = getattr(source, "_metadata", None)
    if not isinstance(versions, Mapping):
        return state
    if paths is not None:
        bare = {bare_name(path): version for path, version in versions.items()}
        old = {path: bare_name(place).strip(".") for path, place in paths.items()}
        versions = {path: bare[place] for path, place in old.items() if place in bare}
    kept = OrderedDict(state)
    kept._metadata = versions  # type: ignore[attr-defined]
    return kept


def _module_paths(net: nn.Module) -> list[str]:
    return [path for path, _ in net.named_modules(remove_duplicate=False)]


def prefixes(names: Collection[str], needed: list[list[str]]) -> list[str]:
    """Return all prefixes, perhaps "", under which `names` has every needed tensor; the shortest first.

    Args:
        names: the names of tensors, with prefixes.
        needed: for each tensor its alternative names without a prefix; one of them is enough.

    >>> prefixes(["net.w", "net.b", "other.w"], [["w"], ["b"]])
    ['net.']
    """
    names, (first, *_) = set(names), needed or [[""]]
    candidates = {name.removesuffix(end) for name in names for end in first if name.endswith(end)}
    fitting = [
        prefix
        for prefix in candidates
        if (not prefix or prefix.endswith("."))
        and all(any(prefix + name in names for name in alternatives) for alternatives in needed)
    ]
    return sorted(fitting, key=lambda prefix: (len(prefix), prefix))


def below(prefix: str, state: Mapping[str, Tensor]) -> State:
    """Return the tensors whose names begin with a prefix, and remove the prefix from the names."""
    inside = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    paths = [path for path in getattr(state, "_metadata", ()) if f"{path}.".startswith(prefix)]
    return with_versions(inside, state, {f"{path}.".removeprefix(prefix).strip("."): path for path in paths})


def needed_names(net: nn.Module) -> list[list[str]]:
    """Return, for each tensor that a checkpoint must have, its names; one name of a tied tensor is enough.

    BN's `num_batches_tracked` is not needed: PyTorch before 0.4.1 had none, and evaluation does not use them.
    """
    groups: dict[Any, list[str]] = {}
    for name, tensor in net.state_dict().items():
        if isinstance(tensor, Tensor) and not name.endswith("num_batches_tracked"):
            place = (tensor.data_ptr(), tensor.shape, tensor.stride()) if tensor.numel() else name
            groups.setdefault(place, []).append(name)
    return list(groups.values())


def with_ties(net: nn.Module, state: Mapping[str, Tensor]) -> State:
    """Return a state in which a tied tensor of the net has all its names."""
    ties: State = {}
    for names in needed_names(net):
        value = next((state[name] for name in names if name in state), None)
        if value is not None:
            ties |= dict.fromkeys(names, value)
    return {**state, **ties}


def bare_name(name: str) -> str:
    """Return a name without the parts of `HIDDEN_WRAPPERS`.

    >>> bare_name("_orig_mod.conv.weight")
    'conv.weight'
    """
    return ".".join(part for part in name.split(".") if part not in HIDDEN_WRAPPERS)


def _common_prefix(names: Collection[str]) -> str:
    """Return the longest path of modules with which all names begin, with a dot after each module."""
    paths = [name.split(".")[:-1] for name in names]
    return "".join(f"{part}." for part in os.path.commonprefix(paths)) if paths else ""
