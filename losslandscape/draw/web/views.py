"""Views of a surface: a quantity or its logarithm as heights that a graphics card can draw."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from losslandscape.core import quantity
from losslandscape.core.errors import InputError
from losslandscape.draw.contour_levels import LOG_RATIO
from losslandscape.draw.drawable import describe_missing, describe_no_logarithm, finite
from losslandscape.draw.labels import label
from losslandscape.draw.web.grid import Grid, shown_grid
from losslandscape.files.surface import Surface

FLOOR_DEPTH = 0.35  # depth of the floor below the surface, as a share of the height of the surface
# A surface is cut off at the upper quartile of its heights above its minimum if it is this many times higher.
MAX_HEIGHT_RATIO = 4
MAX_VALUE = 1e30  # Graphics cards compute with 32 bits, and squares of differences must stay finite.
FLAT = 1e-9  # A range counts as empty if it is at most this share of the larger absolute end.


@dataclass(frozen=True)
class View:
    """A quantity, or its logarithm, as heights.

    Args:
        name: the name of the quantity.
        label: the label of the view.
        grid: the points.
        heights: heights (ny, nx), NaN where the value is missing.
        log: whether heights are base-10 logarithms.
        note: a sentence about values that the view does not show; may be empty.
        ends: the lowest and highest height of the axis; None to take them from the view.
    """

    name: str
    label: str
    grid: Grid
    heights: np.ndarray
    log: bool = False
    note: str = ""
    ends: tuple[float, float] | None = None

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and the highest height of the axis. They always differ."""
        if quantity.is_percentage(self.name):
            return 0.0, 100.0
        low, high = self.ends or (float(np.nanmin(self.heights)), float(np.nanmax(self.heights)))
        if high - low > FLAT * max(abs(low), abs(high)):
            return low, high
        half = max(abs(low), 1) / 2
        return low - half, low + half

    @property
    def floor(self) -> float:
        """The height of the floor that shows the contours."""
        low, high = self.range
        return low - FLOOR_DEPTH * (high - low)


def views(surface: Surface, *, zmax: float | None = None) -> list[View]:
    """Return a view of each quantity with a finite value and at least 2x2 points, training loss first.

    A loss with a positive value also has a view of its logarithm.

    Args:
        surface: a plane.
        zmax: the height at which losses are cut off; None for `sensible_top`.

    Raises:
        InputError: no quantity has a view.
    """
    all_views = []
    for name in quantity.shown(surface.names):
        grid = shown_grid(surface, name)
        values = finite(grid.values[name])
        if min(grid.shape) < 2 or not np.isfinite(values).any():
            continue
        all_views.append(_linear(name, grid, values, top=_top(name, values, zmax)))
        if quantity.is_loss(name) and (values > 0).any():
            all_views.append(_logarithm(name, grid, values, zmax=zmax))
    if not all_views:
        raise InputError(_describe_nothing(surface))
    return all_views


def _describe_nothing(surface: Surface) -> str:
    size = "x".join(str(number) for number in reversed(surface.shape))
    need = "a 3-D surface needs at least 2x2 points with values to draw"
    fault = f"{surface.path}: {need}, and this grid has {size} (x by y)"
    first = surface.names[0]
    missing = describe_missing(surface, first)
    return f"{fault}, {first}: {missing}" if missing else fault


def views_of_one_scale(surfaces: Sequence[Surface], name: str, *, log: bool) -> list[View]:
    """Return a view of one quantity per surface, all with the same height axis.

    Args:
        surfaces: the planes. The quantity must have a finite value on each plane; with `log`, a positive
            value.
        name: the name of the quantity.
        log: whether heights are logarithms.

    Raises:
        InputError: a surface has fewer than 2x2 points to show.
    """
    grids = [_grid_of_one(surface, name) for surface in surfaces]
    values = [finite(grid.values[name]) for grid in grids]
    if log:
        own = [_logarithm(name, grid, array) for grid, array in zip(grids, values, strict=True)]
    else:
        top = _top(name, np.concatenate([array.ravel() for array in values]), None)
        own = [_linear(name, grid, array, top=top) for grid, array in zip(grids, values, strict=True)]
    low = min(float(np.nanmin(view.heights)) for view in own)
    high = max(float(np.nanmax(view.heights)) for view in own)
    return [replace(view, ends=(low, high)) for view in own]


def _grid_of_one(surface: Surface, name: str) -> Grid:
    """Return the grid with the values of only one quantity."""
    grid = shown_grid(surface, name)
    if min(grid.shape) < 2:
        raise InputError(f"{surface.path}: a 3-D surface needs at least 2x2 points")
    return replace(grid, values={name: grid.values[name]})


def _top(name: str, values: np.ndarray, zmax: float | None) -> float:
    """Return the height at which a quantity is cut off."""
    if quantity.is_percentage(name):
        return MAX_VALUE
    top = zmax if zmax is not None and quantity.is_loss(name) else sensible_top(values)
    return min(top, MAX_VALUE)


def sensible_top(values: np.ndarray) -> float:
    """Return the height at which to cut off a surface so that a few huge values do not flatten the rest.

    If no value is huge, return infinity.
    """
    known = values[np.isfinite(values)]
    low, high = known.min(), known.max()
    above_low = known[known > low]
    if not above_low.size:
        return np.inf
    top = float(np.quantile(above_low, 0.75))
    return top if high - low > MAX_HEIGHT_RATIO * (top - low) else np.inf


def _linear(name: str, grid: Grid, values: np.ndarray, *, top: float) -> View:
    high = float(np.nanmax(values))
    note = ""
    if high > top:
        note = f"{_sentence_start(name)} is cut off at {top:.3g}; its highest value is {high:.4g}."
    return View(name, label(name), grid, np.clip(values, -MAX_VALUE, top), note=note)


def _logarithm(name: str, grid: Grid, values: np.ndarray, *, zmax: float | None = None) -> View:
    positive = values > 0
    no_logarithm = describe_no_logarithm(values)
    note = f"{_sentence_start(name)} is {no_logarithm}." if no_logarithm else ""
    if zmax is not None and zmax > 0:
        values = np.minimum(values, zmax)
    heights = np.log10(values, out=np.full(values.shape, np.nan), where=positive)
    return View(name, f"log {label(name)}", grid, heights, log=True, note=note)


def _sentence_start(name: str) -> str:
    text = label(name)
    return text[:1].upper() + text[1:]


def first_shown(all_views: list[View], name: str, *, log: bool) -> int:
    """Return the index of the view that a page opens with.

    Args:
        all_views: the views of one surface.
        name: the name of the quantity; empty for the quantity of the first view.
        log: whether to open with the logarithm. A huge range of the quantity also opens with it.

    Raises:
        InputError: the quantity does not have a view.
    """
    name = name or all_views[0].name
    indices = [i for i, view in enumerate(all_views) if view.name == name]
    if not indices:
        there = ", ".join(dict.fromkeys(view.name for view in all_views))
        raise InputError(f"{name} has no finite value to draw; there are {there}")
    for i in indices:
        if all_views[i].log and (log or _range_is_huge(all_views[i])):
            return i
    return indices[0]


def _range_is_huge(view: View) -> bool:
    """Whether logarithmic heights range over more orders of magnitude than a linear axis can show."""
    known = view.heights[np.isfinite(view.heights)]
    return bool(np.ptp(known) > np.log10(LOG_RATIO))
