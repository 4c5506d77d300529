"""Selects the values of a surface that a figure can show, and describes the others."""

import numpy as np
from numpy.typing import ArrayLike

from losslandscape.files.surface import Surface

# matplotlib overflows near the ends of float64's range. No float32 net has a finite loss beyond 1e39.
LARGEST = 1e200
SMALLEST = 1e-200  # on a log scale, smaller positive values are drawn at this value


def finite(values: ArrayLike) -> np.ndarray:
    """Return values as float64, with NaN in place of infinite or too large ones."""
    values = np.asarray(values, dtype=np.float64)
    return np.where(np.abs(values) < LARGEST, values, np.nan)


def positive(values: np.ndarray) -> np.ndarray:
    """Return values for a log scale, with NaN in place of values that have no logarithm."""
    return np.where(values > 0, np.maximum(values, SMALLEST), np.nan)


def values_of(surface: Surface, name: str, *, log: bool = False) -> np.ndarray:
    """Return the values of a quantity to draw; NaN leaves a gap.

    Args:
        log: whether the scale is logarithmic, so that only positive values are drawn.
    """
    values = finite(surface.get(name))
    return positive(values) if log else values


def known_part(
    surface: Surface, name: str, *, log: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x, y and values of a plane without its empty rows and columns, in ascending order.

    So a run that has only completed a coarse grid is drawn on that grid. If fewer than two rows or columns
    would be left, the whole plane is returned. Of equal coordinates, the first counts.
    """
    assert surface.y is not None
    (x, columns), (y, rows) = (np.unique(axis, return_index=True) for axis in (surface.x, surface.y))
    values = values_of(surface, name, log=log)[np.ix_(rows, columns)]
    known = np.isfinite(values)
    with_value = known.any(axis=1), known.any(axis=0)
    if min(map(np.count_nonzero, with_value)) < 2:
        return x, y, values
    return x[with_value[1]], y[with_value[0]], values[np.ix_(*with_value)]


def has_cells(surface: Surface) -> bool:
    """Return whether a plane has 2x2 different points or more, as contours and 3-D surfaces need."""
    assert surface.y is not None
    return min(np.unique(surface.x).size, np.unique(surface.y).size) >= 2


def describe_thin(surface: Surface) -> str:
    """Return a sentence on why a plane without cells has no contours."""
    assert surface.y is not None
    size = f"{len(surface.x)}x{len(surface.y)} (x by y)"
    return f"a contour or a 3-D surface needs at least 2x2 points, and this grid is {size}"


def describe_missing(surface: Surface, name: str) -> str | None:
    """Return a text on the points that a figure of a quantity cannot show or interpolates; None without any.

    For the parts of the text, see `describe_interpolated` and `describe_lost`.
    """
    parts = describe_interpolated(surface, name), describe_lost(surface, name)
    return "; ".join(filter(None, parts)) or None


def describe_interpolated(surface: Surface, name: str) -> str | None:
    """Return a text on how many points are interpolated, and how well; None if none is."""
    interpolated = surface.interpolated.get(name)
    count = int(np.count_nonzero(interpolated.points)) if interpolated else 0
    if not interpolated or not count:
        return None
    size = interpolated.points.size
    text = f"{count} of {size} points ({_percent(count, size)} %) interpolated"
    if interpolated.error is None:
        return text
    return f"{text}, to {100 * interpolated.error:.2g} % of the range where checked"


def describe_lost(surface: Surface, name: str, *, largest: float = LARGEST) -> str | None:
    """Return a text on the points that a figure of a quantity cannot show; None if it shows all points.

    The text counts points that are not computed yet, results that are NaN or infinite, and too large results.

    Args:
        largest: the absolute value from which a result is too large.
    """
    measured = surface.measured(name)
    values = surface.get(name)
    is_finite = np.isfinite(values)
    waiting = int(np.count_nonzero(~measured))
    lost = int(np.count_nonzero(measured & ~is_finite))
    too_large = int(np.count_nonzero(measured & is_finite & (np.abs(values) >= largest)))
    parts = []
    if waiting:
        share = _percent(waiting, measured.size)
        parts.append(f"{waiting} of {measured.size} points ({share} %) not computed yet")
    if lost:
        parts.append(f"{_points(lost)} NaN or infinite")
    if too_large:
        parts.append(f"{_points(too_large)} too large to draw, {largest:g} or beyond")
    return "; ".join(parts) or None


def describe_no_logarithm(values: np.ndarray) -> str | None:
    """Return a text on how many values are zero or negative; None if no value is."""
    count = int(np.count_nonzero(values <= 0))
    if not count:
        return None
    return f"zero or negative at {_points(count)}, which {'has' if count == 1 else 'have'} no logarithm"


def describe_beyond(values: np.ndarray, low: float, high: float) -> str | None:
    """Return a text on how many values lie outside an axis from `low` to `high`; None if no value does."""
    count = int(np.count_nonzero((values < low) | (values > high)))
    if not count:
        return None
    extent = f"values from {np.nanmin(values):.3g} to {np.nanmax(values):.3g}"
    return f"{_points(count)} beyond the axis ({extent})"


def _points(count: int) -> str:
    return f"{count} point{'' if count == 1 else 's'}"


def _percent(part: int, total: int) -> str:
    """Return a rounded percentage, but "<1" rather than 0 for some, and ">99" rather than 100 for not all."""
    share = 100 * part / total
    if 0 < share < 1:
        return "<1"
    return ">99" if 99 < share < 100 else f"{share:.0f}"
