"""The checkpoints of a training on a surface: a line, a mark per checkpoint, and a pole at the last."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from losslandscape.draw import training_paths
from losslandscape.draw.web.grid import Grid
from losslandscape.draw.web.marks import CHECKPOINT_POLE, pole_style, values_at
from losslandscape.draw.web.page_values import customdata_lines, value_texts
from losslandscape.draw.web.places import MARK_LIFT, on_surface_and_floor, pole
from losslandscape.draw.web.views import View
from losslandscape.files.projection import Projection

# Of each path: its colour, that of its pole, and that of the part after the shown checkpoint.
COLOURS = (
    ("#e8382d", "#d7301f", "#e3b5b0"),
    ("#1f77b4", "#1a6598", "#b3c8d8"),
    ("#2ca02c", "#258825", "#b6d3b6"),
    ("#9467bd", "#7e57a1", "#cfc3dc"),
    ("#8c564b", "#774940", "#cdbeba"),
    ("#e377c2", "#c165a5", "#e5c7db"),
    ("#222222", "#000000", "#b0b0b0"),
    ("#17becf", "#13a2b0", "#b1d9dd"),
)
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
        training: the name of the training, if there are several.
        number: the number of the training among several, from 0.
    """

    x: np.ndarray
    y: np.ndarray
    names: list[str]
    training: str = ""
    number: int = 0

    @property
    def colours(self) -> tuple[str, str, str]:
        return COLOURS[self.number]

    @property
    def group(self) -> str:
        """The group of its line and checkpoints in the legend."""
        return f"trajectory {self.training}".strip()

    def until(self, last: int) -> "Trajectory":
        """Return the trajectory up to the checkpoint with index `last`, including it."""
        part = slice(last + 1)
        return replace(self, x=self.x[part], y=self.y[part], names=self.names[part])

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


def trajectories_of(paths: Sequence[Projection]) -> list[Trajectory]:
    """Return the trajectories of one training, or of several with their names."""
    trainings = training_paths.names(paths) if len(paths) > 1 else [""] * len(paths)
    return [
        Trajectory(path.x, path.y, _names(path), training, number)
        for number, (path, training) in enumerate(zip(paths, trainings, strict=True))
    ]


def _names(path: Projection) -> list[str]:
    if path.is_curve:
        return [f"curve at t = {t:.3g}" for t in np.linspace(0, 1, path.x.size)]
    return training_paths.titles([path])


def trajectory_traces(trajectory: Trajectory, line: Line, view: View) -> list[dict[str, Any]]:
    """Return traces of the line, of the checkpoints with the surface's values, and of the last one's pole.

    Colours are times, so that a colour scale can show which checkpoints are past.

    Args:
        trajectory: the checkpoints.
        line: the line through the checkpoints. All views of one figure must have the same line.
        view: the view of the surface.
    """
    return [
        _line_trace(trajectory, line, view),
        _checkpoints_trace(trajectory, view),
        _pole_trace(trajectory, view),
    ]


def _line_trace(trajectory: Trajectory, line: Line, view: View) -> dict[str, Any]:
    colour = trajectory.colours[0]
    return {
        "mode": "lines",
        "name": trajectory.training or "trajectory",
        "legendgroup": trajectory.group,
        "meta": {"symbol": "line", "colour": colour},
        "line": {**_coloured_by(line.times, colour), "width": 6},
        "hoverinfo": "skip",
        **on_surface_and_floor(line.x, line.y, view),
    }


def _checkpoints_trace(trajectory: Trajectory, view: View) -> dict[str, Any]:
    texts = _texts(trajectory, view)
    colours = _coloured_by(np.arange(trajectory.x.size), trajectory.colours[0])
    return {
        **on_surface_and_floor(trajectory.x, trajectory.y, view, lift=MARK_LIFT),
        "mode": "markers",
        "name": "checkpoints",
        "legendgroup": trajectory.group,
        "marker": {"size": 3, "opacity": 1, **colours, "line": {"width": 1, "color": "white"}},
        "customdata": [*texts, None, *texts],
        "hovertemplate": _template(view),
    }


def _pole_trace(trajectory: Trajectory, view: View) -> dict[str, Any]:
    x, y = pole_places(trajectory, view)
    last = -1
    return {
        **pole(x[last], y[last], CHECKPOINT_POLE, view),
        **pole_style(trajectory.colours[1], "diamond"),
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
    of_training = f"{trajectory.training}, " if trajectory.training else ""
    pairs = zip(value_texts(values), trajectory.names, strict=True)
    return [[*of_point, f"{of_training}{name}"] for of_point, name in pairs]


def _template(view: View) -> str:
    lines = customdata_lines(view.grid.values)
    title = f"<b>%{{customdata[{len(view.grid.values)}]}}</b>"
    return f"{title}<br>α = %{{x:.4g}}, β = %{{y:.4g}}<br>{lines}<extra></extra>"


def _coloured_by(times: np.ndarray, colour: str) -> dict[str, Any]:
    """Return the colours of the points on the surface, of the gap, and of the points on the floor."""
    rounded = np.round(times, 3).tolist()
    return {
        "color": [*rounded, 0, *rounded],
        "cmin": 0,
        "cmax": max(float(times[-1]), 1.0),
        "colorscale": [[0, colour], [1, colour]],
    }
