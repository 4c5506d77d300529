"""Draws quantities along a line: surfaces in panels side by side, or repeats of one line in one panel.

A panel has one or two vertical axes, on the left and on the right.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from losslandscape.core import quantity
from losslandscape.draw import figure_details, figures
from losslandscape.draw.comparison import Comparison, titled
from losslandscape.draw.drawable import describe_missing, finite
from losslandscape.draw.grid_part import coarse_line
from losslandscape.draw.labels import value_label
from losslandscape.draw.line_axes import (
    add_legend,
    finish_horizontal,
    finish_vertical,
    fit_height,
    horizontal_ends,
    name_outermost,
    write_notes,
)
from losslandscape.draw.line_marks import draw_barrier, hatch_missing, mark_lost, mark_minimisers, part_marks
from losslandscape.draw.type_settings import scaled
from losslandscape.draw.vertical_axes import LOSSES, VerticalAxis
from losslandscape.files.surface import Surface

LINES = {"train": "-", "test": "--", "": "-"}
PANEL, MARGIN = (5.0, 4.8), 1.4  # inches, without a page
BAND_OPACITY = 0.18
STANDARD_ERROR, DEVIATION = "± 1 standard error", "± 1 standard deviation"


@figures.styled
def side_by_side(
    shown: Comparison,
    verticals: Sequence[VerticalAxis],
    *,
    xmin: float | None = None,
    xmax: float | None = None,
) -> Figure:
    """Return a figure with a panel per surface, all on the same scales.

    Args:
        verticals: the vertical axes, first the left and, if there are two, then the right.
        xmin, xmax: the ends of the horizontal axis; None takes the end of the data.
    """
    details = figure_details.current()
    fig, panels = figures.new_panels(shown.titles, panel=PANEL, margin=MARGIN, show=shown.show, sharey=True)
    handles: list[Artist] = []
    with_curves: list[list[Axes]] = [[] for _ in verticals]
    for left, whole in zip(panels, shown.surfaces, strict=True):
        finish_horizontal(left, horizontal_ends([whole], xmin, xmax), surface=whole)
        surface = coarse_line(whole, [name for vertical in verticals for name in vertical.names_in(whole)])
        values = []
        all_axes = _axes_of(left, verticals)
        for side, (axes, vertical) in enumerate(all_axes):
            drawn = _draw_surface(axes, surface, vertical)
            finish_vertical(axes, vertical, coloured=len(verticals) > 1)
            axes.yaxis.set_visible(bool(drawn))
            values += [vertical.values(surface, name) for name in vertical.names_in(surface)]
            if drawn:
                with_curves[side].append(axes)
                handles += drawn
            if details.barrier and set(vertical.names) & set(LOSSES):
                draw_barrier(axes, all_axes[-1][0], surface, vertical)
        handles += hatch_missing(left, surface, values)
        mark_minimisers(left, [surface])
    if details.ylabel:
        for axes in with_curves[0]:
            axes.set_ylabel(details.ylabel)
    name_outermost(with_curves)
    write_notes(fig, _notes(shown, verticals))
    add_legend(fig, _curves_first(handles))
    fit_height(fig)
    part_marks(fig)
    return fig


@figures.styled
def repeats(
    shown: Comparison,
    verticals: Sequence[VerticalAxis],
    *,
    xmin: float | None = None,
    xmax: float | None = None,
) -> Figure:
    """Return a figure of all surfaces in one panel, as thin lines.

    If all grids are equal, a thick line shows the mean, and a band one standard deviation on either side.
    """
    details = figure_details.current()
    surfaces = shown.surfaces
    fig, (left,) = figures.new_panels([f"{len(surfaces)} repeats"], panel=(6.4, 4.8), show=shown.show)
    is_same_grid = all(np.array_equal(surface.x, surfaces[0].x) for surface in surfaces)
    finish_horizontal(left, horizontal_ends(surfaces, xmin, xmax), surface=surfaces[0])
    handles: list[Artist] = []
    for axes, vertical in _axes_of(left, verticals):
        for name in vertical.names:
            handles += _draw_repeats(axes, surfaces, name, vertical, with_mean=is_same_grid)
        finish_vertical(axes, vertical, coloured=len(verticals) > 1)
    mark_minimisers(left, surfaces)
    if details.ylabel:
        left.set_ylabel(details.ylabel)
    write_notes(fig, _notes(shown, verticals))
    add_legend(fig, _curves_first(handles))
    fit_height(fig)
    part_marks(fig)
    return fig


def describe_all_missing(surface: Surface, names: Iterable[str]) -> list[str]:
    """Return sentences on what curves cannot show; quantities with the same sentence share it."""
    drawn = [name for name in names if name in surface.names]
    names_by_text: dict[str, list[str]] = {}
    for name in drawn:
        text = describe_missing(surface, name)
        if text:
            names_by_text.setdefault(text, []).append(name)
    return [
        text if len(sharing) == len(drawn) else f"{', '.join(sharing)}: {text}"
        for text, sharing in names_by_text.items()
    ]


def draw_line(
    axes: Axes,
    x: np.ndarray,
    y: np.ndarray,
    *,
    label: str,
    colour: str,
    style: str | tuple = "-",
    width: float | None = None,
    alpha: float | None = None,
) -> Line2D:
    """Draw one line, with markers at points that have no neighbours, which a line would not show."""
    is_drawn = np.pad(np.isfinite(y), 1)
    isolated = is_drawn[1:-1] & ~is_drawn[:-2] & ~is_drawn[2:]
    look: dict[str, Any] = {"color": colour, "alpha": alpha}
    (line,) = axes.plot(x, y, linestyle=style, linewidth=width, label=label, **look)
    if isolated.any():
        axes.plot(x[isolated], y[isolated], "o", markersize=scaled(4), **look)
    return line


def draw_band(
    axes: Axes, x: np.ndarray, low: np.ndarray, high: np.ndarray, *, colour: str, label: str = ""
) -> Artist:
    """Draw the band from low to high; on a log axis, only where its lower edge is positive."""
    return axes.fill_between(x, low, high, color=colour, alpha=BAND_OPACITY, linewidth=0, label=label)


def mean_and_deviation(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and sample standard deviation over the first axis.

    Both are NaN where a repeat has no value: the mean would jump where the number of repeats changes. The
    deviation of one repeat is zero.
    """
    mean = values.mean(axis=0)
    return mean, values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros_like(mean)


