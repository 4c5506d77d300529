"""Numbers that say what the eye sees in a surface; docs/metrics.md has their formulas and sources.

Values are linear between grid points. A result that is NaN or infinite is higher than any other; what is not measured yet is not
known, and a number that depends on it is None.
"""
import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy.interpolate import RegularGridInterpolator

from whole_file import replacing

SHARPNESS_RADIUS = 0.1  # half the side of the box in which the loss may rise: with filter-normalised directions a tenth of each filter's norm
RISE_FACTOR, RISE_FLOOR = 2.0, 0.1  # a loss has risen when it is twice that of the centre, or of 0.1, below which twice is next to nothing
RAYS = 72  # directions in which the flatness radius of a plane is looked for
STEPS = 1000  # along each
ROUNDING = 1e-6  # of a float32 loss, relative
HIGHER_THAN_ANY = 1e200

Axes = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Place:
    """A value and its coordinates (x,) or (x, y)."""

    value: float
    at: tuple[float, ...]


@dataclass(frozen=True)
class Metrics:
    """What is known of one quantity of a surface; None where the grid or the file does not tell.

    `flatness` is the distance at which the loss has risen, by direction: "+x", "-x", and in a plane "+y", "-y" and "least" of all directions;
    infinity where it has not risen up to the grid's edge. `negative_curvature` is a share of the points whose neighbours are all known, and
    `barrier` is of interpolations alone.
    """

    centre: Place | None
    lowest: Place
    highest: Place
    sharpness: float | None = None
    flatness: dict[str, float | None] | None = None
    negative_curvature: float | None = None
    local_minima: int | None = None
    barrier: float | None = None


def measure(surface, name: str) -> Metrics:
    """The metrics of quantity `name` of a surface (h5_util.Surface); only a loss, whose name ends so, has all of them.

    Raises `InputError` for a quantity that the file does not have; ValueError if no value is finite.
    """
    axes, values = _ascending(surface, name)
    finite = np.abs(values) < HIGHER_THAN_ANY
    places = {word: _place(axes, values, choose(np.where(finite, values, np.nan))) for word, choose in (("lowest", np.nanargmin), ("highest", np.nanargmax))}
    centre = _centre(axes, values)
    if not name.endswith("loss") or centre is None or centre.value >= HIGHER_THAN_ANY:
        return Metrics(centre, **places)
    return Metrics(centre, **places, sharpness=sharpness(axes, values), flatness=flatness(axes, values), negative_curvature=negative_curvature(values),
                   local_minima=local_minima(values), barrier=barrier(axes[0], values) if interpolates(surface) else None)


def sharpness(axes: Axes, values: np.ndarray, radius: float = SHARPNESS_RADIUS) -> float | None:
    """100 (max f - f(0)) / (1 + f(0)), the maximum over the box |x| <= radius, |y| <= radius (Keskar et al. 2017, Metric 2.1).

    `axes` (y, x) or (x,) in ascending order, `values` of their shape. None if the box reaches beyond the grid, or has points not measured.
    """
    f = _linear(axes, values)
    if f is None or any(axis[0] > -radius or axis[-1] < radius for axis in axes):
        return None
    # The highest point of a surface that is linear between the grid's lines lies where these cross each other or the box's sides.
    lines = [np.concatenate([[-radius], axis[np.abs(axis) < radius], [radius]]) for axis in axes]
    centre, highest = float(f(np.zeros(len(axes)))[0]), float(np.max(f(np.stack(np.meshgrid(*lines), axis=-1))))
    if math.isnan(highest) or math.isnan(centre):
        return None
    return math.inf if highest >= HIGHER_THAN_ANY else 100 * (highest - centre) / (1 + centre)


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
        all_rays = [_first_rise(f, axes, np.array([np.sin(angle), np.cos(angle)]), factor) for angle in angles]
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
    above = float(np.max(heights - ends))
    return None if math.isnan(above) else math.inf if above >= HIGHER_THAN_ANY / 2 else above


def interpolates(surface) -> bool:
    """Whether a line leads to another net, at 1: its last run says so, or (a file of the published program) it goes beyond 1 on that side alone."""
    files = surface.runs[-1].get("files") if surface.runs and isinstance(surface.runs[-1], dict) else None
    if isinstance(files, dict):
        return surface.y is None and "model_file2" in files
    return surface.y is None and surface.x.min() <= 0 and surface.x.max() >= 1 and not math.isclose(-surface.x.min(), surface.x.max())


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
    known_values, unknown_share = RegularGridInterpolator(axes, np.where(unknown, 0, values)), RegularGridInterpolator(axes, unknown.astype(float))

    def f(points: np.ndarray) -> np.ndarray:
        return np.where(unknown_share(points) > 1e-9, np.nan, known_values(points))  # less is rounding: such a point does not depend on it
    return f


def _place(axes: Axes, values: np.ndarray, index: int) -> Place:
    position = np.unravel_index(index, values.shape)
    return Place(float(values[position]), tuple(float(axis[i]) for axis, i in zip(axes, position, strict=True))[::-1])


