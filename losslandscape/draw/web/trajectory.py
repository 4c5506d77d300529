"""The checkpoints of a training on a surface: a line, a mark per checkpoint, and a pole at the last."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from losslandscape.draw.web.grid import Grid
from losslandscape.draw.web.marks import CHECKPOINT_POLE, pole_style, values_at
from losslandscape.draw.web.page_values import customdata_lines, value_texts
from losslandscape.draw.web.places import MARK_LIFT, on_surface_and_floor, pole
from losslandscape.draw.web.views import View

COLOUR = "#e8382d"
POLE_COLOUR = "#d7301f"
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
    """Return traces of the line, of the checkpoints with the surface's values, and of the last one's pole.

    Colours are times, so that a colour scale can show which checkpoints are past.

    Args:
        trajectory: the checkpoints.
        line: the line through the checkpoints. All views of one figure must have the same line.
        view: the view of the surface.
    """
    return [_line_trace(line, view), _checkpoints_trace(trajectory, view), _pole_trace(trajectory, view)]


def _line_trace(line: Line, view: View) -> dict[str, Any]:
    return {
        "mode": "lines",
        "name": "trajectory",
        "legendgroup": "trajectory",
        "meta": {"symbol": "line", "colour": COLOUR},
        "line": {**_coloured_by(line.times), "width": 6},
        "hoverinfo": "skip",
        **on_surface_and_floor(line.x, line.y, view),
    }


def _checkpoints_trace(trajectory: Trajectory, view: View) -> dict[str, Any]:
    texts = _texts(trajectory, view)
    colours = _coloured_by(np.arange(trajectory.x.size))
    return {
        **on_surface_and_floor(trajectory.x, trajectory.y, view, lift=MARK_LIFT),
        "mode": "markers",
        "name": "checkpoints",
        "legendgroup": "trajectory",
        "marker": {"size": 3, "opacity": 1, **colours, "line": {"width": 1, "color": "white"}},
        "customdata": [*texts, None, *texts],
        "hovertemplate": _template(view),
    }


def _pole_trace(trajectory: Trajectory, view: View) -> dict[str, Any]:
    x, y = pole_places(trajectory, view)
    last = -1
    return {
        **pole(x[last], y[last], CHECKPOINT_POLE, view),
        **pole_style(POLE_COLOUR, "diamond"),
        "name": "shown checkpoint",
        "legendgroup": "checkpoint",
        "meta": {"symbol": "diamond"},
        "hoverinfo": "skip",
    }


def pole_places(trajectory: Trajectory, view: View) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y (n,) of the pole at each checkpoint, NaN for those outside the grid."""
    inside = view.grid.holds(trajectory.x, trajectory.y)
    return np.where(inside, trajectory.x, np.nan), np.where(inside, trajectory.y, np.nan)


def _texts(trajectory: Trajectory, view: View) -> list[list[str]]:
    values = values_at(view.grid, trajectory.x, trajectory.y)
    return [[*of_point, name] for of_point, name in zip(value_texts(values), trajectory.names, strict=True)]


def _template(view: View) -> str:
    lines = customdata_lines(view.grid.values)
    title = f"<b>%{{customdata[{len(view.grid.values)}]}}</b>"
    return f"{title}<br>α = %{{x:.4g}}, β = %{{y:.4g}}<br>{lines}<extra></extra>"


def _coloured_by(times: np.ndarray) -> dict[str, Any]:
    """Return the colours of the points on the surface, of the gap, and of the points on the floor."""
    rounded = np.round(times, 3).tolist()
    return {
        "color": [*rounded, 0, *rounded],
        "cmin": 0,
        "cmax": max(float(times[-1]), 1.0),
        "colorscale": [[0, COLOUR], [1, COLOUR]],
    }
