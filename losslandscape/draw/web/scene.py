"""The scene around a surface: light, axes, colours, and buttons that switch between views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from losslandscape.draw.web.grid import Grid
from losslandscape.draw.web.page_values import as_html
from losslandscape.draw.web.views import View
from losslandscape.files import h5_util

if TYPE_CHECKING:
    import plotly.graph_objects as go

COLOURS = "Viridis"  # as in the figures for print: perceptually uniform, also for colour-blind people
FONT = {"family": "system-ui, Segoe UI, Helvetica, Arial, sans-serif", "size": 13, "color": "#222"}
LIGHT = {"ambient": 0.5, "diffuse": 0.55, "specular": 0.12, "roughness": 0.5, "fresnel": 0.02}
LIGHT_PLACE = {"x": -2000, "y": -3000, "z": 8000}
CAMERA = {"eye": {"x": 1.02, "y": -1.02, "z": 1.5}, "center": {"x": 0, "y": 0, "z": -0.13}}
MIN_SIDE = 0.25  # shorter side of the plane, in lengths of its longer side; less would be too narrow to see
HEIGHT = 0.8  # height of the surface, in lengths of the longer side
HEADROOM = 0.04  # space above the surface, as a share of its height
TICK_ROOM = 0.03  # maximum distance of a tick beyond the ends, as a share of the height
MAX_TICKS = 7  # the maximum number of ticks at powers of ten
MAX_BUTTONS = 6  # the maximum number of buttons in a row; more buttons become a menu


def scene(traces: list[dict[str, Any]], view: View, axis_titles: tuple[str, str]) -> go.Figure:
    """Return a figure of traces with the axes and colours of a view."""
    import plotly.graph_objects as go  # takes a second, and may be absent

    figure = go.Figure(traces, view_layout(view))
    x_title, y_title = axis_titles
    figure.update_layout(
        template="plotly_white",
        font=FONT,
        margin={"l": 0, "r": 0, "t": 50, "b": 0},
        uirevision="kept",
        hoverlabel={"align": "left", "font": {"size": 13}},
        scene={
            "xaxis": {**_axis(), "title": {"text": x_title}},
            "yaxis": {**_axis(), "title": {"text": y_title}},
            "zaxis": _axis(),
            "aspectmode": "manual",
            "aspectratio": _aspect(view.grid),
            "camera": CAMERA,
        },
        coloraxis={
            "colorscale": COLOURS,
            "colorbar": {"len": 0.6, "thickness": 14, "x": 0.99, "xanchor": "right", "outlinewidth": 0},
        },
        legend={"x": 0.01, "y": 0.01, "itemsizing": "constant", "bgcolor": "rgba(255,255,255,0.7)"},
    )
    return figure


def axis_titles(dir_file: str = "") -> tuple[str, str]:
    """Return the titles of x and y.

    Args:
        dir_file: the direction file. If it is from PCA, the titles give the share of variance per axis.
    """
    shares = h5_util.read_explained_variance(dir_file) if dir_file else None
    if shares is None or shares.size < 2:
        return "α (x direction)", "β (y direction)"
    return f"α (PCA 1: {100 * shares[0]:.1f} %)", f"β (PCA 2: {100 * shares[1]:.1f} %)"


def view_layout(view: View) -> dict[str, Any]:
    """Return the layout attributes of a view, with dotted keys as `Plotly.update` expects them."""
    low, high = view.range
    title = as_html(view.label)
    heights, texts = _ticks(low, high, log=view.log)
    return {
        "scene.zaxis.range": [view.floor, high + HEADROOM * (high - low)],
        "scene.zaxis.title.text": title,
        "scene.zaxis.tickvals": heights,
        "scene.zaxis.ticktext": texts,
        "coloraxis.cmin": low,
        "coloraxis.cmax": high,
        "coloraxis.colorbar.title.text": title,
        "coloraxis.colorbar.tickvals": heights,
        "coloraxis.colorbar.ticktext": texts,
    }


def _ticks(low: float, high: float, *, log: bool) -> tuple[list[float], list[str]]:
    """Return the heights of round values, and the texts of these values."""
    if log and high - low >= 2:
        step = np.ceil((high - low) / MAX_TICKS)
        powers = np.arange(np.ceil(low), np.floor(high) + 1, step)
        return powers.tolist(), [f"10<sup>{power + 0:g}</sup>" for power in powers]  # + 0: no minus zero
    first, last = 10.0 ** np.array([low, high]) if log else (low, high)
    values = np.asarray(MaxNLocator(nbins=6).tick_values(first, last))
    if log:
        values = values[values > 0]
    heights = np.log10(values) if log else values
    room = TICK_ROOM * (high - low)
    inside = (heights >= low - room) & (heights <= high + room)
    return heights[inside].tolist(), [f"{value:.6g}" for value in values[inside]]


def _axis() -> dict[str, Any]:
    return {
        "backgroundcolor": "#f4f5f7",
        "gridcolor": "#d5d8dc",
        "showbackground": True,
        "zeroline": False,
        "nticks": 6,
        "showspikes": False,
    }


def _aspect(grid: Grid) -> dict[str, float]:
    """Return an aspect ratio with one scale for x and y, unless one side is shorter than `MIN_SIDE`."""
    width, depth = np.ptp(grid.x), np.ptp(grid.y)
    longer = max(width, depth)
    return {"x": max(width / longer, MIN_SIDE), "y": max(depth / longer, MIN_SIDE), "z": HEIGHT}


def add_buttons(figure: go.Figure, buttons: list[dict[str, Any]], *, active: int) -> None:
    """Add a row of buttons above a figure, or a menu for more than `MAX_BUTTONS`; leave out a single button.

    Args:
        buttons: the buttons, as dicts for plotly. Their labels are plain texts, not HTML.
        active: the index of the button that is pressed at first.
    """
    if len(buttons) < 2:
        return
    in_row = len(buttons) <= MAX_BUTTONS
    menu = {
        "buttons": [{**button, "label": as_html(button["label"])} for button in buttons],
        "active": active,
        "showactive": True,
        "type": "buttons" if in_row else "dropdown",
        "direction": "right" if in_row else "down",
        "x": 0.01,
        "xanchor": "left",
        "y": 1,
        "yanchor": "bottom",
        "pad": {"b": 8},
        "bgcolor": "white",
        "bordercolor": "#bbb",
    }
    figure.update_layout(updatemenus=[menu])
