"""Reads the values of a surface in ascending order of its axes, and interpolates between grid points.

Here a result that is NaN, infinite or too large counts as higher than any other, and a value that is not
measured yet is NaN.
"""

from collections.abc import Callable

import numpy as np
from scipy.interpolate import RegularGridInterpolator

from losslandscape.draw.drawable import LARGEST
from losslandscape.files.surface import Surface

Axes = tuple[np.ndarray, ...]  # (x,) for a line, (y, x) for a plane
GridFunction = Callable[[np.ndarray], np.ndarray]  # from points (..., axes) to values

HIGHER_THAN_ANY = LARGEST
MIN_UNKNOWN_SHARE = 1e-9  # weight of unknown values in an interpolation; less is a rounding error


def axes_of(surface: Surface) -> Axes:
    """Return the coordinates of a grid, one array per axis of its values."""
    return (surface.x,) if surface.y is None else (surface.y, surface.x)


def ascending(surface: Surface, name: str) -> tuple[Axes, np.ndarray]:
    """Return the axes in ascending order, and the values of a quantity in the same order."""
    values, measured = surface.get(name), surface.measured(name)
    is_finite = np.abs(values) < HIGHER_THAN_ANY
    values = np.where(measured & ~is_finite, HIGHER_THAN_ANY, values)
    axes = axes_of(surface)
    for dimension, axis in enumerate(axes):
        if axis[0] > axis[-1]:
            values = np.flip(values, dimension)
    return tuple(np.sort(axis) for axis in axes), values


def ascending_errors(surface: Surface, name: str) -> np.ndarray | None:
    """Return standard errors in ascending order of the axes, NaN where unknown; None without `name`."""
    if name not in surface.names:
        return None
    _, errors = ascending(surface, name)
    return np.where(errors < HIGHER_THAN_ANY, errors, np.nan)


def linear(axes: Axes, values: np.ndarray) -> GridFunction | None:
    """Return the surface as a function that is linear between grid points.

    Return None for a grid with a single row or column, or with repeated coordinates. The function is NaN at a
    point that depends on an unknown value.
    """
    if any(len(axis) < 2 or not (np.diff(axis) > 0).all() for axis in axes):
        return None
    unknown = np.isnan(values)
    known_values = RegularGridInterpolator(axes, np.where(unknown, 0, values))
    unknown_share = RegularGridInterpolator(axes, unknown.astype(float))

    def at(points: np.ndarray) -> np.ndarray:
        return np.where(unknown_share(points) > MIN_UNKNOWN_SHARE, np.nan, known_values(points))

    return at


def nearest_to_centre(axes: Axes) -> tuple[int, ...] | None:
    """Return the indices of the grid point nearest to zero; None if zero lies outside the grid."""
    if any(axis.min() > 0 or axis.max() < 0 for axis in axes):
        return None
    return tuple(int(np.abs(axis).argmin()) for axis in axes)


def neighbourhoods(values: np.ndarray) -> np.ndarray:
    """Return all blocks of 3 or 3x3 neighbouring known values as the rows of an (n, 3) or (n, 9) array."""
    if min(values.shape) < 3:
        return np.empty((0, 3**values.ndim))
    blocks = np.lib.stride_tricks.sliding_window_view(values, (3,) * values.ndim)
    rows = blocks.reshape(-1, 3**values.ndim)
    return rows[np.isfinite(rows).all(axis=1)]
