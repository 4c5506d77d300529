"""Numbers that say what the eye sees in a surface; docs/metrics.md has their formulas and sources.

Values are linear between grid points. A result that is NaN or infinite is higher than any other; what is not measured yet is not
known, and a number that depends on it is None.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import RegularGridInterpolator

from losslandscape.core import quantity

SHARPNESS_RADIUS = 0.1  # half the side of the box in which the loss may rise: with filter-normalised directions a tenth of each filter's norm
RISE_FACTOR, RISE_FLOOR = (
    2.0,
    0.1,
)  # a loss has risen when it is twice that of the centre, or of 0.1, below which twice is next to nothing
RAYS = 72  # directions in which the flatness radius of a plane is looked for
STEPS = 1000  # along each
ROUNDING = 1e-6  # of a float32 loss, relative
OWN_ROUNDING = 1e-12  # of float64 sums, relative
HIGHER_THAN_ANY = 1e200
CURVED_DOWN = 0.1  # part of the largest eigenvalue beyond which a negative one counts: next to nothing to the eye of Li et al. 2018, figure 7

Axes = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Place:
    """A value, its coordinates (x,) or (x, y), and its standard error if the file has that."""

    value: float
    at: tuple[float, ...]
    se: float | None = None


@dataclass(frozen=True)
class Metrics:
    """What is known of one quantity of a surface; None where the grid or the file does not tell.

    `flatness` is the distance at which the loss has risen, by direction: "+x", "-x", and in a plane "+y", "-y" and "least" of all directions;
    infinity where it has not risen up to the grid's edge. `negative_curvature` is a share of the points whose neighbours are all known, and
    `barrier` is of interpolations alone; `barrier_se` is the most that its standard error can be.
    """

    centre: Place | None
    lowest: Place
    highest: Place
    sharpness: float | None = None
    flatness: dict[str, float | None] | None = None
    negative_curvature: float | None = None
    local_minima: int | None = None
    barrier: float | None = None
    barrier_se: float | None = None


@dataclass(frozen=True)
class Convexity:
    """How the smallest Hessian eigenvalue compares with the largest: |min/max| at the grid point that is the centre and in the median, and the
    share of the points at which min is negative beyond a tenth of max.
    """

    centre: float | None
    median: float
    curved_down: float


@dataclass(frozen=True)
class Spread:
    """A number of several surfaces: `known` of them have it. mean, std (of a sample, None for one surface): None where one of them is infinite."""

    known: int
    mean: float | None
    std: float | None
    least: float
    greatest: float


def measure(surface, name: str) -> Metrics:
    """The metrics of quantity `name` of a `Surface`; only a loss, whose name ends so, has all of them.

    Raises `InputError` for a quantity that the file does not have; ValueError if no value is finite.
    """
    axes, values = _ascending(surface, name)
    errors = _errors(surface, quantity.standard_error(name))
    finite = np.abs(values) < HIGHER_THAN_ANY
    places = {
        word: _place(axes, values, choose(np.where(finite, values, np.nan)), errors)
        for word, choose in (("lowest", np.nanargmin), ("highest", np.nanargmax))
    }
    centre = _centre(axes, values, errors)
    if not quantity.is_loss(name) or centre is None or centre.value >= HIGHER_THAN_ANY:
        return Metrics(centre, **places)
    of_line = (
        {"barrier": barrier(axes[0], values), "barrier_se": _barrier_error(axes[0], values, surface, name)}
        if interpolates(surface)
        else {}
    )
    rising = (
        {"sharpness": sharpness(axes, values), "flatness": flatness(axes, values)}
        if centre.value >= 0
        else {}
    )
    return Metrics(
        centre,
        **places,
        **rising,
        negative_curvature=negative_curvature(values),
        local_minima=local_minima(values),
        **of_line,
    )


def summarise(surfaces: Sequence, name: str) -> dict[str, Spread]:
    """Each number of quantity `name` over surfaces, such as random planes through one minimum: how many have it, mean, deviation, range."""
    found: dict[str, list[float]] = {}
    for surface in surfaces:
        for word, value in numbers(measure(surface, name)):
            found.setdefault(word, []).append(value)
    return {word: _spread(np.array(values)) for word, values in found.items()}


def _spread(values: np.ndarray) -> Spread:
    finite = bool((np.abs(values) < HIGHER_THAN_ANY).all())
    return Spread(
        len(values),
        float(values.mean()) if finite else None,
        float(values.std(ddof=1)) if finite and len(values) > 1 else None,
        float(values.min()),
        float(values.max()),
    )


def numbers(metrics: Metrics) -> Iterator[tuple[str, float]]:
    """The numbers that are known, by what people call them."""
    places = {"at the centre": metrics.centre, "lowest": metrics.lowest, "highest": metrics.highest}
    yield from ((word, place.value) for word, place in places.items() if place)
    flat = {
        f"flatness radius {direction}": distance for direction, distance in (metrics.flatness or {}).items()
    }
    others = {
        f"sharpness within {SHARPNESS_RADIUS:g}": metrics.sharpness,
        **flat,
        "points of negative curvature": metrics.negative_curvature,
        "local minima": metrics.local_minima,
        "barrier": metrics.barrier,
    }
    yield from ((word, float(value)) for word, value in others.items() if value is not None)


def eigenvalue_ratio(surface) -> np.ndarray:
    """min_eig / |max_eig| of the surface's shape, which is negative where the loss curves down; NaN where it is not known or has no value."""
    with np.errstate(all="ignore"):
        ratio = surface.get("min_eig") / np.abs(surface.get("max_eig"))
    return np.where(np.abs(ratio) < HIGHER_THAN_ANY, ratio, np.nan)


