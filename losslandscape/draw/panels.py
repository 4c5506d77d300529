"""Draws surfaces over a plane as panels of a figure: contour lines, filled contours, or a heat map.

Each `…_figure` makes a figure with a panel per surface, all on one scale, and a note about what is missing.
Each `draw_…` draws a quantity of one surface into axes. It returns the `ScalarMappable` for a colour bar,
or None if a colour bar would show nothing, as for contours of a constant surface.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure

from losslandscape.draw import figures
from losslandscape.draw.comparison import Comparison
from losslandscape.draw.contour_labels import label_contours
from losslandscape.draw.contour_levels import COLOURS, Scale, log_ticks
from losslandscape.draw.drawable import describe_missing, describe_no_logarithm, known_part, values_of
from losslandscape.draw.labels import LevelFormatter, label
from losslandscape.files.surface import Surface

# The yellow end of the colour map is left out: a yellow line is hardly visible on white.
LINE_COLOURS = ListedColormap(colormaps[COLOURS](np.linspace(0, 0.88, 256)))
MISSING_COLOUR, MISSING_HATCH = "0.85", "0.55"  # greys; the hatching differs from every colour of a map
MAX_ASPECT_RATIO = 4  # a longer plane is not drawn with the same unit length on both axes
X_LABEL = r"$\alpha$ (x direction)"
Y_LABEL = r"$\beta$ (y direction)"


@figures.styled
@figures.overflow_ignored
def contour_figure(shown: Comparison, name: str, scale: Scale, *, mark_centre: bool = True) -> Figure:
    """Return a figure of contour lines with their levels on them."""
    fig, panels = _flat_panels(shown)
    drawn = None
    for axes, surface in zip(panels, shown.surfaces, strict=True):
        drawn = draw_contour(axes, surface, name, scale, mark_centre=mark_centre)
    figures.name_outermost(panels)
    if drawn:
        add_colour_bar(fig, drawn, panels, name)
    figures.footnote(fig, "; ".join(_notes(shown, name, scale)))
    label_contours(fig)
    return fig


@figures.styled
@figures.overflow_ignored
def filled_contour_figure(shown: Comparison, name: str, scale: Scale) -> Figure:
    """Return a figure of filled contours."""
    fig, panels = _flat_panels(shown)
    drawn = None
    for axes, surface in zip(panels, shown.surfaces, strict=True):
        drawn = draw_filled_contour(axes, surface, name, scale)
    figures.name_outermost(panels)
    if drawn:
        add_colour_bar(fig, drawn, panels, name)
    figures.footnote(fig, "; ".join(_notes(shown, name, scale)))
    return fig


@figures.styled
@figures.overflow_ignored
def heat_figure(shown: Comparison, name: str, scale: Scale, *, colours: str = COLOURS) -> Figure:
    """Return a figure of heat maps: a cell of one colour for each point."""
    fig, panels = _flat_panels(shown)
    for axes, surface in zip(panels, shown.surfaces, strict=True):
        drawn = draw_heat(axes, surface, name, scale, colours=colours)
    figures.name_outermost(panels)
    add_colour_bar(fig, drawn, panels, name, extend=_extend(shown.surfaces, name, scale))
    figures.footnote(fig, "; ".join(_notes(shown, name, scale)))
    return fig


def _flat_panels(shown: Comparison) -> tuple[Figure, list[Axes]]:
    return figures.new_panels(
        shown.titles, panel=(5.8, 5.2), margin=0.6, show=shown.show, layout="compressed"
    )


def _notes(shown: Comparison, name: str, scale: Scale) -> list[str]:
    """Notes for the footnote: the value of a constant surface, and what the panels cannot show."""
    hidden = describe_hidden(shown, name, scale)
    if scale.levels.size:
        return hidden
    where = "wherever it is known" if shown.notes(describe_missing, name) else "everywhere"
    return [f"{label(name)} is {scale.heights[0]:.4g} {where}", *hidden]


def describe_hidden(shown: Comparison, name: str, scale: Scale) -> list[str]:
    """Return notes on the values that cannot be drawn on this scale, each with the title of its panel."""
    missing = shown.notes(describe_missing, name)
    return missing + (shown.notes(_describe_no_logarithm, name) if scale.log else [])


def _describe_no_logarithm(surface: Surface, name: str) -> str | None:
    return describe_no_logarithm(surface.get(name))


def add_colour_bar(
    fig: Figure, drawn: ScalarMappable, axes: Axes | Sequence[Axes], name: str, **place: Any
) -> Colorbar:
    """Add a colour bar beside axes. `place` holds further arguments of matplotlib's `Figure.colorbar`."""
    bar = fig.colorbar(drawn, ax=axes, label=label(name), **place)
    if isinstance(drawn.norm, LogNorm):
        # The ticks are set here, as matplotlib may omit exactly those that would get a label. All lie within
        # the bar, which may be shorter than the scale: a tick outside would extend the bar with white.
        low, high = bar.ax.get_ylim()
        bar.set_ticks(log_ticks(low, high).tolist())
        bar.ax.yaxis.set_major_formatter(LevelFormatter())
    return bar


