"""Surfaces in the plane as panels of a figure, seen in three dimensions."""

from collections.abc import Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, MaxNLocator
from mpl_toolkits.mplot3d import Axes3D

from losslandscape.draw import figures
from losslandscape.draw.comparison import Comparison
from losslandscape.draw.contour_levels import COLOURS, Scale
from losslandscape.draw.drawable import known_part
from losslandscape.draw.labels import LevelFormatter
from losslandscape.draw.panels import X_LABEL, Y_LABEL, add_colour_bar, describe_hidden
from losslandscape.files.surface import Surface

SMALL_GRID = 10_000  # cells; viewers are slow with a PDF of more, so a larger surface is an image in it
HEIGHT_PAD = 3.5  # points between the axis of heights and its numbers, at least


@figures.styled
@figures.overflow_ignored
def surface_figure(shown: Comparison, name: str, scale: Scale, *, zlim: float | None = None) -> Figure:
    """Return a figure of 3-D surfaces, which are cut off at `zlim` if it is given."""
    count = len(shown.surfaces)
    fig = figures.new_figure(show=shown.show, size=(0.6 + 6.2 * count, 5.6))
    panels = fig.subplots(1, count, squeeze=False, subplot_kw={"projection": "3d"})[0]
    for axes, (surface, title) in zip(panels, shown, strict=True):
        drawn = _draw_surface(axes, surface, name, scale, zlim=zlim)
        axes.set_title(title, y=1.0)
    add_colour_bar(fig, drawn, panels, name, shrink=0.65, pad=0.1)
    notes = describe_hidden(shown, name, scale)
    if zlim is not None and any((surface.get(name) > zlim).any() for surface in shown.surfaces):
        notes.append(f"cut off at {zlim:g}")
    figures.footnote(fig, "; ".join(notes))
    return fig


def _draw_surface(
    axes: Axes3D, surface: Surface, name: str, scale: Scale, *, zlim: float | None = None
) -> ScalarMappable:
    """Draw a surface whose height and colour are the value.

    They are its logarithm where the scale has equal ratios and no `zlim` cuts the surface off.
    """
    x, y, values = known_part(surface, name, log=scale.log)
    low, high = scale.heights
    log = scale.log and zlim is None
    if zlim is not None:
        values, high = np.minimum(values, zlim), min(zlim, high)
    if log:
        values, low, high = np.log10(values), np.log10(low), np.log10(high)
    norm = Normalize(low, high)
    axes.plot_surface(
        *np.meshgrid(x, y),
        values,
        cmap=COLOURS,
        norm=norm,
        rcount=values.shape[0],  # without the counts, matplotlib would thin the grid to 50x50
        ccount=values.shape[1],
        linewidth=0,
        antialiased=values.size <= SMALL_GRID,
        rasterized=values.size > SMALL_GRID,
    )
    if zlim is not None:
        axes.set_zlim(min(0, low), zlim)
    elif high > low:
        axes.set_zlim(low, high)
    _finish(axes, log=log)
    return ScalarMappable(scale.norm if log else norm, COLOURS)


def _finish(axes: Axes3D, *, log: bool) -> None:
    """Labels and ticks of a 3-D surface."""
    if log:
        axes.zaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.zaxis.set_major_formatter(FuncFormatter(_power_of_ten))
    else:
        axes.zaxis.set_major_formatter(LevelFormatter())
    axes.set_xlabel(X_LABEL, labelpad=8)
    axes.set_ylabel(Y_LABEL, labelpad=8)
    axes.tick_params(labelsize=10)
    # matplotlib places the middles of the numbers, so long ones need more room.
    room = _widest(axes.zaxis.get_ticklabels()) / 3 - HEIGHT_PAD
    axes.tick_params(axis="z", pad=max(HEIGHT_PAD, room))
    axes.locator_params(axis="x", nbins=6)
    axes.locator_params(axis="y", nbins=6)


def _power_of_ten(power: float, _: int | None = None) -> str:
    return f"$10^{{{power:g}}}$"


def _widest(texts: Sequence[Text]) -> float:
    """The width of the widest text, in points."""
    widths = []
    for text in texts:
        # Among huge heights its place is millions of pixels away, and rounding would lose the width.
        text.set_position((0, 0))
        widths.append(text.get_window_extent().width * 72 / text.figure.dpi)
    return max(widths)