def convexity(surface) -> Convexity | None:
    """None if there is no point of which the ratio of the eigenvalues is known."""
    ratio = eigenvalue_ratio(surface)
    known = ratio[np.isfinite(ratio)]
    if not known.size:
        return None
    centre = _centre((surface.x,) if surface.y is None else (surface.y, surface.x), np.abs(ratio))
    return Convexity(
        centre and centre.value, float(np.median(np.abs(known))), float(np.mean(known < -CURVED_DOWN))
    )


def sharpness(axes: Axes, values: np.ndarray, radius: float = SHARPNESS_RADIUS) -> float | None:
    """100 (max f - f(0)) / (1 + f(0)), the maximum over the box |x| <= radius, |y| <= radius (Keskar et al. 2017, Metric 2.1).

    `axes` (y, x) or (x,) in ascending order, `values` of their shape. None if the box reaches beyond the grid, has points not measured, or
    has no grid line on one side of the centre: all would be interpolation there.
    """
    f, reach = _linear(axes, values), radius * (1 + ROUNDING)
    sides = [side[np.abs(side) <= reach] for axis in axes for side in (axis[axis > 0], axis[axis < 0])]
    if (
        f is None
        or any(axis[0] > -radius or axis[-1] < radius for axis in axes)
        or not all(side.size for side in sides)
    ):
        return None
    # The highest point of a surface that is linear between the grid's lines lies where these cross each other or the box's sides.
    lines = [np.concatenate([[-radius], axis[np.abs(axis) < radius], [radius]]) for axis in axes]
    centre, highest = (
        float(f(np.zeros(len(axes)))[0]),
        float(np.max(f(np.stack(np.meshgrid(*lines), axis=-1)))),
    )
    if math.isnan(highest) or math.isnan(centre):
        return None
    return math.inf if highest >= HIGHER_THAN_ANY else 100 * _rise(highest - centre, highest) / (1 + centre)


def _rise(difference: float, value: float) -> float:
    """A difference from a value, zero where it is the rounding of an interpolation: that of a constant gives it back to the last digit but one."""
    return difference if abs(difference) > OWN_ROUNDING * abs(value) else 0.0


def flatness(axes: Axes, values: np.ndarray, factor: float = RISE_FACTOR) -> dict[str, float | None]:
    """Distance from the centre at which the loss first is `factor` times max(f(0), 0.1), by direction."""
    if len(axes) == 1:
        rays = {"+x": (1.0,), "-x": (-1.0,)}
    else:
        rays = {"+x": (0.0, 1.0), "-x": (0.0, -1.0), "+y": (1.0, 0.0), "-y": (-1.0, 0.0)}
    f = _linear(axes, values)
    if f is None:
        return dict.fromkeys([*rays, "least"] if len(axes) == 2 else rays)
    found = {name: _first_rise(f, axes, np.array(ray), factor) for name, ray in rays.items()}
    if len(axes) == 2:
        angles = 2 * np.pi * np.arange(RAYS) / RAYS
        all_rays = [
            _first_rise(f, axes, np.array([np.sin(angle), np.cos(angle)]), factor) for angle in angles
        ]
        found["least"] = None if None in all_rays else min(all_rays)
    return found


