"""Compares the results of a net's copy with the net's own."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

RELATIVE_TOLERANCE = 1e-3  # largest relative difference between results of the copy and of the net
PERTURBATION = 0.25  # relative change of the net's tensors, to test whether the copy follows
SCALE_QUANTILE = 0.25  # of absolute results: this quantile sets the tolerance for all that are smaller
MAX_QUANTILE_SIZE = 2**20  # the quantile is computed from at most this many results


def agree(numbers: Tensor, expected: Tensor, *, zero_is_proof: bool) -> bool:
    """Return whether each result of a copy equals the net's, up to a relative tolerance.

    Results near zero get the tolerance of a result of typical size. The typical size is a quantile, not a
    mean, because a few results, such as those of masks, may be huge.

    Args:
        numbers: the results of the copy, in float64.
        expected: the results of the net, in float64.
        zero_is_proof: what to return if all results of the net are zero.
    """
    sizes = expected[expected.isfinite() & (expected != 0)].abs()
    if not sizes.numel():  # all results are zero, as those of a wrong copy may be
        return zero_is_proof
    typical_size = sizes[:: 1 + sizes.numel() // MAX_QUANTILE_SIZE].quantile(SCALE_QUANTILE)
    tolerance = RELATIVE_TOLERANCE * torch.maximum(expected.abs().nan_to_num(posinf=0.0), typical_size)
    if numbers.shape != expected.shape:
        return False
    same = (numbers == expected) | (numbers.isnan() & expected.isnan())
    return bool((same | ((numbers - expected).abs() <= tolerance)).all())


@contextmanager
def perturbed(net: nn.Module) -> Iterator[None]:
    """Perturb the net's tensors inside the block; after it they have their old values."""
    generator = torch.Generator().manual_seed(0)
    saved: list[tuple[Tensor, Tensor]] = []
    try:
        with torch.no_grad():
            for tensor in (*net.parameters(), *net.buffers()):
                if tensor.is_floating_point():
                    before = tensor.detach().to("cpu", copy=True)
                    tensor.copy_(_with_noise(tensor, generator))
                    saved.append((tensor, before))
        yield
    finally:
        with torch.no_grad():
            for tensor, before in saved:
                tensor.copy_(before)


def _with_noise(tensor: Tensor, generator: torch.Generator) -> Tensor:
    """Return the tensor with random relative noise, equal within each row (first axis).

    Vectors and scalars, and zeros of other tensors, also get a small positive amount, because relative noise
    leaves zero as it is.
    """
    if not tensor.dim():
        rows = torch.ones_like(tensor)
    else:
        random = torch.rand(tensor.shape[:1], generator=generator).to(tensor)
        rows = random.view(-1, *[1] * (tensor.dim() - 1))
    noisy = tensor * (1 + PERTURBATION * (2 * rows - 1))
    return noisy + PERTURBATION**2 * rows * (tensor == 0 if tensor.dim() > 1 else 1)
