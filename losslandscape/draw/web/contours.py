"""Contours for an interactive page, and a hatch where there is no value.

Plotly's own contours hang the browser for some surfaces with NaN.
"""

from typing import Any

import numpy as np
from contourpy import contour_generator

from losslandscape.draw.web.places import LIFT, scatter
from losslandscape.draw.web.views import View

# The numbers of contours to try. A rough surface gets fewer contours, so that the page stays small.
COUNTS = (12, 8, 5, 2, 0)
HATCH_COLOUR = "#8a8f98"
MAX_STROKES = 1500  # more strokes would make the page large
FEW_CORNERS = 1500  # number of corners that is acceptable in every page


def contours(view: View) -> dict[str, Any]:
    """Return a trace of the lines of equal height, on the surface and on the floor."""
    low, high = view.range
    for count in COUNTS:
        levels = np.linspace(low, high, count + 2)[1:-1]
        corners = _corners(view, levels)
        if len(corners) <= max(view.heights.size / 2, FEW_CORNERS):
            break
    x, y, heights = corners.T
    lift = LIFT / 2 * (high - low)
    floor = np.where(np.isfinite(heights), view.floor + lift, np.nan)
    z = np.concatenate([heights + lift, floor])
    return {
        **scatter(view, np.tile(x, 2), np.tile(y, 2), z),
        "mode": "lines",
        "name": "contours",
        "meta": {"themed": "line.color"},
        "hoverinfo": "skip",
        "line": {"width": 1.5},
    }


def _corners(view: View, levels: np.ndarray) -> np.ndarray:
    """Return x, y and height (n, 3) of the corners of all lines, with a row of NaN after each line."""
    generator = contour_generator(view.grid.x, view.grid.y, np.ma.masked_invalid(view.heights))
    parts = [np.empty((0, 3))]
    for level in levels:
        for line in generator.lines(level):
            parts.append(np.column_stack([np.asarray(line), np.full(len(line), level)]))
            parts.append(np.full((1, 3), np.nan))
    return np.concatenate(parts)


def hatch(view: View) -> dict[str, Any]:
    """Return a trace of strokes on the floor, below the cells of the grid that have no surface."""
    known = np.isfinite(view.heights)
    is_hole = ~(known[:-1, :-1] & known[1:, :-1] & known[:-1, 1:] & known[1:, 1:])
    rows, columns = np.nonzero(is_hole)
    every = -(-rows.size // MAX_STROKES) if rows.size else 1
    chosen = (columns - rows) % every == 0  # whole diagonals
    rows, columns = rows[chosen], columns[chosen]
    gap = np.full(rows.size, np.nan)
    x = np.stack([view.grid.x[columns], view.grid.x[columns + 1], gap], axis=-1).ravel()
    y = np.stack([view.grid.y[rows], view.grid.y[rows + 1], gap], axis=-1).ravel()
    low, high = view.range
    return {
        **scatter(view, x, y, np.full(x.size, view.floor + LIFT / 2 * (high - low))),
        "mode": "lines",
        "name": "no value",
        "legendgroup": "no value",
        "showlegend": bool(rows.size),
        "meta": {"symbol": "hatch", "colour": HATCH_COLOUR},
        "hoverinfo": "skip",
        "line": {"color": HATCH_COLOUR, "width": 1.5},
    }
