"""Resamples a grid, which may have missing values, with cubic splines."""

import numpy as np

ROUNDING = 1e-9  # rounding error of the weights of an interpolation


def resample(
    x: np.ndarray, y: np.ndarray, values: np.ndarray, new_x: np.ndarray, new_y: np.ndarray
) -> np.ndarray:
    """Return a cubic spline through the values, at the points of a new grid.

    Args:
        x, y: ascending coordinates (nx,) and (ny,).
        values: the values (ny, nx), NaN where missing.
        new_x, new_y: the coordinates of the new grid.

    Returns:
        An array (len(new_y), len(new_x)), NaN where linear interpolation would need a missing value.
    """
    from scipy.interpolate import RectBivariateSpline  # here, as the import is slow

    known = np.isfinite(values)
    if not known.any():
        return np.full((new_y.size, new_x.size), np.nan)
    level = values[known][0]  # subtracted before the fit, so that a constant stays exactly constant
    degree_y, degree_x = min(3, y.size - 1), min(3, x.size - 1)
    spline = RectBivariateSpline(y, x, _filled(values) - level, kx=degree_y, ky=degree_x)
    resampled = spline(new_y, new_x) + level
    if not known.all():
        missing_weight = _weights(y, new_y) @ ~known @ _weights(x, new_x).T
        resampled[missing_weight > ROUNDING] = np.nan
    return resampled


def whole_cells(known: np.ndarray) -> np.ndarray:
    """Return which cells (ny - 1, nx - 1) of a grid (ny, nx) have four known corners."""
    return known[:-1, :-1] & known[:-1, 1:] & known[1:, 1:] & known[1:, :-1]


def _weights(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Return the weights (new, old) of old coordinates in linear interpolation at new coordinates."""
    unit_vectors = np.eye(old.size)
    return np.stack([np.interp(new, old, vector) for vector in unit_vectors], axis=-1)


def _filled(values: np.ndarray) -> np.ndarray:
    """Fill gaps for a spline: by linear interpolation where possible, else by the nearest value."""
    from scipy.interpolate import LinearNDInterpolator
    from scipy.ndimage import distance_transform_edt

    missing = ~np.isfinite(values)
    if not missing.any():
        return values
    nearest_index = distance_transform_edt(missing, return_distances=False, return_indices=True)
    filled = values[tuple(nearest_index)]
    if not whole_cells(~missing).any():
        return filled  # All points may lie on one line, which has no triangles.
    interpolate = LinearNDInterpolator(np.argwhere(~missing), values[~missing])
    linear = interpolate(np.argwhere(missing))
    filled[missing] = np.where(np.isfinite(linear), linear, filled[missing])
    return filled
