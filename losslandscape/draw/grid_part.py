"""Selects the measured rows and columns of a plane, in ascending order, and the measured points of a line."""

from collections.abc import Sequence

import numpy as np

from losslandscape.files.surface import Surface

Part = tuple[np.ndarray, np.ndarray]  # indices of rows and of columns, as arguments of np.ix_

# Strides, in grid points, of the lattices that a run from coarse to fine completes, the finest first here.
STRIDES = (2, 4, 8, 16)
MIN_POINTS = 3  # of a lattice along each axis


def ascending(coordinates: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return indices that sort the wanted finite coordinates, with one index for equal coordinates.

    >>> ascending(np.array([1.0, 0.5, 0.5, -1.0]), np.array([True, True, True, True]))
    array([3, 1, 0])
    """
    candidates = np.flatnonzero(wanted & np.isfinite(coordinates))
    _, firsts = np.unique(coordinates[candidates], return_index=True)
    return candidates[firsts]


def measured_part(surface: Surface, name: str) -> Part:
    """Return the rows and columns that have at least one measured point of a quantity."""
    assert surface.y is not None
    measured = surface.measured(name)
    rows = ascending(surface.y, np.any(measured, axis=1))
    columns = ascending(surface.x, np.any(measured, axis=0))
    return rows, columns


def complete_part(surface: Surface, name: str) -> Part:
    """Return the measured part, or if it has gaps, the finest complete lattice.

    If no lattice is complete, return the measured part with its gaps.
    """
    assert surface.y is not None
    part = measured_part(surface, name)
    measured = surface.measured(name)
    if measured[np.ix_(*part)].all():
        return part
    for stride in STRIDES:
        rows, columns = (_lattice(size, stride) for size in surface.shape)
        large_enough = min(rows.sum(), columns.sum()) >= MIN_POINTS
        if large_enough and measured[np.ix_(rows, columns)].all():
            return ascending(surface.y, rows), ascending(surface.x, columns)
    return part


def coarse_line(surface: Surface, names: Sequence[str]) -> Surface:
    """Return a line without the points that are not measured yet, if a run from coarse to fine left it so.

    Then the measured points hold one lattice and lie on the next finer one. Otherwise return the line itself.

    Args:
        names: the quantities that are drawn.
    """
    if not names:
        return surface
    each = np.stack([surface.measured(name) for name in names])
    known: np.ndarray = np.any(each, axis=0)
    lattices = [_lattice(known.size, stride) for stride in (1, *STRIDES)]
    steps = list(zip(lattices[1:], lattices, strict=False))
    is_coarse = any(known[coarse].all() and not known[~fine].any() for coarse, fine in steps)
    if known.all() or np.count_nonzero(known) < MIN_POINTS or not is_coarse:
        return surface
    return Surface(
        surface.path,
        x=surface.x[known],
        y=None,
        quantities={name: surface.get(name)[known] for name in surface.names},
        measured=np.all(each[:, known], axis=0),
        runs=surface.runs,
    )


def _lattice(size: int, stride: int) -> np.ndarray:
    """Return a mask (size,) of the points of an axis in a lattice: one per stride, and the last point."""
    chosen = np.zeros(size, bool)
    chosen[::stride] = True
    chosen[-1] = True
    return chosen
