"""Which rows and columns of a plane are drawn in space: those that are measured, in ascending order."""

import numpy as np

from losslandscape.files.surface import Surface

Part = tuple[np.ndarray, np.ndarray]  # indices of rows and of columns, as np.ix_ takes them

# A run that begins with a coarse grid completes lattices with these strides, the widest first.
STRIDES = (2, 4, 8, 16)
FEWEST_POINTS = 3  # along each axis of such a lattice


def ascending(coordinates: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the indices of the wanted coordinates in ascending order, and only one of equal coordinates.

    >>> ascending(np.array([1.0, 0.5, 0.5, -1.0]), np.array([True, True, True, True]))
    array([3, 1, 0])
    """
    candidates = np.flatnonzero(wanted & np.isfinite(coordinates))
    _, firsts = np.unique(coordinates[candidates], return_index=True)
    return candidates[firsts]


def measured_part(surface: Surface, name: str) -> Part:
    """Return the rows and columns in which a quantity is measured at one point or more."""
    assert surface.y is not None
    measured = surface.measured(name)
    rows = ascending(surface.y, np.any(measured, axis=1))
    columns = ascending(surface.x, np.any(measured, axis=0))
    return rows, columns


def complete_part(surface: Surface, name: str) -> Part:
    """Return the measured part, or if it has gaps, the finest lattice that a run has completed.

    If no lattice is complete, it is the measured part with its gaps.
    """
    assert surface.y is not None
    part = measured_part(surface, name)
    measured = surface.measured(name)
    if measured[np.ix_(*part)].all():
        return part
    for stride in STRIDES:
        rows, columns = (_lattice(size, stride) for size in surface.shape)
        large_enough = min(rows.sum(), columns.sum()) >= FEWEST_POINTS
        if large_enough and measured[np.ix_(rows, columns)].all():
            return ascending(surface.y, rows), ascending(surface.x, columns)
    return part


def _lattice(size: int, stride: int) -> np.ndarray:
    """Which points of an axis are in a lattice: every so many, and the last."""
    chosen = np.zeros(size, bool)
    chosen[::stride] = True
    chosen[-1] = True
    return chosen
