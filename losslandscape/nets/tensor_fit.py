"""Whether a value of a checkpoint fits a tensor of the net, and whether the tensor holds it."""

import torch
from torch import Tensor

from losslandscape.core.text import one_line


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


def are_equal(a: Tensor, b: Tensor) -> bool:
    """Return whether two dense tensors of one shape hold the same numbers; NaN equals NaN."""
    if a.is_complex() or b.is_complex():
        return are_equal(*(torch.view_as_real(part.to(torch.complex128)) for part in (a, b)))
    return torch.allclose(a.double(), b.double(), rtol=0, atol=0, equal_nan=True)