def _centre(axes: Axes, values: np.ndarray) -> Place | None:
    """The value at zero, or of the grid point that is nearest to it; None if that is not measured, or zero lies outside."""
    if any(axis[0] > 0 or axis[-1] < 0 for axis in axes):
        return None
    nearest = np.ravel_multi_index([int(np.abs(axis).argmin()) for axis in axes], values.shape)
    return None if np.isnan(values.flat[nearest]) else _place(axes, values, nearest)


def _first_rise(f: Callable, axes: Axes, ray: np.ndarray, factor: float) -> float | None:
    """Distance along a ray of length 1; infinity if the loss does not rise so far within the grid, None if that is not known."""
    ends = [(axis[-1] if step > 0 else -axis[0]) / abs(step) for axis, step in zip(axes, ray, strict=True) if abs(step) > 1e-12]
    t = np.linspace(0, min(ends), STEPS + 1)
    inside = [np.clip(t * step, axis[0], axis[-1]) for axis, step in zip(axes, ray, strict=True)]  # rounding may put the last just outside
    height = f(np.stack(inside, axis=-1))
    level = factor * max(height[0], RISE_FLOOR)
    risen = np.flatnonzero(height >= level)
    before = height[:risen[0] + 1] if risen.size else height
    if np.isnan(before).any():
        return None
    if not risen.size:
        return math.inf
    i = risen[0]
    return float(t[i] - (t[i] - t[i - 1]) * (height[i] - level) / (height[i] - height[i - 1])) if i else 0.0


def _neighbourhoods(values: np.ndarray) -> np.ndarray:
    """The blocks of 3 or 3x3 neighbouring values (n, 3) or (n, 3, 3), of which all are known."""
    if min(values.shape) < 3:
        return np.empty((0, 3))
    blocks = np.lib.stride_tricks.sliding_window_view(values, (3,) * values.ndim).reshape(-1, *(3,) * values.ndim)
    return blocks[np.isfinite(blocks).all(axis=tuple(range(1, blocks.ndim)))]


# Telling ------------------------------------------------------------------------------------------------------------------

def tell(surfaces: Sequence, titles: Sequence[str], names: Sequence[str], *, json_file: str = "") -> None:
    """Print the metrics of quantities of surfaces, a column each, and write them to a JSON file if one is named."""
    columns = {title or os.path.basename(surface.path): surface for surface, title in zip(surfaces, titles, strict=True)}
    found = {name: {title: measure(surface, name) for title, surface in columns.items() if name in surface.names and (np.abs(surface.get(name)) < HIGHER_THAN_ANY).any()}
             for name in names}
    for name, metrics in found.items():
        rows = {row: [_rows(one).get(row, "") for one in metrics.values()] for one in metrics.values() for row in _rows(one)}
        if rows:
            _print_table(name, list(metrics) if len(surfaces) > 1 else [titles[0]], rows)
    if json_file:
        whole = {name: {title: asdict(one) for title, one in metrics.items()} for name, metrics in found.items()}
        definitions = {"sharpness_radius": SHARPNESS_RADIUS, "rise_factor": RISE_FACTOR, "rise_floor": RISE_FLOOR}
        with replacing(json_file) as part:
            Path(part).write_text(json.dumps(_plain({"definitions": definitions, **whole}), indent=1) + "\n")
        print(f"saved {json_file}")


def _rows(metrics: Metrics) -> dict[str, str]:
    rows = {} if metrics.centre is None else {"at the centre": f"{_number(metrics.centre.value)}"}
    rows |= {word: f"{_number(place.value)} at {', '.join(f'{c:g}' for c in place.at)}" for word, place in (("lowest", metrics.lowest), ("highest", metrics.highest))}
    if metrics.sharpness is not None:
        rows[f"sharpness within {SHARPNESS_RADIUS:g}"] = _number(metrics.sharpness)
    for direction, distance in (metrics.flatness or {}).items():
        if distance is not None:
            rows[f"flatness radius {direction}"] = "beyond the grid" if math.isinf(distance) else _number(distance)
    if metrics.negative_curvature is not None:
        rows["points of negative curvature"] = f"{100 * metrics.negative_curvature:.1f} %"
    if metrics.local_minima is not None:
        rows["local minima"] = str(metrics.local_minima)
    if metrics.barrier is not None:
        rows["barrier"] = _number(metrics.barrier)
    return rows


def _number(value: float) -> str:
    return "infinite" if value >= HIGHER_THAN_ANY else f"{value:.4g}"


def _print_table(name: str, titles: list[str], rows: dict[str, list[str]]) -> None:
    table = [[name, *titles], *([row, *cells] for row, cells in rows.items())]
    widths = [max(len(line[column]) for line in table) for column in range(len(titles) + 1)]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _plain(value: object) -> object:
    """JSON has no infinity: it is told in words."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return "infinity" if isinstance(value, float) and value >= HIGHER_THAN_ANY else value
