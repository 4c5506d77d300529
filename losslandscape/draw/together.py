"""Draws several nets in one panel: each has a colour and a line style, and may be a mean over directions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from losslandscape.core import quantity
from losslandscape.core.errors import InputError
from losslandscape.draw import figure_details, figures
from losslandscape.draw.comparison import titled
from losslandscape.draw.curves import (
    BAND_OPACITY,
    DEVIATION,
    MARGIN,
    PANEL,
    describe_all_missing,
    draw_band,
    draw_line,
    mean_and_deviation,
)
from losslandscape.draw.line_axes import (
    add_legend,
    finish_horizontal,
    finish_vertical,
    fit_height,
    horizontal_ends,
    name_outermost,
    write_notes,
)
from losslandscape.draw.line_marks import mark_lost, mark_minimisers, part_marks
from losslandscape.draw.vertical_axes import VerticalAxis
from losslandscape.files.surface import Surface

# Okabe and Ito's colours, which colour-blind readers tell apart, without the yellow that is faint on white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#e69f00", "#56b4e9")
# Each net also has a style of its own, which a grey print keeps.
STYLES: tuple[str | tuple, ...] = ("-", (0, (5, 1.6)), (0, (1, 1.2)), "-.", (0, (8, 1.5, 1, 1.5, 1, 1.5)))
STD, RANGE = "std", "range"
BANDS = {STD: DEVIATION, RANGE: "lowest to highest"}


@dataclass(frozen=True)
class Net:
    """A net: its name, and its surfaces along one direction or several random ones."""

    title: str
    surfaces: Sequence[Surface]

    def __post_init__(self) -> None:
        first = self.surfaces[0]
        for surface in self.surfaces[1:]:
            if not np.array_equal(surface.x, first.x):
                raise InputError(
                    f"{surface.called} and {first.called} have different coordinates, so they have no mean",
                    "give files of one grid to each {group}",
                )


@figures.styled
def together(
    nets: Sequence[Net],
    vertical: VerticalAxis,
    *,
    band: str = STD,
    xmin: float | None = None,
    xmax: float | None = None,
    show: bool = False,
) -> Figure:
    """Return a figure with all nets in one panel, and another panel for another part of the data.

    Args:
        nets: from the first in the legend to the last.
        vertical: the axis that the panels share.
        band: what a band around a mean shows, one of `BANDS`.
        xmin, xmax, show: as for `curves.side_by_side`.
    """
    surfaces = [surface for net in nets for surface in net.surfaces]
    parts = [quantity.split(name)[0] for name in vertical.names]
    titles = parts if len(parts) > 1 else [""]
    fig, panels = figures.new_panels(titles, panel=PANEL, margin=MARGIN, show=show, sharey=True)
    handles: list[Artist] = []
    for axes, name in zip(panels, vertical.names, strict=True):
        finish_horizontal(axes, horizontal_ends(surfaces, xmin, xmax), surface=surfaces[0])
        for number, net in enumerate(nets):
            handles += _draw_net(axes, net, name, vertical, number, band)
        finish_vertical(axes, vertical, coloured=False)
        mark_minimisers(axes, surfaces)
        text = vertical.label if len(parts) > 1 else f"{parts[0]} {vertical.label}".strip()
        axes.set_ylabel(figure_details.current().ylabel or text)
    name_outermost([panels])
    if any(len(net.surfaces) > 1 for net in nets):
        handles.append(Patch(color="0.3", alpha=BAND_OPACITY, linewidth=0, label=BANDS[band]))
    write_notes(fig, _notes(nets, vertical))
    add_legend(fig, handles)
    fit_height(fig)
    part_marks(fig)
    return fig


def _draw_net(
    axes: Axes, net: Net, name: str, vertical: VerticalAxis, number: int, band: str
) -> list[Artist]:
    """Draw the curve of a net, and the band of several directions; return the artists for the legend."""
    measured = [surface for surface in net.surfaces if name in surface.names]
    if not measured:
        return []
    colour = COLOURS[number % len(COLOURS)]
    style = STYLES[number % len(STYLES)]
    values = np.stack([vertical.values(surface, name) for surface in measured])
    mean, deviation = mean_and_deviation(values)
    x = measured[0].x
    text = net.title
    if len(measured) > 1:
        text = f"{text} (mean of {len(measured)})"
        low, high = (mean - deviation, mean + deviation)
        if band == RANGE:
            low, high = values.min(axis=0), values.max(axis=0)
        if vertical.log:
            low = np.where(low > 0, low, np.nan)
        draw_band(axes, x, low, high, colour=colour)
    line = draw_line(axes, x, mean, label=text, colour=colour, style=style)
    lost = [mark for surface in measured for mark in mark_lost(axes, surface, [name], colour)]
    return [line, *lost]


def _notes(nets: Sequence[Net], vertical: VerticalAxis) -> list[str]:
    """Return notes on what is missing or hidden."""
    notes = []
    for net in nets:
        for surface in net.surfaces:
            texts = describe_all_missing(surface, vertical.names) + vertical.describe_hidden(surface)
            notes += [titled(net.title, text) for text in texts]
    return notes
