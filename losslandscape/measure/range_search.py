"""How far to look around a net: the search for the range at whose ends the loss has clearly risen.

Around one net the range -1:1 is flat, around another the loss explodes in it. A good range ends where the
loss has risen to some times its value at the centre, on all sides. The search is among round numbers
(0.001, 0.002, 0.005, 0.01 and so on to 100): file names stay readable and similar nets get the same range.
Each point that is measured halves the numbers that are left.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from losslandscape.core.errors import InputError

Point = tuple[float, ...]
PointLoss = Callable[[Point], float]

RISE = 10.0
# Ten times a loss near 0 is still near 0, so a loss below its floor counts as the floor. A net that gives
# the right one of ten classes a probability of about 0.9 has this loss; at ten times the loss the
# probability is about 1 / e. Other losses have no scale of their own, and no floor.
FLOORS = {"crossentropy": 0.1, "crossentropy_top5": 0.1, "next_token": 0.1, "bce": 0.1, "mse": 0.004}
REACHES = (*(float(f"{digit}e{power}") for power in (-3, -2, -1, 0, 1) for digit in (1, 2, 5)), 100.0)


@dataclass(frozen=True)
class Reach:
    """The range -reach to reach, with its reason.

    Attributes:
        reach: one of `REACHES`.
        threshold: the loss that counts as risen.
        sides: on how many sides it was looked for.
        flat: on how many of them the loss does not rise, as far as `REACHES` go.
    """

    reach: float
    threshold: float
    sides: int
    flat: int

    @property
    def reason(self) -> str:
        """Why this range, as a part of a sentence."""
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
    """The least of `REACHES` at which the loss has risen on all sides.

    A side where it never rises does not count, unless it rises on none: then the reach is the greatest. Two
        sides
    take at most 10 points.

    Args:
        loss: the loss at coordinates. A loss that is not finite has risen.
        sides: unit vectors in the coordinates, such as (1, 0) and (-1, 0).
        centre: the loss at the origin.
        rise: how many times the loss at the centre counts as risen.
        floor: stands for the loss at the centre if that is smaller.

    Raises:
        InputError: if the loss at the centre is not finite.
    """
    threshold = risen_loss(centre, rise=rise, floor=floor)
    needed, flat = 0, 0  # index of the reach that the sides so far need
    for side in sides:
        if needed and _has_risen(loss, side, needed, threshold):
            continue
        index = _first_risen(loss, side, threshold, low=needed + 1 if needed else 0)
        if index == len(REACHES):
            flat += 1
        else:
            needed = index
    reach = REACHES[-1] if flat == len(sides) else REACHES[needed]
    return Reach(reach, threshold, len(sides), flat)


def risen_loss(centre: float, *, rise: float, floor: float) -> float:
    """The loss that counts as risen; a negative one rises by as much as a positive one of its size.

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
    """Index of the least reach, from `low` on, where the loss has risen; behind the last if there is none."""
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
