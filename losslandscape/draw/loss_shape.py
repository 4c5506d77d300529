"""Metrics for the shape of a loss on a grid: sharpness, flatness, curvature, minima and barrier.

`axes` is (x,) or (y, x), each ascending. `values` has one dimension per axis, and is NaN where not measured.
A metric that depends on an unknown value is None. docs/metrics.md has the formulas and their sources.
"""

import math
from dataclasses import dataclass

import numpy as np

from losslandscape.draw.grid_values import HIGHER_THAN_ANY, Axes, GridFunction, linear, neighbourhoods

# Half the side of the box in which sharpness looks for the highest loss. With filter-normalised directions,
# this is a tenth of each filter's norm.
SHARPNESS_RADIUS = 0.1
# The loss has risen where it is at least twice max(loss at the centre, 0.1). The floor ignores the doubling
# of a loss near zero.
RISE_FACTOR, RISE_FLOOR = 2.0, 0.1
RAYS = 72  # directions in a plane along which the flatness radius is searched
STEPS = 1000  # steps along each ray
LOSS_ROUNDING = 1e-6  # relative rounding error of a float32 loss
SUM_ROUNDING = 1e-12  # relative rounding error of float64 sums
# Unit vectors, in the order of the axes.
LINE_RAYS = {"+x": (1.0,), "-x": (-1.0,)}
PLANE_RAYS = {"+x": (0.0, 1.0), "-x": (0.0, -1.0), "+y": (1.0, 0.0), "-y": (-1.0, 0.0)}
LEAST = "least"  # the key of the smallest flatness radius of all rays


def sharpness(axes: Axes, values: np.ndarray, radius: float = SHARPNESS_RADIUS) -> float | None:
    """Return 100 (max f - f(0)) / (1 + f(0)), where max is over the box |x| <= radius, |y| <= radius.

    This is Metric 2.1 of Keskar et al. 2017. It is None if the box reaches beyond the grid. It is also None
    if an axis has no coordinate in the box on one side of zero: then every value would be interpolated.
    """
    f = linear(axes, values)
    if f is None or not all(_has_lines_within(axis, radius) for axis in axes):
        return None
    # Between grid lines f is linear. So its maximum lies where a grid line crosses another one or the box.
    lines = [np.concatenate([[-radius], axis[np.abs(axis) < radius], [radius]]) for axis in axes]
    centre = float(f(np.zeros(len(axes)))[0])
    highest = float(np.max(f(np.stack(np.meshgrid(*lines), axis=-1))))
    if math.isnan(highest) or math.isnan(centre):
        return None
    if highest >= HIGHER_THAN_ANY:
        return math.inf
    return 100 * _without_rounding(highest - centre, highest) / (1 + centre)


def _has_lines_within(axis: np.ndarray, radius: float) -> bool:
    """Return whether an axis covers the box and has coordinates in the box on both sides of zero."""
    if axis[0] > -radius or axis[-1] < radius:
        return False
    inside = axis[np.abs(axis) <= radius * (1 + LOSS_ROUNDING)]
    return bool((inside > 0).any() and (inside < 0).any())


def _without_rounding(difference: float, value: float) -> float:
    """Return a difference of values of this magnitude, or zero if rounding alone may have caused it."""
    return difference if abs(difference) > SUM_ROUNDING * abs(value) else 0.0


