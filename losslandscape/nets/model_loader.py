"""From a name and a checkpoint file to a net that is ready to be measured.

Whatever is not a net of real numbers, or does not fit, is named, since a net loaded by halves draws a landscape that looks right and is not.
"""

import ast
import inspect
import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from losslandscape.core import user_code
from losslandscape.core.errors import InputError
from losslandscape.nets import library_nets
from losslandscape.nets.checkpoint import (
    State,
    bare_name,
    needed_names,
    prefixes,
    read_checkpoint,
    rename,
    short,
)
from losslandscape.nets.models import MODELS

SHOWN = 3  # names of a kind in a message

_given: "weakref.WeakSet[nn.Module]" = weakref.WeakSet()  # the user's nets that are in use


def parse_model_args(texts: Iterable[str]) -> dict[str, Any]:
    """`key=value` texts as keyword arguments; a value is a Python literal if it reads as one (true, false and none in any case), else text.

    >>> parse_model_args(["depth=3", "act=gelu", "widths=(8, 16)", "bias=false"])
    {'depth': 3, 'act': 'gelu', 'widths': (8, 16), 'bias': False}

    Raises:
        InputError: naming a text of another form, or a key that comes twice.
    """
    arguments: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.isidentifier():
            raise InputError(f"--model_args {text!r} is not key=value, such as depth=3")
        if key in arguments:
            raise InputError(f"--model_args gives {key} twice; give one")
        arguments[key] = _literal(value)
    return arguments


def build(model: str, model_args: Mapping[str, Any] | None = None) -> nn.Module:
    """A net on the CPU: one of the paper's by name, `FILE.py:FUNCTION` or `package.module:function` of the user, or a package's (`library_nets`).

    The paper's nets have random weights, which take draws from torch's global generator; others are as they are returned, and whatever
    they draw or seed, one draw is taken.

    Raises:
        InputError: for an unknown name, arguments that it does not take, or what is not a net of dense real numbers.
        user_code.OwnCodeError: for the user's function that raises.
    """
    arguments = dict(model_args or {})
    if model in MODELS:
        return _make(MODELS[model], model, arguments)
    if library_nets.is_library(model):
        with _random_draws_apart():
            net = library_nets.build(model, arguments)
    elif user_code.is_own(model):
        function = user_code.load(model)
        with _random_draws_apart():
            net = _make(function, model, arguments)
    else:
        raise InputError(
            f"there is no model {model!r}; choose one of {', '.join(sorted(MODELS))}, or give FILE.py:FUNCTION, torchvision:NAME, timm:NAME or "
            "hf:NAME"
        )
    _require_usable(net, f"--model {model}")
    return net.cpu()


def find(folder: str, name: str) -> str:
    """A model file as given, or in `folder` if it is there only."""
    inside = os.path.join(folder, name)
    return inside if folder and name and not os.path.exists(name) and os.path.exists(inside) else name


def load(
    model: str,
    model_file: str = "",
    *,
    model_args: Mapping[str, Any] | None = None,
    state_key: str = "",
    unsafe_pickle: bool = False,
) -> nn.Module:
    """The net on the CPU in evaluation mode, with the weights of `model_file` if one is given, else as `build` makes it.

    It is built in either case, so that the draws that follow (directions) do not depend on the file. `state_key` and `unsafe_pickle` are
    those of `read_checkpoint`.

    Raises:
        InputError: as `build`, or for a file that cannot be read or does not fit.
    """
    net = build(model, model_args)
    if model_file:
        saved = read_checkpoint(model_file, state_key=state_key, unsafe_pickle=unsafe_pickle)
        load_state(net, saved.state, what=model_file, candidates=saved.candidates)
    return net.eval()


def load_state(
    net: nn.Module, state: Mapping[str, Tensor], *, what: str, candidates: Mapping[str, State] | None = None
) -> None:
    """Copy `state` into the net; all or nothing. Wrappers' prefixes are taken off as `checkpoint.rename` does.

    A missing `num_batches_tracked` is fine (PyTorch before 0.4.1 had none; it is of no use in evaluation), and so are NaN and, of a
    tied tensor, all names but one.

    Args:
        net: changed in place.
        state: tensors by name, of the net's shapes; floating-point ones may differ in precision.
        what: where they come from, for the message.
        candidates: all states there by their `--state_key`, for the message.

    Raises:
        InputError: naming the first tensor, in the net's order, that is missing or does not fit, or one that the net lacks; the first names that
            differ; and the `--state_key` that would help, if one would.
    """
    fitted = rename(state, net)
    fault = _fault(net, fitted)
    if fault:
        raise InputError(
            f"{what}: {fault}{_differences(net, fitted)}; {_advice(net, candidates or {'': dict(state)})}"
        )
    net.load_state_dict({**net.state_dict(), **fitted})


