"""Draws planes as 3-D surfaces, one panel of a figure per surface."""

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

MAX_VECTOR_POINTS = 10_000  # grid points; a larger surface is an image in the PDF, or viewers would be slow
MIN_HEIGHT_PAD = 3.5  # minimum distance between the height axis and its tick labels, in typographic points


@figures.styled
@figures.overflow_ignored
def surface_figure(shown: Comparison, name: str, scale: Scale, *, zlim: float | None = None) -> Figure:
    """Return a figure of 3-D surfaces. If `zlim` is not None, it cuts off every surface at this height."""
    fig, panels = figures.new_panels(
        shown.titles, panel=(6.2, 5.6), margin=0.6, show=shown.show, subplot_kw={"projection": "3d"}
    )
    for axes, surface in zip(panels, shown.surfaces, strict=True):
        drawn = _draw_surface(axes, surface, name, scale, zlim=zlim)
        axes.title.set_y(1.0)
    add_colour_bar(fig, drawn, panels, name, shrink=0.65, pad=0.1)
    notes = describe_hidden(shown, name, scale)
    if zlim is not None and any((surface.get(name) > zlim).any() for surface in shown.surfaces):
        notes.append(f"cut off at {zlim:g}")
    figures.footnote(fig, "; ".join(notes))
    return fig


def _draw_surface(
    axes: Axes3D, surface: Surface, name: str, scale: Scale, *, zlim: float | None = None
) -> ScalarMappable:
    """Draw a surface whose height and colour show the value.

    They show the logarithm of the value if the scale is logarithmic and `zlim` is None.
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
        antialiased=values.size <= MAX_VECTOR_POINTS,
        rasterized=values.size > MAX_VECTOR_POINTS,
    )
    if zlim is not None:
        axes.set_zlim(min(0, low), zlim)
    elif high > low:
        axes.set_zlim(low, high)
    _finish(axes, log=log)
    return ScalarMappable(scale.norm if log else norm, COLOURS)


def _finish(axes: Axes3D, *, log: bool) -> None:
    """Set the labels and ticks of a 3-D surface."""
    if log:
        axes.zaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.zaxis.set_major_formatter(FuncFormatter(_power_of_ten))
    else:
        axes.zaxis.set_major_formatter(LevelFormatter())
    axes.set_xlabel(X_LABEL, labelpad=8)
    axes.set_ylabel(Y_LABEL, labelpad=8)
    axes.tick_params(labelsize=10)
    # matplotlib places the centre of each tick label, so a long label needs a larger distance.
    pad = _widest(axes.zaxis.get_ticklabels()) / 3 - MIN_HEIGHT_PAD
    axes.tick_params(axis="z", pad=max(MIN_HEIGHT_PAD, pad))
    axes.locator_params(axis="x", nbins=6)
    axes.locator_params(axis="y", nbins=6)


def _power_of_ten(power: float, _: int | None = None) -> str:
    return f"$10^{{{power:g}}}$"


def _widest(texts: Sequence[Text]) -> float:
    """Return the width of the widest text, in typographic points."""
    widths = []
    for text in texts:
        # If heights are huge, a label lies millions of pixels away, and rounding would lose its width.
        text.set_position((0, 0))
        widths.append(text.get_window_extent().width * 72 / text.figure.dpi)
    return max(widths)
