"""Marks on a surface: a ring around its extreme point, and a cross at the centre.

The marks follow the surface. It would half hide marks that face the viewer.
"""

from typing import Any

import numpy as np

from losslandscape.core import quantity
from losslandscape.draw.drawable import finite
from losslandscape.draw.labels import label
from losslandscape.draw.web.grid import Grid
from losslandscape.draw.web.page_values import as_html, value_lines, value_texts
from losslandscape.draw.web.places import on_surface_and_floor
from losslandscape.draw.web.views import View

EXTREME_COLOUR, CENTRE_COLOUR = "#ff2bc2", "#00c8ff"

# Outlines (2, n), in units of the width and depth of the plane.
_TURN = np.linspace(0, 2 * np.pi, 49)
RING = 0.035 * np.stack([np.cos(_TURN), np.sin(_TURN)])
_ARM, _ZEROS = np.linspace(-1, 1, 9), np.zeros(9)
CROSS = 0.028 * np.stack([[*_ARM, np.nan, *_ZEROS], [*_ZEROS, np.nan, *_ARM]])


def marks(view: View) -> list[dict[str, Any]]:
    """Return traces that mark the lowest point, or the highest percentage, and the centre."""
    row, column = _extreme(view)
    kind = "highest" if quantity.is_percentage(view.name) else "lowest"
    extreme = float(view.grid.x[column]), float(view.grid.y[row])
    return [
        _mark(f"{kind} {label(view.name)}", extreme, RING, EXTREME_COLOUR, view),
        _mark("centre (the minimiser)", (0.0, 0.0), CROSS, CENTRE_COLOUR, view),
    ]


def _extreme(view: View) -> tuple[int, int]:
    """Return row and column of the best point; if several are best, of the closest to the centre."""
    best = np.nanmax(view.heights) if quantity.is_percentage(view.name) else np.nanmin(view.heights)
    x, y = np.meshgrid(view.grid.x, view.grid.y)
    distance = np.where(view.heights == best, np.hypot(x, y), np.inf)
    row, column = np.unravel_index(np.argmin(distance), distance.shape)
    return int(row), int(column)


def _mark(
    name: str, place: tuple[float, float], outline: np.ndarray, colour: str, view: View
) -> dict[str, Any]:
    """Return a trace with an outline around a point of the plane, which shows the values at that point."""
    x, y = place
    grid = view.grid
    texts = value_texts(values_at(grid, np.array([x]), np.array([y])))[0]
    title = as_html(name)
    lines = value_lines(grid.values, texts)
    return {
        **on_surface_and_floor(x + outline[0] * np.ptp(grid.x), y + outline[1] * np.ptp(grid.y), view),
        "mode": "lines",
        "name": title,
        "line": {"color": colour, "width": 7},
        "showlegend": bool(grid.holds(np.array(x), np.array(y))),
        "hovertemplate": f"<b>{title}</b><br>α = {x:.4g}, β = {y:.4g}<br>{lines}<extra></extra>",
    }


def values_at(grid: Grid, x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """Return the interpolated values of each quantity at points of the plane, NaN where unknown."""
    return {name: grid.interpolate(finite(values), x, y) for name, values in grid.values.items()}
