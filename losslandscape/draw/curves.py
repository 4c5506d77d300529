"""Quantities along one direction: curves of surfaces in panels side by side, and repeats over each other.

A figure's vertical axes are `Side`s: the left one and, where loss and accuracy share a figure, the right one. What a curve cannot show is said
below it. Nothing is cut off but where the published range of the loss asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from losslandscape.core import quantity
from losslandscape.core.errors import InputError
from losslandscape.draw import figures, surface_metrics
from losslandscape.draw.contour_levels import LOG_RATIO, SMALLEST

LOSS_COLOUR, ACCURACY_COLOUR = "tab:blue", "tab:red"
LOSSES = ("train_loss", "test_loss")
LINES = {"train": "-", "test": "--", "": "-"}
MARK_SIZE = 10  # of what is written above a minimiser
SPREAD = 0.18  # opacity of the band of one standard deviation or error
PERCENT = (-2, 102)  # a line at 0 or 100 is not hidden by the frame
STANDARD_ERROR = "± 1 standard error"


@dataclass(frozen=True)
class Side:
    """What one vertical axis shows. limits: None follows the data. error: 100 less the value, of an accuracy."""

    names: tuple[str, ...]
    label: str
    colour: str = LOSS_COLOUR
    limits: tuple[float, float] | None = None
    log: bool = False
    error: bool = False

    def values(self, surface, name: str) -> np.ndarray:
        """The values of `name` as they are drawn: NaN, and so a gap, where there is nothing to draw."""
        values = figures.finite(surface.get(name))
        values = 100 - values if self.error else values
        return np.where(values > 0, np.maximum(values, SMALLEST), np.nan) if self.log else values


def loss_side(surfaces: Sequence, *, loss_max: float, log: bool) -> Side:
    """The losses of training and test from 0 to `loss_max`; the data's own range if all of it would be out of sight, or some of it negative.

    Raises `InputError` for `log` where no loss is positive.
    """
    side = Side(_present(surfaces, *LOSSES), "loss", log=log)
    values = found(surfaces, side)
    if log and side.names and not values.size:
        raise InputError("no loss is positive, so a log scale has nothing to show; leave --log out")
    return (
        side
        if log or values.size and (values.min() < 0 or values.min() >= loss_max)
        else replace(side, limits=(0.0, loss_max))
    )


def accuracy_side(surfaces: Sequence, *, error: bool = False) -> Side:
    return Side(
        _present(surfaces, "train_acc", "test_acc"),
        "error (%)" if error else "accuracy (%)",
        ACCURACY_COLOUR,
        PERCENT,
        error=error,
    )


def value_side(surfaces: Sequence, value: str, *, log: bool = False) -> Side:
    """Any other value, of training, test and neither, with the data's own range.

    Its scale is logarithmic where all values are positive and either `log` asks for it of a loss, or they range over more than two orders of magnitude.
    """
    side = Side(_present(surfaces, f"train_{value}", f"test_{value}", value), figures.value_label(value))
    if quantity.is_percentage(value):
        return replace(side, colour=ACCURACY_COLOUR, limits=PERCENT)
    values = found(surfaces, side)
    return replace(
        side,
        log=bool(
            values.size
            and values.min() > 0
            and (log and quantity.is_loss(value) or values.max() / LOG_RATIO > values.min())
        ),
    )


def own_values(surfaces: Sequence) -> list[str]:
    """The values of the surfaces that are neither loss nor accuracy, each once for training and test."""
    return list(
        dict.fromkeys(
            quantity.split(name)[1]
            for surface in surfaces
            for name in quantity.shown(surface.names)
            if name not in quantity.FIRST
        )
    )


def _present(surfaces: Sequence, *names: str) -> tuple[str, ...]:
    return tuple(name for name in names if any(name in surface.names for surface in surfaces))


def found(surfaces: Sequence, side: Side) -> np.ndarray:
    """All values that a side shows."""
    values = np.concatenate(
        [side.values(surface, name) for surface in surfaces for name in side.names if name in surface.names]
        or [[]]
    )
    return values[np.isfinite(values)]


@figures.styled
def side_by_side(
    surfaces: Sequence,
    titles: Sequence[str],
    sides: Sequence[Side],
    *,
    xmin: float | None = None,
    xmax: float | None = None,
    show: bool = False,
) -> Figure:
    """A panel for each surface, with the `sides` against the axes on its left and right, on one scale."""
    fig = figures.new_figure(show=show, size=(1.4 + 5 * len(surfaces), 4.8))
    panels = fig.subplots(1, len(surfaces), squeeze=False, sharey=True)[0]
    legend = []
    told_by: list[list[Axes]] = [[] for _ in sides]
    for axes, surface, title in zip(panels, surfaces, titles, strict=True):
        for side, axes_of_side, having in zip(
            sides, [axes, *(axes.twinx() for _ in sides[1:])], told_by, strict=True
        ):
            names = [name for name in side.names if name in surface.names]
            for name in names:
                legend += _curve(axes_of_side, surface, name, side)
            _finish_side(axes_of_side, side, coloured=len(sides) > 1)
            axes_of_side.yaxis.set_visible(bool(names))
            having += [axes_of_side] if names else []
        axes.set_title(title, pad=20)  # above the marks
        _finish(axes, [surface], xmin=xmin, xmax=xmax)
    for having, side_of_axes, outermost in zip(told_by, ("left", "right"), (0, -1), strict=False):
        for axes in having:
            _label(axes, side_of_axes, told=axes is having[outermost])
    _footnote(fig, surfaces, titles, sides)
    _legend(fig, legend)
    return fig


@figures.styled
def repeats(
    surfaces: Sequence,
    sides: Sequence[Side],
    *,
    xmin: float | None = None,
    xmax: float | None = None,
    show: bool = False,
) -> Figure:
    """All surfaces in one panel, thin, and where the grids agree their mean, thick, with a band of one standard deviation."""
    fig = figures.new_figure(show=show)
    axes = fig.add_subplot()
    same_grid = all(np.array_equal(surface.x, surfaces[0].x) for surface in surfaces)
    legend = []
    for side, axes_of_side in zip(sides, [axes, *(axes.twinx() for _ in sides[1:])], strict=True):
        for name in side.names:
            having = [surface for surface in surfaces if name in surface.names]
            drawn = [
                _draw(
                    axes_of_side,
                    one.x,
                    side.values(one, name),
                    name,
                    side,
                    alpha=0.5 if same_grid else 0.8,
                    width=0.9,
                )
                for one in having
            ]
            if same_grid:
                values = np.stack([side.values(one, name) for one in having])
                # A mean over fewer repeats than its neighbours' would jump where nothing changes: only where all are there.
                mean, spread = values.mean(axis=0), values.std(axis=0)
                drawn.append(_draw(axes_of_side, surfaces[0].x, mean, name, side, width=2.4))
                _band(axes_of_side, surfaces[0].x, mean, spread, side)
            legend += drawn[-1:]
        _finish_side(axes_of_side, side, coloured=len(sides) > 1)
    _finish(axes, surfaces, xmin=xmin, xmax=xmax)
    _footnote(fig, surfaces, [""] * len(surfaces), sides)
    axes.set_title(
        f"{len(surfaces)} repeats"
        + (", their mean and standard deviation" if same_grid and len(surfaces) > 1 else ""),
        pad=20,
    )
    _legend(fig, legend)
    return fig


def _curve(axes: Axes, surface, name: str, side: Side) -> list:
    """A quantity's line and, where the file has its standard error, the band around it; returns what the legend names."""
    values = side.values(surface, name)
    drawn = [_draw(axes, surface.x, values, name, side)]
    if (error := quantity.standard_error(name)) in surface.names:
        drawn.append(
            _band(axes, surface.x, values, figures.finite(surface.get(error)), side, label=STANDARD_ERROR)
        )
    return drawn


