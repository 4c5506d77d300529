"""Checks how much rounding changes a step along a direction, in nets whose weights have 16 bits or fewer.

bfloat16 has 8 significant bits: the numbers next to a weight of 1 are 0.004 below it and 0.008 above it. A
smaller step is lost, or becomes too large.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from losslandscape.measure.report import Caution, Report
from losslandscape.nets import net_tensors
from losslandscape.nets.net_plotter import Direction

# Rounding adds a random step of this share to a step along the direction. The rise of the loss is about the
# square of the length, so at this bound it is wrong by about 0.3^2, a tenth.
MAX_ERROR_SHARE = 0.3
SAMPLE = 2**14  # the most numbers of a tensor that are tried


@dataclass(frozen=True)
class Rounding:
    """What rounding does to a step.

    Attributes:
        error: the length of the change by rounding, divided by the length of the step.
        unchanged: the share of the numbers that should move but stay.
    """

    error: float
    unchanged: float


def check_rounding(
    net: nn.Module, directions: list[Direction], points: np.ndarray, *, dir_type: str
) -> Report:
    """Report how much rounding changes the smallest step of each axis; empty for weights of 32 bits or more.

    Args:
        net: the net at the centre.
        directions: the directions of x, and in a plane of y.
        points: (n, number of directions) coordinates of the surface.
        dir_type: `weights` or `states`.
    """
    tensors = list(net_tensors.moving_tensors(net, dir_type).values())
    texts, warnings = [], []
    for axis, direction, coordinates in zip("xy", directions, points.T, strict=False):
        steps = np.diff(np.unique(coordinates))
        rounding = round_step(tensors, direction, float(steps.min())) if steps.size else None
        if rounding is None:
            continue
        step = f"{steps.min():.3g} along {axis}"
        texts.append(f"a step of {step} by {100 * rounding.error:.2g} % of its length{_stay(rounding)}")
        if rounding.error > MAX_ERROR_SHARE:
            warnings.append(_too_small(step, axis, rounding))
    return Report([f"rounding of the weights changes {', '.join(texts)}"] if texts else [], warnings)


def round_step(tensors: list[Tensor], direction: Direction, step: float) -> Rounding | None:
    """Return what rounding does to a step, from some numbers of each tensor; None if nothing is rounded.

    Args:
        tensors: the net's tensors at the centre.
        direction: its parts, one in the shape of each tensor.
        step: the length of the step in units of the direction.
    """
    errors, squares, unchanged, moved = 0.0, 0.0, 0.0, 0.0
    for tensor, part in zip(tensors, direction, strict=True):
        if not tensor.is_floating_point() or tensor.dtype.itemsize > 2 or not tensor.numel():
            continue
        w, d = _sample(tensor), step * _sample(part)
        there = (w + d).to(tensor.dtype).float()
        weight = tensor.numel() / w.numel()
        errors += weight * float((there - w - d).double().square().sum())
        squares += weight * float(d.double().square().sum())
        unchanged += weight * int(((there == w) & (d != 0)).count_nonzero())
        moved += weight * int((d != 0).count_nonzero())
    return Rounding((errors / squares) ** 0.5, unchanged / moved) if squares else None


def _sample(tensor: Tensor) -> Tensor:
    """Return numbers of a tensor as float32 on the CPU: all, or random ones, the same for each shape."""
    if tensor.numel() <= SAMPLE:
        return tensor.detach().flatten().to("cpu", torch.float32)
    generator = torch.Generator().manual_seed(0)
    places = torch.randint(tensor.numel(), (SAMPLE,), generator=generator)
    return tensor.detach().take(places.to(tensor.device)).to("cpu", torch.float32)


def _stay(rounding: Rounding) -> str:
    return f", and {100 * rounding.unchanged:.2g} % of the numbers stay" if rounding.unchanged else ""


def _too_small(step: str, axis: str, rounding: Rounding) -> Caution:
    fault = (
        f"rounding of the weights changes a step of {step} by {100 * rounding.error:.2g} % of its length, "
        "so the loss has stairs and noise"
    )
    advice = f"take fewer points or a wider {{{axis}}}, or {{precision:fp32}} for weights of float32"
    return Caution(fault, advice)