def negative_curvature(values: np.ndarray) -> float | None:
    """Share of the points at which the discrete Hessian has a negative eigenvalue, of those whose neighbours are all known.

    The second differences f(i+1) - 2 f(i) + f(i-1), and in a plane the mixed one (f(+,+) - f(+,-) - f(-,+) + f(-,-)) / 4; the sign of the least
    eigenvalue does not depend on the steps of the grid. What rounding could have made counts as zero.
    """
    around = _neighbourhoods(values)
    if not around.size:
        return None
    flat = around.reshape(*around.shape[:1], -1)
    if values.ndim == 1:
        least = flat[:, 0] - 2 * flat[:, 1] + flat[:, 2]
    else:
        xx, yy = (flat[:, a] - 2 * flat[:, 4] + flat[:, b] for a, b in ((3, 5), (1, 7)))
        xy = (flat[:, 0] - flat[:, 2] - flat[:, 6] + flat[:, 8]) / 4
        least = (xx + yy) / 2 - np.hypot((xx - yy) / 2, xy)
    return float(np.mean(least < -ROUNDING * np.abs(flat).max(axis=1)))


def local_minima(values: np.ndarray) -> int | None:
    """Number of points that are lower than all their neighbours (2 on a line, 8 in a plane), the grid's edge left out."""
    around = _neighbourhoods(values)
    if not around.size:
        return None
    flat = around.reshape(len(around), -1)
    middle = flat.shape[1] // 2
    return int(np.count_nonzero((flat[:, middle, None] < np.delete(flat, middle, axis=1)).all(axis=1)))


def barrier(x: np.ndarray, values: np.ndarray) -> float | None:
    """Greatest height of the loss between 0 and 1 above the straight line between its values there (Entezari et al. 2022, Definition 2.1)."""
    f = _linear((x,), values)
    if f is None or x[0] > 0 or x[-1] < 1:
        return None
    t = np.concatenate([[0.0], x[(x > 0) & (x < 1)], [1.0]])
    heights = f(t[:, None])
    ends = (1 - t) * heights[0] + t * heights[-1]
    if max(heights[0], heights[-1]) >= HIGHER_THAN_ANY / 2:
        return None
    above = _rise(float(np.max(heights - ends)), max(heights[0], heights[-1]))
    return None if math.isnan(above) else math.inf if above >= HIGHER_THAN_ANY / 2 else above


def _barrier_error(x: np.ndarray, values: np.ndarray, surface, name: str) -> float | None:
    """The most that the standard error of the barrier can be, were all errors of the differences from the centre to add up."""
    errors = _errors(surface, quantity.standard_error(name, of_difference=True))
    f, error = _linear((x,), values), None if errors is None else _linear((x,), errors)
    if f is None or error is None or x[0] > 0 or x[-1] < 1:
        return None
    t = np.concatenate([[0.0], x[(x > 0) & (x < 1)], [1.0]])
    heights, widths = f(t[:, None]), error(t[:, None])
    above = heights - (1 - t) * heights[0] - t * heights[-1]
    if not np.isfinite(above).all() or np.abs(heights).max() >= HIGHER_THAN_ANY / 2:
        return None
    most = (
        (widths + (1 - t) * widths[0] + t * widths[-1])[above.argmax()]
        if above.argmax() not in (0, len(t) - 1)
        else 0.0
    )
    return float(most) if most < HIGHER_THAN_ANY / 2 else None


def interpolates(surface) -> bool:
    """Whether a line leads to another net, at 1: its last run says so, or (a file of the published program) it goes beyond 1 on that side alone."""
    files = surface.runs[-1].get("files") if surface.runs and isinstance(surface.runs[-1], dict) else None
    if isinstance(files, dict):
        return surface.y is None and "model_file2" in files
    return (
        surface.y is None
        and surface.x.min() <= 0
        and surface.x.max() >= 1
        and not math.isclose(-surface.x.min(), surface.x.max())
    )


