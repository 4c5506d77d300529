"""At which values contours are drawn, and in which colours: levels that the user gave, or some that fit the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import LogNorm, Normalize
from matplotlib.ticker import MaxNLocator

from losslandscape.core.errors import InputError

VMIN, VMAX, VLEVEL = 0.1, 10.0, 0.5  # the published program's levels, of a loss
MOST_LEVELS = 1000  # more lines than a figure has room for; a --vlevel that asks for them is a slip
LOG_RATIO = (
    100  # from the lowest to the highest loss, beyond which levels of even steps would all lie at the top
)
ENOUGH_LEVELS, ENOUGH_TICKS = 10, 3  # where they have equal ratios
SMALLEST = 1e-200  # matplotlib overflows near the ends of float64's range: on a log scale, a positive value below this is drawn as this
FARTHEST = 1e200  # of levels from zero, likewise


@dataclass(frozen=True)
class Scale:
    """Contour levels, the colours that go with them, the lowest and highest value of the data, and whether the levels were fitted to
    these although others were asked for. A constant has no levels. On a log scale the lowest is the lowest positive value, at least SMALLEST.
    """

    levels: np.ndarray
    norm: Normalize
    heights: tuple[float, float]
    refitted: bool = False

    @property
    def log(self) -> bool:
        return isinstance(self.norm, LogNorm)


def choose_scale(
    values: Sequence[np.ndarray],
    *,
    vmin: float | None = None,
    vmax: float | None = None,
    vlevel: float | None = None,
    log: bool = False,
    is_loss: bool = True,
) -> Scale:
    """One scale for all arrays of values, in which NaN is what is not drawn.

    Without `vmin`, `vmax` and `vlevel` the levels fit the data: round numbers, with equal ratios where `log` is set or a loss (`is_loss`,
    and so may be whatever is no percentage) ranges over more than two orders of magnitude. With one of them, the levels are vmin, vmin + vlevel, … below vmax, or equal
    ratios from vmin to vmax with `log`, and the published numbers for those not given; if fewer than three of these lie within the data,
    levels that fit it are taken and the scale says so.

    Raises `InputError` for impossible levels, and for `log` where no value is positive.
    """
    found = np.concatenate([array[np.isfinite(array)] for array in values])
    low, high = found.min(), found.max()
    if asked := (vmin, vmax, vlevel) != (None, None, None):
        vmin, vmax, vlevel = possible(vmin, vmax, vlevel, log=log)
        levels = _round_ratios(vmin, vmax) if log else np.arange(vmin, vmax, vlevel)
        if np.count_nonzero((levels > low) & (levels < high)) >= 3:
            return Scale(
                levels, (LogNorm if log else Normalize)(levels[0], levels[-1]), _heights(found, log=log)
            )
    if log and not high > 0:
        raise InputError("no value is positive, so log levels have nothing to show; leave --log out")
    if not high - low > 1e-12 * max(abs(low), abs(high)):
        return Scale(np.array([]), Normalize(low, high), (low, high), refitted=asked)
    log = log or (is_loss and low > 0 and high / LOG_RATIO > low)
    low, high = heights = _heights(found, log=log)
    levels = _round_ratios(low, high) if log else MaxNLocator(nbins=12).tick_values(low, high)
    return Scale(
        levels[(levels > low) & (levels < high)],
        (LogNorm if log else Normalize)(low, high),
        heights,
        refitted=asked,
    )


def _heights(found: np.ndarray, *, log: bool) -> tuple[float, float]:
    found = np.maximum(found[found > 0], SMALLEST) if log else found
    return float(found.min()), float(found.max())


def possible(
    vmin: float | None, vmax: float | None, vlevel: float | None, *, log: bool = False
) -> tuple[float, float, float]:
    """These levels, with the published numbers for those not given. Raises `InputError` for impossible ones."""
    if log and vlevel is not None:
        raise InputError(
            f"vlevel {vlevel:g} is a step between levels, and log levels have equal ratios; leave out one of --log and --vlevel"
        )
    vmin, vmax, vlevel = (
        VMIN if vmin is None else vmin,
        VMAX if vmax is None else vmax,
        VLEVEL if vlevel is None else vlevel,
    )
    if not vmin < vmax:
        raise InputError(f"vmin {vmin:g} is not less than vmax {vmax:g}")
    for name, value in (("vmin", vmin), ("vmax", vmax)):
        if abs(value) > FARTHEST or log and 0 < value < SMALLEST:
            raise InputError(
                f"{name} {value:g} is beyond what figures can show; give one of a size from {SMALLEST:g} to {FARTHEST:g}"
            )
    if log and not vmin > 0:
        raise InputError(f"vmin {vmin:g} has no place among log levels; give one above 0")
    if not vlevel > 0:
        raise InputError(f"vlevel {vlevel:g} is not positive")
    if not log and (vmax - vmin) / vlevel > MOST_LEVELS:
        raise InputError(
            f"vlevel {vlevel:g} makes more than {MOST_LEVELS} levels from vmin {vmin:g} to vmax {vmax:g}"
        )
    return vmin, vmax, vlevel


def log_ticks(low: float, high: float) -> np.ndarray:
    """Round numbers to label a log scale from `low` to `high` with."""
    return _round_ratios(low, high, ENOUGH_TICKS)


def _round_ratios(low: float, high: float, enough: int = ENOUGH_LEVELS) -> np.ndarray:
    """Round numbers from low to high with nearly equal ratios: of the series in use, the sparsest that has enough there."""
    decades = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    every_nth_power = [10.0 ** decades[decades % n == 0] for n in (64, 32, 16, 8, 4, 2)]
    series = ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), np.arange(1, 10, 0.5), np.arange(1, 10, 0.1))
    for levels in [*every_nth_power, *(np.outer(10.0**decades, steps).ravel() for steps in series)]:
        levels = levels[(levels >= low) & (levels <= high)]
        if len(levels) >= enough:
            break
    return levels
