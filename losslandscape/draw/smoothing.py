"""Resamples the values of a plane on a finer grid, so that contours are curves rather than polygons.

The interpolation is Akima's, modified ("makima"): it follows the neighbours of each interval only, and hardly
overshoots. What is left of that is cut off, so that every value lies within the range of the four measured
points around it. A cell that lacks one of its four values stays empty.
"""

from typing import Literal, get_args

import numpy as np
from scipy.interpolate import Akima1DInterpolator

Grid = tuple[np.ndarray, np.ndarray, np.ndarray]  # x, y and values (y, x)
Side = Literal["left", "right"]
SIDES: tuple[Side, ...] = get_args(Side)

FINE_POINTS = 320  # wanted along each axis
MAX_FACTOR = 24  # fine intervals in a measured one


def smooth(x: np.ndarray, y: np.ndarray, values: np.ndarray, *, log: bool) -> Grid:
    """Return finer coordinates, and values there; NaN in cells with an unknown value.

    Args:
        x, y: ascending coordinates of the grid, at least two each.
        values: (y, x); NaN where unknown.
        log: whether to interpolate the logarithm of the values, which are positive then.
    """
    heights = np.log(values) if log else values
    fine_x, fine_y = _finer(x), _finer(y)
    along_x = _interpolated(x, heights, fine_x)
    fine = _interpolated(y, along_x.T, fine_y).T
    low, high = _ranges_of_cells(heights)
    beside = [
        np.ix_(_cells(y, fine_y, row_side), _cells(x, fine_x, column_side))
        for row_side in SIDES
        for column_side in SIDES
    ]  # a point on a border belongs to the cells on both sides
    low = np.fmin.reduce([low[cells] for cells in beside])
    high = np.fmax.reduce([high[cells] for cells in beside])
    fine = np.clip(fine, low, high)
    return fine_x, fine_y, np.exp(fine) if log else fine


def _finer(coordinates: np.ndarray) -> np.ndarray:
    intervals = coordinates.size - 1
    factor = min(MAX_FACTOR, max(1, round(FINE_POINTS / intervals)))
    steps = np.arange(intervals * factor + 1) / factor
    return np.interp(steps, np.arange(coordinates.size), coordinates)


def _interpolated(x: np.ndarray, rows: np.ndarray, fine_x: np.ndarray) -> np.ndarray:
    """Interpolate each row of values at `x` between neighbours that are both known; NaN elsewhere."""
    known = np.isfinite(rows)
    if known.all():
        return Akima1DInterpolator(x, rows, axis=1, method="makima")(fine_x)
    fine = np.full((len(rows), fine_x.size), np.nan)
    for row, is_known, out in zip(rows, known, fine, strict=True):
        for start, end in _runs(is_known):
            inside = (fine_x >= x[start]) & (fine_x <= x[end - 1])
            piece = slice(start, end)
            out[inside] = Akima1DInterpolator(x[piece], row[piece], method="makima")(fine_x[inside])
    return fine


def _runs(known: np.ndarray) -> list[tuple[int, int]]:
    """Return start and end of each run of two known values or more."""
    edges = np.flatnonzero(np.diff(np.pad(known.astype(int), 1)))
    return [(start, end) for start, end in edges.reshape(-1, 2).tolist() if end - start >= 2]


def _ranges_of_cells(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and the highest corner of each cell; NaN where a corner is unknown."""
    corners = np.stack([values[:-1, :-1], values[1:, :-1], values[:-1, 1:], values[1:, 1:]])
    return corners.min(axis=0), corners.max(axis=0)


def _cells(coordinates: np.ndarray, fine: np.ndarray, side: Side) -> np.ndarray:
    """Return the index of the cell of each fine coordinate; on a border, of the cell on this side."""
    return np.clip(np.searchsorted(coordinates, fine, side=side) - 1, 0, coordinates.size - 2)
