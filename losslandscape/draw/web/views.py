"""Views of a surface: a quantity or its logarithm as heights that a graphics card can draw."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from losslandscape.core import quantity
from losslandscape.core.errors import InputError
from losslandscape.core.quantity import LOG_RATIO
from losslandscape.draw.drawable import describe_missing, describe_no_logarithm, finite
from losslandscape.draw.labels import page_label
from losslandscape.draw.web.grid import Grid, shown_grid
from losslandscape.files.surface import Surface

FLOOR_DEPTH = 0.35  # depth of the floor below the surface, as a share of the height of the surface
# A surface is cut off at the upper quartile of its heights above its minimum if it is this many times higher.
MAX_HEIGHT_RATIO = 4
MAX_VALUE = 1e30  # Graphics cards compute with 32 bits, and squares of differences must stay finite.
MIN_LOG_RANGE = 1e-3  # The logarithm of losses in a smaller range of logarithms would look like the losses.
MIN_RELATIVE_RANGE = 1e-3  # Heights in a smaller range are drawn as differences from a round number.
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
        note: sentences about values that the view does not show; may be empty.
        ends: the lowest and highest height of the axis; None to take them from the view.
        base: the value that was subtracted from all heights.
    """

    name: str
    label: str
    grid: Grid
    heights: np.ndarray
    log: bool = False
    note: str = ""
    ends: tuple[float, float] | None = None
    base: float = 0.0

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and the highest height of the axis. They always differ."""
        if quantity.is_percentage(self.name):
            return 0.0, 100.0
        low, high = self.ends or (float(np.nanmin(self.heights)), float(np.nanmax(self.heights)))
        if not _is_flat(low, high):
            return low, high
        half = max(abs(low), 1) / 2
        return low - half, low + half

    @property
    def floor(self) -> float:
        """The height of the floor that shows the contours."""
        low, high = self.range
        return low - FLOOR_DEPTH * (high - low)

    @property
    def axis_title(self) -> str:
        """The title of the height axis, such as "train loss − 1000"."""
        if not self.base:
            return self.label
        return f"{self.label} {'−' if self.base > 0 else '+'} {abs(self.base):.15g}"


def _is_flat(low: float, high: float) -> bool:
    return not high - low > FLAT * max(abs(low), abs(high))


def common_views(
    surfaces: Sequence[Surface], *, zmax: float | None = None, own_scale: bool = False
) -> list[list[View]]:
    """Return the views of each surface: the same quantities for all, and per quantity one height axis.

    A view is a quantity with a finite value on each surface and at least 2x2 points, training loss first. A
    loss with different positive values also has a view of its logarithm.

    Args:
        surfaces: planes.
        zmax: the height at which losses are cut off; None for `sensible_top`.
        own_scale: whether each surface has its own height axis.

    Raises:
        InputError: the surfaces have no view in common.
    """
    scaled = _on_own_scales if own_scale else _on_one_scale
    by_view = [
        scaled(all_views)
        for name in quantity.shown(surfaces[0].names)
        for all_views in _views_of(name, surfaces, zmax=zmax, own_scale=own_scale)
    ]
    if not by_view:
        raise InputError(_describe_nothing(surfaces))
    return [list(of_one) for of_one in zip(*by_view, strict=True)]


def _views_of(
    name: str, surfaces: Sequence[Surface], *, zmax: float | None, own_scale: bool
) -> list[list[View]]:
    """Return the view of a quantity for each surface, and the view of its logarithm, where there are such."""
    grids = [shown_grid(surface, name) for surface in surfaces if name in surface.names]
    values = [finite(grid.values[name]) for grid in grids]
    if len(grids) < len(surfaces) or not all(map(_has_surface, values)):
        return []
    everything = np.concatenate([array.ravel() for array in values])
    tops = [_top(name, array if own_scale else everything, zmax) for array in values]
    views = [list(map(partial(_linear, name), grids, values, tops))]
    if quantity.is_loss(name) and all((array > 0).any() for array in values) and _differ(everything):
        views.append(list(map(partial(_logarithm, name, zmax=zmax), grids, values)))
    return views


def _has_surface(values: np.ndarray) -> bool:
    return min(values.shape) >= 2 and bool(np.isfinite(values).any())


def _differ(values: np.ndarray) -> bool:
    """Return whether a logarithm of the positive values has something to show."""
    return bool(np.ptp(np.log(values[values > 0])) > MIN_LOG_RANGE)


def _on_one_scale(all_views: list[View]) -> list[View]:
    """Return the views of one quantity, all with the same height axis."""
    low = min(float(np.nanmin(view.heights)) for view in all_views)
    high = max(float(np.nanmax(view.heights)) for view in all_views)
    base = 0.0 if all_views[0].log else _base(low, high)
    ends = low - base, high - base
    return [replace(view, heights=view.heights - base, ends=ends, base=base) for view in all_views]


def _on_own_scales(all_views: list[View]) -> list[View]:
    return [_on_one_scale([view])[0] for view in all_views]


def _base(low: float, high: float) -> float:
    """Return a round number to subtract, so that a graphics card sees no steps; zero if there are none."""
    if _is_flat(low, high) or high - low > MIN_RELATIVE_RANGE * abs(low):
        return 0.0
    step = 10.0 ** np.ceil(np.log10(high - low))
    return float(np.floor(low / step) * step)


def _describe_nothing(surfaces: Sequence[Surface]) -> str:
    if len(surfaces) > 1:
        return f"{surfaces[0].path} and the other files have no quantity in common that can be drawn"
    surface = surfaces[0]
    size = "x".join(str(number) for number in reversed(surface.shape))
    need = "a 3-D surface needs at least 2x2 points with values to draw"
    fault = f"{surface.path}: {need}, and this grid has {size} (x by y)"
    first = surface.names[0]
    missing = describe_missing(surface, first)
    return f"{fault}, {first}: {missing}" if missing else fault


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


def _linear(name: str, grid: Grid, values: np.ndarray, top: float) -> View:
    high = float(np.nanmax(values))
    note = ""
    if high > top:
        note = f"{_sentence_start(name)} is cut off at {top:.3g}; its highest value is {high:.4g}."
    return View(name, page_label(name), grid, np.clip(values, -MAX_VALUE, top), note=note)


def _logarithm(name: str, grid: Grid, values: np.ndarray, *, zmax: float | None) -> View:
    positive = values > 0
    notes = []
    if text := describe_no_logarithm(values):
        notes.append(f"{_sentence_start(name)} is {text}.")
    high = float(np.nanmax(values))
    if zmax is not None and 0 < zmax < high:
        notes.append(f"{_sentence_start(name)} is cut off at {zmax:.3g}; its highest value is {high:.4g}.")
        values = np.minimum(values, zmax)
    heights = np.log10(values, out=np.full(values.shape, np.nan), where=positive)
    return View(name, f"log {page_label(name)}", grid, heights, log=True, note=" ".join(notes))


def _sentence_start(name: str) -> str:
    text = page_label(name)
    return text[:1].upper() + text[1:]


def first_shown(all_views: Sequence[Sequence[View]], name: str, *, log: bool) -> int:
    """Return the index of the view that a page opens with.

    Args:
        all_views: the views of each surface.
        name: the name of the quantity; empty for the quantity of the first view.
        log: whether to open with the logarithm. A huge range of the quantity also opens with it.

    Raises:
        InputError: the quantity does not have a view.
    """
    first = all_views[0]
    name = name or first[0].name
    indices = [i for i, view in enumerate(first) if view.name == name]
    if not indices:
        there = ", ".join(dict.fromkeys(view.name for view in first))
        raise InputError(f"{name} has no finite value to draw; there are {there}")
    for i in indices:
        if first[i].log and (log or any(_range_is_huge(views[i]) for views in all_views)):
            return i
    return indices[0]


def _range_is_huge(view: View) -> bool:
    """Whether logarithmic heights range over more orders of magnitude than a linear axis can show."""
    known = view.heights[np.isfinite(view.heights)]
    return bool(np.ptp(known) > np.log10(LOG_RATIO))
