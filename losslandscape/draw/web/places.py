"""Traces of points of the plane, drawn just above the surface and again on the floor below it."""

import math
from typing import Any

import numpy as np

from losslandscape.draw.web.page_values import listed
from losslandscape.draw.web.views import View

LIFT = 0.012  # distance of marks from the surface, as a share of its height; without it, they are half hidden


def on_surface_and_floor(x: np.ndarray, y: np.ndarray, view: View) -> dict[str, Any]:
    """Return a trace of points on the surface, a gap, and the same points on the floor.

    Slopes cannot hide the points on the floor. Points where the surface does not have a height are left out.
    """
    low, high = view.range
    lift = LIFT * (high - low)
    heights = view.grid.interpolate(view.heights, x, y)
    floor = np.where(np.isfinite(heights), view.floor + lift, np.nan)
    gap = [np.nan]
    return scatter(
        view,
        np.concatenate([x, gap, x]),
        np.concatenate([y, gap, y]),
        np.concatenate([heights + lift, gap, floor]),
    )


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