def flatness(axes: Axes, values: np.ndarray, factor: float = RISE_FACTOR) -> dict[str, float | None]:
    """Return the distance from the centre at which the loss first is `factor` times max(f(0), 0.1).

    The keys are "+x" and "-x". A plane also has "+y", "-y", and "least" for the smallest of all distances.
    A side of the centre that the grid does not have, as "-x" on a line from 0 to 1, has no key. A distance is
    infinite if the loss does not reach that level within the grid.
    """
    is_line = len(axes) == 1
    all_sides = LINE_RAYS if is_line else PLANE_RAYS
    rays = {name: ray for name, ray in all_sides.items() if _length(axes, np.array(ray)) > SUM_ROUNDING}
    f = linear(axes, values)
    if f is None:
        return dict.fromkeys(rays if is_line else [*rays, LEAST])
    distances = {name: _first_rise(f, axes, np.array(ray), factor) for name, ray in rays.items()}
    if not is_line:
        angles = 2 * np.pi * np.arange(RAYS) / RAYS
        all_rays = np.stack([np.sin(angles), np.cos(angles)], axis=1)
        inside = [ray for ray in all_rays if _length(axes, ray) > SUM_ROUNDING]
        all_distances = [_first_rise(f, axes, ray, factor) for ray in inside]
        known = [distance for distance in all_distances if distance is not None]
        distances[LEAST] = min(known) if len(known) == len(inside) else None
    return distances


def _length(axes: Axes, ray: np.ndarray) -> float:
    """Return the distance from the centre to the edge of the grid along a unit vector."""
    ends = [
        (axis[-1] if step > 0 else -axis[0]) / abs(step)
        for axis, step in zip(axes, ray, strict=True)
        if abs(step) > SUM_ROUNDING
    ]
    return float(min(ends))


def _first_rise(f: GridFunction, axes: Axes, ray: np.ndarray, factor: float) -> float | None:
    """Return the distance along a unit vector; infinite if the loss does not rise within the grid."""
    t = np.linspace(0, _length(axes, ray), STEPS + 1)
    # Rounding may put the last point just outside the grid.
    points = [np.clip(t * step, axis[0], axis[-1]) for axis, step in zip(axes, ray, strict=True)]
    height = f(np.stack(points, axis=-1))
    level = factor * max(height[0], RISE_FLOOR)
    risen = np.flatnonzero(height >= level)
    before = height[: risen[0] + 1] if risen.size else height
    if np.isnan(before).any():
        return None
    if not risen.size:
        return math.inf
    i = risen[0]
    if i == 0:
        return 0.0
    fraction = (height[i] - level) / (height[i] - height[i - 1])
    return max(0.0, float(t[i] - (t[i] - t[i - 1]) * fraction))  # rounding may make it negative


def negative_curvature(values: np.ndarray) -> float | None:
    """Return the fraction of points whose discrete Hessian has a negative eigenvalue.

    Only points whose neighbours are all known count. The Hessian consists of the second differences
    f(i+1) - 2 f(i) + f(i-1), and in a plane the mixed difference (f(+,+) - f(+,-) - f(-,+) + f(-,-)) / 4. The
    sign of its smallest eigenvalue does not depend on the grid spacing. An eigenvalue within rounding error
    counts as zero.
    """
    around = neighbourhoods(values)
    if not around.size:
        return None
    if values.ndim == 1:
        smallest = around[:, 0] - 2 * around[:, 1] + around[:, 2]
    else:
        xx = around[:, 3] - 2 * around[:, 4] + around[:, 5]
        yy = around[:, 1] - 2 * around[:, 4] + around[:, 7]
        xy = (around[:, 0] - around[:, 2] - around[:, 6] + around[:, 8]) / 4
        smallest = (xx + yy) / 2 - np.hypot((xx - yy) / 2, xy)
    return float(np.mean(smallest < -LOSS_ROUNDING * np.abs(around).max(axis=1)))


def roughness(values: np.ndarray) -> float | None:
    """Return the rms of the second differences, along each axis, over the standard deviation of the values.

    Only points whose neighbours are all known count. A value that is NaN or infinite leaves it unknown. The
    second differences shrink with the square of the grid's step, so grids must have equal steps to compare.
    """
    if not neighbourhoods(values).size or np.nanmax(values) >= HIGHER_THAN_ANY:
        return None
    greatest = float(np.nanmax(np.abs(values)))
    values = values / (greatest or 1.0)  # squares of large losses would overflow
    around = neighbourhoods(values)
    middle = around.shape[1] // 2
    pairs = [(0, 2)] if values.ndim == 1 else [(3, 5), (1, 7)]
    seconds = np.array([around[:, low] - 2 * around[:, middle] + around[:, high] for low, high in pairs])
    spread = float(np.nanstd(values))
    if spread <= LOSS_ROUNDING:
        return 0.0
    return float(np.sqrt(np.mean(seconds**2))) / spread


