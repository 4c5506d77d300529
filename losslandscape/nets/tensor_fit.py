"""Compares tensors of a checkpoint with those of a net: their types, shapes and numbers."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from losslandscape.core.text import one_line
from losslandscape.nets.blocks import blocks
from losslandscape.nets.tensor_names import needed_names


def misfit(value: object, tensor: Tensor) -> str:
    """Return why a value cannot be copied into a tensor of the net; empty if it can."""
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


def tied_fault(net: nn.Module, state: Mapping[str, Any]) -> str:
    """Return which two tensors of a state differ although the net ties them; empty if none do."""
    for names in needed_names(net):
        present = [name for name in names if isinstance(state.get(name), Tensor)]
        for name in present[1:]:
            first, other = state[present[0]], state[name]
            if first.shape != other.shape or not are_equal(first, other):
                return f"tensors {present[0]!r} and {name!r} differ, but in the net they are one tied tensor"
    return ""


def are_equal(a: Tensor, b: Tensor) -> bool:
    """Return whether two dense tensors of one shape hold the same numbers; NaN equals NaN."""
    if a.is_complex() or b.is_complex():
        return are_equal(*(torch.view_as_real(part.to(torch.complex128)) for part in (a, b)))
    return all(
        torch.allclose(part.double(), other.double(), rtol=0, atol=0, equal_nan=True)
        for part, other in blocks(a, b)
    )
