"""Draws the figure of a film, whose picture changes with time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from losslandscape.draw import panels
from losslandscape.draw.contour_labels import label_contours
from losslandscape.draw.contour_levels import Scale
from losslandscape.draw.trajectory_path import draw_path
from losslandscape.files.projection import Projection
from losslandscape.files.surface import Surface

DPI = 110
WIDTH = 6.6  # inches
MIN_RATIO, MAX_RATIO = 0.3, 1.2  # of the plane's height to its width


@dataclass(frozen=True)
class Reel:
    """The surfaces, path and titles that a film shows.

    Args:
        surfaces: one for all checkpoints, or one per checkpoint.
        name: the quantity to draw.
        projection: the path of the training, if there is one.
        titles: one per checkpoint.
    """

    surfaces: Sequence[Surface]
    name: str
    projection: Projection | None
    titles: Sequence[str]


class Screen:
    """A figure that shows the film at any time; checkpoint i has time i."""

    def __init__(self, reel: Reel, scale: Scale, shares: np.ndarray | None):
        self._reel, self._scale, self._shares = reel, scale, shares
        self._x_ends, self._y_ends = _ends(reel)
        self._trail: Line2D | None = None
        self._end: Line2D | None = None
        ratio = np.ptp(self._y_ends) / np.ptp(self._x_ends)
        height = 1.3 + 4.6 * np.clip(ratio, MIN_RATIO, MAX_RATIO)
        self.fig = Figure(figsize=(WIDTH, height), layout="constrained", dpi=DPI)
        self._axes = self.fig.add_subplot()
        self._labelled: Surface | None = None  # the surface whose contours are shown with labels
        drawn = self._draw(reel.surfaces[0])
        bar = panels.add_colour_bar(self.fig, drawn, self._axes, reel.name) if drawn else None
        self.fig.draw_without_rendering()
        self.fig.set_layout_engine("none")  # a layout per frame would make the picture shake
        if bar:
            _fit_height(bar, self._axes)

    def show(self, time: float) -> None:
        """Draw the picture of this time."""
        i = int(time)
        surface = self._reel.surfaces[i if len(self._reel.surfaces) > 1 else 0]
        if surface is not self._labelled:
            self._axes.clear()
            self._draw(surface)
            label_contours(self.fig)
            self._labelled = surface
        self._axes.set_title(self._reel.titles[i])
        if self._reel.projection:
            self._move(time, self._reel.projection)

    def _draw(self, surface: Surface) -> ScalarMappable | None:
        if len(self._reel.surfaces) > 1:  # lines alone would leave the picture of a flat surface empty
            drawn = panels.draw_filled_contour(self._axes, surface, self._reel.name, self._scale)
        else:
            drawn = panels.draw_contour(self._axes, surface, self._reel.name, self._scale, mark_centre=False)
        if self._reel.projection:
            draw_path(self._axes, self._reel.projection, self._shares)
            self._trail, _, self._end = self._axes.lines[-3:]
            self._end.set(marker="o", markersize=10, zorder=7)
        self._axes.set(xlim=self._x_ends, ylim=self._y_ends, title=self._reel.titles[0])
        return drawn

    def _move(self, time: float, path: Projection) -> None:
        """Draw the path up to this time."""
        assert self._trail and self._end
        indices = np.arange(len(path.x))
        here = np.interp(time, indices, path.x), np.interp(time, indices, path.y)
        passed = slice(int(time) + 1)
        self._trail.set_data([*path.x[passed], here[0]], [*path.y[passed], here[1]])
        self._end.set_data(*np.reshape(here, (2, 1)))


def _ends(reel: Reel) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the limits of x and of y that enclose the grid and the path."""
    first, path = reel.surfaces[0], reel.projection
    assert first.y is not None
    x = np.concatenate([first.x, path.x]) if path else first.x
    y = np.concatenate([first.y, path.y]) if path else first.y
    return (x.min(), x.max()), (y.min(), y.max())


def _fit_height(bar: Colorbar, axes: Axes) -> None:
    """Make a colour bar as high as the plane, whose height depends on its ratio of y to x."""
    plane, place = axes.get_position(), bar.ax.get_position()
    bar.ax.set(aspect="auto", position=(place.x0, plane.y0, place.width, plane.height))
