"""Finds layers with quantised weights, which no direction can move: they are codes, not numbers."""

import re

from torch import Tensor, nn

MODULES = re.compile(r"torch(\.ao)?\.nn\.quantized")  # layers of torch that keep packed weights, not tensors
TENSORS = re.compile(r"torchao\.")  # classes of tensors that look like floating-point ones
# Buffers in which GPTQ, AWQ, HQQ and compressed-tensors keep weights.
WEIGHTS = re.compile(r"weight|^W_?q$")


def is_quantised(tensor: Tensor) -> bool:
    """Return whether a weight is stored as integers or by torchao, not as floating-point numbers."""
    if TENSORS.match(type(tensor).__module__) or tensor.is_quantized:
        return True
    return not tensor.is_floating_point() and not tensor.is_complex()


def layers(net: nn.Module) -> list[str]:
    """Return the names of the layers with quantised weights."""
    names: list[str] = []
    for name, module in net.named_modules():
        is_inside = any(name.startswith(f"{outer}.") for outer in names[-1:])
        if not is_inside and _has_quantised_weights(module):
            names.append(name)
    return names


def sentence(net: nn.Module) -> str:
    """Return a sentence about the layers with quantised weights; "" if there is none."""
    names = layers(net)
    if not names:
        return ""
    if len(names) == 1:
        return f"1 layer has quantised weights, which do not move: {names[0]}"
    return f"{len(names)} layers have quantised weights, which do not move, such as {names[0]}"


def _has_quantised_weights(module: nn.Module) -> bool:
    if MODULES.match(type(module).__module__):
        return True
    if any(map(is_quantised, module.parameters(recurse=False))):
        return True
    buffers = module.named_buffers(recurse=False)
    return any(WEIGHTS.search(name) and is_quantised(buffer) and buffer.dim() > 1 for name, buffer in buffers)