def local_minima(values: np.ndarray) -> int | None:
    """Return how many points are lower than all their neighbours, 2 on a line and 8 in a plane.

    Points on the edge of the grid, or with an unknown neighbour, do not count.
    """
    around = neighbourhoods(values)
    if not around.size:
        return None
    middle = around.shape[1] // 2
    others = np.delete(around, middle, axis=1)
    return int(np.count_nonzero((around[:, [middle]] < others).all(axis=1)))


@dataclass(frozen=True)
class _Interpolation:
    """The loss along the line between two nets, which lie at 0 and 1.

    Args:
        t: coordinates (n,) from 0 to 1.
        heights: the loss (n,) at `t`.
        above: the loss less the straight line between its ends, (n,).
    """

    t: np.ndarray
    heights: np.ndarray
    above: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, values: np.ndarray) -> "_Interpolation | None":
        f = linear((x,), values)
        if f is None or x[0] > 0 or x[-1] < 1:
            return None
        t = np.concatenate([[0.0], x[(x > 0) & (x < 1)], [1.0]])
        heights = f(t[:, None])
        return cls(t, heights, heights - _straight(t, heights))


def _straight(t: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the straight line between the first and the last value, at `t`."""
    return (1 - t) * values[0] + t * values[-1]


def barrier(x: np.ndarray, values: np.ndarray) -> float | None:
    """Return how far the loss between 0 and 1 rises above the straight line between its ends.

    This is Definition 2.1 of Entezari et al. 2022. It is None if the grid does not reach from 0 to 1.
    """
    path = _Interpolation.of(x, values)
    if path is None:
        return None
    higher_end = max(path.heights[0], path.heights[-1])
    highest = float(np.max(path.above))
    if higher_end >= HIGHER_THAN_ANY / 2 or math.isnan(highest):
        return None
    above = _without_rounding(highest, higher_end)
    return math.inf if above >= HIGHER_THAN_ANY / 2 else above


def barrier_place(
    x: np.ndarray, values: np.ndarray
) -> tuple[float, float, float, tuple[float, float]] | None:
    """Return where the barrier is: t, the straight line and the loss there, and the losses at 0 and 1.

    It is None if the barrier is None or infinite.
    """
    path = _Interpolation.of(x, values)
    if path is None or not np.isfinite(path.above).all() or np.abs(path.heights).max() >= HIGHER_THAN_ANY:
        return None
    top = int(path.above.argmax())
    height = float(path.heights[top])
    ends = float(path.heights[0]), float(path.heights[-1])
    return float(path.t[top]), height - float(path.above[top]), height, ends


def barrier_error(x: np.ndarray, values: np.ndarray, errors: np.ndarray) -> float | None:
    """Return an upper bound on the standard error of the barrier: the sum of all errors that enter it.

    Args:
        x: the coordinates, as for `barrier`.
        values: the loss, as for `barrier`.
        errors: standard errors (n,) of the differences from the loss at the centre.
    """
    path = _Interpolation.of(x, values)
    error = linear((x,), errors)
    if path is None or error is None:
        return None
    if not np.isfinite(path.above).all() or np.abs(path.heights).max() >= HIGHER_THAN_ANY / 2:
        return None
    top = path.above.argmax()
    if top in (0, len(path.t) - 1):  # the barrier is zero by definition
        return 0.0
    path_errors = error(path.t[:, None])
    bound = float(path_errors[top] + _straight(path.t, path_errors)[top])
    return bound if bound < HIGHER_THAN_ANY / 2 else None
