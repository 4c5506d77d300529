"""How far to look: the range around the centre at whose ends the loss has clearly risen, found from a few points.

Around one net the range -1:1 is a flat floor, around another a needle in a plain. What is worth looking at lies between: as far as the
loss has risen to some times (`--rise`) what it is at the centre, on both sides. The search is among round numbers (0.001, 0.002, 0.005, 0.01
and so on to 100), so that file names can be read and nets that are alike get the same range; it halves what is left of them at each point.

A loss near 0 needs a floor: ten times nothing is nothing still. `FLOORS` counts as nothing what a net loses that gives the right one of ten
classes a probability of 0.9 or thereabouts; ten times as much is lost at 1/e. A loss that is not a number, or infinite, has risen.
"""

import math
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from tqdm import tqdm

from losslandscape.core.errors import InputError
from losslandscape.core.provenance import Facts
from losslandscape.files import h5_util
from losslandscape.files.file_names import Axis

RISE = 10.0
PATH_MARGIN = 0.15  # of a path's extent
FLOORS = {
    "crossentropy": 0.1,
    "crossentropy_top5": 0.1,
    "next_token": 0.1,
    "bce": 0.1,
    "mse": 0.004,
}  # of other losses there is none
REACHES = (*(float(f"{digit}e{power}") for power in (-3, -2, -1, 0, 1) for digit in (1, 2, 5)), 100.0)
BETWEEN_NETS = (-0.5, 1.5)  # the published range of an interpolation: the nets lie at 0 and 1

Loss = Callable[[tuple[float, ...]], float]


@dataclass(frozen=True)
class Auto:
    """An axis whose range is yet to be found; `number` is that of its points."""

    number: int = 51


@dataclass(frozen=True)
class Found:
    """What a probe found: the range is -reach to reach."""

    reach: float
    threshold: float  # the loss that counts as risen
    sides: int
    flat: int  # sides on which the loss has not risen, as far as REACHES go

    @property
    def reason(self) -> str:
        if self.flat:
            return f"although on {self.flat} of {self.sides} sides the loss does not rise to {self.threshold:.3g}, up to {REACHES[-1]:g}"
        if self.reach == REACHES[0]:
            return f"the narrowest that is tried; at its ends the loss is {self.threshold:.3g} or more"
        return f"the narrowest at whose ends the loss is {self.threshold:.3g} or more"


def probe(
    sides: Sequence[Callable[[float], float]],
    *,
    centre: float,
    rise: float = RISE,
    floor: float = FLOORS["crossentropy"],
) -> Found:
    """The least of `REACHES` at which the loss is `rise` times that at the centre on all sides, each a function from distance to loss.

    A side on which it never rises that far does not count, unless it is so on all; then the reach is the greatest. Of two sides it
    measures 10 points at most. `floor` stands for the loss at the centre where that is less.

    Raises `InputError` if the loss at the centre is not finite.
    """
    if not math.isfinite(centre):
        raise InputError(
            f"the loss at the centre is {centre}, so there is no rise to look for; give a range such as -1:1:51 instead of auto"
        )
    threshold = rise * max(centre, floor) if centre >= 0 else centre + (rise - 1) * max(-centre, floor)
    needed, flat = 0, 0
    for side in sides:

        def risen(reach: float, loss: Callable[[float], float] = side) -> bool:
            value = loss(reach)
            return not math.isfinite(value) or value >= threshold

        if needed and risen(REACHES[needed]):
            continue
        index = bisect_left(REACHES, True, lo=needed + 1 if needed else 0, key=risen)
        if index == len(REACHES):
            flat += 1
        else:
            needed = index
    return Found(REACHES[-1] if flat == len(sides) else REACHES[needed], threshold, len(sides), flat)


def question(axes: dict[str, Axis | Auto], rise: float) -> str:
    """What is to be found, in words that a run's record keeps; empty if every axis has its range."""
    names = _unknown(axes)
    return f"auto for {' and '.join(names)}, rise {rise:g}" if names else ""


