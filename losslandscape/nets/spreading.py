"""Spreads a net that is too large for one GPU over several, layer by layer, with the package accelerate.

Each tensor lies on one GPU, and accelerate's hooks carry the values from layer to layer. The net takes its
inputs on its first GPU, where its first layer lies, and returns its outputs there.
"""

import importlib
from collections.abc import Mapping
from itertools import chain

import torch
from torch import Tensor, nn

from losslandscape.core.errors import InputError

GIB = 2**30


def spread(net: nn.Module, free: Mapping[int, int]) -> None:
    """Move the layers of a net to several GPUs.

    Args:
        net: the net, on the CPU.
        free: the free bytes of each GPU, by its index; the first takes the inputs.

    Raises:
        InputError: accelerate is not installed, or the net does not fit.
    """
    places = device_map(net, free)
    accelerate = importlib.import_module("accelerate")
    accelerate.dispatch_model(net, places, main_device=next(iter(free)))


def device_map(net: nn.Module, free: Mapping[int, int]) -> dict[str, int]:
    """Return the GPU of each part of the net, by the part's name.

    The parts follow one another over the GPUs, in shares as equal as whole layers allow.

    Raises:
        InputError: as in `spread`.
    """
    try:
        accelerate = importlib.import_module("accelerate")
    except ImportError as error:
        fault = f"the package accelerate, which spreads a net over GPUs, is missing ({error})"
        raise InputError(fault, "pip install accelerate transformers, or leave {ngpu} out") from error
    whole = sorted(_layers(net))
    shares = accelerate.utils.get_balanced_memory(net, dict(free), no_split_module_classes=whole)
    places = accelerate.infer_auto_device_map(net, shares, no_split_module_classes=whole)
    if not set(places.values()) <= set(free):  # accelerate would leave the others on the disk
        needed = sum(tensor.nbytes for tensor in _tensors(net)) / GIB
        room = sum(free.values()) / GIB
        fault = f"the net takes {needed:.1f} GiB, and {len(free)} GPUs have {room:.1f} GiB free"
        raise InputError(fault, "give each rank more GPUs with {ngpu}")
    return dict(places)


def _layers(net: nn.Module) -> set[str]:
    """Return the classes of the layers that stay whole on a GPU, as they may add input and output."""
    lists = [module for module in net.modules() if isinstance(module, nn.ModuleList | nn.Sequential)]
    names = {type(layer).__name__ for layer in chain(*lists)}
    return names | set(getattr(net, "_no_split_modules", None) or ())


def is_spread(net: nn.Module) -> bool:
    """Return whether accelerate has put the net on several devices, here or in the user's code."""
    places = getattr(net, "hf_device_map", None) or {}
    return len(set(places.values())) > 1


def place(net: nn.Module, device: torch.device) -> nn.Module:
    """Move a net to a device, unless it is spread over several; return it."""
    return net if is_spread(net) else net.to(device)


def describe(net: nn.Module) -> str:
    """Return a line that says how much of the net lies on each device."""
    sizes: dict[torch.device, int] = {}
    for tensor in _tensors(net):
        sizes[tensor.device] = sizes.get(tensor.device, 0) + tensor.nbytes
    places = ", ".join(f"{device} ({size / GIB:.2f} GiB)" for device, size in sizes.items())
    return f"the net is spread over {places}"


def _tensors(net: nn.Module) -> chain[Tensor]:
    return chain(net.parameters(), net.buffers())