def _extend(surfaces: Sequence[Surface], name: str, scale: Scale) -> str:
    """Return matplotlib's `extend` for a colour bar: the ends beyond which there are values."""
    values = np.concatenate([values_of(surface, name).ravel() for surface in surfaces])
    below = bool((values < scale.norm.vmin).any())
    above = bool((values > scale.norm.vmax).any())
    if below and above:
        return "both"
    return "min" if below else "max" if above else "neither"


def draw_contour(
    axes: Axes, surface: Surface, name: str, scale: Scale, *, mark_centre: bool = True
) -> ScalarMappable | None:
    """Draw contour lines."""
    x, y, values = known_part(surface, name, log=scale.log)
    style = {"cmap": LINE_COLOURS, "norm": scale.norm, "linewidths": 1.3}
    if scale.levels.size:
        _contours(axes.contour, x, y, values, levels=scale.levels, **style)
    _finish_plane(axes, surface.x, _y(surface), mark_centre=mark_centre)
    # Made from the contour lines, the colour bar would show only thin lines on white.
    return ScalarMappable(scale.norm, LINE_COLOURS) if scale.levels.size else None


def draw_filled_contour(axes: Axes, surface: Surface, name: str, scale: Scale) -> ScalarMappable | None:
    """Draw filled contours."""
    x, y, values = known_part(surface, name, log=scale.log)
    drawn = None
    if scale.levels.size >= 2:
        style = {"cmap": COLOURS, "norm": scale.norm, "extend": "both"}
        drawn = _contours(axes.contourf, x, y, values, levels=scale.levels, **style)
        drawn.set_edgecolor("face")  # or viewers show white seams between the regions of a PDF
    elif np.isfinite(values).any():  # a constant: one colour where it is known
        low, high = np.nanmin(values), np.nanmax(values)
        step = max(abs(low), 1.0)
        _contours(axes.contourf, x, y, values, levels=[low - step, high + step], cmap=COLOURS)
    _finish_plane(axes, surface.x, _y(surface))
    return drawn


def _contours(
    draw: Callable[..., ContourSet], x: np.ndarray, y: np.ndarray, values: np.ndarray, **options: Any
) -> ContourSet:
    with warnings.catch_warnings():
        # A surface with many missing values may have no contour; the note on them says enough.
        warnings.filterwarnings("ignore", message="No contour levels were found")
        return draw(x, y, np.ma.masked_invalid(values), **options)


def draw_heat(
    axes: Axes, surface: Surface, name: str, scale: Scale, *, colours: str = COLOURS
) -> ScalarMappable:
    """Draw a heat map, with hatched cells where there is no value."""
    values = np.ma.masked_invalid(values_of(surface, name, log=scale.log))
    x, y = edges(surface.x), edges(_y(surface))
    cells = axes.pcolormesh(x, y, values, cmap=colours, norm=scale.norm, rasterized=True)
    if np.ma.getmaskarray(values).any():
        axes.patch.set(facecolor=MISSING_COLOUR, edgecolor=MISSING_HATCH, hatch="////", linewidth=0)
    _finish_plane(axes, x, y)
    return cells


def edges(centres: np.ndarray) -> np.ndarray:
    """Return the borders of the cells around grid points, one more than `centres`.

    >>> edges(np.array([0.0, 1.0, 3.0])).tolist()
    [-0.5, 0.5, 2.0, 4.0]
    """
    if centres.size == 1:
        return centres + [-0.5, 0.5]
    middles = (centres[:-1] + centres[1:]) / 2
    return np.concatenate([[2 * centres[0] - middles[0]], middles, [2 * centres[-1] - middles[-1]]])


def set_aspect(axes: Axes, width: float, height: float, *, adjustable: Literal["box", "datalim"]) -> None:
    """Draw one unit with the same length on both axes, unless the plane would become too narrow."""
    if width > 0 and height > 0 and max(width / height, height / width) <= MAX_ASPECT_RATIO:
        axes.set_aspect("equal", adjustable=adjustable)


def _finish_plane(axes: Axes, x: np.ndarray, y: np.ndarray, *, mark_centre: bool = True) -> None:
    """Set the labels, limits (the ends of x and y) and aspect, and mark the minimiser at the origin."""
    axes.set_xlabel(X_LABEL)
    axes.set_ylabel(Y_LABEL)
    axes.set_xlim(x.min(), x.max())
    axes.set_ylim(y.min(), y.max())
    set_aspect(axes, np.ptp(x), np.ptp(y), adjustable="box")
    axes.locator_params(nbins=6)
    if mark_centre and x.min() <= 0 <= x.max() and y.min() <= 0 <= y.max():
        style: dict[str, Any] = {"marker": "+", "linestyle": "none", "zorder": 4, "clip_on": False}
        axes.plot(0, 0, color="white", markersize=12, markeredgewidth=4, **style)
        axes.plot(0, 0, color="black", markersize=11, markeredgewidth=1.8, **style)


def _y(surface: Surface) -> np.ndarray:
    assert surface.y is not None, "the surface is a line, not a plane"
    return surface.y
