"""A surface with its contours and marks, as a panel of a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from losslandscape.draw.web.contours import contours, hatch
from losslandscape.draw.web.html_page import Panel
from losslandscape.draw.web.html_page import View as PageView
from losslandscape.draw.web.marks import marks
from losslandscape.draw.web.page_values import FLOAT32_DIGITS, listed, point_values
from losslandscape.draw.web.scene import LIGHT, LIGHT_PLACE, colour_bar, scene_layout, view_layout
from losslandscape.draw.web.trajectory import Line, Trajectory, trajectory_traces
from losslandscape.draw.web.views import View

CHANGING = (
    "x",
    "y",
    "z",
    "name",
    "hovertemplate",
    "customdata",
    "showlegend",
)  # attributes that differ between views


def surface_panel(
    all_views: Sequence[View],
    *,
    first: int,
    title: str,
    axis_titles: tuple[str, str],
    trajectories: Sequence[Trajectory] = (),
) -> Panel:
    """Return a panel of a surface.

    Args:
        all_views: the views of one surface.
        first: the index of the view that is shown first.
        title: the title of the panel.
        axis_titles: the titles of x and y.
        trajectories: the trajectories to draw on the surface. Their traces are the last traces of the panel.
    """
    shown = all_views[first]
    lines = [trajectory.line(shown.grid) for trajectory in trajectories]
    one_grid = all(_same_grid(view, shown) for view in all_views)
    all_traces = [surface_traces(view, trajectories, lines) for view in all_views]
    return Panel(
        title=title,
        traces=all_traces[first],
        layout=scene_layout(shown, axis_titles),
        values=point_values(shown.grid),
        views=[
            _page_view(view, traces, with_values=not one_grid)
            for view, traces in zip(all_views, all_traces, strict=True)
        ],
    )


def _same_grid(view: View, other: View) -> bool:
    pairs = ((view.grid.x, other.grid.x), (view.grid.y, other.grid.y))
    return all(np.array_equal(*pair) for pair in pairs)


def _page_view(view: View, traces: list[dict[str, Any]], *, with_values: bool) -> PageView:
    return PageView(
        layout=view_layout(view),
        traces=changes(traces, CHANGING),
        values=point_values(view.grid) if with_values else None,
        bar=colour_bar(view),
        notes=[view.note] if view.note else [],
    )


def surface_traces(
    view: View, trajectories: Sequence[Trajectory], lines: Sequence[Line]
) -> list[dict[str, Any]]:
    """Return traces of the surface, its contours and marks, and those of trajectories with their lines."""
    traces = [_surface(view), contours(view), hatch(view), *marks(view)]
    for trajectory, line in zip(trajectories, lines, strict=True):
        traces += trajectory_traces(trajectory, line, view)
    return traces


def _surface(view: View) -> dict[str, Any]:
    return {
        "type": "surface",
        "x": listed(view.grid.x),
        "y": listed(view.grid.y),
        "z": listed(view.heights, digits=FLOAT32_DIGITS),
        "coloraxis": "coloraxis",
        "lighting": LIGHT,
        "lightposition": LIGHT_PLACE,
        "contours": {axis: {"highlight": False} for axis in "xyz"},
        "name": "surface",
        "hoverinfo": "text",
    }


def changes(traces: list[dict[str, Any]], keys: Sequence[str]) -> dict[str, list[Any]]:
    """Return attributes of traces: per attribute, an entry per trace; None keeps what is there."""
    return {key: [trace.get(key) for trace in traces] for key in keys}
