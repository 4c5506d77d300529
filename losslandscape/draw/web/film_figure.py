"""The checkpoints of a training in a page: what each step of the slider changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from losslandscape.draw.web.html_page import Panel, Steps
from losslandscape.draw.web.page_values import listed, point_values
from losslandscape.draw.web.surface_figure import CHANGING, changes, surface_panel, surface_traces
from losslandscape.draw.web.trajectory import COLOUR, Trajectory, pole_places
from losslandscape.draw.web.views import View

FUTURE_COLOUR = "#e3b5b0"  # colour of the path after the current checkpoint
MAX_FRAMES = 40  # More frames would make the page large and the steps of the slider too narrow.
SECONDS = 8  # duration of all frames
MAX_SECONDS_PER_FRAME = 0.5


def steps_of(titles: Sequence[str], *, active: int) -> Steps:
    """Return a slider over titles."""
    return Steps(list(titles), active, round(1000 * min(SECONDS / len(titles), MAX_SECONDS_PER_FRAME)))


def with_checkpoint_steps(panel: Panel, trajectory: Trajectory, view: View) -> tuple[Panel, Steps]:
    """Return a panel whose last traces are `trajectory` with steps over the checkpoints, and their slider.

    A step changes only colours and the place of the pole, so it fits every view of the surface.
    """
    count = trajectory.x.size
    line, checkpoints, pole = (len(panel.traces) - back for back in (3, 2, 1))
    chosen = np.unique(np.linspace(0, count - 1, min(count, MAX_FRAMES)).round().astype(int)).tolist()
    x, y = (listed(array) for array in pole_places(trajectory, view))
    steps = [
        {
            "indices": [line, checkpoints, pole],
            "traces": _colours_and_place(_past_and_future(now, count), x[now], y[now]),
        }
        for now in chosen
    ]
    slider = steps_of([trajectory.names[now] for now in chosen], active=len(chosen) - 1)
    return replace(panel, steps=steps), slider


def _colours_and_place(colours: list[list], x: float | None, y: float | None) -> dict[str, list[Any]]:
    """Return what a step changes in the line, the checkpoints and the pole; None keeps an attribute."""
    return {
        "line.colorscale": [colours, None, None],
        "marker.colorscale": [None, colours, None],
        "x": [None, None, [x, x]],
        "y": [None, None, [y, y]],
    }


def _past_and_future(now: int, count: int) -> list[list]:
    """Return a colour scale over the checkpoints, in full colour up to checkpoint `now`."""
    if now == count - 1:
        return [[0, COLOUR], [1, COLOUR]]
    share = round((now + 0.01) / (count - 1), 6)
    return [[0, COLOUR], [share, COLOUR], [share, FUTURE_COLOUR], [1, FUTURE_COLOUR]]


def film_panel(
    views: Sequence[View], trajectory: Trajectory | None, *, title: str, axis_titles: tuple[str, str]
) -> Panel:
    """Return a panel with a step per surface; the surfaces have one scale.

    Args:
        views: the view of each surface.
        trajectory: the checkpoints, or None if their coordinates are unknown. Each surface shows the part up
            to its own checkpoint.
        title: the title of the panel.
        axis_titles: the titles of x and y.
    """
    first = trajectory.until(0) if trajectory else None
    panel = surface_panel(views[:1], first=0, title=title, axis_titles=axis_titles, trajectory=first)
    return replace(panel, steps=[_step(view, trajectory, i) for i, view in enumerate(views)])


def _step(view: View, trajectory: Trajectory | None, now: int) -> dict[str, Any]:
    past = trajectory.until(now) if trajectory else None
    traces = surface_traces(view, past, past.line(view.grid) if past else None)
    own = {
        f"{part}.{key}": _in_lines(traces, part, key)
        for part in ("line", "marker")
        for key in ("color", "cmax")
    }
    return {
        "indices": list(range(len(traces))),
        "traces": {**changes(traces, CHANGING), **own},
        "values": point_values(view.grid),
    }


def _in_lines(traces: list[dict[str, Any]], part: str, key: str) -> list[Any]:
    """Return an attribute of the traces whose colours are times; None keeps it in the others."""
    return [trace.get(part, {}).get(key) if "cmax" in trace.get(part, {}) else None for trace in traces]
