"""Curves of weights between two nets, with bends: Bezier curves and polygonal chains.

A place on a curve is a weighted mean of the first net, the bends and the last net. The weights depend on t
alone, which runs from 0 (the first net) to 1 (the last). Garipov et al. 2018, "Loss Surfaces, Mode
Connectivity, and Fast Ensembling of DNNs", section 3.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import compress

import torch
from torch import Tensor, nn

from losslandscape.core.errors import InputError, require_choice
from losslandscape.core.provenance import Facts, fingerprint_of_arrays
from losslandscape.data.structure import as_array
from losslandscape.nets import net_tensors
from losslandscape.nets.moving import like, snapshot

BEZIER, CHAIN = "bezier", "chain"
KINDS = (BEZIER, CHAIN)


def shares(kind: str, t: float, count: int) -> list[float]:
    """Return the share of each of `count` points at t; the shares add up to 1.

    A Bezier curve with n bends has degree n + 1. A chain passes the points at equal distances of t.

    >>> shares("bezier", 0.5, 3), shares("chain", 0.25, 3)
    ([0.25, 0.5, 0.25], [0.5, 0.5, 0.0])
    """
    last = count - 1
    if kind == BEZIER:
        return [math.comb(last, i) * t**i * (1 - t) ** (last - i) for i in range(count)]
    return [max(0.0, 1 - abs(last * t - i)) for i in range(count)]


@dataclass(frozen=True)
class Curve:
    """A curve that starts at a net.

    Args:
        kind: one of `KINDS`. A chain without bends is the straight line.
        points: the bends, then the last net; each a list with one tensor for each of
            `net_tensors.moving_tensors(net, dir_type)`. A tensor is not copied if it is on the net's device
            and at least float32, so that a training can change bends under the curve.
    """

    kind: str
    points: list[list[Tensor]]

    def __post_init__(self) -> None:
        require_choice("curve", self.kind, KINDS)

    def shares(self, t: float) -> list[float]:
        """Return the shares of the first net, of each bend and of the last net at t."""
        return shares(self.kind, t, len(self.points) + 1)

    def describe(self) -> str:
        """Return the kind of the curve and the fingerprint of its points, as a fact."""
        arrays = (as_array(tensor.cpu()) for point in self.points for tensor in point)
        return f"{self.kind} through {fingerprint_of_arrays(arrays)}"

    def facts(self) -> Facts:
        """Return the description as a fact of a surface."""
        return {"curve": self.describe()}

    @contextmanager
    def moving(self, net: nn.Module, dir_type: str) -> Iterator[Callable[[Sequence[float]], None]]:
        """Yield `move`: `move((t,))` puts the net at t. After the block the net is where it was, at t = 0.

        At 0 and 1 the net equals the first and the last net bit by bit. A tensor does not change if it is not
        floating-point, or if it is equal in all points. Sums are computed as in `moving.moving`.

        Args:
            net: the first net, on any device; it is moved in place.
            dir_type: what moves, `weights` or `states`.
        """
        everything = list(net_tensors.moving_tensors(net, dir_type).values())
        moved = differing(everything, self.points)
        tensors = list(compress(everything, moved))
        with snapshot(tensors) as start:
            points = [start, *(like(start, compress(point, moved)) for point in self.points)]

            @torch.no_grad()
            def move(coordinates: Sequence[float]) -> None:
                (t,) = coordinates
                if not 0 <= t <= 1:
                    raise InputError(f"t {t:g} is outside of the curve, which runs from 0 to 1")
                _set_to_mean(tensors, points, self.shares(t))

            yield move


def differing(first: list[Tensor], points: list[list[Tensor]]) -> list[bool]:
    """Return of each tensor whether it can move, and differs between the first net and some point."""
    return [
        tensor.is_floating_point() and any(not torch.equal(tensor, part.to(tensor)) for part in parts)
        for tensor, *parts in zip(first, *points, strict=True)
    ]


def _set_to_mean(tensors: list[Tensor], points: list[list[Tensor]], weights: list[float]) -> None:
    """Set tensors to the mean of the points with these weights; points of weight 0 are not read."""
    used = [(point, weight) for point, weight in zip(points, weights, strict=True) if weight]
    if not tensors:
        return
    sums = [torch.zeros_like(part) for part in used[0][0]]
    for point, weight in used:
        torch._foreach_add_(sums, point, alpha=weight)
    for tensor, total in zip(tensors, sums, strict=True):
        tensor.copy_(total)


def point_of(net: nn.Module, dir_type: str) -> list[Tensor]:
    """Return a copy of the net's tensors as a point of a curve, in at least float32, on the CPU."""
    tensors = net_tensors.moving_tensors(net, dir_type).values()
    return [
        tensor.to("cpu", net_tensors.wide(tensor.dtype) if tensor.is_floating_point() else None, copy=True)
        for tensor in tensors
    ]
