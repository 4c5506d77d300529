"""Finds the net inside a wrapper, such as that of torch.compile or DataParallel."""

import torch
from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from losslandscape.core.errors import InputError

# The operations that work differently in training, with the position of the argument that is true then.
TRAINING_ARGUMENT = {"aten::batch_norm": 5, "aten::dropout": 2, "aten::feature_dropout": 2}


def unwrapped(net: nn.Module) -> nn.Module:
    """Return the net inside wrappers of torch.compile, DataParallel and DistributedDataParallel.

    The inner net computes the same and has the same tensors. It runs on any device, can be copied, and can
    be differentiated twice.

    Raises:
        InputError: `torch.jit.freeze` has made the weights constants, so nothing can move; or the net comes
            from torch.export and has no evaluation mode.
    """
    while (inner := _inner(net)) is not None:
        net = inner
    if is_scripted(net) and next(net.parameters(), None) is None:
        fault = "the net has no parameters, as torch.jit.freeze makes them constants"
        raise InputError(fault, "give the net as it was before")
    if isinstance(net, torch.fx.GraphModule) and "eval" in vars(net):  # there it raises an error
        fault = "the net comes from torch.export, which takes its evaluation mode away"
        raise InputError(fault, "give the net as it was before")
    return net


def _inner(net: nn.Module) -> nn.Module | None:
    if isinstance(net, DataParallel | DistributedDataParallel):
        return net.module
    return getattr(net, "_orig_mod", None)  # of torch.compile, whose class takes a second to import


def is_scripted(net: nn.Module) -> bool:
    """Return whether torch.jit has compiled the net or a part of it."""
    return any(isinstance(module, torch.jit.ScriptModule) for module in net.modules())


def traced_in_training(net: nn.Module) -> bool:
    """Return whether torch.jit.trace recorded a part of the net in training mode, which eval() cannot end."""
    scripted = [module for module in net.modules() if isinstance(module, torch.jit.ScriptModule)]
    graphs = [module.inlined_graph for module in scripted if hasattr(module, "inlined_graph")]
    return any(
        list(node.inputs())[place].toIValue() is True
        for graph in graphs
        for operation, place in TRAINING_ARGUMENT.items()
        for node in graph.findAllNodes(operation)  # type: ignore[attr-defined]
    )
