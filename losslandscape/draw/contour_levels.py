"""The values at which contours are drawn, and their colours.

The user gives levels, or they fit the data.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import LogNorm, Normalize
from matplotlib.ticker import MaxNLocator

from losslandscape.core.errors import InputError
from losslandscape.draw.drawable import LARGEST, SMALLEST

COLOURS = "viridis"  # even steps for every eye, also a colour-blind one
VMIN, VMAX, VLEVEL = 0.1, 10.0, 0.5  # the published program's levels, of a loss
MOST_LEVELS = 1000  # a figure has no room for more lines: such a step is a slip
LOG_RATIO = 100  # highest by lowest loss: beyond this, levels of even steps all lie at the top
ENOUGH_LEVELS, ENOUGH_TICKS = 10, 3  # of equal ratios
FEWEST_WITHIN = 3  # given levels within the data, or they do not fit it
CONSTANT = 1e-12  # relative range of values that count as one
EVEN_LEVELS = 12  # at most


@dataclass(frozen=True)
class Scale:
    """Contour levels and the colours that go with them.

    Args:
        levels: ascending; empty for a constant.
        norm: from values to colours.
        heights: lowest and highest value of the data; on a log scale the lowest is positive.
        refitted: whether the levels were fitted to the data although others were given.
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

    With `vmin`, `vmax` or `vlevel`, the levels are vmin, vmin + vlevel, … below vmax, or with `log` equal
    ratios from vmin to vmax. Those not given are the published program's. Levels that fit the data are taken
    if none is given, or if fewer than three of those given lie within the data. They are round numbers.

    Args:
        values: the arrays; NaN is not drawn.
        vmin: the first level.
        vmax: the levels end before this.
        vlevel: the step between levels.
        log: levels of equal ratios.
        is_loss: whether levels of equal ratios may be chosen for a range of over two orders of magnitude.

    Raises:
        InputError: the levels are impossible, or with `log` no value is positive.
    """
    finite = np.concatenate([array[np.isfinite(array)] for array in values])
    low, high = float(finite.min()), float(finite.max())
    is_given = (vmin, vmax, vlevel) != (None, None, None)
    if is_given:
        vmin, vmax, vlevel = complete_levels(vmin, vmax, vlevel, log=log)
        levels = _round_ratios(vmin, vmax) if log else np.arange(vmin, vmax, vlevel)
        if np.count_nonzero((levels > low) & (levels < high)) >= FEWEST_WITHIN:
            return Scale(levels, _norm(levels[0], levels[-1], log=log), _heights(finite, log=log))
    if log and not high > 0:
        raise InputError("no value is positive, so log levels have nothing to show", "leave {log} out")
    if not high - low > CONSTANT * max(abs(low), abs(high)):
        return Scale(np.array([]), Normalize(low, high), (low, high), refitted=is_given)
    log = log or (is_loss and low > 0 and high / LOG_RATIO > low)
    heights = _heights(finite, log=log)
    levels = _fitting_levels(*heights, log=log)
    return Scale(levels, _norm(*heights, log=log), heights, refitted=is_given)


def complete_levels(
    vmin: float | None, vmax: float | None, vlevel: float | None, *, log: bool = False
) -> tuple[float, float, float]:
    """Return vmin, vmax and vlevel, with the published numbers for those not given.

    Raises:
        InputError: they make no levels.
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
    if not log and (vmax - vmin) / vlevel > MOST_LEVELS:
        raise InputError(
            f"vlevel {vlevel:g} makes more than {MOST_LEVELS} levels from vmin {vmin:g} to vmax {vmax:g}"
        )
    return vmin, vmax, vlevel


def log_ticks(low: float, high: float) -> np.ndarray:
    """Return round numbers for the ticks of a log axis from `low` to `high`."""
    return _round_ratios(low, high, enough=ENOUGH_TICKS)


def _norm(low: float, high: float, *, log: bool) -> Normalize:
    return LogNorm(low, high) if log else Normalize(low, high)


def _heights(finite: np.ndarray, *, log: bool) -> tuple[float, float]:
    shown = np.maximum(finite[finite > 0], SMALLEST) if log else finite
    return float(shown.min()), float(shown.max())


def _fitting_levels(low: float, high: float, *, log: bool) -> np.ndarray:
    even = np.asarray(MaxNLocator(nbins=EVEN_LEVELS).tick_values(low, high))
    levels = _round_ratios(low, high) if log else even
    return levels[(levels > low) & (levels < high)]


def _round_ratios(low: float, high: float, *, enough: int = ENOUGH_LEVELS) -> np.ndarray:
    """Round numbers of nearly equal ratios: the sparsest series that has enough of them between the ends."""
    for series in _round_series(low, high):
        levels = series[(series >= low) & (series <= high)]
        if len(levels) >= enough:
            break
    return levels


def _round_series(low: float, high: float) -> Iterator[np.ndarray]:
    """Series of round numbers around the range from low to high, from the sparsest to the densest."""
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
