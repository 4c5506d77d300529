"""Fits an adapter (LoRA and others, as the package peft saves them) into a net that has it.

A file of an adapter holds a few small tensors. The net's other weights stay as the function that makes the
net gives them. peft writes `base_model.model.layer.lora_A.weight` into the file, where the net has
`base_model.model.layer.lora_A.default.weight`: `default` is the name of the adapter in the net.
"""

import json
import os
import re
from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor, nn

from losslandscape.core.errors import InputError
from losslandscape.nets.tensor_names import WRAPPERS, State, bare_name, prefixes

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model"  # how the names of peft's files of weights begin
START_OF_PEFT = r"^.*base_model\.model\."
START_OF_WRAPPERS = rf"^((?:{'|'.join(WRAPPERS)})\.)*"
# The part of a tensor's name that shows that it belongs to an adapter, such as `lora_A`. In nets of peft, the
# name of the adapter is the next part.
KIND = r"(?:^|\.)(?:lora|ia3|vera|hada|lokr|oft|boft|trainable_tokens|adapters?)(?:_\w+)?"
ADAPTER = re.compile(rf"{KIND}(?:\.|$)")
IN_NET = re.compile(rf"(?:{KIND}|(?:^|\.)modules_to_save)\.(\w+)")
# Names that peft shortens in its files.
SHORTENED = {
    "lora_magnitude_vector.weight": "lora_magnitude_vector",
    "prompt_encoder.embedding.weight": "prompt_embeddings",
}
BASE = "base_model_name_or_path"
NOT_IN_FILES = "ranknum"  # a tensor of AdaLoRA that peft leaves out
DEFAULT = "default"
# Entries of a configuration that size and scale the adapter.
SCALES = ("r", "lora_alpha", "use_rslora", "alpha_pattern", "rank_pattern")


def configuration(folder: str) -> dict[str, Any]:
    """Return the configuration in the folder of an adapter; empty if there is none.

    Raises:
        InputError: the file is not a dict in JSON.
    """
    path = os.path.join(folder, CONFIG)
    if not os.path.isfile(path):
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            return dict(json.load(file))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: is not a configuration of an adapter", "copy it again") from error


def require_same_scale(net: nn.Module, path: str) -> None:
    """Raise `InputError` if the configurations of the net and of the adapter at `path` have other scales.

    Args:
        net: a net that may have the configurations of peft.
        path: the file of the adapter's weights.
    """
    in_file = configuration(os.path.dirname(path))
    for config in _configurations(net).values():
        for name in SCALES:
            if name in in_file and getattr(config, name, in_file[name]) != in_file[name]:
                fault = f"{path}: its {name} is {in_file[name]}, and the net's is {getattr(config, name)}"
                advice = "make the net with this adapter, such as hf: with its folder in {model}"
                raise InputError(fault, advice)


def other_base(net: nn.Module, path: str) -> str:
    """Return the base that the adapter at `path` was trained on, if the net has another base; else "".

    If one of the two bases is not known, also return "".
    """
    base = configuration(os.path.dirname(path)).get(BASE)
    for config in _configurations(net).values():
        base_of_net = getattr(config, BASE, None)
        if base and base_of_net and os.path.realpath(base) != os.path.realpath(base_of_net):
            return base
    return ""


def _configurations(net: nn.Module) -> dict[str, Any]:
    """Return the configurations that peft keeps in the modules of a net, by the name of the adapter."""
    kept = [getattr(module, "peft_config", None) for module in net.modules()]
    return {
        name: config for configs in kept if isinstance(configs, Mapping) for name, config in configs.items()
    }


def is_adapter(path: str, state: Collection[str]) -> bool:
    """Return whether a checkpoint is an adapter alone.

    Args:
        path: the file, beside which peft keeps the adapter's configuration.
        state: the names of its tensors.
    """
    folder, name = os.path.split(path)
    if name.startswith(WEIGHTS) and os.path.isfile(os.path.join(folder, CONFIG)):
        return True
    return bool(state) and all(ADAPTER.search(name) for name in state)


def complete(state: Mapping[str, Tensor], net: nn.Module, *, what: str) -> State:
    """Return the state of a net with an adapter from a file; all other tensors are as in the net.

    Args:
        state: the tensors of the adapter, by their names in the file.
        net: a net that has the adapter.
        what: where the state comes from; it begins the message.

    Raises:
        InputError: the net has no adapter, or several that the file would fit.
    """
    own = net.state_dict()
    adapters = _adapters(net, own)
    if not adapters and not any(map(ADAPTER.search, own)):
        fault = f"{what}: is an adapter alone, and the net has none"
        raise InputError(
            fault, "make a net with the adapter, such as hf: with the adapter's folder in {model}"
        )
    names_in_net = {adapter: _names(state, own, adapter) for adapter in ("", *adapters)}
    most = max(map(len, names_in_net.values()))
    fitting = [adapter for adapter, names in names_in_net.items() if len(names) == most]
    if most and len(fitting) > 1 and not {"", DEFAULT} & set(fitting):
        fault = f"{what}: fits several adapters of the net, {', '.join(fitting)}"
        raise InputError(fault, "make a net with one of them")
    adapter = DEFAULT if DEFAULT in fitting else fitting[0]
    base = {name: value for name, value in own.items() if not _is_of(adapter, name)}
    names = names_in_net[adapter]
    return {**base, **{names.get(name, name): value for name, value in state.items()}}


def _adapters(net: nn.Module, names: Collection[str]) -> list[str]:
    """Return the names of the adapters in a net, from peft's configurations and from its tensors' names."""
    in_names = [match[1] for match in map(IN_NET.search, names) if match]
    return list(dict.fromkeys([*_configurations(net), *in_names]))


def _is_of(adapter: str, name: str) -> bool:
    """Return whether a tensor of the net belongs to its adapter of this name; "" stands for any."""
    parts = name.split(".")
    return adapter in parts and NOT_IN_FILES not in parts if adapter else bool(ADAPTER.search(name))


def _names(state: Collection[str], own: Collection[str], adapter: str) -> dict[str, str]:
    """Return, for the tensors of a file that fit one adapter of a net, their names in the net.

    The net may be the `PeftModel` or the net inside it. Names in net and file may have parts of wrappers.

    Args:
        state: the names of the tensors in the file.
        own: the names of the tensors in the net.
        adapter: the name of the adapter in the net; "" for names that have no such part.
    """
    if not adapter and set(state) <= set(own):
        return {name: name for name in state}
    full_names = {_short(bare_name(name), adapter): name for name in own}
    names_in_net: dict[str, str] = {}
    for start in START_OF_WRAPPERS, START_OF_PEFT:
        ends = {name: re.sub(start, "", bare_name(name)) for name in state}
        ends = {name: end for name, end in ends.items() if any(short.endswith(end) for short in full_names)}
        fitting = prefixes(full_names, [[end] for end in ends.values()]) if ends else []
        if fitting and len(ends) > len(names_in_net):
            names_in_net = {name: full_names[fitting[0] + end] for name, end in ends.items()}
    return names_in_net


def _short(name: str, adapter: str) -> str:
    """Return the name that peft writes into a file for a tensor of the net.

    >>> _short("base_model.model.head.modules_to_save.default.weight", "default")
    'base_model.model.head.weight'
    """
    if not adapter or not _is_of(adapter, name):
        return name
    parts = [part for part in name.split(".") if part not in ("modules_to_save", adapter)]
    short = ".".join(parts)
    for long, written in SHORTENED.items():
        short = re.sub(rf"(^|\.){re.escape(long)}$", rf"\1{written}", short)
    return short
