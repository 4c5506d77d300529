"""Draws planes as lit 3-D surfaces over their contours, one panel of a figure per surface."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator
from mpl_toolkits.mplot3d import Axes3D
from mpl_toolkits.mplot3d.art3d import Poly3DCollection

from losslandscape.draw import figure_details, figures
from losslandscape.draw.comparison import Comparison
from losslandscape.draw.contour_levels import Scale, log_ticks
from losslandscape.draw.drawable import describe_interpolated, known_part, values_of
from losslandscape.draw.labels import LevelFormatter, label
from losslandscape.draw.panel_fit import fit_panels
from losslandscape.draw.panels import add_colour_bar, describe_hidden, line_colours
from losslandscape.draw.plane_axes import (
    MAX_ASPECT_RATIO,
    MISSING_COLOUR,
    MISSING_HATCH,
    X_LABEL,
    X_SHORT,
    Y_LABEL,
    Y_SHORT,
)
from losslandscape.draw.relief import make_relief, refine
from losslandscape.draw.resampling import whole_cells
from losslandscape.files.surface import Surface

Grid = tuple[np.ndarray, np.ndarray, np.ndarray]  # x (nx,), y (ny,) and values (ny, nx)

AZIMUTH, ELEVATION = -60.0, 32.0  # of the eye, in degrees
HEIGHT_RATIO = 0.62  # height of the box by the longer side of the plane
FLOOR_DEPTH = 0.3  # from the lowest height down to the floor, by the range of the heights
MAX_TICKS, STEPS = 5, [1, 2, 2.5, 5, 10]  # intervals along an axis, and their round lengths
FLOOR_LINES = 0.45  # width of the contours on the floor, by that of other lines
NARROW = 17.0  # width in ems of a panel and what is beside it, below which texts at the axes are short
SEAM = 0.3  # width in points of the edge of a face in its own colour, which hides the seam to the next one


@figures.styled
@figures.overflow_ignored
def surface_figure(shown: Comparison, name: str, scale: Scale, *, zlim: float | None = None) -> Figure:
    """Return a figure of 3-D surfaces, lit, over their contours on the floor.

    Heights are logarithmic if the scale is and `zlim` is None.

    Args:
        zlim: the height at which surfaces end, along the isocontour; by default, the end of the colours,
            beyond which there are values only if the user chose the levels.
    """
    fig, panels = figures.new_panels(
        shown.titles, panel=(6.2, 5.2), margin=0.6, show=shown.show, subplot_kw={"projection": "3d"}
    )
    heights = _Heights(scale, zlim)
    for axes, surface in zip(panels, shown.surfaces, strict=True):
        _set_up(axes, surface, heights)
        _name_axes(axes, name, heights)
    drawn = ScalarMappable(heights.colours, figure_details.current().colours)
    add_colour_bar(fig, drawn, panels, name, shrink=0.7, pad=0.02)
    notes = shown.notes(describe_interpolated, name) + describe_hidden(shown, name, scale)
    if any((values_of(surface, name) > heights.top).any() for surface in shown.surfaces):
        notes.append(f"cut at {heights.top:.6g}")
    figures.footnote(fig, "; ".join(notes))
    fit_panels(fig, panels, [_box(surface) for surface in shown.surfaces])
    for axes, surface in zip(panels, shown.surfaces, strict=True):
        _draw_surface(axes, surface, name, heights)
    return fig


class _Heights:
    """Where values lie in a 3-D panel: their height, or its logarithm, from the floor to the top."""

    def __init__(self, scale: Scale, zlim: float | None):
        self.log = scale.log and zlim is None
        low, high = scale.heights
        if zlim is None:
            self.top = high if scale.norm.vmax is None else min(high, float(scale.norm.vmax))
        else:
            low, self.top = min(0.0, low), min(zlim, high)
        ceiling = self.top if zlim is None else zlim
        self.colours = (LogNorm if self.log else Normalize)(scale.heights[0], self.top)
        self.ends = float(self.of(low)), float(self.of(ceiling))
        self.levels = scale.levels[scale.levels < self.top]

    def of(self, values: Any) -> np.ndarray:
        """Return the heights of values."""
        return np.log10(values) if self.log else np.asarray(values)

    def colour_range(self) -> Normalize:
        """Return the colours of heights."""
        return Normalize(*self.of([self.colours.vmin, self.colours.vmax]))

    def ticks(self) -> np.ndarray:
        low, high = self.ends
        if self.log:
            ticks = self.of(log_ticks(10**low, 10**high))
        else:
            ticks = np.asarray(MaxNLocator(nbins=MAX_TICKS, steps=STEPS).tick_values(low, high))
        return ticks[(ticks >= low) & (ticks <= high)]

    @property
    def extent(self) -> float:
        low, high = self.ends
        return high - low if high > low else 1.0

    @property
    def floor(self) -> float:
        return self.ends[0] - FLOOR_DEPTH * self.extent


class _PowersOfTen(LevelFormatter):
    """Writes 10 to the power of each tick."""

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        return super().format_ticks((10 ** np.asarray(values)).tolist())


def _set_up(axes: Axes3D, surface: Surface, heights: _Heights) -> None:
    """Set the view, limits, ticks and walls of a panel."""
    assert surface.y is not None
    axes.computed_zorder = False  # the order of drawing is that of the `zorder`
    axes.view_init(ELEVATION, AZIMUTH)
    x_ends, y_ends = [(ends.min(), ends.max()) for ends in (surface.x, surface.y)]
    axes.set(xlim=x_ends, ylim=y_ends, zlim=(heights.floor, heights.ends[0] + heights.extent))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=MAX_TICKS, steps=STEPS))
    axes.zaxis.set_major_locator(FixedLocator(heights.ticks().tolist()))
    axes.zaxis.set_major_formatter(_PowersOfTen() if heights.log else LevelFormatter())
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_pane_color("white")
        axis.pane.set(edgecolor="0.8", closed=True)
        axis._axinfo["grid"].update(color="0.88", linewidth=0.5)
        for artist in (axis.pane, axis.gridlines):
            artist.set_clip_on(False)  # the box may be larger than the axes, see `fit_panels`


def _name_axes(axes: Axes3D, name: str, heights: _Heights) -> None:
    """Write the texts at the axes; in a narrow panel short ones, and the colour bar names the heights."""
    place = axes.get_subplotspec()
    columns = place.get_gridspec().ncols if place else 1
    ems = axes.figure.get_figwidth() * 72 / matplotlib.rcParams["font.size"] / columns
    if ems < NARROW:
        axes.set(xlabel=X_SHORT, ylabel=Y_SHORT)
    else:
        axes.set(xlabel=X_LABEL, ylabel=Y_LABEL, zlabel=label(name) + (" (log)" if heights.log else ""))


def _draw_surface(axes: Axes3D, surface: Surface, name: str, heights: _Heights) -> None:
    x, y, values = known_part(surface, name, log=heights.log)
    grid = x, y, heights.of(values)
    _hatch_missing(axes, grid, heights.floor)
    _draw_floor(axes, grid, heights)
    size = _box(surface) / [np.ptp(ends) for ends in (axes.get_xlim(), axes.get_ylim(), axes.get_zlim())]
    _draw_faces(axes, grid, heights, size)


def _draw_faces(axes: Axes3D, grid: Grid, heights: _Heights, size: np.ndarray) -> None:
    top = float(heights.of(heights.top))
    azimuth, elevation = np.radians([AZIMUTH, ELEVATION])
    viewer = np.array([np.cos(azimuth), np.sin(azimuth), np.tan(elevation)])
    relief = make_relief(*grid, top=top, size=size, viewer=viewer)
    colours = colormaps[figure_details.current().colours](heights.colour_range()(relief.heights))
    colours[:, :3] *= relief.brightness[:, None]
    faces = Poly3DCollection(
        relief.faces, facecolors=colours, edgecolors=colours, linewidths=SEAM, rasterized=True, zorder=3
    )
    axes.add_collection3d(faces, autolim=False)
    faces.set_clip_on(False)


def _draw_floor(axes: Axes3D, grid: Grid, heights: _Heights) -> None:
    """Draw the contours below the surface."""
    if not heights.levels.size:
        return
    lines = axes.contour(
        *refine(*grid),
        levels=heights.of(heights.levels),
        cmap=line_colours(),
        norm=heights.colour_range(),
        linewidths=FLOOR_LINES * matplotlib.rcParams["lines.linewidth"],
        zdir="z",
        offset=heights.floor,
        zorder=2,
    )
    lines.set_clip_on(False)


def _hatch_missing(axes: Axes3D, grid: Grid, floor: float) -> None:
    """Hatch the floor where no surface is, because a corner has no value."""
    x, y, values = _framed(axes, *grid)
    missing = ~whole_cells(np.isfinite(values))
    if not missing.any():
        return
    points = np.stack([*np.meshgrid(x, y), np.full(values.shape, floor)], axis=-1)
    cells = np.stack([points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1]], axis=2)[missing]
    hatched = Poly3DCollection(
        cells, facecolors=MISSING_COLOUR, edgecolors=MISSING_HATCH, hatch="////", linewidths=0, zorder=1
    )
    axes.add_collection3d(hatched, autolim=False)
    hatched.set_clip_on(False)


def _framed(axes: Axes3D, x: np.ndarray, y: np.ndarray, values: np.ndarray) -> Grid:
    """Add rows and columns without values up to the ends of the axes."""
    new_x, new_y = np.union1d(x, axes.get_xlim()), np.union1d(y, axes.get_ylim())
    framed = np.full((new_y.size, new_x.size), np.nan)
    framed[np.ix_(np.isin(new_y, y), np.isin(new_x, x))] = values
    return new_x, new_y, framed


def _box(surface: Surface) -> np.ndarray:
    """Return the sides (3,) of the box. One unit has the same length on x and y, if it is not too narrow."""
    assert surface.y is not None
    sides = np.array([np.ptp(surface.x), np.ptp(surface.y)])
    sides = np.maximum(sides / sides.max(), 1 / MAX_ASPECT_RATIO)
    return np.array([*sides, HEIGHT_RATIO])