def _axes_of(left: Axes, verticals: Sequence[VerticalAxis]) -> list[tuple[Axes, VerticalAxis]]:
    """Return each vertical axis of a panel with the matplotlib axes that draw it."""
    all_axes = [left, *(left.twinx() for _ in verticals[1:])]
    return list(zip(all_axes, verticals, strict=True))


def _draw_surface(axes: Axes, surface: Surface, vertical: VerticalAxis) -> list[Artist]:
    """Draw the curves of a vertical axis and bands of standard errors; return the artists for the legend."""
    drawn: list[Artist] = []
    names = vertical.names_in(surface)
    for name in names:
        values = vertical.values(surface, name)
        drawn.append(_draw_quantity(axes, surface.x, values, name, vertical))
        error = quantity.standard_error(name)
        if error in surface.names:
            half = finite(surface.get(error))
            drawn.append(_draw_spread(axes, surface.x, values, half, vertical, label=STANDARD_ERROR))
    return drawn + mark_lost(axes, surface, names, vertical.colour)


def _draw_repeats(
    axes: Axes, surfaces: Sequence[Surface], name: str, vertical: VerticalAxis, *, with_mean: bool
) -> list[Artist]:
    """Draw a quantity of several surfaces, and if `with_mean`, the mean; return artists for the legend."""
    measured = [surface for surface in surfaces if name in surface.names]
    opacity = 0.5 if with_mean else 0.8
    thin, thick = scaled(0.9), scaled(2.4)
    for surface in measured:
        values = vertical.values(surface, name)
        line = _draw_quantity(axes, surface.x, values, name, vertical, alpha=opacity, width=thin)
    if not with_mean or len(measured) < 2:
        return [line]
    x = surfaces[0].x
    mean, deviation = mean_and_deviation(np.stack([vertical.values(one, name) for one in measured]))
    line = _draw_quantity(axes, x, mean, name, vertical, width=thick)
    line.set_label(f"{line.get_label()}, mean")
    return [line, _draw_spread(axes, x, mean, deviation, vertical, label=DEVIATION)]


def _draw_quantity(
    axes: Axes,
    x: np.ndarray,
    y: np.ndarray,
    name: str,
    vertical: VerticalAxis,
    *,
    width: float | None = None,
    alpha: float | None = None,
) -> Line2D:
    part, value = quantity.split(name)
    text = "error" if vertical.error else value_label(value).removesuffix(" (%)")
    look = {"label": f"{part} {text}".strip(), "colour": vertical.colour, "style": LINES[part]}
    return draw_line(axes, x, y, width=width, alpha=alpha, **look)


def _draw_spread(
    axes: Axes, x: np.ndarray, middle: np.ndarray, half: np.ndarray, vertical: VerticalAxis, *, label: str
) -> Artist:
    """Draw the band middle ± half."""
    low = middle - half
    if vertical.log:
        low = np.where(middle > half, low, np.nan)
    return draw_band(axes, x, low, middle + half, colour=vertical.colour, label=label)


def _curves_first(handles: Sequence[Artist]) -> list[Artist]:
    """Return the artists of a legend in the order curves, marks of single points, areas."""

    def rank(handle: Artist) -> int:
        if isinstance(handle, Line2D):
            return 1 if handle.get_linestyle() == "None" else 0
        return 2

    return sorted(handles, key=rank)


def _notes(shown: Comparison, verticals: Sequence[VerticalAxis]) -> list[str]:
    """Return notes on what is missing or hidden."""
    names = [name for vertical in verticals for name in vertical.names]
    notes = []
    for surface, title in shown:
        texts = describe_all_missing(surface, names)
        for vertical in verticals:
            texts += vertical.describe_hidden(surface)
        notes += [titled(title, text) for text in texts]
    return notes