def _draw(
    axes: Axes,
    x: np.ndarray,
    y: np.ndarray,
    name: str,
    side: Side,
    *,
    width: float | None = None,
    alpha: float | None = None,
) -> Line2D:
    """One line of `axes`; a point without neighbours would not show in a line, so it gets a marker."""
    part, value = quantity.split(name)
    known = np.pad(np.isfinite(y), 1)
    alone = np.flatnonzero(known[1:-1] & ~known[:-2] & ~known[2:])
    text = "error" if side.error else figures.value_label(value).removesuffix(" (%)")
    return axes.plot(
        x,
        y,
        LINES[part],
        color=side.colour,
        linewidth=width,
        alpha=alpha,
        marker="o" if alone.size else None,
        markersize=4,
        markevery=alone.tolist(),
        label=f"{part} {text}".strip(),
    )[0]


def _band(axes: Axes, x: np.ndarray, middle: np.ndarray, half: np.ndarray, side: Side, *, label: str = ""):
    """The band middle ± half; on a log scale only where its lower edge has a place."""
    low = np.where(middle > half, middle - half, np.nan) if side.log else middle - half
    return axes.fill_between(x, low, middle + half, color=side.colour, alpha=SPREAD, linewidth=0, label=label)


def _finish_side(axes: Axes, side: Side, *, coloured: bool) -> None:
    colour = side.colour if coloured else "black"
    axes.set_ylabel(side.label, color=colour)
    axes.tick_params(axis="y", which="both", labelcolor=colour)
    if side.log:
        axes.set_yscale("log")
    axes.margins(y=0.05)
    if side.limits:
        axes.set_ylim(*side.limits)


