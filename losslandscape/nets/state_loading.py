"""Copies a checkpoint's state into a net, completely or not at all.

The landscape of a net that is loaded only in part looks right but is wrong. So every tensor must fit, and the
error names the first one that does not.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from losslandscape.core.errors import InputError
from losslandscape.core.text import one_line
from losslandscape.nets.tensor_names import State, bare_name, below, needed_names, prefixes, rename

NAMES_SHOWN = 3  # a message lists this many tensor names of the net, and as many of the file
MAX_NAME_LENGTH = 60  # a message cuts longer names after this many characters


def load_state(
    net: nn.Module,
    state: Mapping[str, Tensor],
    *,
    what: str,
    candidates: Mapping[str, State] | None = None,
) -> None:
    """Copy a state into a net. Prefixes of wrappers are removed as in `tensor_names.rename`.

    These may be missing: `num_batches_tracked` (PyTorch before 0.4.1 had none, and evaluation does not use
    it), and all but one of the names of a tied tensor. NaN is copied like any other value.

    Args:
        net: changed in place.
        state: tensors by name, with the shapes of the net's tensors. Floating-point tensors may have another
            precision.
        what: where the state comes from, such as a file name; it begins the message.
        candidates: all states of the same file by `state_key`, to suggest one that fits.

    Raises:
        InputError: a tensor is missing, does not fit, or is not in the net. The message names the first such
            tensor, some names that only the net or only the file has, and a `state_key` that would fit.
    """
    fitted = rename(state, net)
    fault = _fault(net, fitted)
    if fault:
        fault = f"{what}: {fault}{_differences(net, fitted)}"
        key = _fitting_key(net, candidates or {"": dict(state)})
        if key:
            raise InputError(f"{fault}, but state_key {key} fits", "give this {state_key}")
        raise InputError(fault, "is it the file of another model?")
    net.load_state_dict({**net.state_dict(), **fitted})


def _fault(net: nn.Module, state: Mapping[str, Tensor]) -> str:
    """Why the state cannot be copied into the net; empty if it can."""
    own = net.state_dict()
    needed = needed_names(net)
    tied_names = {name: names for names in needed for name in names}
    for name, tensor in own.items():
        if name in state:
            misfit = _misfit(state[name], tensor) if isinstance(tensor, Tensor) else ""
            if misfit:
                return f"tensor {name!r} {misfit}"
        elif name in tied_names and not any(other in state for other in tied_names[name]):
            return f"tensor {name!r} is missing"
    for name in state:
        if name not in own:
            return f"tensor {one_line(name)!r} is not in the net"
    for names in needed:
        present = [name for name in names if name in state]
        for name in present[1:]:
            if not _are_equal(state[present[0]], state[name]):
                return f"tensors {present[0]!r} and {name!r} differ, but in the net they are one tied tensor"
    return ""


def _misfit(value: object, tensor: Tensor) -> str:
    """Why a value cannot be copied into a tensor of the net; empty if it can."""
    if not isinstance(value, Tensor):
        return f"is a {type(value).__name__}, not a tensor"
    if value.layout is not torch.strided or value.is_quantized or value.is_meta:
        return "is sparse, quantized or without data; the net's is dense"
    if value.shape != tensor.shape:
        return f"has shape {one_line(list(value.shape))}; the net's has {list(tensor.shape)}"
    is_integer_for_float = tensor.is_floating_point() and not value.is_floating_point()
    if is_integer_for_float or value.is_complex() != tensor.is_complex():
        return f"is of {value.dtype}; the net's is of {tensor.dtype}"
    return ""


def _are_equal(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a.double(), b.double(), rtol=0, atol=0, equal_nan=True)


def _differences(net: nn.Module, state: Mapping[str, Tensor]) -> str:
    """The first names that only the net has and that only the file has, as text in parentheses."""
    own = net.state_dict()
    only_net = [names[0] for names in needed_names(net) if not any(name in state for name in names)]
    only_file = [name for name in state if name not in own]
    sides = {"net": only_net, "file": only_file}
    lists = [f"only the {side} has {_shortened(names)}" for side, names in sides.items() if names]
    return f" ({', '.join(lists)})" if lists else ""


def _shortened(names: list[str]) -> str:
    """The first names as text, with an ellipsis if there are more."""
    shown = [one_line(name)[:MAX_NAME_LENGTH] for name in names[:NAMES_SHOWN]]
    return ", ".join([*shown, "…"] if len(names) > NAMES_SHOWN else shown)


def _fitting_key(net: nn.Module, candidates: Mapping[str, State]) -> str:
    """The `state_key` of a state that fits the net; empty if there is none."""
    needed = [[bare_name(name) for name in names] for names in needed_names(net)]
    for key, state in candidates.items():
        states = {key: state}
        for prefix in prefixes(state, needed):
            states[f"{key}.{prefix}".strip(".")] = below(prefix, state)
        for state_key, candidate in states.items():
            if state_key and not _fault(net, rename(candidate, net)):
                return state_key
    return ""