def remembered(
    axes: dict[str, Axis | Auto], asked: str, *, made_with: Facts, paths: Iterable[str]
) -> tuple[dict[str, Axis], list[str]] | None:
    """What `choose` returns, from the first surface file whose run had the same question about the same net and data; None if there is none.

    Another number of ranks, or another machine, may round a loss otherwise and so find another range. A run that is gone on with, or
    begun again with other numbers of points, is to have the range that it had.
    """
    for path in paths:
        with suppress(InputError, OSError):
            surface = h5_util.read_surface(path)
            same = surface.made_with and all(
                made_with.get(name, value) == value for name, value in surface.made_with.items()
            )
            if same and any(run.get("range") == asked for run in surface.runs if isinstance(run, dict)):
                found = {
                    name: coordinates
                    for name, coordinates in (("x", surface.x), ("y", surface.y))
                    if name in _unknown(axes)
                }
                ranges = {name: (float(c[0]), float(c[-1]), axes[name].number) for name, c in found.items()}
                return {**axes, **ranges}, [
                    f"range of {name}: {low:g}:{high:g}, as in {path}"
                    for name, (low, high, _) in ranges.items()
                ]
    return None


def _unknown(axes: dict[str, Axis | Auto]) -> list[str]:
    return [name for name, axis in axes.items() if isinstance(axis, Auto)]


def between_nets(
    axes: dict[str, Axis | Auto], towards: Iterable[str]
) -> tuple[dict[str, Axis | Auto], list[str]]:
    """The axes, with `BETWEEN_NETS` where one of those `towards` another net is `Auto`, and a line that says so: nothing is measured for that."""
    names = [name for name in _unknown(axes) if name in towards]
    low, high = BETWEEN_NETS
    return (
        {**axes, **{name: (low, high, axes[name].number) for name in names}},
        [f"range of {name}: {low:g}:{high:g}, as the other net lies at 1" for name in names],
    )


def of_path(coordinates: Sequence[float], number: int = 51) -> Axis:
    """The range of an axis that shows a whole path with a margin on both sides, at numbers that can be read."""
    low, high = min(coordinates), max(coordinates)
    margin = PATH_MARGIN * (high - low) or 1.0
    step = 10.0 ** math.floor(math.log10(margin)) / 2
    return (
        round(math.floor((low - margin) / step) * step, 10),
        round(math.ceil((high + margin) / step) * step, 10),
        number,
    )


def choose(
    axes: dict[str, Axis | Auto], loss: Loss, *, alike: bool, loss_name: str, rise: float
) -> tuple[dict[str, Axis], list[str]]:
    """The axes, by name, with a range found for each that is `Auto`; and what was found and why, in a line for each.

    Args:
        axes: x, and y in two dimensions, in this order.
        loss: from coordinates, one for each axis, to the loss there.
        alike: whether a unit means the same on both axes; then they get one range, the greater.
    """
    names = _unknown(axes)
    chosen, sentences, told = dict(axes), [], 0
    with tqdm(
        desc=f"range of {' and '.join(names)}",
        unit="point",
        leave=False,
        mininterval=0.5 if sys.stderr.isatty() else 10,
    ) as bar:

        def measure(*point: float) -> float:
            bar.update()
            return loss(point)

        def side(name: str, sign: int) -> Callable[[float], float]:
            return lambda distance: measure(*(sign * distance if name == other else 0.0 for other in axes))

        centre = measure(*(0.0 for _ in axes))
        for group in [names] if alike else [[name] for name in names]:
            found = probe(
                [side(name, sign) for name in group for sign in (1, -1)],
                centre=centre,
                rise=rise,
                floor=FLOORS.get(loss_name, 0.0),
            )
            chosen |= {name: (-found.reach, found.reach, axes[name].number) for name in group}
            sentences.append(
                f"range of {' and '.join(group)}: -{found.reach:g}:{found.reach:g}, {found.reason} ({centre:.3g} at the centre; "
                f"{bar.n - told} points measured)"
            )
            told = bar.n
    return chosen, sentences
