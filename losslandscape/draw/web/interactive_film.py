"""A training in an interactive page: a slider and a play button over its checkpoints, on one surface or on one surface a checkpoint."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from losslandscape.draw.web import interactive
from losslandscape.draw.web.interactive import TRAJECTORY_COLOUR, Trajectory

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from losslandscape.draw.surface_views import View

COMING_COLOUR = "#f6c9c4"  # of the part of the path that is still ahead
SIZE, SIZE_NOW = 7, 20  # of a checkpoint's mark; one size for all marks, plotly draws twice as large
MOST_FRAMES = 40  # more would make the page large, and nobody could point at them
SECONDS = 8  # that playing all takes
SLOWEST = 0.5  # seconds for a frame
CHANGES = (
    "type",
    "x",
    "y",
    "z",
    "text",
    "name",
    "hovertemplate",
    "customdata",
)  # of a trace from one surface to the next


def follow(figure: go.Figure, trajectory: Trajectory) -> go.Figure:
    """The figure of a surface whose last two traces are the line and the checkpoints of this trajectory, with a slider over these.

    A frame changes colours and sizes alone, so that it is right whichever quantity the surface shows.
    """
    count = trajectory.x.size
    line, checkpoints = len(figure.data) - 2, len(figure.data) - 1
    chosen = np.unique(np.linspace(0, count - 1, min(count, MOST_FRAMES)).round().astype(int))
    frames = [
        {
            "name": str(i),
            "traces": [line, checkpoints],
            "data": [
                {"type": "scatter3d", "line": {"colorscale": _past(i, count)}},
                {"type": "scatter3d", "marker": {"colorscale": _past(i, count), "size": _sizes(count, i)}},
            ],
        }
        for i in chosen
    ]
    figure.update_traces(marker={"size": _sizes(count, count - 1)}, selector=checkpoints)
    return _with_slider(figure, frames, [trajectory.names[i] for i in chosen], active=len(chosen) - 1)


def surfaces(
    views: list[View], trajectory: Trajectory | None, *, titles: list[str], axis_titles: tuple[str, str]
) -> go.Figure:
    """One surface a checkpoint, on one scale, with a slider over them; the trajectory, if there is one, grows with it."""
    made = []
    for i, view in enumerate(views):
        past = (
            Trajectory(trajectory.x[: i + 1], trajectory.y[: i + 1], trajectory.names[: i + 1])
            if trajectory
            else None
        )
        made.append(interactive.surface_traces(view, past, past.along(view.shown) if past else None))
        if past:
            made[-1][-1]["marker"]["size"] = _sizes(i + 1, i)
    figure = interactive.scene(made[0], views[0], axis_titles)
    frames = [
        {"name": str(i), "traces": list(range(len(traces))), "data": [_change(trace) for trace in traces]}
        for i, traces in enumerate(made)
    ]
    return _with_slider(figure, frames, titles, active=0)


def _change(trace: dict[str, Any]) -> dict[str, Any]:
    change = {key: trace[key] for key in CHANGES if key in trace}
    for kind, keys in (("line", ("color", "cmax")), ("marker", ("color", "cmax", "size"))):
        if kind in trace and "cmax" in trace[kind]:
            change[kind] = {key: trace[kind][key] for key in keys if key in trace[kind]}
    return change


def _past(now: int, count: int) -> list[list]:
    """A scale of colours in which what is behind checkpoint `now`, and this itself, is in full colour."""
    if now == count - 1:
        return [[0, TRAJECTORY_COLOUR], [1, TRAJECTORY_COLOUR]]
    share = round((now + 0.01) / (count - 1), 6)
    return [[0, TRAJECTORY_COLOUR], [share, TRAJECTORY_COLOUR], [share, COMING_COLOUR], [1, COMING_COLOUR]]


def _sizes(count: int, now: int) -> list[float]:
    """Of the marks on the surface and on the floor, with the gap between them."""
    sizes = [SIZE_NOW if i == now else SIZE for i in range(count)]
    return [*sizes, SIZE, *sizes]


def _with_slider(
    figure: go.Figure, frames: list[dict[str, Any]], titles: list[str], *, active: int
) -> go.Figure:
    figure.frames = frames
    at_once = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
    playing = {
        **at_once,
        "fromcurrent": True,
        "frame": {"duration": round(1000 * min(SECONDS / len(frames), SLOWEST)), "redraw": True},
    }
    figure.update_layout(
        sliders=[
            {
                "active": active,
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
                "steps": [
                    {
                        "label": escape(title, quote=False),
                        "method": "animate",
                        "args": [[frame["name"]], at_once],
                    }
                    for title, frame in zip(titles, frames, strict=True)
                ],
            }
        ],
        updatemenus=[
            *figure.layout.updatemenus,
            {
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
                    {
                        "label": "Pause",
                        "method": "animate",
                        "args": [[None], {**at_once, "frame": {"duration": 0, "redraw": False}}],
                    },
                ],
            },
        ],
    )
    return figure
