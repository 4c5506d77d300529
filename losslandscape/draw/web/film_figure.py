"""The checkpoints of a training in a page: what each step of the slider changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from losslandscape.draw.web.html_page import Panel, Steps
from losslandscape.draw.web.page_values import listed, point_values
from losslandscape.draw.web.surface_figure import CHANGING, changes, surface_panel, surface_traces
from losslandscape.draw.web.trajectory import Trajectory, pole_places
from losslandscape.draw.web.views import View

MAX_FRAMES = 40  # More frames would make the page large and the steps of the slider too narrow.
SECONDS = 8  # duration of all frames
MAX_SECONDS_PER_FRAME = 0.5


def steps_of(titles: Sequence[str], *, active: int) -> Steps:
    """Return a slider over titles."""
    return Steps(list(titles), active, round(1000 * min(SECONDS / len(titles), MAX_SECONDS_PER_FRAME)))


def with_checkpoint_steps(
    panel: Panel,
    trajectories: Sequence[Trajectory],
    view: View,
    *,
    titles: Sequence[str],
    progress: Sequence[np.ndarray],
) -> tuple[Panel, Steps]:
    """Return a panel whose last traces are `trajectories` with steps over the epochs, and their slider.

    A step changes only colours and the places of the poles, so it fits every view of the surface.

    Args:
        titles, progress: of each step, and of each trajectory, as `training_paths` returns them.
    """
    count = len(titles)
    chosen = np.unique(np.linspace(0, count - 1, min(count, MAX_FRAMES)).round().astype(int)).tolist()
    first = len(panel.traces) - 3 * len(trajectories)  # each has a line, checkpoints and a pole
    indices = list(range(first, len(panel.traces)))
    changed = [_changes(one, its[chosen], view) for one, its in zip(trajectories, progress, strict=True)]
    steps: list[dict[str, Any]] = []
    for of_step in zip(*changed, strict=True):
        joined = {key: [value for one in of_step for value in one[key]] for key in of_step[0]}
        steps.append({"indices": indices, "traces": joined})
    slider = steps_of([titles[now] for now in chosen], active=len(chosen) - 1)
    return replace(panel, steps=steps), slider


def _changes(trajectory: Trajectory, progress: np.ndarray, view: View) -> list[dict[str, list[Any]]]:
    """Return what each step changes in the three traces of a trajectory."""
    x, y = (listed(array) for array in pole_places(trajectory, view))
    return [
        _colours_and_place(_past_and_future(trajectory, now), x[now], y[now])
        for now in progress.astype(int).tolist()
    ]


def _colours_and_place(colours: list[list], x: float | None, y: float | None) -> dict[str, list[Any]]:
    """Return what a step changes in the line, the checkpoints and the pole; None keeps an attribute."""
    return {
        "line.colorscale": [colours, None, None],
        "marker.colorscale": [None, colours, None],
        "x": [None, None, [x, x]],
        "y": [None, None, [y, y]],
    }


def _past_and_future(trajectory: Trajectory, now: int) -> list[list]:
    """Return a colour scale over the checkpoints, in full colour up to checkpoint `now`."""
    colour, _, future = trajectory.colours
    last = trajectory.x.size - 1
    if now == last:
        return [[0, colour], [1, colour]]
    share = round((now + 0.01) / last, 6)
    return [[0, colour], [share, colour], [share, future], [1, future]]


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
    first = [trajectory.until(0)] if trajectory else []
    panel = surface_panel(views[:1], first=0, title=title, axis_titles=axis_titles, trajectories=first)
    return replace(panel, steps=[_step(view, trajectory, i) for i, view in enumerate(views)])


def _step(view: View, trajectory: Trajectory | None, now: int) -> dict[str, Any]:
    past = [trajectory.until(now)] if trajectory else []
    traces = surface_traces(view, past, [one.line(view.grid) for one in past])
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
