"""Searches for a range around a net: at its ends the loss is clearly higher than at the centre.

In the range -1:1 the loss of one net is flat, and the loss of another explodes. A good range ends where the
loss, on all sides, is several times its value at the centre. The candidates are round values (0.001, 0.002,
0.005, 0.01 and so on to 100), so that file names stay readable and similar nets get the same range. The
search is a bisection: each measured point halves the remaining candidates.
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
# probability is about 1 / e. The other losses have no natural scale, and so no floor.
FLOORS = {"crossentropy": 0.1, "crossentropy_top5": 0.1, "next_token": 0.1, "bce": 0.1, "mse": 0.004}
REACHES = (*(float(f"{digit}e{power}") for power in (-3, -2, -1, 0, 1) for digit in (1, 2, 5)), 100.0)


@dataclass(frozen=True)
class Reach:
    """The range -reach to reach, with its reason.

    Attributes:
        reach: one of `REACHES`.
        threshold: the lowest loss that counts as risen.
        sides: the number of sides that were searched.
        flat: the number of sides on which the loss stays below the threshold up to the largest reach.
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
    """Find the smallest of `REACHES` at which the loss has risen on all sides.

    Sides on which the loss never rises are ignored. If the loss rises on no side, the result is the largest
    reach. A search on two sides measures at most 10 points.

    Args:
        loss: returns the loss at coordinates. A loss that is not finite counts as risen.
        sides: unit vectors in the coordinates, such as (1, 0) and (-1, 0).
        centre: the loss at the origin.
        rise: the loss has risen where it is this many times the loss at the centre.
        floor: replaces the magnitude of the loss at the centre if that magnitude is smaller.

    Raises:
        InputError: if the loss at the centre is not finite.
    """
    threshold = risen_loss(centre, rise=rise, floor=floor)
    needed = 0  # the index of the smallest reach at which the loss has risen on the sides so far
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
    """Return the lowest loss that counts as risen.

    With m = max(|centre|, floor), it is rise * m, or for a negative centre it is centre + (rise - 1) * m.

    Raises:
        InputError: if the loss at the centre is not finite.
    """
    if not math.isfinite(centre):
        raise InputError(
            f"the loss at the centre is {centre}, so there is no rise to look for",
            "give a range such as -1:1:51 instead of auto",
        )
    magnitude = max(abs(centre), floor)
    return rise * magnitude if centre >= 0 else centre + (rise - 1) * magnitude


def _first_risen(loss: PointLoss, side: Point, threshold: float, *, low: int) -> int:
    """Return the lowest index, from `low` on, at which the loss has risen, or `len(REACHES)` for none."""
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
