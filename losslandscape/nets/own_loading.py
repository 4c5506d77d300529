"""Loads a state through the net's own loading, where its modules have hooks or methods for it.

Such a module may resize its buffers (observers of quantisation), rename the tensors of older files, or keep
state that is no tensor. So shapes and names are compared after loading, not before.
"""

import copy
import inspect
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from losslandscape.core.text import one_line, with_type
from losslandscape.nets.tensor_fit import are_equal, misfit, tied_fault
from losslandscape.nets.tensor_names import WRAPPERS, State, below, needed_names

METHODS = ("load_state_dict", "_load_from_state_dict", "set_extra_state")
HOOKS = ("_load_state_dict_pre_hooks", "_load_state_dict_post_hooks")
# How torch names the tensor at fault, for another shape and for other errors of a copy.
AT_FAULT = re.compile(r'(?:size mismatch for |parameter named ")([^\s":]+)')


def has_own_loading(net: nn.Module) -> bool:
    """Return whether a module of the net loads its state in a way of its own.

    torch's own layers, such as batch norms, do not count.
    """
    for module in net.modules():
        methods = [getattr(module, name) for name in METHODS]
        are_torchs = [getattr(method, "__module__", "").startswith("torch.nn.modules.") for method in methods]
        if not all(are_torchs) or any(getattr(module, hooks, None) for hooks in HOOKS):
            return True
    return False


def load(net: nn.Module, state: Mapping[str, Tensor]) -> str:
    """Load a state through the net's `load_state_dict`, completely or not at all.

    Returns:
        Why the net does not hold the state; empty if it does. After a fault the net is as before.
    """
    before = _Snapshot(net)
    fault = _load(net, state, before.state)
    if fault:
        before.restore()
    return fault


def fits(net: nn.Module, state: Mapping[str, Tensor]) -> bool:
    """Return whether `load` would load this state. The net stays as it is."""
    before = _Snapshot(net)
    fault = _load(net, state, before.state)
    before.restore()
    return not fault


def states_below_wrappers(state: State) -> list[State]:
    """Return the states below the prefixes of wrappers in the names, such as `model.net.`."""
    starts = set()
    for name in state:
        parts = name.split(".")[:-1]
        for length in range(1, len(parts) + 1):
            if not set(parts[:length]) <= set(WRAPPERS):
                break
            starts.add(".".join([*parts[:length], ""]))
    return [below(prefix, state) for prefix in sorted(starts, key=len)]


class _Snapshot:
    """A copy of the tensors and the extra state of a net, which can be restored."""

    def __init__(self, net: nn.Module) -> None:
        places: list[dict] = []
        for module in net.modules():
            places += [module._parameters, module._buffers]
        self._places = [(tensors, dict(tensors)) for tensors in places]
        self._copies = [(tensor, tensor.detach().clone()) for tensor in (*net.parameters(), *net.buffers())]
        copies = {id(tensor): kept for tensor, kept in self._copies}
        self.state: dict[str, Any] = {}
        for name, value in net.state_dict(keep_vars=True).items():
            self.state[name] = copies.get(id(value), copy.deepcopy(value))
        paths = {f"{path}._extra_state".lstrip("."): module for path, module in net.named_modules()}
        self._extra = {name: paths[name] for name in self.state if name in paths}

    def restore(self) -> None:
        for tensors, before in self._places:
            tensors.clear()
            tensors.update(before)
        for tensor, kept in self._copies:
            if tensor.shape == kept.shape:
                tensor.detach().copy_(kept)
            else:
                tensor.data = kept
        for name, module in self._extra.items():
            module.set_extra_state(self.state[name])


def _load(net: nn.Module, state: Mapping[str, Tensor], before: Mapping[str, Any]) -> str:
    # A copy, because the net's method may change it; of the same type, because torch keeps versions in it.
    state = copy.copy(state)
    options = {"strict": False} if _takes_strict(net) else {}
    try:
        answer = net.load_state_dict(copy.copy(state), **options)
    except Exception as error:  # of any kind: hooks are code of the user
        return _cause(error, state, before)
    loaded = net.state_dict()
    missing = getattr(answer, "missing_keys", None)
    if missing is None:  # the net's own method returned nothing
        missing = [name for name in loaded if name not in state and _holds(loaded[name], before.get(name))]
    groups = {name: names for names in needed_names(net) for name in names}
    for name, value in loaded.items():
        is_needed = name in groups or not isinstance(value, Tensor)
        if name in missing and is_needed and set(groups.get(name, [name])) <= set(missing):
            return f"tensor {name!r} is missing"
        fault = _not_taken(name, value, state.get(name), before.get(name))
        if fault:
            return fault
    for name in getattr(answer, "unexpected_keys", ()):
        return f"tensor {one_line(name)!r} is not in the net"
    return tied_fault(net, state)


def _takes_strict(net: nn.Module) -> bool:
    parameters = inspect.signature(net.load_state_dict).parameters.values()
    return any(
        parameter.name == "strict" or parameter.kind is parameter.VAR_KEYWORD for parameter in parameters
    )


def _not_taken(name: str, tensor: object, value: object, before: object) -> str:
    """Return why a tensor of the net does not have its value from the file; empty if it may have.

    A module may convert a value while it loads it. So a tensor with another value is a fault only if the
    tensor has not changed.

    Args:
        name: the tensor's name.
        tensor: the tensor after loading.
        value: its value in the file.
        before: its value before loading.
    """
    if not isinstance(tensor, Tensor) or not isinstance(value, Tensor):
        return ""
    if _holds(tensor, value):
        fault = misfit(value, tensor)
        return f"tensor {name!r} {fault}" if fault else ""
    if _holds(tensor, before):
        return f"the net's own load_state_dict left tensor {name!r} as it was"
    return ""


def _holds(tensor: object, value: object) -> bool:
    """Return whether a tensor has the numbers of a value; False if they cannot be compared."""
    if not isinstance(tensor, Tensor) or not isinstance(value, Tensor) or tensor.shape != value.shape:
        return False
    if value.is_meta or value.is_quantized or tensor.is_quantized:
        return False
    return are_equal(tensor.to_dense(), value.to(tensor.device, tensor.dtype).to_dense())


def _cause(error: Exception, state: Mapping[str, Tensor], before: Mapping[str, Any]) -> str:
    """Return why the net's own loading raised an error."""
    name = AT_FAULT.search(str(error))
    if name and name[1] in state and isinstance(before.get(name[1]), Tensor):
        fault = misfit(state[name[1]], before[name[1]])
        if fault:
            return f"tensor {name[1]!r} {fault}"
    return f"the net's own load_state_dict raised {with_type(error)}"
