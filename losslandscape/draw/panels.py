"""Draws surfaces over a plane as panels of a figure: contour lines, filled contours, or a heat map.

Each `…_figure` makes a figure with a panel per surface, all on one scale, and a note about what is missing.
Each `draw_…` draws a quantity of one surface into axes. It returns the `ScalarMappable` for a colour bar,
or None if a colour bar would show nothing, as for contours of a constant surface.
"""

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, ListedColormap, LogNorm
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure

from losslandscape.draw import figure_details, figures
from losslandscape.draw.comparison import Comparison
from losslandscape.draw.contour_labels import label_contours
from losslandscape.draw.contour_levels import COLOURS, Scale, log_ticks
from losslandscape.draw.drawable import (
    describe_interpolated,
    describe_lost,
    describe_no_logarithm,
    known_part,
    values_of,
)
from losslandscape.draw.labels import LevelFormatter, label
from losslandscape.draw.plane_axes import add_inset, edges, finish_plane, hatch_between, hatch_cells, y_of
from losslandscape.draw.smoothing import smooth
from losslandscape.files.surface import Surface

# The yellow end of the colour map is left out: a yellow line is hardly visible on white.
LINE_COLOURS = ListedColormap(colormaps[COLOURS](np.linspace(0, 0.88, 256)))
LINE_WIDTH, THIN = 1.3, 0.7  # of contour lines, and of those over filled contours; points at 13 pt type

BAR_ASPECT = 20.0  # height of a colour bar by its width
BAR_ROOM = 8.0  # the same for square panels whose bar takes the share of the width that matplotlib gives it

Draw = Callable[[Axes, Surface, str, Scale], ScalarMappable | None]


@figures.styled
@figures.overflow_ignored
def contour_figure(shown: Comparison, name: str, scale: Scale, *, below_path: bool = False) -> Figure:
    """Return a figure of contour lines with their levels on them.

    Args:
        below_path: whether a path will be drawn. The centre has no mark then, as the last checkpoint lies
            there, and `add_paths` writes the levels, where the path leaves room.
    """
    draw = partial(draw_contour, mark_centre=not below_path)
    fig = _figure(shown, name, scale, draw, extend=_extend(shown.surfaces, name, scale))
    if not below_path:
        label_contours(fig)
    return fig


@figures.styled
@figures.overflow_ignored
def filled_contour_figure(shown: Comparison, name: str, scale: Scale) -> Figure:
    """Return a figure of filled contours."""
    return _figure(shown, name, scale, draw_filled_contour)


@figures.styled
@figures.overflow_ignored
def heat_figure(shown: Comparison, name: str, scale: Scale, *, colours: str = "") -> Figure:
    """Return a figure of heat maps: a cell of one colour for each point."""
    draw = partial(draw_heat, colours=colours)
    return _figure(shown, name, scale, draw, extend=_extend(shown.surfaces, name, scale))


def _figure(shown: Comparison, name: str, scale: Scale, draw: Draw, **bar: Any) -> Figure:
    """Return a figure with a panel per surface, one colour bar for all, and notes."""
    fig, panels = figures.new_panels(
        shown.titles, panel=(5.8, 5.2), margin=0.6, show=shown.show, layout="compressed"
    )
    notes = _notes(shown, name, scale)
    drawn = None
    for axes, surface in zip(panels, shown.surfaces, strict=True):
        drawn = draw(axes, surface, name, scale)
        again = partial(_draw_again, draw, surface, name, scale)
        inset = add_inset(axes, surface, name, again)
        notes += [inset] if inset else []
    figures.name_outermost(panels)
    if drawn:
        add_colour_bar(fig, drawn, panels, name, **bar)
    figures.footnote(fig, "; ".join(dict.fromkeys(notes)))
    return fig


def _draw_again(draw: Draw, surface: Surface, name: str, scale: Scale, axes: Axes) -> None:
    draw(axes, surface, name, scale)


def _notes(shown: Comparison, name: str, scale: Scale) -> list[str]:
    """Notes for the footnote: the value of a constant surface, and what the panels cannot show."""
    hidden = describe_hidden(shown, name, scale)
    hidden = [f"hatched: {hidden[0]}", *hidden[1:]] if hidden else []
    notes = shown.notes(describe_interpolated, name) + hidden
    if scale.levels.size:
        return notes
    where = "wherever it is known" if shown.notes(describe_lost, name) else "everywhere"
    return [f"{label(name)} is {scale.heights[0]:.4g} {where}", *notes]


def describe_hidden(shown: Comparison, name: str, scale: Scale) -> list[str]:
    """Return notes on the values that cannot be drawn on this scale, each with the title of its panel."""
    missing = shown.notes(describe_lost, name)
    return missing + (shown.notes(_describe_no_logarithm, name) if scale.log else [])


def _describe_no_logarithm(surface: Surface, name: str) -> str | None:
    return describe_no_logarithm(surface.get(name))


