"""Builds the net that a name describes, and loads the weights of a checkpoint file."""

import ast
import copy
import inspect
import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from losslandscape.core import user_code, weight_files
from losslandscape.core.errors import InputError
from losslandscape.core.random_state import seeded
from losslandscape.nets import adapters, library_nets, own_loading, quantised
from losslandscape.nets.blocks import is_large
from losslandscape.nets.checkpoint import Checkpoint, read_checkpoint
from losslandscape.nets.models import MODELS
from losslandscape.nets.state_loading import load_state
from losslandscape.nets.tensor_names import needed_names
from losslandscape.nets.wrappers import unwrapped

_on_base: "weakref.WeakSet[nn.Module]" = weakref.WeakSet()  # nets whose file is an adapter alone
_in_use: "weakref.WeakSet[nn.Module]" = weakref.WeakSet()  # nets that the user's functions returned


def parse_model_args(texts: Iterable[str]) -> dict[str, Any]:
    """Return `key=value` texts as keyword arguments.

    A value that parses as a Python literal becomes one, with true, false and none in upper or lower case. Any
    other value stays text.

    >>> parse_model_args(["depth=3", "act=gelu", "widths=(8, 16)", "bias=false"])
    {'depth': 3, 'act': 'gelu', 'widths': (8, 16), 'bias': False}

    Raises:
        InputError: a text is not `key=value`, or two texts have one key.
    """
    arguments: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.isidentifier():
            raise InputError(f"{text!r} is not key=value, such as depth=3", "write so in {model_args}")
        if key in arguments:
            raise InputError(f"the model's argument {key} is given twice", "give it once in {model_args}")
        arguments[key] = _literal(value)
    return arguments


