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

FLOOR_DEPTH = 0.35  # of the floor with the contours, below the surface, in heights of the surface
TALLEST = 4  # A surface is cut off above three quarters of its points if it is this many times higher.
LARGEST = 1e30  # Graphics cards compute with 32 bits, and squares of differences must be finite.
FLAT = 1e-9  # A range is empty if it is smaller than this share of its ends.


@dataclass(frozen=True)
class View:
    """A quantity, or its logarithm, as heights.

    Args:
        name: of the quantity.
        label: what people call the view.
        grid: the points.
        heights: (ny, nx), NaN in holes.
        log: whether heights are powers of ten.
        note: a sentence about values that the view does not show; may be empty.
        ends: lowest and highest height of the axis; None for those of the view itself.
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
        """Lowest and highest height of the axis, which always differ."""
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
    """Return a view of each quantity with 2x2 points or more, training first; of losses also the logarithm.

    Args:
        surface: a plane.
        zmax: the height at which losses are cut off; None cuts off what would flatten the rest.

    Raises:
        InputError: there is nothing to view.
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
    """Return a view per surface of one quantity, all with the same axis of heights.

    Args:
        surfaces: planes. The quantity has a finite value on each, and with `log` a positive one.
        name: of the quantity.
        log: whether heights are logarithms.

    Raises:
        InputError: a surface has less than 2x2 points.
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
    """The grid with the values of one quantity alone."""
    grid = shown_grid(surface, name)
    if min(grid.shape) < 2:
        raise InputError(f"{surface.path}: a 3-D surface needs at least 2x2 points")
    return replace(grid, values={name: grid.values[name]})


def _top(name: str, values: np.ndarray, zmax: float | None) -> float:
    """The height at which a quantity is cut off."""
    if quantity.is_percentage(name):
        return LARGEST
    top = zmax if zmax is not None and quantity.is_loss(name) else sensible_top(values)
    return min(top, LARGEST)


def sensible_top(values: np.ndarray) -> float:
    """Return the height at which to cut off a surface so that a few huge values do not flatten the rest.

    It is infinite if no value is huge.
    """
    known = values[np.isfinite(values)]
    low, high = known.min(), known.max()
    above_low = known[known > low]
    if not above_low.size:
        return np.inf
    top = float(np.quantile(above_low, 0.75))
    return top if high - low > TALLEST * (top - low) else np.inf


def _linear(name: str, grid: Grid, values: np.ndarray, *, top: float) -> View:
    high = float(np.nanmax(values))
    note = ""
    if high > top:
        note = f"{_sentence_start(name)} is cut off at {top:.3g}; its highest value is {high:.4g}."
    return View(name, label(name), grid, np.clip(values, -LARGEST, top), note=note)


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
        all_views: of one surface.
        name: the quantity; empty for the first one.
        log: whether its logarithm is asked for. It is also shown first if the loss has a huge range.

    Raises:
        InputError: the quantity has no view.
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
    """Whether the heights of a logarithm range over more orders of magnitude than a linear axis shows."""
    known = view.heights[np.isfinite(view.heights)]
    return bool(np.ptp(known) > np.log10(LOG_RATIO))
