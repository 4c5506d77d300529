"""The scene around a surface: light, axes, ticks and camera."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from losslandscape.draw.contour_levels import log_ticks
from losslandscape.draw.web.colours import SCALE
from losslandscape.draw.web.grid import Grid
from losslandscape.draw.web.marks import CHECKPOINT_POLE
from losslandscape.draw.web.page_values import as_html
from losslandscape.draw.web.places import HEIGHT
from losslandscape.draw.web.views import View
from losslandscape.files import h5_util

FONT = {"family": "system-ui, Segoe UI, Helvetica, Arial, sans-serif", "size": 13}
LIGHT = {"ambient": 0.5, "diffuse": 0.55, "specular": 0.12, "roughness": 0.5, "fresnel": 0.02}
LIGHT_PLACE = {"x": -2000, "y": -3000, "z": 8000}
CAMERA = {
    "eye": {"x": 1.06, "y": -1.06, "z": 1.56},
    "center": {"x": 0, "y": 0, "z": -0.13},
    "up": {"x": 0, "y": 0, "z": 1},
}
AXIS: dict[str, Any] = {"showbackground": True, "zeroline": False, "showspikes": False}
MIN_SIDE = 0.25  # shorter side of the plane, in lengths of its longer side; less would be too narrow to see
HEADROOM = CHECKPOINT_POLE + 0.03  # space above the surface, as a share of its height
TICK_ROOM = 0.03  # maximum distance of a tick beyond the ends, as a share of the height
MIN_DIGITS, MAX_DIGITS = 6, 15  # significant digits of a tick
MAX_TICKS = 7  # the maximum number of ticks at powers of ten


def scene_layout(view: View, axis_titles: tuple[str, str]) -> dict[str, Any]:
    """Return the layout around a surface, without what `view_layout` adds."""
    x_title, y_title = axis_titles
    aspect = _aspect(view.grid)
    return {
        "font": FONT,
        "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
        "uirevision": "kept",
        "showlegend": False,
        "hoverlabel": {"align": "left", "font": {"size": 13}},
        "scene": {
            "xaxis": {**AXIS, "title": {"text": x_title}, "nticks": _ticks_along(aspect["x"])},
            "yaxis": {**AXIS, "title": {"text": y_title}, "nticks": _ticks_along(aspect["y"])},
            "zaxis": AXIS,
            "aspectmode": "manual",
            "aspectratio": aspect,
            "dragmode": "turntable",
        },
        "coloraxis": {"colorscale": SCALE, "showscale": False},
    }


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
    heights, texts = _ticks(low, high, log=view.log)
    return {
        "scene.zaxis.range": [view.floor, high + HEADROOM * (high - low)],
        "scene.zaxis.title.text": as_html(view.axis_title),
        "scene.zaxis.tickvals": heights,
        "scene.zaxis.ticktext": texts,
        "coloraxis.cmin": low,
        "coloraxis.cmax": high,
    }


def colour_bar(view: View) -> dict[str, Any]:
    """Return the title of the colour bar, and its ticks as shares of its length with their texts."""
    low, high = view.range
    heights, texts = _ticks(low, high, log=view.log)
    shares = [round(min(max((height - low) / (high - low), 0), 1), 4) for height in heights]
    return {"title": as_html(view.axis_title), "ticks": list(zip(shares, texts, strict=True))}


def _ticks(low: float, high: float, *, log: bool) -> tuple[list[float], list[str]]:
    """Return the heights of round values, and the texts of these values."""
    if log and high - low >= 2:
        step = np.ceil((high - low) / MAX_TICKS)
        powers = np.arange(np.ceil(low), np.floor(high) + 1, step)
        return powers.tolist(), [f"10<sup>{power + 0:g}</sup>" for power in powers]  # + 0: no minus zero
    values = log_ticks(10**low, 10**high) if log else np.asarray(MaxNLocator(nbins=6).tick_values(low, high))
    heights = np.log10(values) if log else values
    room = TICK_ROOM * (high - low)
    inside = (heights >= low - room) & (heights <= high + room)
    return heights[inside].tolist(), _different_texts(values[inside])


def _different_texts(values: np.ndarray) -> list[str]:
    """Return a text for each value, with enough digits to tell them apart, as for 1000.0001 and 1000.0002."""
    for digits in range(MIN_DIGITS, MAX_DIGITS + 1):
        texts = [f"{value:.{digits}g}" for value in values]
        if len(set(texts)) == len(texts):
            break
    return texts


def _ticks_along(side: float) -> int:
    """Return the maximum number of ticks along a side, whose length is a share of the longer side."""
    return max(2, round(6 * side))


def _aspect(grid: Grid) -> dict[str, float]:
    """Return an aspect ratio with one scale for x and y, unless one side is shorter than `MIN_SIDE`."""
    width, depth = np.ptp(grid.x), np.ptp(grid.y)
    longer = max(width, depth)
    return {
        "x": float(max(width / longer, MIN_SIDE)),
        "y": float(max(depth / longer, MIN_SIDE)),
        "z": HEIGHT,
    }
