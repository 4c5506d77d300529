"""Traces of points of the plane: just above the surface and again on the floor below it, or on a pole."""

import math
from typing import Any

import numpy as np

from losslandscape.draw.web.page_values import listed
from losslandscape.draw.web.views import View

LIFT = 0.012  # distance of marks from the surface, as a share of its height; without it, they are half hidden
MARK_LIFT = 0.035  # the same for marks that face the viewer
MAX_STEEPNESS = 5  # On slopes, marks are lifted by up to this many times as much, to keep their distance.
HEIGHT = 0.8  # height of the surface, in lengths of the longer side of the plane


def on_surface_and_floor(x: np.ndarray, y: np.ndarray, view: View, *, lift: float = LIFT) -> dict[str, Any]:
    """Return a trace of points on the surface, a gap, and the same points on the floor.

    Slopes cannot hide the points on the floor. Points where the surface does not have a height are left out.

    Args:
        x, y: coordinates (n,) of the points.
        view: the view of the surface.
        lift: the distance from the surface, as a share of its height.
    """
    low, high = view.range
    lift *= high - low
    heights = view.grid.interpolate(view.heights, x, y)
    floor = np.where(np.isfinite(heights), view.floor + lift, np.nan)
    above = heights + lift * np.nan_to_num(view.grid.interpolate(_steepness(view), x, y), nan=1)
    gap = [np.nan]
    return scatter(
        view,
        np.concatenate([x, gap, x]),
        np.concatenate([y, gap, y]),
        np.concatenate([above, gap, floor]),
    )


def _steepness(view: View) -> np.ndarray:
    """Return how much longer than its shadow a line down the slope is, at each point of the grid."""
    low, high = view.range
    grid = view.grid
    side = max(np.ptp(grid.x), np.ptp(grid.y))
    down_y, down_x = np.gradient(view.heights / (high - low) * HEIGHT * side, grid.y, grid.x)
    return np.minimum(np.sqrt(1 + down_x**2 + down_y**2), MAX_STEEPNESS)


def pole(x: float, y: float, height: float, view: View, *, with_stem: bool = True) -> dict[str, Any]:
    """Return a trace from the floor to above the surface, which no slope can hide.

    Args:
        x, y: the place; NaN for no pole.
        height: the height above the surface, as a share of the surface's height.
        view: the view of the surface.
        with_stem: whether there is more than the top of the pole.
    """
    low, high = view.range
    top = high + height * (high - low)
    ends = np.array([view.floor if with_stem else top, top])
    return scatter(view, np.array([x, x]), np.array([y, y]), ends)


def scatter(view: View, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> dict[str, Any]:
    """Return a trace of lines or marks with rounded coordinates.

    The rounding errors are less than a thousandth of the axis, so they are invisible. More digits would make
    the page large.
    """
    low, high = view.range
    return {
        "type": "scatter3d",
        "x": _rounded(x, np.ptp(view.grid.x)),
        "y": _rounded(y, np.ptp(view.grid.y)),
        "z": _rounded(z, high - low),
    }


def _rounded(values: np.ndarray, span: float) -> list:
    return listed(np.round(values, 4 - math.ceil(math.log10(span))))
