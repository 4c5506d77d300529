"""Draws quantities along a line: surfaces in panels side by side, or repeats of one line in one panel.

A panel has one or two vertical axes, on the left and on the right. Footnotes say what curves cannot show.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from losslandscape.core import quantity
from losslandscape.core.errors import InputError
from losslandscape.draw import figures
from losslandscape.draw.comparison import Comparison, titled
from losslandscape.draw.drawable import describe_missing, finite
from losslandscape.draw.labels import value_label
from losslandscape.draw.surface_metrics import is_interpolation
from losslandscape.draw.vertical_axes import VerticalAxis
from losslandscape.files.surface import Surface

LINES = {"train": "-", "test": "--", "": "-"}
MARK_SIZE = 10  # font size of the text above a minimiser
ABOVE_MARKS = 20  # points between the axes and a title, which leave room for the text of marks
BAND_OPACITY = 0.18
STANDARD_ERROR = "± 1 standard error"
MAX_NOTES = 3  # lines of a footnote; if there are more notes, a further line says so


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
    fig, panels = figures.new_panels(shown.titles, panel=(5, 4.8), margin=1.4, show=shown.show, sharey=True)
    curves: list[Artist] = []
    with_curves: list[list[Axes]] = [[] for _ in verticals]
    for left, surface in zip(panels, shown.surfaces, strict=True):
        for side, (axes, vertical) in enumerate(_axes_of(left, verticals)):
            drawn = _draw_surface(axes, surface, vertical)
            _finish_vertical(axes, vertical, coloured=len(verticals) > 1)
            axes.yaxis.set_visible(bool(drawn))
            if drawn:
                with_curves[side].append(axes)
                curves += drawn
        left.set_title(left.get_title(), pad=ABOVE_MARKS)
        _finish_horizontal(left, [surface], xmin=xmin, xmax=xmax)
    _name_outermost(with_curves)
    _write_notes(fig, shown, verticals)
    _add_legend(fig, curves)
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
    fig = figures.new_figure(show=shown.show)
    left = fig.add_subplot()
    surfaces = shown.surfaces
    is_same_grid = all(np.array_equal(surface.x, surfaces[0].x) for surface in surfaces)
    curves: list[Artist] = []
    for axes, vertical in _axes_of(left, verticals):
        for name in vertical.names:
            curves.append(_draw_repeats(axes, surfaces, name, vertical, with_mean=is_same_grid))
        _finish_vertical(axes, vertical, coloured=len(verticals) > 1)
    _finish_horizontal(left, surfaces, xmin=xmin, xmax=xmax)
    _write_notes(fig, shown, verticals)
    title = f"{len(surfaces)} repeats"
    if is_same_grid and len(surfaces) > 1:
        title += ", their mean and standard deviation"
    left.set_title(title, pad=ABOVE_MARKS)
    _add_legend(fig, curves)
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


def _axes_of(left: Axes, verticals: Sequence[VerticalAxis]) -> list[tuple[Axes, VerticalAxis]]:
    """Return each vertical axis of a panel with the matplotlib axes that draw it."""
    all_axes = [left, *(left.twinx() for _ in verticals[1:])]
    return list(zip(all_axes, verticals, strict=True))


def _draw_surface(axes: Axes, surface: Surface, vertical: VerticalAxis) -> list[Artist]:
    """Draw the curves of a vertical axis and bands of standard errors; return the artists for the legend."""
    drawn: list[Artist] = []
    for name in vertical.names_in(surface):
        values = vertical.values(surface, name)
        drawn.append(_draw_line(axes, surface.x, values, name, vertical))
        error = quantity.standard_error(name)
        if error in surface.names:
            half = finite(surface.get(error))
            drawn.append(_draw_band(axes, surface.x, values, half, vertical, label=STANDARD_ERROR))
    return drawn


def _draw_repeats(
    axes: Axes, surfaces: Sequence[Surface], name: str, vertical: VerticalAxis, *, with_mean: bool
) -> Line2D:
    """Draw a quantity of several surfaces, and if `with_mean`, the mean; return the line for the legend."""
    measured = [surface for surface in surfaces if name in surface.names]
    opacity = 0.5 if with_mean else 0.8
    for surface in measured:
        values = vertical.values(surface, name)
        line = _draw_line(axes, surface.x, values, name, vertical, alpha=opacity, width=0.9)
    if not with_mean:
        return line
    # The mean is NaN where a repeat has no value: it would jump where the number of repeats changes.
    values = np.stack([vertical.values(surface, name) for surface in measured])
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    line = _draw_line(axes, surfaces[0].x, mean, name, vertical, width=2.4)
    _draw_band(axes, surfaces[0].x, mean, deviation, vertical)
    return line


def _draw_line(
    axes: Axes,
    x: np.ndarray,
    y: np.ndarray,
    name: str,
    vertical: VerticalAxis,
    *,
    width: float | None = None,
    alpha: float | None = None,
) -> Line2D:
    """Draw one line, with markers at points that have no neighbours, which a line would not show."""
    part, value = quantity.split(name)
    is_drawn = np.pad(np.isfinite(y), 1)
    isolated = np.flatnonzero(is_drawn[1:-1] & ~is_drawn[:-2] & ~is_drawn[2:])
    text = "error" if vertical.error else value_label(value).removesuffix(" (%)")
    lines = axes.plot(
        x,
        y,
        LINES[part],
        color=vertical.colour,
        linewidth=width,
        alpha=alpha,
        marker="o" if isolated.size else None,
        markersize=4,
        markevery=isolated.tolist(),
        label=f"{part} {text}".strip(),
    )
    return lines[0]


def _draw_band(
    axes: Axes,
    x: np.ndarray,
    middle: np.ndarray,
    half: np.ndarray,
    vertical: VerticalAxis,
    *,
    label: str = "",
) -> Artist:
    """Draw the band middle ± half. On a log axis, draw it only where its lower edge is positive."""
    low, high = middle - half, middle + half
    if vertical.log:
        low = np.where(middle > half, low, np.nan)
    return axes.fill_between(
        x, low, high, color=vertical.colour, alpha=BAND_OPACITY, linewidth=0, label=label
    )


def _finish_vertical(axes: Axes, vertical: VerticalAxis, *, coloured: bool) -> None:
    colour = vertical.colour if coloured else "black"
    axes.set_ylabel(vertical.label, color=colour)
    axes.tick_params(axis="y", which="both", labelcolor=colour)
    if vertical.log:
        axes.set_yscale("log")
    axes.margins(y=0.05)
    if vertical.limits:
        axes.set_ylim(*vertical.limits)


def _finish_horizontal(
    axes: Axes, surfaces: Sequence[Surface], *, xmin: float | None, xmax: float | None
) -> None:
    """Set up the horizontal axis and mark the minimisers: 0, and also 1 if all are interpolations."""
    low, high = _horizontal_range(surfaces, xmin, xmax)
    axes.set_xlim(low, high)
    axes.set_xlabel(r"$\alpha$")
    marks = {0.0: "minimiser"}
    if all(map(is_interpolation, surfaces)):
        marks = {0.0: "first minimiser", 1.0: "second minimiser"}
    for place, text in marks.items():
        if low < place < high:
            _mark(axes, place, text)
    axes.grid(True, axis="y", color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)


def _horizontal_range(
    surfaces: Sequence[Surface], xmin: float | None, xmax: float | None
) -> tuple[float, float]:
    low = min(surface.x.min() for surface in surfaces) if xmin is None else xmin
    high = max(surface.x.max() for surface in surfaces) if xmax is None else xmax
    if low > high:
        raise InputError(f"xmin {low:g} is greater than xmax {high:g}")
    if all(surface.x.max() < low or surface.x.min() > high for surface in surfaces):
        first = surfaces[0]
        extent = f"{first.called} goes from {first.x.min():g} to {first.x.max():g}"
        raise InputError(f"nothing lies between xmin {low:g} and xmax {high:g}: {extent}")
    return (low - 0.5, high + 0.5) if low == high else (low, high)


def _mark(axes: Axes, place: float, text: str) -> None:
    axes.axvline(place, color="0.75", linewidth=1, zorder=0)
    axes.annotate(
        text,
        (place, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=MARK_SIZE,
        color="0.45",
    )


def _name_outermost(with_curves: Sequence[list[Axes]]) -> None:
    """Label each shared scale only at its outermost panel with curves: the leftmost or the rightmost."""
    for side, outermost, panels in zip(("left", "right"), (0, -1), with_curves, strict=False):
        for axes in panels:
            is_named = axes is panels[outermost]
            axes.tick_params(axis="y", which="both", **{f"label{side}": is_named})
            axes.yaxis.get_offset_text().set_visible(is_named)
            if not is_named:
                axes.set_ylabel("")


def _write_notes(fig: Figure, shown: Comparison, verticals: Sequence[VerticalAxis]) -> None:
    """Write footnotes on what is missing or hidden: the first different sentences."""
    names = [name for vertical in verticals for name in vertical.names]
    notes: dict[str, None] = {}
    for surface, title in shown:
        texts = describe_all_missing(surface, names)
        for vertical in verticals:
            texts += vertical.describe_hidden(surface)
        notes.update(dict.fromkeys(titled(title, text) for text in texts))
    lines = list(notes)[:MAX_NOTES]
    if len(notes) > MAX_NOTES:
        lines.append("and more missing in other files")
    figures.footnote(fig, "\n".join(lines))


def _add_legend(fig: Figure, curves: Sequence[Artist]) -> None:
    """Add a legend above the axes, where it hides nothing, unless axis labels already name all curves."""
    bands_last = sorted(curves, key=lambda curve: curve.get_label() == STANDARD_ERROR)
    by_label = {curve.get_label(): curve for curve in bands_last}
    if by_label.keys() <= {axes.get_ylabel() for axes in fig.axes}:
        return
    columns = (2 if len(fig.axes) <= 2 else 4) + (STANDARD_ERROR in by_label)
    fig.legend(handles=list(by_label.values()), loc="outside upper center", ncols=columns, frameon=False)
