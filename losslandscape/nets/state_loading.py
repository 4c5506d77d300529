"""Copies a checkpoint's state into a net, completely or not at all.

The landscape of a net that is loaded only in part looks right but is wrong. So every tensor must fit, and the
error names the first one that does not.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from losslandscape.core.errors import InputError
from losslandscape.core.text import one_line, shortlist
from losslandscape.nets import adapters, minimiser, own_loading
from losslandscape.nets.blocks import is_large
from losslandscape.nets.tensor_fit import misfit, tied_fault
from losslandscape.nets.tensor_names import State, bare_name, below, needed_names, prefixes, rename, with_ties

NAMES_SHOWN = 3  # a message lists this many tensor names of the net, and as many of the file
MAX_NAME_LENGTH = 60  # a message cuts longer names after this many characters


def load_state(
    net: nn.Module,
    state: Mapping[str, Tensor],
    *,
    what: str,
    candidates: Mapping[str, State] | None = None,
    is_adapter: bool = False,
    mapped_files: Sequence[str] = (),
    assign: bool = False,
) -> None:
    """Copy a state into a net. Prefixes of wrappers are removed as in `tensor_names.rename`.

    A net whose modules load in their own way, through hooks or methods, gets the state through them.

    These may be missing: `num_batches_tracked` (PyTorch before 0.4.1 had none, and evaluation does not use
    it), and all but one of the names of a tied tensor. NaN is copied like any other value.

    Args:
        net: changed in place.
        state: tensors by name, with the shapes of the net's tensors. Floating-point tensors may have another
            precision.
        what: where the state comes from, such as a file name; it begins the message.
        candidates: all states of the same file by `state_key`, to suggest one that fits.
        is_adapter: whether the state is an adapter's: the net then keeps its other tensors. So it is if all
            names are those of an adapter.
        mapped_files: the mapped files in which the state lies, where the minimiser of a large net may stay.
        assign: whether the net gets the tensors of the state themselves instead of their numbers. It must
            load in no way of its own.

    Raises:
        InputError: a tensor is missing, does not fit, or is not in the net. The message names the first such
            tensor, some names that only the net or only the file has, and a `state_key` that would fit.
    """
    if is_adapter or adapters.is_adapter("", state):
        fitted = adapters.complete(state, net, what=what)
    else:
        fitted = rename(state, net)
    fault = _load(net, fitted, assign=assign)
    if fault:
        fault = f"{what}: {fault}{_differences(net, fitted)}"
        key = _fitting_key(net, candidates or {"": dict(state)})
        if key:
            raise InputError(f"{fault}, but state_key {key} fits", "give this {state_key}")
        raise InputError(fault, "is it the file of another model?")
    if mapped_files and is_large(net) and not assign:
        minimiser.remember(net, fitted, mapped_files)


def _load(net: nn.Module, state: State, *, assign: bool) -> str:
    """Load a state into a net, completely or not at all; return why it does not fit, empty if it does."""
    if own_loading.has_own_loading(net):
        fault = own_loading.load(net, state)
        inner = own_loading.states_below_wrappers(state) if fault else []
        return "" if any(not own_loading.load(net, below_wrapper) for below_wrapper in inner) else fault
    fault = _fault(net, state)
    if not fault:
        ties = with_ties(net, state) if assign else state
        net.load_state_dict({**net.state_dict(), **ties}, assign=assign)
    return fault


def _fits(net: nn.Module, state: State) -> bool:
    if own_loading.has_own_loading(net):
        return own_loading.fits(net, state)
    return not _fault(net, state)


def _fault(net: nn.Module, state: Mapping[str, Tensor]) -> str:
    """Why the state cannot be copied into the net; empty if it can."""
    own = net.state_dict()
    needed = needed_names(net)
    tied_names = {name: names for names in needed for name in names}
    for name, tensor in own.items():
        if name in state:
            cause = misfit(state[name], tensor) if isinstance(tensor, Tensor) else ""
            if cause:
                return f"tensor {name!r} {cause}"
        elif name in tied_names and not any(other in state for other in tied_names[name]):
            return f"tensor {name!r} is missing"
    for name in state:
        if name not in own:
            return f"tensor {one_line(name)!r} is not in the net"
    return tied_fault(net, state)


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
    return shortlist([one_line(name)[:MAX_NAME_LENGTH] for name in names], NAMES_SHOWN)


def _fitting_key(net: nn.Module, candidates: Mapping[str, State]) -> str:
    """The `state_key` of a state that fits the net; empty if there is none."""
    needed = [[bare_name(name) for name in names] for names in needed_names(net)]
    for key, state in candidates.items():
        states = {key: state}
        for prefix in prefixes(state, needed):
            states[f"{key}.{prefix}".strip(".")] = below(prefix, state)
        for state_key, candidate in states.items():
            if state_key and _fits(net, rename(candidate, net)):
                return state_key
    return ""
