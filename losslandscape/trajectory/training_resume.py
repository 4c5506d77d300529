"""Loads the checkpoint from which a training goes on: the weights, and the momenta of the optimizer."""

import pickle

import torch
from torch import nn

from losslandscape.core.errors import InputError
from losslandscape.nets.checkpoint import read_checkpoint
from losslandscape.nets.state_loading import load_state

# The errors that torch.load raises for files of another kind.
UNREADABLE = (pickle.UnpicklingError, EOFError, RuntimeError, LookupError, TypeError, ValueError)


def resume_weights(net: nn.Module, path: str, *, epochs: int) -> int:
    """Load the checkpoint to be resumed into a net, and return its epoch."""
    checkpoint = read_checkpoint(path)
    if checkpoint.epoch is None:
        raise InputError(f"{path} does not record its epoch", "give another {resume_model}")
    if checkpoint.epoch >= epochs:
        fault = f"{path} was kept after epoch {checkpoint.epoch}, and the last epoch is {epochs}"
        raise InputError(fault, "give more {epochs}")
    load_state(net, checkpoint.state, what=path)
    return checkpoint.epoch


def resume_optimizer(optimizer: torch.optim.Optimizer, path: str) -> None:
    """Load the momenta of an optimizer; keep its learning rate, which the folder's name records."""
    own = optimizer.state_dict()
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    momentum = "exp_avg" if isinstance(optimizer, torch.optim.Adam) else "momentum_buffer"
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)["optimizer"]
        # A parameter's key is its index. In the old PyTorch of the published files, the key was an address.
        keys = [key for group in saved["param_groups"] for key in group["params"]]
        buffers = {keys.index(key): state for key, state in saved["state"].items()}
        fits = len(keys) == len(parameters) and all(
            momentum in state and _fits(state[momentum], parameters[index])
            for index, state in buffers.items()
        )
    except (*UNREADABLE, AttributeError) as error:
        fault = f"{path} is no opt_state_N.t7 of this program or the published one"
        raise InputError(fault, "give another {resume_opt}") from error
    if not fits:
        raise InputError(f"{path} belongs to another net or optimizer", "give another {resume_opt}")
    optimizer.load_state_dict({"state": buffers, "param_groups": own["param_groups"]})
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                # A fused kernel needs buffers in the memory layout of the parameters.
                state[name] = torch.empty_like(parameter).copy_(value)


def _fits(buffer: torch.Tensor | None, parameter: torch.Tensor) -> bool:
    return buffer is None or buffer.shape == parameter.shape
