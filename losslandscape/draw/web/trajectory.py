"""The checkpoints of a training on a surface: a line, and a mark per checkpoint."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from losslandscape.draw.web.grid import Grid
from losslandscape.draw.web.marks import values_at
from losslandscape.draw.web.page_values import customdata_lines, value_texts
from losslandscape.draw.web.places import on_surface_and_floor
from losslandscape.draw.web.views import View

COLOUR = "#e8382d"
MAX_STEPS = 200  # the maximum number of steps between two checkpoints


@dataclass(frozen=True)
class Line:
    """A line through the checkpoints, with points so close together that their heights follow the surface.

    Args:
        x, y: coordinates (n,).
        times: times (n,): 0 at the first checkpoint, 1 at the next checkpoint, and so on.
    """

    x: np.ndarray
    y: np.ndarray
    times: np.ndarray


@dataclass(frozen=True)
class Trajectory:
    """The n checkpoints of a training in the plane.

    Args:
        x, y: coordinates (n,).
        names: the name of each checkpoint.
    """

    x: np.ndarray
    y: np.ndarray
    names: list[str]

    def until(self, last: int) -> "Trajectory":
        """Return the trajectory up to the checkpoint with index `last`, including it."""
        return Trajectory(self.x[: last + 1], self.y[: last + 1], self.names[: last + 1])

    def line(self, grid: Grid) -> Line:
        """Return straight lines through the checkpoints, with two or more points per grid cell.

        Between two checkpoints there are at most `MAX_STEPS` steps.
        """
        cells_x = np.abs(np.diff(self.x)) / np.diff(grid.x).min()
        cells_y = np.abs(np.diff(self.y)) / np.diff(grid.y).min()
        cells = np.nan_to_num(np.maximum(cells_x, cells_y))
        steps = np.clip(np.ceil(2 * cells), 1, MAX_STEPS).astype(int)
        parts = [i + np.arange(count) / count for i, count in enumerate(steps)]
        times = np.concatenate([*parts, [self.x.size - 1]])
        indices = np.arange(self.x.size)
        return Line(np.interp(times, indices, self.x), np.interp(times, indices, self.y), times)


def trajectory_traces(trajectory: Trajectory, line: Line, view: View) -> list[dict[str, Any]]:
    """Return a trace of the line, and a trace of the checkpoints with the values of the surface.

    Colours are times, so that a colour scale can show which checkpoints are past.

    Args:
        trajectory: the checkpoints.
        line: the line through the checkpoints. All views of one figure must have the same line.
        view: the view of the surface.
    """
    return [_line_trace(line, view), _checkpoints_trace(trajectory, view)]


def _line_trace(line: Line, view: View) -> dict[str, Any]:
    return {
        "mode": "lines",
        "name": "trajectory",
        "line": {**_coloured_by(line.times), "width": 6},
        "hoverinfo": "skip",
        "showlegend": False,
        **on_surface_and_floor(line.x, line.y, view),
    }


def _checkpoints_trace(trajectory: Trajectory, view: View) -> dict[str, Any]:
    values = values_at(view.grid, trajectory.x, trajectory.y)
    lines = customdata_lines(values)
    place = "α = %{x:.4g}, β = %{y:.4g}"
    title = f"<b>%{{customdata[{len(values)}]}}</b>"
    texts = [[*of_point, name] for of_point, name in zip(value_texts(values), trajectory.names, strict=True)]
    colours = _coloured_by(np.arange(trajectory.x.size))
    return {
        **on_surface_and_floor(trajectory.x, trajectory.y, view),
        "mode": "markers",
        "name": "checkpoints",
        "marker": {"size": 3.5, "opacity": 1, **colours, "line": {"width": 1, "color": "white"}},
        "customdata": [*texts, None, *texts],
        "hovertemplate": f"{title}<br>{place}<br>{lines}<extra></extra>",
    }


def _coloured_by(times: np.ndarray) -> dict[str, Any]:
    """Return the colours of the points on the surface, of the gap, and of the points on the floor."""
    rounded = np.round(times, 3)
    return {
        "color": [*rounded, 0, *rounded],
        "cmin": 0,
        "cmax": max(float(times[-1]), 1.0),
        "colorscale": [[0, COLOUR], [1, COLOUR]],
    }
