"""Cubic splines through the values of a grid that may have holes."""

import numpy as np

ROUNDING = 1e-9  # of the weights of an interpolation


def resample(
    x: np.ndarray, y: np.ndarray, values: np.ndarray, new_x: np.ndarray, new_y: np.ndarray
) -> np.ndarray:
    """Return the values of a cubic spline at the points of another grid.

    Args:
        x, y: ascending coordinates (nx,) and (ny,).
        values: (ny, nx), NaN in holes.
        new_x, new_y: coordinates of the other grid.

    Returns:
        An array (len(new_y), len(new_x)), NaN in the cells that touch a hole.
    """
    from scipy.interpolate import RectBivariateSpline  # takes a while to import

    known = np.isfinite(values)
    if not known.any():
        return np.full((new_y.size, new_x.size), np.nan)
    level = values[known][0]  # taken away before, so that a constant stays one to the last digit
    degree_y, degree_x = min(3, y.size - 1), min(3, x.size - 1)
    spline = RectBivariateSpline(y, x, _filled(values) - level, kx=degree_y, ky=degree_x)
    resampled = spline(new_y, new_x) + level
    if not known.all():
        share_of_holes = _weights(y, new_y) @ ~known @ _weights(x, new_x).T
        resampled[share_of_holes > ROUNDING] = np.nan
    return resampled


def whole_cells(known: np.ndarray) -> np.ndarray:
    """Return which cells (ny - 1, nx - 1) of a grid (ny, nx) have four known corners."""
    return known[:-1, :-1] & known[:-1, 1:] & known[1:, 1:] & known[1:, :-1]


def _weights(places: np.ndarray, new_places: np.ndarray) -> np.ndarray:
    """The weights (new, old) of the old places in linear interpolation."""
    unit_vectors = np.eye(places.size)
    return np.stack([np.interp(new_places, places, vector) for vector in unit_vectors], axis=-1)


def _filled(values: np.ndarray) -> np.ndarray:
    """Values with holes filled, for a spline: linearly from around a hole, else by the nearest value."""
    from scipy.interpolate import LinearNDInterpolator
    from scipy.ndimage import distance_transform_edt

    hole = ~np.isfinite(values)
    if not hole.any():
        return values
    nearest_index = distance_transform_edt(hole, return_distances=False, return_indices=True)
    filled = values[tuple(nearest_index)]
    if not whole_cells(~hole).any():
        return filled  # All points may lie on one line, which has no triangles.
    interpolate = LinearNDInterpolator(np.argwhere(~hole), values[~hole])
    linear = interpolate(np.argwhere(hole))
    filled[hole] = np.where(np.isfinite(linear), linear, filled[hole])
    return filled
