"""Traces a net to the graph of the operations of ATen that it runs."""

from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call, functionalize
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.attention import SDPBackend, sdpa_kernel

from losslandscape.core.errors import InputError
from losslandscape.core.text import with_type
from losslandscape.nets import net_tensors
from losslandscape.nets.net_state import unchanged_state

Inputs = tuple[tuple[Any, ...], dict[str, Any]]  # what the net is called with


def trace(net: nn.Module, inputs: Inputs) -> fx.GraphModule:
    """Return the graph of a net in operations of ATen, as a function of its state and its inputs' tensors.

    Raises:
        InputError: torch.fx cannot trace the net.
    """
    state = net_tensors.moving_tensors(net, "states")

    def run(tensors: list[Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
        return functional_call(net, dict(zip(state, tensors, strict=True)), args, kwargs)

    try:
        with torch.no_grad(), unchanged_state(net), sdpa_kernel([SDPBackend.MATH]):
            return make_fx(functionalize(run))(list(state.values()), *inputs)
    except Exception as error:  # tracing runs the net's own code, which may raise anything
        fault = f"torch.fx cannot trace the net, a {type(net).__name__} ({with_type(error)})"
        raise InputError(fault, "let its forward() not depend on the values of tensors") from error