def add_colour_bar(
    fig: Figure, drawn: ScalarMappable, axes: Axes | Sequence[Axes], name: str, **place: Any
) -> Colorbar:
    """Add a colour bar beside axes. `place` holds further arguments of matplotlib's `Figure.colorbar`."""
    panels = [axes] if isinstance(axes, Axes) else axes
    options = {"aspect": _bar_aspect(panels), "format": LevelFormatter(), **place}
    bar = fig.colorbar(drawn, ax=axes, label=label(name), **options)
    if isinstance(drawn.norm, LogNorm):
        # The ticks are set here, as matplotlib may omit exactly those that would get a label. All lie within
        # the bar, which may be shorter than the scale: a tick outside would extend the bar with white.
        low, high = bar.long_axis.get_view_interval()
        bar.set_ticks(log_ticks(low, high).tolist())
    return bar


def _bar_aspect(panels: Sequence[Axes]) -> float:
    """Return height by width of a colour bar that can be as high as all panels."""
    place = panels[0].get_subplotspec()
    rows, columns = place.get_gridspec().get_geometry() if place else (1, 1)
    heights = [np.ptp(axes.get_ylim()) / np.ptp(axes.get_xlim()) for axes in panels if axes.get_aspect() == 1]
    return max(BAR_ASPECT, BAR_ROOM * rows * max(heights, default=1) / columns)


def _extend(surfaces: Sequence[Surface], name: str, scale: Scale) -> str:
    """Return matplotlib's `extend` for a colour bar: the ends beyond which there are values."""
    values = np.concatenate([values_of(surface, name, log=scale.log).ravel() for surface in surfaces])
    below = bool((values < scale.norm.vmin).any())
    above = bool((values > scale.norm.vmax).any())
    if below and above:
        return "both"
    return "min" if below else "max" if above else "neither"


def draw_contour(
    axes: Axes, surface: Surface, name: str, scale: Scale, *, mark_centre: bool = True
) -> ScalarMappable | None:
    """Draw contour lines."""
    colours = line_colours()
    if scale.levels.size:
        width = figures.scaled(LINE_WIDTH)
        _draw_lines(axes, surface, name, scale, cmap=colours, norm=scale.norm, linewidths=width)
    hatch_between(axes, surface, name, log=scale.log)
    finish_plane(axes, surface, surface.x, y_of(surface), mark_centre=mark_centre)
    # Made from the contour lines, the colour bar would show only thin lines on white.
    return ScalarMappable(scale.norm, colours) if scale.levels.size else None


def line_colours() -> Colormap:
    """Return the colours of contour lines."""
    own = figure_details.current().cmap
    return colormaps[own] if own else LINE_COLOURS


def _draw_lines(axes: Axes, surface: Surface, name: str, scale: Scale, **style: Any) -> None:
    _contours(axes.contour, *_smooth(surface, name, scale), levels=scale.levels, **style)


def draw_filled_contour(axes: Axes, surface: Surface, name: str, scale: Scale) -> ScalarMappable | None:
    """Draw filled contours."""
    details = figure_details.current()
    drawn = None
    if scale.levels.size >= 2:
        style: dict[str, Any] = {"cmap": details.colours, "norm": scale.norm, "extend": "both"}
        drawn = _contours(axes.contourf, *_smooth(surface, name, scale), levels=scale.levels, **style)
        drawn.set_edgecolor("face")  # or viewers show white seams between the regions of a PDF
        if details.lines:
            _draw_lines(axes, surface, name, scale, colors="0.1", linewidths=figures.scaled(THIN))
    else:  # a constant: one colour where it is known
        x, y, values = known_part(surface, name, log=scale.log)
        if np.isfinite(values).any():
            low, high = np.nanmin(values), np.nanmax(values)
            step = max(abs(low), 1.0)
            levels = [low - step, high + step]
            _contours(axes.contourf, x, y, values, levels=levels, cmap=details.colours)
    hatch_between(axes, surface, name, log=scale.log)
    finish_plane(axes, surface, surface.x, y_of(surface))
    return drawn


def _smooth(surface: Surface, name: str, scale: Scale) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return smooth(*known_part(surface, name, log=scale.log), log=scale.log)


def _contours(
    draw: Callable[..., ContourSet], x: np.ndarray, y: np.ndarray, values: np.ndarray, **options: Any
) -> ContourSet:
    with warnings.catch_warnings():
        # A surface with many missing values may have no contour; the note on them says enough.
        warnings.filterwarnings("ignore", message="No contour levels were found")
        return draw(x, y, np.ma.masked_invalid(values), **options)


def draw_heat(axes: Axes, surface: Surface, name: str, scale: Scale, *, colours: str = "") -> ScalarMappable:
    """Draw a heat map, with hatched cells where there is no value."""
    values = np.ma.masked_invalid(values_of(surface, name, log=scale.log))
    x, y = edges(surface.x), edges(y_of(surface))
    colours = colours or figure_details.current().colours
    cells = axes.pcolormesh(x, y, values, cmap=colours, norm=scale.norm, rasterized=True)
    hatch_cells(axes, x, y, np.ma.getmaskarray(values))
    finish_plane(axes, surface, x, y)
    return cells
