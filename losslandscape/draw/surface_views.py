"""What an interactive page shows of a surface: which points, and each quantity or its logarithm as heights that a graphics card can draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from losslandscape.core import quantity
from losslandscape.core.errors import InputError
from losslandscape.draw import drawable, labels
from losslandscape.draw.contour_levels import LOG_RATIO

if TYPE_CHECKING:
    from losslandscape.files.surface import Surface

FLOOR = 0.35  # heights of the surface that lie between its lowest point and the contours on the floor
TALLEST = 4  # quarters of the values' range: a surface of which three quarters lie below one is cut off there
LARGEST = 1e30  # graphics cards compute with 32 bits, in which the square of a difference must be finite


@dataclass(frozen=True)
class Grid:
    """The part of a surface that is drawn: ascending `x` (nx,) and `y` (ny,), and values (ny, nx) by quantity, as measured."""

    x: np.ndarray
    y: np.ndarray
    values: dict[str, np.ndarray]

    @property
    def shape(self) -> tuple[int, int]:
        return self.y.size, self.x.size

    def holds(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Which points of the plane lie within the grid."""
        return (x >= self.x[0]) & (x <= self.x[-1]) & (y >= self.y[0]) & (y <= self.y[-1])


@dataclass(frozen=True)
class View:
    """A quantity, or its logarithm, as heights (ny, nx), NaN in holes, and what a reader must know of what is not shown.

    ends: lowest and highest height of the axis, where others than its own decide.
    """

    name: str
    label: str
    shown: Grid
    heights: np.ndarray
    log: bool = False
    note: str = ""
    ends: tuple[float, float] | None = None

    @property
    def range(self) -> tuple[float, float]:
        if quantity.is_percentage(self.name):
            return 0.0, 100.0
        low, high = self.ends or (float(np.nanmin(self.heights)), float(np.nanmax(self.heights)))
        return (
            (low, high)
            if high - low > 1e-9 * max(abs(low), abs(high))
            else (low - max(abs(low), 1) / 2, low + max(abs(low), 1) / 2)
        )

    @property
    def floor(self) -> float:
        low, high = self.range
        return low - FLOOR * (high - low)


def grid(surface: Surface, name: str) -> Grid:
    """The points to draw of quantity `name`. Rows and columns of which nothing is measured yet are left out, and while a run refines its grid
    the finest one that it has completed is shown.
    """
    measured = surface.measured(name)
    columns, rows = places(surface.x, measured.any(axis=0)), places(surface.y, measured.any(axis=1))
    if not measured[np.ix_(rows, columns)].all():
        columns, rows = _finest_complete(surface, measured) or (columns, rows)
    return Grid(
        surface.x[columns],
        surface.y[rows],
        {other: surface.get(other)[np.ix_(rows, columns)] for other in in_order(surface)},
    )


def in_order(surface: Surface) -> list[str]:
    """The quantities of a surface that have heights of their own, training first."""
    return quantity.shown(surface.names)


