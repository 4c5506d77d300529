"""Finds the minima of a loss on a grid, and how far the loss must rise on the way out of each.

This is the topological persistence of sublevel sets in dimension 0 (Edelsbrunner and Harer, Computational
Topology, 2010, chapter VII). It tells real minima from small ripples.
"""

import itertools
import math

import numpy as np
from scipy.cluster.hierarchy import DisjointSet


def depths_of_minima(values: np.ndarray) -> list[float] | None:
    """Return the depth of each minimum, from deep to shallow.

    The depth of a minimum is the least rise on any path from it to a lower point. A path goes from a grid
    point to its neighbours, 2 on a line and 8 in a plane. The lowest minimum has an infinite depth. Minima on
    the edge of the grid do not count, because the loss may go on falling there.

    Args:
        values: (nx,) or (ny, nx), NaN where not measured.

    Returns:
        The depths, all above 0; None if a value is not measured.
    """
    if np.isnan(values).any():
        return None
    heights = values.ravel()
    depths = [(minimum, rise) for minimum, rise in _rises(heights, values.shape) if rise > 0]
    inside = [rise for minimum, rise in depths if _is_inside(minimum, values.shape)]
    return sorted(inside, reverse=True)


def _rises(heights: np.ndarray, shape: tuple[int, ...]) -> list[tuple[int, float]]:
    """Return the flat index of each minimum, with the rise at which its basin joins a lower one.

    The points are flooded from low to high. A point that connects two basins ends the higher of them.
    """
    basins = DisjointSet()
    lowest: dict[int, int] = {}  # the lowest point of each basin, by the basin's root
    rises = []
    order = np.argsort(heights, kind="stable").tolist()
    for point in order:
        basins.add(point)
        lowest[point] = point
        for neighbour in _neighbours(point, shape):
            if neighbour not in basins or basins.connected(point, neighbour):
                continue
            low, high = sorted((lowest[basins[point]], lowest[basins[neighbour]]), key=heights.__getitem__)
            rises.append((high, float(heights[point] - heights[high])))
            basins.merge(point, neighbour)
            lowest[basins[point]] = low
    rises.append((order[0], math.inf))
    return rises


def _neighbours(point: int, shape: tuple[int, ...]) -> list[int]:
    """Return the flat indices of the points around a point of the grid."""
    place = np.unravel_index(point, shape)
    ranges = [range(max(i - 1, 0), min(i + 2, size)) for i, size in zip(map(int, place), shape, strict=True)]
    around = [int(np.ravel_multi_index(other, shape)) for other in itertools.product(*ranges)]
    return [other for other in around if other != point]


def _is_inside(point: int, shape: tuple[int, ...]) -> bool:
    place = np.unravel_index(point, shape)
    return all(0 < i < size - 1 for i, size in zip(place, shape, strict=True))
