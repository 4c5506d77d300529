"""Marks on 1-D figures: minimisers, points without a value, and the barrier between two nets."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from losslandscape.core.errors import InputError
from losslandscape.draw import figure_details, loss_shape
from losslandscape.draw.drawable import LARGEST
from losslandscape.draw.grid_values import ascending
from losslandscape.draw.labels import level_text
from losslandscape.draw.plane_axes import MISSING_COLOUR, MISSING_HATCH, edges
from losslandscape.draw.surface_metrics import is_interpolation
from losslandscape.draw.type_settings import scaled, text_size
from losslandscape.draw.vertical_axes import VerticalAxis
from losslandscape.files.surface import Surface

MARK_SIZE = 10 / 13  # of the text above a minimiser, relative to the font size
EDGE = 0.03  # distance of the marks of lost values from the frame, relative to the height of the axes
BARRIER_COLOUR = "0.25"
BARRIER_POINTS = 200
LOW = 0.2  # height of the text, relative to the barrier: curves leave more room there than higher up
PAD = 1.5  # pixels around a text that stay free
# By the text in the legend: marker, and which values it stands for.
LOST: dict[str, str] = {"NaN": "x", "infinite": "^", "minus infinite": "v"}


def mark_minimisers(axes: Axes, surfaces: Sequence[Surface]) -> None:
    """Mark the minimisers in a panel: 0, and also 1 if all surfaces are lines between two nets.

    Raises:
        InputError: there are more texts than minimisers.
    """
    details = figure_details.current()
    is_between = all(map(is_interpolation, surfaces))
    usual = ["first minimiser", "second minimiser"] if is_between else ["minimiser"]
    if surfaces[0].made_with.get("over") == "inputs":
        usual = ["unmoved inputs"]
    texts = list(details.marks) or usual
    places = [0.0, 1.0] if is_between else [0.0]
    if len(texts) > len(places):
        raise InputError(
            f"there are {len(texts)} texts of marks, and {surfaces[0].called} has {len(places)} minimiser",
            "give one text ({marks})",
        )
    if not details.centre:
        return
    low, high = axes.get_xlim()
    marks = {place: text for place, text in zip(places, texts, strict=False) if low < place < high}
    for place in marks:
        axes.axvline(place, color="0.75", linewidth=scaled(1.0), zorder=0)
    if marks:
        top = axes.secondary_xaxis("top")
        top.set_xticks(list(marks), list(marks.values()))
        top.tick_params(length=0, pad=scaled(3), labelsize=text_size(MARK_SIZE), labelcolor="0.4")


def part_marks(fig: Figure) -> None:
    """Move texts above minimisers apart, and break them into lines, where they would meet."""
    tops = [top for axes in fig.axes for top in axes.child_axes if len(top.get_xticks()) > 1]
    if not tops:
        return
    fig.draw_without_rendering()  # the layout sets the size of the axes, and so which texts meet
    for top in tops:
        texts = top.get_xticklabels()
        boxes = [text.get_window_extent().padded(PAD) for text in texts]
        if any(one.overlaps(other) for one, other in pairwise(boxes)):
            top.set_xticks(top.get_xticks(), [text.get_text().replace(" ", "\n") for text in texts])
            left, right = top.get_xticklabels()
            left.set_horizontalalignment("right")
            right.set_horizontalalignment("left")


def hatch_missing(axes: Axes, surface: Surface, drawn: Sequence[np.ndarray]) -> list[Artist]:
    """Hatch the parts of a line where no quantity has a value; return the artist for the legend.

    Args:
        drawn: the values of each curve, NaN where it has a gap.
    """
    missing = np.isnan(drawn).all(axis=0)
    if not len(drawn) or not missing.any():
        return []
    borders = edges(surface.x)
    style: dict[str, Any] = {"facecolor": MISSING_COLOUR, "edgecolor": MISSING_HATCH, "hatch": "////"}
    starts = np.flatnonzero(np.diff(np.pad(missing, 1).astype(int)) == 1)
    ends = np.flatnonzero(np.diff(np.pad(missing, 1).astype(int)) == -1)
    for start, end in zip(starts, ends, strict=True):
        axes.axvspan(borders[start], borders[end], linewidth=0, zorder=0, alpha=0.6, **style)
    return [Patch(linewidth=0, alpha=0.6, label="no value", **style)]


def mark_lost(axes: Axes, surface: Surface, names: Sequence[str], colour: str) -> list[Artist]:
    """Mark results that are NaN or infinite at the upper or lower edge; return the artists for the legend."""
    handles: list[Artist] = []
    for name in names:
        values = np.where(surface.measured(name), surface.get(name), 0.0)
        where = {"NaN": np.isnan(values), "infinite": values >= LARGEST, "minus infinite": values <= -LARGEST}
        for text, is_lost in where.items():
            if is_lost.any():
                handles.append(Line2D([], [], marker=LOST[text], linestyle="none", color="0.3", label=text))
                axes.plot(
                    surface.x[is_lost],
                    np.full(np.count_nonzero(is_lost), EDGE if LOST[text] == "v" else 1 - EDGE),
                    LOST[text],
                    color=colour,
                    markersize=scaled(5),
                    transform=axes.get_xaxis_transform(),
                )
    return handles


def draw_barrier(axes: Axes, above: Axes, surface: Surface, vertical: VerticalAxis) -> None:
    """Draw the straight line between the losses at 0 and 1, and how far the loss rises above it.

    Args:
        axes: the axes of the loss.
        above: the axes of the panel that were added last, so that no curve covers the text.

    Raises:
        InputError: the surface is no line between two nets, or has no finite barrier.
    """
    name = vertical.names_in(surface)[0]
    (x,), values = ascending(surface, name)
    place = loss_shape.barrier_place(x, values) if is_interpolation(surface) else None
    if place is None:
        raise InputError(
            f"{surface.called} has no barrier: it needs finite losses from one net, at 0, to another, at 1",
            "leave {barrier} out",
        )
    at, straight, height, ends = place
    t = np.linspace(0, 1, BARRIER_POINTS)
    style: dict[str, Any] = {"color": BARRIER_COLOUR, "linewidth": scaled(1.2)}
    axes.plot(t, (1 - t) * ends[0] + t * ends[1], ":", **style)
    text = f"barrier {level_text(height - straight, 3)}"
    low, high = np.clip([straight, height], *axes.get_ylim())  # what is in sight
    if high > low:
        arrow = {"arrowstyle": "<->" if high == height else "<-", "shrinkA": 0, "shrinkB": 0, **style}
        axes.annotate("", (at, high), (at, low), arrowprops=arrow)
    above.annotate(
        text,
        (at, low * (high / low) ** LOW if vertical.log else low + LOW * (high - low)),
        (scaled(5), 0),
        xycoords=axes.transData,
        textcoords="offset points",
        va="center",
        fontsize=text_size(MARK_SIZE),
        color=BARRIER_COLOUR,
        bbox={"boxstyle": "square,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
    )
