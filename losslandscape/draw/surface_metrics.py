"""Metrics that describe the shape of a surface; docs/metrics.md has the formulas and their sources.

Values are linear between grid points. A result that is NaN or infinite is higher than any other. A metric
that depends on a value that is not measured yet is None.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from losslandscape.core import quantity
from losslandscape.draw import loss_shape, persistence
from losslandscape.draw.grid_values import (
    HIGHER_THAN_ANY,
    Axes,
    ascending,
    ascending_errors,
    axes_of,
    nearest_to_centre,
)
from losslandscape.files.surface import Surface

DEEP = (0.1, 1.0)  # a minimum is deep if the loss must rise by more than this on every way out


@dataclass(frozen=True)
class Place:
    """A value that lies at a grid point.

    Args:
        value: the value at the point.
        at: the coordinates of the point, (x,) or (x, y).
        se: the standard error of the value; None if unknown.
        interpolated: whether the value is interpolated.
    """

    value: float
    at: tuple[float, ...]
    se: float | None = None
    interpolated: bool = False


@dataclass(frozen=True)
class Metrics:
    """The metrics of one quantity of a surface; a metric is None if the grid or the file does not allow it.

    Args:
        centre: the value at the grid point nearest to zero.
        lowest, highest: the extremes of the finite values.
        sharpness, flatness, negative_curvature, local_minima, roughness: as in `loss_shape`, for a loss.
        depths: the depths of the minima, from deep to shallow, as in `persistence`, for a loss.
        barrier: as in `loss_shape`, for a loss along an interpolation.
        interpolated: the share of the points that are interpolated; None without any. Then the extremes are
            those of the measured points, and what compares neighbours is None: `negative_curvature`,
            `local_minima`, `depths`, `roughness`.
        barrier_se: an upper bound on the standard error of the barrier.
    """

    centre: Place | None
    lowest: Place
    highest: Place
    sharpness: float | None = None
    flatness: dict[str, float | None] | None = None
    negative_curvature: float | None = None
    local_minima: int | None = None
    depths: list[float] | None = None
    roughness: float | None = None
    barrier: float | None = None
    barrier_se: float | None = None
    interpolated: float | None = None


@dataclass(frozen=True)
class Spread:
    """The spread of one metric, which several surfaces have.

    Args:
        known: how many surfaces have the metric.
        mean: the mean; None if a value is infinite.
        std: the sample standard deviation; None if a value is infinite or only one is known.
        least, greatest: the extremes.
    """

    known: int
    mean: float | None
    std: float | None
    least: float
    greatest: float


def measure(surface: Surface, name: str) -> Metrics:
    """Return the metrics of a quantity of a surface.

    Only a loss (by its name) with a finite value at the centre has more than `centre`, `lowest`, `highest`.

    Raises:
        InputError: the surface does not have the quantity.
        ValueError: no value is finite.
    """
    axes, values = ascending(surface, name)
    errors = ascending_errors(surface, quantity.standard_error(name))
    guessed = _interpolated(surface, name)
    share = float(guessed.mean()) if guessed.any() else None
    finite = np.where((np.abs(values) < HIGHER_THAN_ANY) & ~guessed, values, np.nan)
    lowest = _place(axes, values, _index(np.nanargmin(finite), values), errors)
    highest = _place(axes, values, _index(np.nanargmax(finite), values), errors)
    middle = nearest_to_centre(axes)
    centre = None
    if middle is not None and not np.isnan(values[middle]):
        centre = replace(_place(axes, values, middle, errors), interpolated=bool(guessed[middle]))
    if not quantity.is_loss(name) or centre is None or centre.value >= HIGHER_THAN_ANY:
        return Metrics(centre, lowest, highest, interpolated=share)
    has_rise = centre.value >= 0  # twice a negative loss is not a rise
    is_path = is_interpolation(surface)
    return Metrics(
        centre,
        lowest,
        highest,
        sharpness=loss_shape.sharpness(axes, values) if has_rise else None,
        flatness=loss_shape.flatness(axes, values) if has_rise else None,
        negative_curvature=loss_shape.negative_curvature(values) if share is None else None,
        local_minima=loss_shape.local_minima(values) if share is None else None,
        depths=persistence.depths_of_minima(values) if share is None else None,
        roughness=loss_shape.roughness(values) if share is None else None,
        barrier=loss_shape.barrier(axes[0], values) if is_path else None,
        barrier_se=_barrier_error(axes, values, surface, name) if is_path else None,
        interpolated=share,
    )


def _interpolated(surface: Surface, name: str) -> np.ndarray:
    """Return a mask of the interpolated points, in ascending order of the axes."""
    mask = np.zeros(surface.shape, bool)
    if name in surface.interpolated:
        mask = surface.interpolated[name].points
    for dimension, axis in enumerate(axes_of(surface)):
        if axis[0] > axis[-1]:
            mask = np.flip(mask, dimension)
    return mask


def _index(flat_index: np.intp, values: np.ndarray) -> tuple[int, ...]:
    """Return the index along each axis for a flat index in C order."""
    return tuple(int(i) for i in np.unravel_index(flat_index, values.shape))


def _place(axes: Axes, values: np.ndarray, index: tuple[int, ...], errors: np.ndarray | None) -> Place:
    error = None if errors is None or np.isnan(errors[index]) else float(errors[index])
    at = [float(axis[i]) for axis, i in zip(axes, index, strict=True)]
    return Place(float(values[index]), tuple(reversed(at)), error)


def _barrier_error(axes: Axes, values: np.ndarray, surface: Surface, name: str) -> float | None:
    errors = ascending_errors(surface, quantity.standard_error(name, of_difference=True))
    return None if errors is None else loss_shape.barrier_error(axes[0], values, errors)


def is_interpolation(surface: Surface) -> bool:
    """Return whether a surface is a line from one net, at 0, to another net, at 1.

    The last run of a file records the second net. A file of the published program has no runs. Its line
    counts as an interpolation if it covers 0 to 1 and its ends do not have the same distance from 0.
    """
    if surface.y is not None:
        return False
    files = surface.runs[-1].get("files") if surface.runs and isinstance(surface.runs[-1], dict) else None
    if isinstance(files, dict):
        return "model_file2" in files
    low, high = surface.x.min(), surface.x.max()
    return bool(low <= 0 and high >= 1 and not math.isclose(-low, high))


def numbers(metrics: Metrics) -> Iterator[tuple[str, float]]:
    """Yield the description and the value of each known metric."""
    places = {"at the centre": metrics.centre, "lowest": metrics.lowest, "highest": metrics.highest}
    for words, place in places.items():
        if place:
            yield words, place.value
    radii = (metrics.flatness or {}).items()
    others = {
        f"sharpness within {loss_shape.SHARPNESS_RADIUS:g}": metrics.sharpness,
        **{f"flatness radius {direction}": distance for direction, distance in radii},
        "points of negative curvature": metrics.negative_curvature,
        "local minima": metrics.local_minima,
        **{f"minima deeper than {height:g}": deeper(metrics.depths, height) for height in DEEP},
        "roughness": metrics.roughness,
        "barrier": metrics.barrier,
        "points interpolated": metrics.interpolated,
    }
    for words, value in others.items():
        if value is not None:
            yield words, float(value)


def deeper(depths: list[float] | None, height: float) -> int | None:
    """Return the number of minima deeper than a height; None if the depths are unknown."""
    return None if depths is None else sum(depth > height for depth in depths)


def summarise(surfaces: Sequence[Surface], name: str) -> dict[str, Spread]:
    """Return the spread of each metric over surfaces, such as random planes through one minimum."""
    values: dict[str, list[float]] = {}
    for surface in surfaces:
        for words, value in numbers(measure(surface, name)):
            values.setdefault(words, []).append(value)
    return {words: _spread(np.array(known)) for words, known in values.items()}


def _spread(values: np.ndarray) -> Spread:
    is_finite = bool((np.abs(values) < HIGHER_THAN_ANY).all())
    mean = float(values.mean()) if is_finite else None
    std = float(values.std(ddof=1)) if is_finite and len(values) > 1 else None
    return Spread(len(values), mean, std, float(values.min()), float(values.max()))