def places(coordinates: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Indices of the wanted coordinates in ascending order, each coordinate once."""
    candidates = np.flatnonzero(wanted & np.isfinite(coordinates))
    return candidates[np.unique(coordinates[candidates], return_index=True)[1]]


def _finest_complete(surface: Surface, measured: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Columns and rows of the finest lattice of those that a run measures one after the other which has all of its points."""
    for stride in (2, 4, 8, 16):
        columns, rows = ([*range(0, size - 1, stride), size - 1] for size in (len(surface.x), len(surface.y)))
        if min(len(columns), len(rows)) > 2 and measured[np.ix_(rows, columns)].all():
            return (
                places(surface.x, np.isin(np.arange(len(surface.x)), columns)),
                places(surface.y, np.isin(np.arange(len(surface.y)), rows)),
            )
    return None


def views(surface: Surface, *, zmax: float | None = None) -> list[View]:
    """Each quantity that has 2x2 points or more, training first; losses also as logarithms. `zmax` cuts the losses off at that value.

    Raises `InputError` if there is none.
    """
    made = []
    for name in in_order(surface):
        shown = grid(surface, name)
        values = drawable.finite(shown.values[name])
        if min(shown.shape) > 1 and np.isfinite(values).any():
            made.append(_linear(name, shown, values, top=_top(name, values, zmax)))
            if quantity.is_loss(name) and (values > 0).any():
                made.append(_logarithm(name, shown, values, zmax=zmax))
    if not made:
        size = "x".join(str(number) for number in reversed(surface.shape))
        about = "; ".join(
            f"{name}: {text}"
            for name in surface.names[:1]
            if (text := drawable.describe_missing(surface, name))
        )
        raise InputError(
            f"{surface.path}: a 3-D surface needs at least 2x2 points with values to draw, and this grid has {size} (x by y)"
            + (f", {about}" if about else "")
        )
    return made


def views_of_one_scale(surfaces: Sequence[Surface], name: str, *, log: bool) -> list[View]:
    """Quantity `name` of each of several surfaces, or its logarithm, on one axis of heights. Each has a finite value, with `log` a positive one.

    Raises `InputError` if one of them has less than 2x2 points.
    """
    grids = [grid(surface, name) for surface in surfaces]
    if small := [
        surface.path for surface, shown in zip(surfaces, grids, strict=True) if min(shown.shape) < 2
    ]:
        raise InputError(f"{small[0]}: a 3-D surface needs at least 2x2 points")
    grids = [replace(shown, values={name: shown.values[name]}) for shown in grids]
    values = [drawable.finite(shown.values[name]) for shown in grids]
    top = _top(name, np.concatenate([array.ravel() for array in values]), None)
    made = [
        _logarithm(name, shown, array, zmax=None) if log else _linear(name, shown, array, top=top)
        for shown, array in zip(grids, values, strict=True)
    ]
    ends = (
        float(min(np.nanmin(view.heights) for view in made)),
        float(max(np.nanmax(view.heights) for view in made)),
    )
    return [replace(view, ends=ends) for view in made]


def _top(name: str, values: np.ndarray, zmax: float | None) -> float:
    """The height at which a quantity is cut off."""
    if quantity.is_percentage(name):
        return LARGEST
    return min(zmax if zmax is not None and quantity.is_loss(name) else sensible_top(values), LARGEST)


def _linear(name: str, shown: Grid, values: np.ndarray, *, top: float) -> View:
    high = float(np.nanmax(values))
    note = (
        f"{_sentence_start(name)} is cut off at {top:.3g}; its highest value is {high:.4g}."
        if high > top
        else ""
    )
    return View(name, labels.label(name), shown, np.clip(values, -LARGEST, top), note=note)


def _logarithm(name: str, shown: Grid, values: np.ndarray, *, zmax: float | None) -> View:
    positive = values > 0
    without = drawable.describe_no_logarithm(values)
    values = np.minimum(values, zmax) if zmax is not None and zmax > 0 else values
    note = f"{_sentence_start(name)} is {without}." if without else ""
    return View(
        name,
        f"log {labels.label(name)}",
        shown,
        np.log10(values, out=np.full(values.shape, np.nan), where=positive),
        log=True,
        note=note,
    )


def _sentence_start(name: str) -> str:
    label = labels.label(name)
    return label[:1].upper() + label[1:]


def sensible_top(values: np.ndarray) -> float:
    """The height at which a surface is cut off so that a few huge values do not flatten the rest; infinity if none would."""
    found = values[np.isfinite(values)]
    low, high = found.min(), found.max()
    above = found[found > low]
    if not above.size:
        return np.inf
    most = float(np.quantile(above, 0.75))
    return most if high - low > TALLEST * (most - low) else np.inf


def opening(all_views: list[View], name: str, *, log: bool) -> int:
    """Which view is shown first: that of `name` (or else of the first quantity), as a logarithm if asked or if the loss has a huge range."""
    mine = [i for i, view in enumerate(all_views) if view.name == (name or all_views[0].name)]
    if not mine:
        raise InputError(
            f"{name} has no finite value to draw; there are {', '.join(dict.fromkeys(view.name for view in all_views))}"
        )
    logs = [i for i in mine if all_views[i].log]
    if logs and (
        log
        or np.ptp(all_views[logs[0]].heights[np.isfinite(all_views[logs[0]].heights)]) > np.log10(LOG_RATIO)
    ):
        return logs[0]
    return mine[0]


def interpolated(shown: Grid, values: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The values at points of the plane, linearly from the corners of their cells; NaN off the grid and where a corner is missing."""
    from scipy.interpolate import RegularGridInterpolator

    def at_points(array: np.ndarray) -> np.ndarray:
        return RegularGridInterpolator((shown.y, shown.x), array, bounds_error=False)(
            np.stack([y, x], axis=-1)
        )

    known = np.isfinite(values)
    return np.where(at_points(known.astype(float)) > 1 - 1e-9, at_points(np.where(known, values, 0)), np.nan)