def _literal(text: str) -> Any:
    named = {"true": True, "false": False, "none": None}
    if text.lower() in named:
        return named[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def find(folder: str, name: str) -> str:
    """Return the path of a model file: `name`, or `folder`/`name` if only this exists.

    The path of a folder ends in the folder's name, because files beside it are named after it.
    """
    inside = os.path.join(folder, name)
    path = inside if folder and name and not os.path.exists(name) and os.path.exists(inside) else name
    if not os.path.isdir(path):
        return path
    path = os.path.normpath(path)
    return os.path.abspath(path) if os.path.basename(path) in (os.curdir, os.pardir) else path


def load(
    model: str,
    model_file: str = "",
    *,
    model_args: Mapping[str, Any] | None = None,
    state_key: str = "",
    unsafe_pickle: bool = False,
) -> nn.Module:
    """Return a net on the CPU in evaluation mode, with the weights of `model_file` if it is not "".

    `build` makes the net in both cases, so the later random draws of directions do not depend on the file.

    Args:
        model: the name of the model, as in `build`.
        model_file: the path of a checkpoint, or "".
        model_args: keyword arguments, as in `build`.
        state_key, unsafe_pickle: how to read the checkpoint, as in `checkpoint.read_checkpoint`.

    Raises:
        InputError: `build` raises it, or the file cannot be read or does not fit the net.
    """
    if not model_file:
        return build(model, model_args).eval()
    saved = read_checkpoint(model_file, state_key=state_key, unsafe_pickle=unsafe_pickle)
    net = _build_base(model, model_args) if saved.is_adapter else build(model, model_args)
    if saved.is_adapter:
        adapters.require_same_scale(net, weight_files.find(model_file))
    _load_state(net, saved, model_file)
    if saved.is_adapter and len(saved.state) < len(needed_names(net)):
        _on_base.add(net)
    return net.eval()


def _load_state(net: nn.Module, saved: Checkpoint, model_file: str, *, assign: bool = False) -> None:
    load_state(
        net,
        saved.state,
        what=model_file,
        candidates=saved.candidates,
        is_adapter=saved.is_adapter,
        mapped_files=saved.mapped_files,
        assign=assign,
    )


def load_beside(
    net: nn.Module,
    model: str,
    model_file: str,
    *,
    model_args: Mapping[str, Any] | None = None,
    state_key: str = "",
    unsafe_pickle: bool = False,
) -> nn.Module:
    """Return the net of another checkpoint, as `load` does, to compare its tensors with those of `net`.

    If `net` is large, the tensors of the other net lie in the mapped checkpoint, and it may have those of
    `net` where the checkpoint lacks them.
    """
    other = _sharing_tensors(net) if is_large(net) and not own_loading.has_own_loading(net) else None
    if other is None:
        return load(
            model, model_file, model_args=model_args, state_key=state_key, unsafe_pickle=unsafe_pickle
        )
    saved = read_checkpoint(model_file, state_key=state_key, unsafe_pickle=unsafe_pickle)
    _load_state(other, saved, model_file, assign=True)
    return other


def _sharing_tensors(net: nn.Module) -> nn.Module | None:
    """Return a copy of a net's modules with the net's own tensors; None if they cannot be copied."""
    try:
        return copy.deepcopy(net, {id(tensor): tensor for tensor in (*net.parameters(), *net.buffers())})
    except Exception:  # a module of the user's may raise anything
        return None


def _build_base(model: str, model_args: Mapping[str, Any] | None) -> nn.Module:
    """Build a net for an adapter. Its other weights are alike in every such net, also if they are random."""
    with _random_draws_apart(), seeded(0):
        return build(model, model_args)


def is_on_base(net: nn.Module) -> bool:
    """Return whether `load` took only an adapter from the file: other weights are as `build` made them."""
    return net in _on_base


def build(model: str, model_args: Mapping[str, Any] | None = None) -> nn.Module:
    """Build a net on the CPU.

    The paper's nets get random weights from torch's global generator. Other code may draw and seed;
    afterwards the generator is seeded with a number that was drawn before that code ran.

    Args:
        model: a name of the paper's nets (`MODELS`), of a net of another package (`library_nets`), or a
            function of the user, `FILE.py:FUNCTION` or `package.module:function`.
        model_args: keyword arguments of the function that makes the net.

    Raises:
        InputError: the model does not exist, refuses the arguments, is not a new net with parameters, or has
            a parameter that is not dense and real.
        user_code.OwnCodeError: the user's function raises an error.
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
        names = ", ".join(sorted(MODELS))
        others = "FILE.py:FUNCTION, torchvision:NAME, timm:NAME or hf:NAME"
        raise InputError(f"there is no model {model!r}", f"choose one of {names}, or give {others}")
    return _usable(net, model).cpu()


def _make(function: Callable[..., Any], model: str, arguments: dict[str, Any]) -> Any:
    _require_arguments(function, model, arguments)
    return user_code.call(partial(function, **arguments), what=f"model {model}")


def _require_arguments(function: Callable[..., Any], model: str, arguments: dict[str, Any]) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # written in C: the call itself checks them
        return
    try:
        signature.bind(**arguments)
    except TypeError as error:
        takes = signature.replace(return_annotation=inspect.Signature.empty)
        raise InputError(f"model {model}: {error}; it takes {takes}", "give these in {model_args}") from None


@contextmanager
def _random_draws_apart() -> Iterator[None]:
    """Keep draws in the block from changing later ones: seed afterwards with a number drawn before it."""
    seed = int(torch.randint(2**62, ()))
    try:
        yield
    finally:
        torch.manual_seed(seed)


def _usable(net: Any, model: str) -> nn.Module:
    """Return the net inside its wrappers.

    Raises:
        InputError: this is not a new module with parameters, all of them dense and real.
    """
    if isinstance(net, type):
        raise InputError(f"model {model} returned the class {net.__name__}", "return an object of it")
    if not isinstance(net, nn.Module):
        fault = f"model {model} returned a {type(net).__name__}"
        raise InputError(fault, "return a torch.nn.Module")
    net = unwrapped(net)
    if net in _in_use:
        raise InputError(f"model {model} returned the same net as before", "make a new one at each call")
    kind = type(net).__name__
    if all(map(quantised.is_quantised, net.parameters())):
        if text := quantised.sentence(net):
            raise InputError(
                f"model {model}: nothing of its {kind} can move; {text}", "load it as it was before"
            )
        raise InputError(f"model {model} returned a {kind} without parameters, so that nothing can move")
    for tensors, is_parameter in ((net.named_parameters(), True), (net.named_buffers(), False)):
        for name, tensor in tensors:
            what = f"model {model}: tensor {name!r} of its {kind}"
            _require_usable_tensor(what, tensor, is_parameter=is_parameter)
    _in_use.add(net)
    return net


def _require_usable_tensor(what: str, tensor: Tensor, *, is_parameter: bool) -> None:
    if is_lazy(tensor):
        raise InputError(f"{what} has no shape yet", "run a batch through the net before you return it")
    if tensor.is_meta:
        raise InputError(f"{what} has no numbers: it is on the meta device", "move the net off that device")
    if is_parameter and tensor.is_complex():
        advice = "use real numbers, as pairs (torch.view_as_real)"
        raise InputError(f"{what} is of {tensor.dtype}", advice)
    if is_parameter and tensor.layout is not torch.strided:
        raise InputError(f"{what} is sparse", "make it dense")
