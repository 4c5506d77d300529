"""Values on the grid of a surface: in ascending order, between its points, and at its centre.

A result that is NaN or infinite is higher than any other. A value that is not measured yet is NaN here.
"""

from collections.abc import Callable

import numpy as np
from scipy.interpolate import RegularGridInterpolator

from losslandscape.draw.drawable import LARGEST
from losslandscape.files.surface import Surface

Axes = tuple[np.ndarray, ...]  # (x,) of a line, (y, x) of a plane
GridFunction = Callable[[np.ndarray], np.ndarray]  # from points (..., axes) to values

HIGHER_THAN_ANY = LARGEST
UNKNOWN_SHARE = 1e-9  # of a value: less is the rounding of an interpolation


def axes_of(surface: Surface) -> Axes:
    """Return the coordinates of a grid, one array per axis of its values."""
    return (surface.x,) if surface.y is None else (surface.y, surface.x)


def ascending(surface: Surface, name: str) -> tuple[Axes, np.ndarray]:
    """Return ascending axes and the values of a quantity in their order."""
    values, measured = surface.get(name), surface.measured(name)
    is_finite = np.abs(values) < HIGHER_THAN_ANY
    values = np.where(measured & ~is_finite, HIGHER_THAN_ANY, values)
    axes = axes_of(surface)
    for number, axis in enumerate(axes):
        if axis[0] > axis[-1]:
            values = np.flip(values, number)
    return tuple(np.sort(axis) for axis in axes), values


def ascending_errors(surface: Surface, name: str) -> np.ndarray | None:
    """Return standard errors in ascending order, NaN where unknown; None if the surface has none."""
    if name not in surface.names:
        return None
    _, errors = ascending(surface, name)
    return np.where(errors < HIGHER_THAN_ANY, errors, np.nan)


def linear(axes: Axes, values: np.ndarray) -> GridFunction | None:
    """Return the surface as a function that is linear between grid points.

    None for a grid with a single row or column. A point that depends on an unknown value has the value NaN.
    """
    if any(len(axis) < 2 or not (np.diff(axis) > 0).all() for axis in axes):
        return None
    unknown = np.isnan(values)
    known_values = RegularGridInterpolator(axes, np.where(unknown, 0, values))
    unknown_share = RegularGridInterpolator(axes, unknown.astype(float))

    def at(points: np.ndarray) -> np.ndarray:
        return np.where(unknown_share(points) > UNKNOWN_SHARE, np.nan, known_values(points))

    return at


def nearest_to_centre(axes: Axes) -> tuple[int, ...] | None:
    """Return the index of the grid point nearest to zero; None if zero lies outside the grid."""
    if any(axis.min() > 0 or axis.max() < 0 for axis in axes):
        return None
    return tuple(int(np.abs(axis).argmin()) for axis in axes)


def neighbourhoods(values: np.ndarray) -> np.ndarray:
    """Return the blocks of 3 or 3x3 neighbouring values that are all known, as rows (n, 3) or (n, 9)."""
    if min(values.shape) < 3:
        return np.empty((0, 3**values.ndim))
    blocks = np.lib.stride_tricks.sliding_window_view(values, (3,) * values.ndim)
    rows = blocks.reshape(-1, 3**values.ndim)
    return rows[np.isfinite(rows).all(axis=1)]
