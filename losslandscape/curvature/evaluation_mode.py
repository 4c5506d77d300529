"""Puts a net into evaluation mode for a while, in a form with fast second derivatives."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from losslandscape.nets.net_state import NetState

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@contextmanager
def evaluation_mode(net: nn.Module, parameters: list[nn.Parameter]) -> Iterator[None]:
    """Put the net into evaluation mode inside the block, with gradients only for these parameters.

    In this mode, a batch norm is a fixed scale and shift. It is computed in this form, because
    PyTorch's own second derivative of a batch norm is slow. Attention uses its plain form, because its fast
    forms have no second derivative. What torch.compile has compiled runs uncompiled, for the same reason.
    Afterwards the net's state is as before.
    """
    modes = {module: module.training for module in net.modules()}
    flags = {parameter: parameter.requires_grad for parameter in net.parameters()}
    norms = [module for module in modes if isinstance(module, BATCH_NORMS) and _is_plain(module)]
    state = NetState(net)
    try:
        net.eval()
        for parameter in flags:  # one by one, because a scripted net has no `requires_grad_`
            parameter.requires_grad_(False)
        for parameter in parameters:
            parameter.requires_grad_()
        for norm in norms:
            vars(norm)["forward"] = partial(_scale_and_shift, norm)
        with sdpa_kernel(SDPBackend.MATH), _uncompiled():
            yield
    finally:
        state.restore()  # this also removes `forward`
        for parameter, flag in flags.items():
            parameter.requires_grad_(flag)
        for module, training in modes.items():
            module.training = training


def _uncompiled() -> AbstractContextManager[object]:
    if "torch._dynamo" not in sys.modules:  # nothing is compiled; the import takes a second
        return nullcontext()
    return torch.compiler.set_stance("force_eager")


def _is_plain(norm: BatchNorm) -> bool:
    """Return whether a batch norm has running statistics and PyTorch's own forward method."""
    is_replaced = type(norm) not in BATCH_NORMS or "forward" in vars(norm)
    return norm.running_mean is not None and not is_replaced


def _scale_and_shift(norm: BatchNorm, x: Tensor) -> Tensor:
    """Return x s + beta - mean s, with s = gamma / sqrt(var + eps): a batch norm in evaluation mode."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = torch.rsqrt(norm.running_var + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight
    shift = -norm.running_mean * scale
    if norm.bias is not None:
        shift = shift + norm.bias
    per_channel = (-1, *[1] * (x.dim() - 2))
    return torch.addcmul(shift.view(per_channel), x, scale.view(per_channel)).to(x.dtype)
