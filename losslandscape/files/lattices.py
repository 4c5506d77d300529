"""The lattices of a grid, from coarse to fine, and the prediction of each from the one before.

Places are indices, so the steps of the axes do not matter. The lattice of stride s has every s-th point of an
axis and the last one; an axis of few points keeps all.
"""

import numpy as np

FEWEST = 7  # points of the coarsest lattice on an axis; an axis with fewer is in every lattice as a whole
COARSEST = 16
NODES = 4  # a prediction is the cubic through this many points, along each axis
ROUNDING = 1e-9  # of the weights of a prediction


def first_stride(shape: tuple[int, ...]) -> int:
    """Return the stride of the coarsest lattice, a power of 2; 1 if every axis has few points."""
    stride = 1
    while 2 * stride <= COARSEST and all(lattice(size, 2 * stride).size >= FEWEST for size in _long(shape)):
        stride *= 2
    return stride if _long(shape) else 1


def lattice(size: int, stride: int) -> np.ndarray:
    """Return the indices of an axis that belong to a lattice, in ascending order.

    >>> lattice(12, 4), lattice(5, 4)
    (array([ 0,  4,  8, 11]), array([0, 1, 2, 3, 4]))
    """
    if size < FEWEST:
        return np.arange(size)
    return np.union1d(np.arange(0, size, stride), [size - 1])


def on_lattice(shape: tuple[int, ...], stride: int) -> np.ndarray:
    """Return a mask of the grid: True at the points of a lattice."""
    mask = np.zeros(shape, bool)
    mask[np.ix_(*(lattice(size, stride) for size in shape))] = True
    return mask


def predicted(heights: np.ndarray, stride: int) -> np.ndarray:
    """Predict a lattice from the next coarser one, by the cubics through the nearest points along each axis.

    Args:
        heights: an array of the grid's shape, of which only the lattice of stride 2 * `stride` is read.

    Returns:
        An array of the grid's shape; NaN outside the lattice, and where a needed height is not finite.
    """
    old = [lattice(size, 2 * stride) for size in heights.shape]
    new = [lattice(size, stride) for size in heights.shape]
    coarse = heights[np.ix_(*old)]
    fine, unknown = np.nan_to_num(coarse, posinf=0, neginf=0), (~np.isfinite(coarse)).astype(float)
    for axis, ends in enumerate(zip(old, new, strict=True)):
        weights = _weights(*ends)
        fine = _along(axis, weights, fine)
        unknown = _along(axis, np.abs(weights), unknown)
    result = np.full(heights.shape, np.nan)
    result[np.ix_(*new)] = np.where(unknown > ROUNDING, np.nan, fine)
    return result


def _long(shape: tuple[int, ...]) -> list[int]:
    return [size for size in shape if size >= FEWEST]


def _along(axis: int, weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.tensordot(weights, values, (1, axis)), 0, axis)


def _weights(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Return the weights (new, old) of Lagrange's polynomial through the `NODES` nearest old indices."""
    nodes = min(NODES, old.size)
    weights = np.zeros((new.size, old.size))
    for row, place in zip(weights, new, strict=True):
        start = int(np.clip(np.searchsorted(old, place) - nodes // 2, 0, old.size - nodes))
        near = old[start : start + nodes].astype(float)
        for i, node in enumerate(near):
            others = np.delete(near, i)
            row[start + i] = np.prod((place - others) / (node - others))
    return weights