# Grids --------------------------------------------------------------------------------------------------------------------


def _ascending(surface, name: str) -> tuple[Axes, np.ndarray]:
    """The grid's axes (y, x) or (x,) in ascending order, and the values: NaN where not measured, huge where NaN or infinite."""
    values, measured = surface.get(name), surface.measured(name)
    values = np.where(measured & ~(np.abs(values) < HIGHER_THAN_ANY), HIGHER_THAN_ANY, values)
    axes = (surface.x,) if surface.y is None else (surface.y, surface.x)
    for number, axis in enumerate(axes):
        if axis[0] > axis[-1]:
            values = np.flip(values, number)
    return tuple(np.sort(axis) for axis in axes), values


def _linear(axes: Axes, values: np.ndarray) -> Callable[[np.ndarray], np.ndarray] | None:
    """The surface as a function of points (…, axes), linear between grid points; None for a grid of a single row or column."""
    if any(len(axis) < 2 or not (np.diff(axis) > 0).all() for axis in axes):
        return None
    unknown = np.isnan(values)
    known_values, unknown_share = (
        RegularGridInterpolator(axes, np.where(unknown, 0, values)),
        RegularGridInterpolator(axes, unknown.astype(float)),
    )

    def f(points: np.ndarray) -> np.ndarray:
        return np.where(
            unknown_share(points) > 1e-9, np.nan, known_values(points)
        )  # less is rounding: such a point does not depend on it

    return f


def _errors(surface, name: str) -> np.ndarray | None:
    """The standard errors `name` in the order of `_ascending`, NaN where unknown; None if the file does not have them."""
    if name not in surface.names:
        return None
    errors = _ascending(surface, name)[1]
    return np.where(errors < HIGHER_THAN_ANY, errors, np.nan)


def _place(axes: Axes, values: np.ndarray, index: int, errors: np.ndarray | None = None) -> Place:
    position = np.unravel_index(index, values.shape)
    error = None if errors is None or np.isnan(errors[position]) else float(errors[position])
    return Place(
        float(values[position]),
        tuple(float(axis[i]) for axis, i in zip(axes, position, strict=True))[::-1],
        error,
    )


def _centre(axes: Axes, values: np.ndarray, errors: np.ndarray | None = None) -> Place | None:
    """The value at zero, or of the grid point that is nearest to it; None if that is not measured, or zero lies outside."""
    if any(axis.min() > 0 or axis.max() < 0 for axis in axes):
        return None
    nearest = np.ravel_multi_index([int(np.abs(axis).argmin()) for axis in axes], values.shape)
    return None if np.isnan(values.flat[nearest]) else _place(axes, values, nearest, errors)


def _first_rise(f: Callable, axes: Axes, ray: np.ndarray, factor: float) -> float | None:
    """Distance along a ray of length 1; infinity if the loss does not rise so far within the grid, None if that is not known."""
    ends = [
        (axis[-1] if step > 0 else -axis[0]) / abs(step)
        for axis, step in zip(axes, ray, strict=True)
        if abs(step) > 1e-12
    ]
    t = np.linspace(0, min(ends), STEPS + 1)
    inside = [
        np.clip(t * step, axis[0], axis[-1]) for axis, step in zip(axes, ray, strict=True)
    ]  # rounding may put the last just outside
    height = f(np.stack(inside, axis=-1))
    level = factor * max(height[0], RISE_FLOOR)
    risen = np.flatnonzero(height >= level)
    before = height[: risen[0] + 1] if risen.size else height
    if np.isnan(before).any():
        return None
    if not risen.size:
        return math.inf
    i = risen[0]
    return (
        max(0.0, float(t[i] - (t[i] - t[i - 1]) * (height[i] - level) / (height[i] - height[i - 1])))
        if i
        else 0.0
    )  # rounding may go below


def _neighbourhoods(values: np.ndarray) -> np.ndarray:
    """The blocks of 3 or 3x3 neighbouring values (n, 3) or (n, 3, 3), of which all are known."""
    if min(values.shape) < 3:
        return np.empty((0, 3))
    blocks = np.lib.stride_tricks.sliding_window_view(values, (3,) * values.ndim).reshape(
        -1, *(3,) * values.ndim
    )
    return blocks[np.isfinite(blocks).all(axis=tuple(range(1, blocks.ndim)))]