def _finish(axes: Axes, surfaces: Sequence, *, xmin: float | None, xmax: float | None) -> None:
    """The x axis, and the marks of the minimisers: at 0, and of an interpolation at 1 too."""
    low = min(surface.x.min() for surface in surfaces) if xmin is None else xmin
    high = max(surface.x.max() for surface in surfaces) if xmax is None else xmax
    if low > high:
        raise InputError(f"xmin {low:g} is greater than xmax {high:g}")
    if all(surface.x.max() < low or surface.x.min() > high for surface in surfaces):
        one = surfaces[0]
        raise InputError(
            f"nothing lies between xmin {low:g} and xmax {high:g}: {one.called} goes from {one.x.min():g} to {one.x.max():g}"
        )
    if low == high:
        low, high = low - 0.5, high + 0.5
    axes.set_xlim(low, high)
    axes.set_xlabel(r"$\alpha$")
    marks = {0.0: "minimiser"}
    if all(map(surface_metrics.interpolates, surfaces)):
        marks = {0.0: "first minimiser", 1.0: "second minimiser"}
    for place, text in marks.items():
        if low < place < high:
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
    axes.grid(True, axis="y", color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)


def _label(axes: Axes, side: str, *, told: bool) -> None:
    """Show or hide what a vertical axis says: of panels that share one, the outermost that has it tells it for all."""
    axes.tick_params(axis="y", which="both", **{f"label{side}": told})
    axes.yaxis.get_offset_text().set_visible(told)
    if not told:
        axes.set_ylabel("")


def _footnote(fig: Figure, surfaces: Sequence, titles: Sequence[str], sides: Sequence[Side]) -> None:
    """What is missing or has no logarithm, in the three first sentences that differ."""
    texts = dict.fromkeys(
        f"{title}: {text}" if title else text
        for surface, title in zip(surfaces, titles, strict=True)
        for text in [
            *missing(surface, [name for side in sides for name in side.names]),
            *_out_of_sight(surface, sides),
        ]
    )
    figures.footnote(
        fig, "\n".join(list(texts)[:3] + (["and more missing in other files"] if len(texts) > 3 else []))
    )


def missing(surface, names: Sequence[str]) -> list[str]:
    """What the named quantities of a surface lack, each sentence once, with the names that it is true of."""
    drawn = [name for name in names if name in surface.names]
    names_of: dict[str, list[str]] = {}
    for name in drawn:
        text = figures.describe_missing(surface, name)
        if text:
            names_of.setdefault(text, []).append(name)
    return [
        text if len(names) == len(drawn) else f"{', '.join(names)}: {text}"
        for text, names in names_of.items()
    ]


def _out_of_sight(surface, sides: Sequence[Side]) -> list[str]:
    """What a log scale, or the limits of another axis than the loss's, leave out of a surface."""
    texts = []
    side_of = {name: side for side in sides for name in side.names if name in surface.names}
    for name, side in side_of.items():
        values = figures.finite(surface.get(name))
        if side.log and (without := np.count_nonzero(values <= 0)):
            texts.append(f"{figures.label(name)}: {figures.without_logarithm(without)}")
        elif (
            side.limits
            and name not in LOSSES
            and (beyond := np.count_nonzero((values < side.limits[0]) | (values > side.limits[1])))
        ):
            texts.append(
                f"{figures.label(name)}: {beyond} {'point' if beyond == 1 else 'points'} beyond the axis (values from {np.nanmin(values):.3g} to {np.nanmax(values):.3g})"
            )
    return texts


def _legend(fig: Figure, drawn: Sequence) -> None:
    """Above the axes, where it hides no part of a curve; panels share its entries. A single one that says what the axis says is left out."""
    by_label = {
        one.get_label(): one for one in sorted(drawn, key=lambda one: one.get_label() == STANDARD_ERROR)
    }
    if by_label.keys() - {axes.get_ylabel() for axes in fig.axes}:
        columns = (2 if len(fig.axes) <= 2 else 4) + (STANDARD_ERROR in by_label)
        fig.legend(handles=list(by_label.values()), loc="outside upper center", ncols=columns, frameon=False)
