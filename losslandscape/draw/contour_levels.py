"""Chooses the levels at which contours are drawn, and their colours.

The levels are those of the user, or are fitted to the data.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import LogNorm, Normalize
from matplotlib.ticker import MaxNLocator

from losslandscape.core import quantity
from losslandscape.core.errors import InputError
from losslandscape.draw.drawable import LARGEST, SMALLEST

COLOURS = "viridis"  # steps look even, also to a colour-blind reader
VMIN, VMAX, VLEVEL = 0.1, 10.0, 0.5  # the published program's levels for a loss
MAX_LEVELS = 1000  # a figure has no room for more lines: a smaller vlevel is a typing error
MIN_LEVELS, MIN_TICKS = 10, 3  # numbers of levels, and of ticks, on a log scale
MIN_WITHIN = 3  # levels of the user inside the range of the data; if there are fewer, levels are fitted
CONSTANT = 1e-12  # values with at most this relative range count as constant
MAX_INTERVALS = 12  # between evenly spaced levels


@dataclass(frozen=True)
class Scale:
    """Contour levels and the colours that go with them.

    Args:
        levels: in ascending order; empty if the data are constant.
        norm: the map from values to the range of colours.
        heights: the lowest and highest value of the data; on a log scale the lowest is positive.
        refitted: whether the levels of the user were replaced, because they did not fit the data.
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
    """Return one scale for several arrays.

    With `vmin`, `vmax` or `vlevel`, the levels are vmin, vmin + vlevel, … below vmax; with `log`, they are
    round numbers of nearly equal ratios from vmin to vmax. The published program's values replace None. If
    all three are None, or fewer than three levels lie within the data, round levels are fitted to the data.

    Args:
        values: the arrays; values that are NaN or infinite are ignored.
        vmin: the lowest level, or with `log` its lower bound.
        vmax: the upper bound of the levels.
        vlevel: the step between levels.
        log: whether levels have nearly equal ratios rather than equal steps.
        is_loss: whether fitted levels are logarithmic if all values are positive and span a factor over 100.

    Raises:
        InputError: the levels are impossible, or with `log` no value is positive.
    """
    finite = np.concatenate([array[np.isfinite(array)] for array in values])
    low, high = float(finite.min()), float(finite.max())
    is_given = (vmin, vmax, vlevel) != (None, None, None)
    if is_given:
        vmin, vmax, vlevel = complete_levels(vmin, vmax, vlevel, log=log)
        levels = _round_ratios(vmin, vmax) if log else np.arange(vmin, vmax, vlevel)
        if np.count_nonzero((levels > low) & (levels < high)) >= MIN_WITHIN:
            return Scale(levels, _norm(levels[0], levels[-1], log=log), _heights(finite, log=log))
    if log and not high > 0:
        raise InputError("no value is positive, so log levels have nothing to show", "leave {log} out")
    if not high - low > CONSTANT * max(abs(low), abs(high)):
        return Scale(np.array([]), Normalize(low, high), (low, high), refitted=is_given)
    log = log or (is_loss and quantity.is_logarithmic(low, high))
    heights = _heights(finite, log=log)
    levels = _fitting_levels(*heights, log=log)
    return Scale(levels, _norm(*heights, log=log), heights, refitted=is_given)


def complete_levels(
    vmin: float | None, vmax: float | None, vlevel: float | None, *, log: bool = False
) -> tuple[float, float, float]:
    """Return vmin, vmax and vlevel, with the published program's values in place of None.

    Raises:
        InputError: the levels are impossible, or too many.
    """
    if log and vlevel is not None:
        raise InputError(
            f"vlevel {vlevel:g} is a step between levels, and log levels have equal ratios",
            "leave out one of {log} and {vlevel}",
        )
    vmin = VMIN if vmin is None else vmin
    vmax = VMAX if vmax is None else vmax
    vlevel = VLEVEL if vlevel is None else vlevel
    if not vmin < vmax:
        raise InputError(f"vmin {vmin:g} is not less than vmax {vmax:g}")
    for name, value in (("vmin", vmin), ("vmax", vmax)):
        if abs(value) > LARGEST or (log and 0 < value < SMALLEST):
            raise InputError(
                f"{name} {value:g} is beyond what figures can show",
                f"give one of a size from {SMALLEST:g} to {LARGEST:g}",
            )
    if log and not vmin > 0:
        raise InputError(f"vmin {vmin:g} has no place among log levels", "give one above 0")
    if not vlevel > 0:
        raise InputError(f"vlevel {vlevel:g} is not positive")
    if not log and (vmax - vmin) / vlevel > MAX_LEVELS:
        raise InputError(
            f"vlevel {vlevel:g} makes more than {MAX_LEVELS} levels from vmin {vmin:g} to vmax {vmax:g}"
        )
    return vmin, vmax, vlevel


def log_ticks(low: float, high: float) -> np.ndarray:
    """Return round numbers for the ticks of a log axis from `low` to `high`."""
    return _round_ratios(low, high, min_count=MIN_TICKS)


def _norm(low: float, high: float, *, log: bool) -> Normalize:
    return LogNorm(low, high) if log else Normalize(low, high)


def _heights(finite: np.ndarray, *, log: bool) -> tuple[float, float]:
    shown = np.maximum(finite[finite > 0], SMALLEST) if log else finite
    return float(shown.min()), float(shown.max())


def _fitting_levels(low: float, high: float, *, log: bool) -> np.ndarray:
    even = np.asarray(MaxNLocator(nbins=MAX_INTERVALS).tick_values(low, high))
    levels = _round_ratios(low, high) if log else even
    return levels[(levels > low) & (levels < high)]


def _round_ratios(low: float, high: float, *, min_count: int = MIN_LEVELS) -> np.ndarray:
    """Return the sparsest series of round numbers with `min_count` in the range, else the densest series."""
    for series in _round_series(low, high):
        levels = series[(series >= low) & (series <= high)]
        if len(levels) >= min_count:
            break
    return levels


def _round_series(low: float, high: float) -> Iterator[np.ndarray]:
    """Yield series of round numbers that cover the range from low to high, the sparsest series first."""
    powers = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    for step in (64, 32, 16, 8, 4, 2):
        yield 10.0 ** powers[powers % step == 0]
    for factors in (
        (1,),
        (1, 3),
        (1, 2, 5),
        (1, 1.5, 2, 3, 5, 7),
        np.arange(1, 10, 0.5),
        np.arange(1, 10, 0.1),
    ):
        yield np.outer(10.0**powers, factors).ravel()
