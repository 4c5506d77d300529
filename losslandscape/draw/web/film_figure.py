"""The checkpoints of a training in an interactive page, with a slider and a play button."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from losslandscape.draw.web.page_values import as_html
from losslandscape.draw.web.scene import scene
from losslandscape.draw.web.surface_figure import surface_traces
from losslandscape.draw.web.trajectory import COLOUR, Trajectory
from losslandscape.draw.web.views import View

if TYPE_CHECKING:
    import plotly.graph_objects as go

FUTURE_COLOUR = "#f6c9c4"  # colour of the path after the current checkpoint
SIZE, SIZE_NOW = 7, 20  # sizes of marks; if sizes differ within a trace, plotly draws the marks half as large
MAX_FRAMES = 40  # More frames would make the page large and the steps of the slider too narrow.
SECONDS = 8  # duration of all frames
MAX_SECONDS_PER_FRAME = 0.5
# The attributes of a trace that differ between surfaces.
CHANGING = ("type", "x", "y", "z", "text", "name", "hovertemplate", "customdata")
# The keys that differ in its styles, if a style has a colour scale.
CHANGING_IN = {"line": ("color", "cmax"), "marker": ("color", "cmax", "size")}
AT_ONCE = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
STOPPED = {**AT_ONCE, "frame": {"duration": 0, "redraw": False}}


def add_checkpoint_slider(figure: go.Figure, trajectory: Trajectory) -> None:
    """Add a slider over the checkpoints to a figure whose last two traces are `trajectory`.

    A frame changes only colours and sizes, so it fits every view of the surface.
    """
    count = trajectory.x.size
    line, checkpoints = len(figure.data) - 2, len(figure.data) - 1
    chosen = np.unique(np.linspace(0, count - 1, min(count, MAX_FRAMES)).round().astype(int))
    frames = [
        {"name": str(now), "traces": [line, checkpoints], "data": _colours_and_sizes(now, count)}
        for now in chosen
    ]
    figure.update_traces(marker={"size": _sizes(count - 1, count)}, selector=checkpoints)
    _add_slider(figure, frames, [trajectory.names[now] for now in chosen], active=len(chosen) - 1)


def _colours_and_sizes(now: int, count: int) -> list[dict[str, Any]]:
    """Return what the frame of checkpoint `now` changes in the line and in the marks."""
    colours = _past_and_future(now, count)
    marker = {"colorscale": colours, "size": _sizes(now, count)}
    return [
        {"type": "scatter3d", "line": {"colorscale": colours}},
        {"type": "scatter3d", "marker": marker},
    ]


def _past_and_future(now: int, count: int) -> list[list]:
    """Return a colour scale over the checkpoints, in full colour up to checkpoint `now`."""
    if now == count - 1:
        return [[0, COLOUR], [1, COLOUR]]
    share = round((now + 0.01) / (count - 1), 6)
    return [[0, COLOUR], [share, COLOUR], [share, FUTURE_COLOUR], [1, FUTURE_COLOUR]]


def _sizes(now: int, count: int) -> list[int]:
    """Return the sizes of the marks on the surface, of the gap, and of the marks on the floor."""
    sizes = [SIZE_NOW if i == now else SIZE for i in range(count)]
    return [*sizes, SIZE, *sizes]


def film_figure(
    views: list[View],
    trajectory: Trajectory | None,
    *,
    titles: Sequence[str],
    axis_titles: tuple[str, str],
) -> go.Figure:
    """Return a figure with one surface per checkpoint, all on one scale, and a slider over the surfaces.

    Args:
        views: the view of each surface.
        trajectory: the checkpoints, or None if their coordinates are unknown. Each surface shows the part up
            to its own checkpoint.
        titles: the title of each surface.
        axis_titles: the titles of x and y.
    """
    all_traces = [_traces(view, trajectory, i) for i, view in enumerate(views)]
    figure = scene(all_traces[0], views[0], axis_titles)
    frames = [
        {"name": str(i), "traces": list(range(len(traces))), "data": list(map(_changes, traces))}
        for i, traces in enumerate(all_traces)
    ]
    _add_slider(figure, frames, titles, active=0)
    return figure


def _traces(view: View, trajectory: Trajectory | None, now: int) -> list[dict[str, Any]]:
    if trajectory is None:
        return surface_traces(view)
    past = trajectory.until(now)
    traces = surface_traces(view, past, past.line(view.grid))
    traces[-1]["marker"]["size"] = _sizes(now, now + 1)
    return traces


def _changes(trace: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of a trace that a frame changes."""
    changes = {key: trace[key] for key in CHANGING if key in trace}
    for part, keys in CHANGING_IN.items():
        style = trace.get(part, {})
        if "cmax" in style:
            changes[part] = {key: style[key] for key in keys if key in style}
    return changes


def _add_slider(
    figure: go.Figure, frames: list[dict[str, Any]], titles: Sequence[str], *, active: int
) -> None:
    figure.frames = frames
    names = [frame["name"] for frame in frames]
    steps = [
        {"label": as_html(title), "method": "animate", "args": [[name], AT_ONCE]}
        for title, name in zip(titles, names, strict=True)
    ]
    milliseconds = round(1000 * min(SECONDS / len(frames), MAX_SECONDS_PER_FRAME))
    figure.update_layout(
        sliders=[_slider(steps, active)],
        updatemenus=[*figure.layout.updatemenus, _play_and_pause(milliseconds)],
    )


def _slider(steps: list[dict[str, Any]], active: int) -> dict[str, Any]:
    return {
        "active": active,
        "steps": steps,
        "x": 0.16,
        "len": 0.82,
        "y": 0,
        "yanchor": "top",
        "pad": {"t": 4, "b": 8},
        "currentvalue": {"xanchor": "left", "font": {"size": 14}},
        "minorticklen": 0,
        "ticklen": 4,
        "font": {"size": 11},
        "bgcolor": "#eee",
        "bordercolor": "#bbb",
    }


def _play_and_pause(milliseconds: int) -> dict[str, Any]:
    """Return the buttons Play and Pause. Play shows each frame for `milliseconds`."""
    playing = {**AT_ONCE, "fromcurrent": True, "frame": {"duration": milliseconds, "redraw": True}}
    return {
        "type": "buttons",
        "direction": "right",
        "showactive": False,
        "x": 0.01,
        "xanchor": "left",
        "y": 0,
        "yanchor": "top",
        "pad": {"t": 26},
        "bgcolor": "white",
        "bordercolor": "#bbb",
        "buttons": [
            {"label": "Play", "method": "animate", "args": [None, playing]},
            {"label": "Pause", "method": "animate", "args": [[None], STOPPED]},
        ],
    }