def _make(function: Callable[..., Any], model: str, arguments: dict[str, Any]) -> Any:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # made in C
        signature = None
    try:
        if signature is not None:
            signature.bind(**arguments)
    except TypeError as error:
        raise InputError(
            f"--model {model}: {error}; it takes {signature.replace(return_annotation=inspect.Signature.empty)}, given by --model_args"
        ) from None
    return user_code.call(partial(function, **arguments), what=f"--model {model}")


@contextmanager
def _random_draws_apart() -> Iterator[None]:
    """Code within may draw and seed as it likes: what is drawn after it depends on the seed before it alone, and not on the same draws."""
    seed = int(torch.randint(2**62, ()))
    try:
        yield
    finally:
        torch.manual_seed(seed)


def _require_usable(net: Any, what: str) -> None:
    """Raise `InputError` unless this is a module of dense real numbers that nobody else has."""
    if not isinstance(net, nn.Module):
        kind = (
            f"the class {net.__name__}, not an object of it"
            if isinstance(net, type)
            else f"a {type(net).__name__}"
        )
        raise InputError(f"{what} should return a torch.nn.Module, and returned {kind}")
    if net in _given:
        raise InputError(f"{what} returned the same net as before; make a new one at each call")
    parameters = dict(net.named_parameters())
    if not parameters:
        raise InputError(
            f"{what} returned a {type(net).__name__} without parameters, so that nothing can move"
        )
    for name, tensor in [*parameters.items(), *net.named_buffers()]:
        fault = ""
        if isinstance(tensor, nn.parameter.UninitializedTensorMixin):
            fault = "has no shape yet; run a batch through the net before it is returned"
        elif tensor.is_meta:
            fault = "is on the meta device, without numbers; give it some before it is returned"
        elif name in parameters and not tensor.is_floating_point():
            fault = f"is of {tensor.dtype}; real floating-point numbers are needed, so view complex ones as pairs (torch.view_as_real)"
        elif name in parameters and tensor.layout is not torch.strided:
            fault = "is sparse; make it dense"
        if fault:
            raise InputError(f"{what}: tensor {name!r} of its {type(net).__name__} {fault}")
    _given.add(net)


def _literal(text: str) -> Any:
    named = {"true": True, "false": False, "none": None}
    if text.lower() in named:
        return named[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _fault(net: nn.Module, state: Mapping[str, Tensor]) -> str:
    """What keeps the state from being copied into the net; empty if nothing does."""
    own = net.state_dict()
    needed = {name: names for names in needed_names(net) for name in names}
    for name, tensor in own.items():
        if name not in state and not any(other in state for other in needed.get(name, [])) and name in needed:
            return f"tensor {name!r} is missing"
        if name in state and isinstance(tensor, Tensor) and (fault := _misfit(state[name], tensor)):
            return f"tensor {name!r} {fault}"
    for name in state:
        if name not in own:
            return f"tensor {short(name)!r} is not in the net"
    for names in needed_names(net):
        there = [name for name in names if name in state]
        for name in there[1:]:
            if not torch.allclose(
                state[name].double(), state[there[0]].double(), rtol=0, atol=0, equal_nan=True
            ):
                return f"tensors {there[0]!r} and {name!r} differ, but are one in the net"
    return ""


def _misfit(value: object, tensor: Tensor) -> str:
    """What keeps `value` from being copied into the net's `tensor`; empty if nothing does."""
    if not isinstance(value, Tensor):
        return f"is a {type(value).__name__}, not a tensor"
    if value.layout is not torch.strided or value.is_quantized or value.is_meta:
        return "is sparse, quantized or without data, where the net's is dense"
    if value.shape != tensor.shape:
        return f"has shape {short(list(value.shape))}, where the net's has {list(tensor.shape)}"
    if (
        value.is_complex() != tensor.is_complex()
        or tensor.is_floating_point()
        and not value.is_floating_point()
    ):
        return f"is of {value.dtype}, where the net's is of {tensor.dtype}"
    return ""


def _differences(net: nn.Module, state: Mapping[str, Tensor]) -> str:
    """The first names that only one of both has."""
    own = net.state_dict()
    net_alone = [names[0] for names in needed_names(net) if not any(name in state for name in names)]
    file_alone = [name for name in state if name not in own]
    told = [
        f"{who} alone has {', '.join(short(name)[:60] for name in names[:SHOWN])}{', …' if len(names) > SHOWN else ''}"
        for who, names in (("the net", net_alone), ("the file", file_alone))
        if names
    ]
    return f" ({', '.join(told)})" if told else ""


def _advice(net: nn.Module, candidates: Mapping[str, State]) -> str:
    needed = [[bare_name(name) for name in names] for names in needed_names(net)]
    for key, state in candidates.items():
        found = {key: state}
        for prefix in prefixes(state, needed):
            inside = {
                name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
            }
            found[f"{key}.{prefix}".strip(".")] = inside
        for state_key, inside in found.items():
            if state_key and not _fault(net, rename(inside, net)):
                return f"give --state_key {state_key}, which fits"
    return "is it the file of another model?"
