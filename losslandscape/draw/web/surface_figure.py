"""A surface with its contours, as a plotly figure that the reader can turn and zoom.

Each button holds the heights of its view. If all views have one grid, they share the hover texts of the
points.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from losslandscape.draw.web.contours import contours
from losslandscape.draw.web.marks import marks
from losslandscape.draw.web.page_values import FLOAT32_DIGITS, listed, point_texts
from losslandscape.draw.web.scene import LIGHT, LIGHT_PLACE, add_buttons, scene, view_layout
from losslandscape.draw.web.trajectory import Line, Trajectory, trajectory_traces
from losslandscape.draw.web.views import View

if TYPE_CHECKING:
    import plotly.graph_objects as go

CHANGING = ("x", "y", "z", "name", "hovertemplate")  # attributes of each trace that differ between views


def surface_figure(
    all_views: list[View], *, first: int, axis_titles: tuple[str, str], trajectory: Trajectory | None = None
) -> go.Figure:
    """Return a figure of a surface with a button per view.

    Args:
        all_views: the views of one surface.
        first: the index of the view that is shown first.
        axis_titles: the titles of x and y.
        trajectory: the trajectory to draw on the surface. Its two traces are the last traces of the figure.
    """
    line = trajectory.line(all_views[first].grid) if trajectory else None
    all_traces = [surface_traces(view, trajectory, line) for view in all_views]
    figure = scene(all_traces[first], all_views[first], axis_titles)
    keys = CHANGING if _have_one_grid(all_traces) else (*CHANGING, "text")
    buttons = [
        {"label": view.label, "method": "update", "args": [_changes(traces, keys), view_layout(view)]}
        for view, traces in zip(all_views, all_traces, strict=True)
    ]
    add_buttons(figure, buttons, active=first)
    return figure


def surface_traces(
    view: View, trajectory: Trajectory | None = None, line: Line | None = None
) -> list[dict[str, Any]]:
    """Return traces of the surface, its contours and marks, and the line and checkpoints of a trajectory."""
    traces = [_surface(view), contours(view), *marks(view)]
    if trajectory and line:
        traces += trajectory_traces(trajectory, line, view)
    return traces


def _surface(view: View) -> dict[str, Any]:
    return {
        "type": "surface",
        "x": listed(view.grid.x),
        "y": listed(view.grid.y),
        "z": listed(view.heights, digits=FLOAT32_DIGITS),
        "coloraxis": "coloraxis",
        "text": point_texts(view.grid),
        "lighting": LIGHT,
        "lightposition": LIGHT_PLACE,
        "contours": {axis: {"highlight": False} for axis in "xyz"},
        "name": "surface",
        "showlegend": False,
        "hoverinfo": "text",
    }


def _have_one_grid(all_traces: list[list[dict[str, Any]]]) -> bool:
    surfaces = [traces[0] for traces in all_traces]
    return all(surface[axis] == surfaces[0][axis] for surface in surfaces for axis in "xy")


def _changes(traces: list[dict[str, Any]], keys: tuple[str, ...]) -> dict[str, list[Any]]:
    """Return the changes of a view for `Plotly.update`: per attribute, a list with one entry per trace."""
    return {key: [_plain(trace.get(key, "")) for trace in traces] for key in keys}


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value
