"""Searches the range around a net at whose ends the loss has clearly risen.

In the range -1:1 the loss of one net is flat, and the loss of another explodes. A good range ends where the
loss, on all sides, is several times its value at the centre. The search is among round numbers (0.001, 0.002,
0.005, 0.01 and so on to 100), so that file names stay readable and similar nets get the same range. It is a
bisection: each measured point halves the remaining numbers.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from losslandscape.core.errors import InputError

Point = tuple[float, ...]
PointLoss = Callable[[Point], float]

RISE = 10.0
# Ten times a loss near 0 is still near 0, so a smaller loss is replaced by this floor. It is the loss of a
# net that gives the right one of ten classes a probability of about 0.9; at ten times this loss the
# probability is about 1 / e. Other losses have no scale of their own, and no floor.
FLOORS = {"crossentropy": 0.1, "crossentropy_top5": 0.1, "next_token": 0.1, "bce": 0.1, "mse": 0.004}
REACHES = (*(float(f"{digit}e{power}") for power in (-3, -2, -1, 0, 1) for digit in (1, 2, 5)), 100.0)


@dataclass(frozen=True)
class Reach:
    """The range -reach to reach, with its reason.

    Attributes:
        reach: one of `REACHES`.
        threshold: the loss has risen when it is at least this.
        sides: number of sides that were searched.
        flat: number of sides on which the loss does not rise within the largest reach.
    """

    reach: float
    threshold: float
    sides: int
    flat: int

    @property
    def reason(self) -> str:
        """The reason for this range, as a part of a sentence."""
        if self.flat:
            return (
                f"although on {self.flat} of {self.sides} sides the loss does not rise "
                f"to {self.threshold:.3g}, up to {REACHES[-1]:g}"
            )
        if self.reach == REACHES[0]:
            return f"the narrowest that is tried; at its ends the loss is {self.threshold:.3g} or more"
        return f"the narrowest at whose ends the loss is {self.threshold:.3g} or more"


def find_reach(
    loss: PointLoss, sides: Sequence[Point], *, centre: float, rise: float = RISE, floor: float = 0.0
) -> Reach:
    """The smallest of `REACHES` at which the loss has risen on all sides.

    Sides on which it never rises are ignored. If it rises on no side, the reach is the largest. Two sides
    take at most 10 points.

    Args:
        loss: returns the loss at coordinates. A loss that is not finite has risen.
        sides: unit vectors in the coordinates, such as (1, 0) and (-1, 0).
        centre: the loss at the origin.
        rise: the loss has risen when it is so many times the loss at the centre.
        floor: replaces the loss at the centre if that is smaller.

    Raises:
        InputError: if the loss at the centre is not finite.
    """
    threshold = risen_loss(centre, rise=rise, floor=floor)
    needed = 0  # index of the reach that the sides so far need
    flat = 0
    for side in sides:
        if needed and _has_risen(loss, side, needed, threshold):
            continue  # this side needs no larger reach
        index = _first_risen(loss, side, threshold, low=needed + 1 if needed else 0)
        if index == len(REACHES):
            flat += 1
        else:
            needed = index
    reach = REACHES[-1] if flat == len(sides) else REACHES[needed]
    return Reach(reach, threshold, len(sides), flat)


def risen_loss(centre: float, *, rise: float, floor: float) -> float:
    """The threshold above which a loss has risen.

    From a negative loss at the centre it is as far away as from a positive loss of the same size.

    Raises:
        InputError: if the loss at the centre is not finite.
    """
    if not math.isfinite(centre):
        raise InputError(
            f"the loss at the centre is {centre}, so there is no rise to look for",
            "give a range such as -1:1:51 instead of auto",
        )
    size = max(abs(centre), floor)
    return rise * size if centre >= 0 else centre + (rise - 1) * size


def _first_risen(loss: PointLoss, side: Point, threshold: float, *, low: int) -> int:
    """Index, from `low` on, of the smallest reach at which the loss has risen; `len(REACHES)` for none."""
    high = len(REACHES)
    while low < high:
        middle = (low + high) // 2
        if _has_risen(loss, side, middle, threshold):
            high = middle
        else:
            low = middle + 1
    return low


def _has_risen(loss: PointLoss, side: Point, index: int, threshold: float) -> bool:
    value = loss(tuple(REACHES[index] * step for step in side))
    return not math.isfinite(value) or value >= threshold
