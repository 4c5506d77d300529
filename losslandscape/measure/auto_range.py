"""Axes whose range the program chooses: around a net, between nets, or along a path."""

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from losslandscape.files.file_names import Axis
from losslandscape.measure.range_search import FLOORS, Point, PointLoss, find_reach

PATH_MARGIN = 0.15  # the margin on each side of a path, as a share of the path's extent
BETWEEN_NETS = (-0.5, 1.5)  # the published range of an interpolation: the nets lie at 0 and 1


@dataclass(frozen=True)
class Auto:
    """An axis without a range yet; `number` is its number of points."""

    number: int = 51


def unknown_axes(axes: dict[str, Axis | Auto]) -> dict[str, Auto]:
    """The axes without a range."""
    return {name: axis for name, axis in axes.items() if isinstance(axis, Auto)}


def with_ranges(axes: dict[str, Axis | Auto], ranges: dict[str, Axis]) -> dict[str, Axis]:
    """The axes, each `Auto` replaced by its range."""
    return {name: ranges[name] if isinstance(axis, Auto) else axis for name, axis in axes.items()}


def question(axes: dict[str, Axis | Auto], rise: float) -> str:
    """Describe the search for ranges; the record of a run stores this text.

    A later run that asks for the same text takes the ranges found before. Empty if every axis has a range.
    """
    names = unknown_axes(axes)
    return f"auto for {' and '.join(names)}, rise {rise:g}" if names else ""


def between_nets(
    axes: dict[str, Axis | Auto], towards: Iterable[str]
) -> tuple[dict[str, Axis | Auto], list[str]]:
    """Give the range `BETWEEN_NETS` to each axis without a range that points to another net.

    Args:
        axes: x, and y in two dimensions.
        towards: names of the axes that point to another net.

    Returns:
        The axes, and a line of text for each range.
    """
    low, high = BETWEEN_NETS
    chosen = {name: axis for name, axis in unknown_axes(axes).items() if name in towards}
    ranges = {name: (low, high, axis.number) for name, axis in chosen.items()}
    reasons = [f"range of {name}: {low:g}:{high:g}, as the other net lies at 1" for name in chosen]
    return {**axes, **ranges}, reasons


def of_path(coordinates: Sequence[float], number: int = 51) -> Axis:
    """Return a range that contains a path's coordinates and a margin on both sides; its ends are rounded."""
    low, high = min(coordinates), max(coordinates)
    margin = PATH_MARGIN * (high - low) or 1.0  # a path may be a single point
    # The ends are multiples of the step: 0.5 for a margin of 1 to 10, 0.05 for one of 0.1 to 1, and so on.
    step = 10.0 ** math.floor(math.log10(margin)) / 2
    first = math.floor((low - margin) / step) * step
    last = math.ceil((high + margin) / step) * step
    return round(first, 10), round(last, 10), number


def around(places: Sequence[tuple[float, float]], path: np.ndarray | None = None) -> np.ndarray:
    """Return the ends (2, 2) of x and y of a box around places and a path (2, n).

    The shorter side is at least half of the longer.
    """
    points = np.array(places, float).T
    if path is not None:
        points = np.concatenate([points, path], axis=1)
    low, high = points.min(axis=1), points.max(axis=1)
    room = np.maximum((high - low).max() / 2 - (high - low), 0) / 2
    return np.stack([low - room, high + room], axis=1)


def choose(
    axes: dict[str, Axis | Auto], loss: PointLoss, *, alike: bool, loss_name: str, rise: float
) -> tuple[dict[str, Axis], list[str]]:
    """Search for a range around the centre for each axis that has none.

    Args:
        axes: x, and y in two dimensions, in this order.
        loss: returns the loss at coordinates, one for each axis.
        alike: whether a step of 1 means the same on both axes. If so, both get the wider of their two ranges.
        loss_name: name of the loss, to look up its floor in `FLOORS`.
        rise: a range ends where the loss is this many times the loss at the centre.

    Returns:
        The axes, and a line of text for each range.

    Raises:
        InputError: if the loss at the centre is not finite.
    """
    unknown = unknown_axes(axes)
    groups = [list(unknown)] if alike else [[name] for name in unknown]
    floor = FLOORS.get(loss_name, 0.0)
    ranges: dict[str, Axis] = {}
    reasons = []
    reported_points = 0
    with _CountedLoss(loss, f"range of {' and '.join(unknown)}") as counted:
        centre = counted((0.0,) * len(axes))
        for names in groups:
            sides = [side for name in names for side in _sides(list(axes), name)]
            found = find_reach(counted, sides, centre=centre, rise=rise, floor=floor)
            for name in names:
                ranges[name] = (-found.reach, found.reach, unknown[name].number)
            reasons.append(
                f"range of {' and '.join(names)}: -{found.reach:g}:{found.reach:g}, {found.reason} "
                f"({centre:.3g} at the centre; {counted.points - reported_points} points measured)"
            )
            reported_points = counted.points
    return with_ranges(axes, ranges), reasons


def _sides(axes: list[str], name: str) -> list[Point]:
    """The unit vectors along an axis, in its positive and its negative direction."""
    return [tuple(sign if name == other else 0.0 for other in axes) for sign in (1.0, -1.0)]


class _CountedLoss:
    """A loss that counts its calls, and shows their number in a progress bar while the block runs."""

    def __init__(self, loss: PointLoss, title: str):
        self._loss, self._title = loss, title
        self.points = 0

    def __enter__(self) -> "_CountedLoss":
        interval = 0.5 if sys.stderr.isatty() else 10
        self._bar = tqdm(desc=self._title, unit="point", leave=False, mininterval=interval)
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def __call__(self, point: Point) -> float:
        self.points += 1
        self._bar.update()
        return self._loss(point)
