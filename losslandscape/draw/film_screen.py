"""Draws the figure of a film, whose picture changes with time."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from losslandscape.draw import page_layout, panels, training_paths
from losslandscape.draw.contour_labels import label_contours
from losslandscape.draw.contour_levels import Scale
from losslandscape.draw.drawable import describe_missing, values_of
from losslandscape.draw.labels import label, level_text
from losslandscape.draw.line_axes import add_legend
from losslandscape.draw.trajectory_path import draw_paths
from losslandscape.draw.type_settings import FOOTNOTE, text_size
from losslandscape.files.projection import Projection
from losslandscape.files.surface import Surface

DPI = 110
WIDTH = 6.6  # inches
SIDE = 0.1  # inches between a title and the edges
MIN_RATIO, MAX_RATIO = 0.3, 1.2  # of the plane's height to its width


@dataclass(frozen=True)
class Reel:
    """The surfaces, path and titles that a film shows.

    Args:
        surfaces: one for all checkpoints, or one per checkpoint.
        name: the quantity to draw.
        paths: the path of the training, or of several over one surface; may be empty.
        titles: one per checkpoint; of several trainings, one per epoch.
    """

    surfaces: Sequence[Surface]
    name: str
    paths: Sequence[Projection]
    titles: Sequence[str]


class Screen:
    """A figure that shows the film at any time; checkpoint i has time i. Its layout never changes."""

    def __init__(self, reel: Reel, scale: Scale, shares: np.ndarray | None):
        self._reel, self._scale, self._shares = reel, scale, shares
        self._x_ends, self._y_ends = _ends(reel)
        self._lines: list[list[Line2D]] = []
        self._progress = training_paths.progress(reel.paths) if reel.paths else []
        ratio = np.ptp(self._y_ends) / np.ptp(self._x_ends)
        height = 1.3 + 4.6 * np.clip(ratio, MIN_RATIO, MAX_RATIO)
        self.fig = Figure(figsize=(WIDTH, height), layout="constrained", dpi=DPI)
        self._axes = self.fig.add_subplot()
        self._labelled: Surface | None = None  # the surface whose contours are shown with labels
        self._notes = [describe_missing(surface, reel.name) for surface in reel.surfaces]
        self._note = self._add_note()
        drawn = self._draw(reel.surfaces[0])
        bar = self._add_bar(drawn) if drawn else None
        if len(reel.paths) > 1:
            add_legend(self.fig, [lines[0] for lines in self._lines])
        self._titles = self._fit_titles()
        page_layout.fit(self.fig, full_width=True)
        self.fig.set_layout_engine("none")  # a layout per frame would make the picture shake
        if bar:
            _fit_height(bar, self._axes)

    def show(self, time: float) -> None:
        """Draw the picture of this time."""
        i = int(time)
        shown = i if len(self._reel.surfaces) > 1 else 0
        surface = self._reel.surfaces[shown]
        if surface is not self._labelled:
            self._axes.clear()
            self._draw(surface)
            label_contours(self.fig)
            self._labelled = surface
        self._axes.set_title(self._titles[i])
        if self._note:
            self._note.set_text(self._notes[shown] or "")
        for path, lines, progress in zip(self._reel.paths, self._lines, self._progress, strict=True):
            if len(self._reel.paths) > 1:
                time_of_path = float(np.interp(time, np.arange(len(progress)), progress))
            else:
                time_of_path = time
            _move(path, time_of_path, lines)

    def _draw(self, surface: Surface) -> ScalarMappable | None:
        # Each drawing has a norm of its own: it would change the ticks of the bar, which has the first one.
        scale = replace(self._scale, norm=deepcopy(self._scale.norm))
        if len(self._reel.surfaces) > 1:  # lines alone would leave the picture of a flat surface empty
            drawn = panels.draw_filled_contour(self._axes, surface, self._reel.name, scale)
        else:
            drawn = panels.draw_contour(self._axes, surface, self._reel.name, scale, mark_centre=False)
        if self._reel.paths:
            self._lines = draw_paths(self._axes, self._reel.paths, self._shares)
            for _, _, end in self._lines:
                end.set(marker="o", markersize=10, zorder=7)
        self._axes.set(xlim=self._x_ends, ylim=self._y_ends)
        return drawn

    def _add_note(self) -> Text | None:
        """Keep a line for what is missing, if any surface misses something."""
        if not any(self._notes):
            return None
        style = {"ha": "right", "fontsize": text_size(FOOTNOTE), "color": "0.35"}
        return self.fig.supxlabel("points not computed yet", x=0.99, **style)

    def _add_bar(self, drawn: ScalarMappable) -> Colorbar:
        bar = panels.add_colour_bar(self.fig, drawn, self._axes, self._reel.name)
        highest = max(np.nanmax(values_of(surface, self._reel.name)) for surface in self._reel.surfaces)
        if highest > self._scale.heights[1]:
            bar.set_label(f"{label(self._reel.name)} (highest: {level_text(highest, 2)})")
        return bar

    def _fit_titles(self) -> list[str]:
        """Return the titles with line breaks where they would leave the figure; keep room for the longest."""
        self.fig.draw_without_rendering()
        text = self._axes.title
        middle = self._axes.bbox.x0 + self._axes.bbox.width / 2
        room = 2 * min(middle, self.fig.bbox.width - middle) - SIDE * self.fig.dpi

        def fits(line: str) -> bool:
            text.set_text(line)
            return text.get_window_extent().width <= room

        titles = [page_layout.wrapped(title, fits) for title in self._reel.titles]
        self._axes.set_title(max(titles, key=lambda title: title.count("\n")))
        return titles


def _move(path: Projection, time: float, lines: list[Line2D]) -> None:
    """Let the lines of `draw_path` show the path up to this time."""
    trail, _, end = lines
    indices = np.arange(len(path.x))
    here = np.interp(time, indices, path.x), np.interp(time, indices, path.y)
    passed = slice(int(time) + 1)
    trail.set_data([*path.x[passed], here[0]], [*path.y[passed], here[1]])
    end.set_data(*np.reshape(here, (2, 1)))


def _ends(reel: Reel) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the limits of x and of y that enclose the grid and the path."""
    first = reel.surfaces[0]
    assert first.y is not None
    x = np.concatenate([first.x, *(path.x for path in reel.paths)])
    y = np.concatenate([first.y, *(path.y for path in reel.paths)])
    return (x.min(), x.max()), (y.min(), y.max())


def _fit_height(bar: Colorbar, axes: Axes) -> None:
    """Make a colour bar as high as the plane, whose height depends on its ratio of y to x."""
    plane, place = axes.get_position(), bar.ax.get_position()
    bar.ax.set(aspect="auto", position=(place.x0, plane.y0, place.width, plane.height))
