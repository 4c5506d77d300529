"""Marks on a surface: its extreme point and the centre.

An outline lies on the surface and on the floor. A pole shows the mark above the surface, because slopes hide
the bottom of a deep valley.
"""

from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any

import numpy as np

from losslandscape.core import quantity
from losslandscape.draw.drawable import finite
from losslandscape.draw.labels import page_label
from losslandscape.draw.web.grid import Grid
from losslandscape.draw.web.page_values import as_html, value_lines, value_texts
from losslandscape.draw.web.places import on_surface_and_floor, pole
from losslandscape.draw.web.views import View

# Heights of the poles above the surface, as shares of its height. They differ, as places may be the same.
CENTRE_POLE, EXTREME_POLE, CHECKPOINT_POLE = 0.04, 0.13, 0.22
SIZES = {"circle-open": 5.5, "cross": 8.5, "diamond": 5}  # by plotly's symbol; it draws them unequally large
CENTRE, NOWHERE = (0.0, 0.0), (np.nan, np.nan)
SAME_PLACE = 0.005  # as a share of the width: stems that are closer would cover each other

# Outlines (2, n), in units of the width and depth of the plane.
_TURN = np.linspace(0, 2 * np.pi, 49)
RING = 0.026 * np.stack([np.cos(_TURN), np.sin(_TURN)])
_ARM, _ZEROS = np.linspace(-1, 1, 9), np.zeros(9)
CROSS = 0.024 * np.stack([[*_ARM, np.nan, *_ZEROS], [*_ZEROS, np.nan, *_ARM]])


@dataclass(frozen=True)
class Look:
    """How a mark looks.

    Args:
        group: traces of one group are hidden together.
        colour: the colour.
        symbol: the symbol in the page's legend.
        plotly_symbol: the symbol at the ends of the pole.
        outline: the outline (2, n) around the place, in units of the width and depth of the plane.
    """

    group: str
    colour: str
    symbol: str
    plotly_symbol: str
    outline: np.ndarray


EXTREME = Look("extreme", "#e5189f", "ring", "circle-open", RING)
NET_COLOURS = ("#1f6fff", "#d4510c", "#0b8a5e", "#6b6b6b")  # in turn
MINIMISER = Look("centre", "#1f6fff", "cross", "cross", CROSS)


def marks(view: View) -> list[dict[str, Any]]:
    """Return traces that mark the lowest point, or the highest percentage, and the centre: four traces.

    In a plane through several nets, each net is marked instead of the centre, by two traces.
    """
    row, column = _extreme(view)
    kind = "highest" if quantity.is_percentage(view.name) else "lowest"
    extreme = float(view.grid.x[column]), float(view.grid.y[row])
    at_centre = np.hypot(*extreme) < SAME_PLACE * np.ptp(view.grid.x)
    stand = pole(*extreme, EXTREME_POLE, view, with_stem=not at_centre)
    traces = _mark(view, f"{kind} {page_label(view.name)}", extreme, stand, EXTREME)
    for name, place, look in _places(view):
        stand = pole(*(place if view.grid.holds(*place) else NOWHERE), CENTRE_POLE, view)
        traces += _mark(view, name, place, stand, look)
    return traces


def _places(view: View) -> list[tuple[str, tuple[float, float], Look]]:
    """Return name, place and look of the centre, or of each net in the plane."""
    if not view.grid.nets:
        return [("centre (the minimiser)", CENTRE, MINIMISER)]
    return [
        (net.name, (net.x, net.y), replace(MINIMISER, group=f"net {number}", colour=colour))
        for number, (net, colour) in enumerate(zip(view.grid.nets, cycle(NET_COLOURS), strict=False))
    ]


def _extreme(view: View) -> tuple[int, int]:
    """Return row and column of the best point; if several are best, of the closest to the centre."""
    best = np.nanmax(view.heights) if quantity.is_percentage(view.name) else np.nanmin(view.heights)
    x, y = np.meshgrid(view.grid.x, view.grid.y)
    distance = np.where(view.heights == best, np.hypot(x, y), np.inf)
    row, column = np.unravel_index(np.argmin(distance), distance.shape)
    return int(row), int(column)


def _mark(
    view: View, name: str, place: tuple[float, float], stand: dict[str, Any], look: Look
) -> list[dict[str, Any]]:
    """Return the outline around a point of the plane, and its pole, which show the values at that point."""
    x, y = place
    grid = view.grid
    texts = value_texts(values_at(grid, np.array([x]), np.array([y])))[0]
    title = as_html(name)
    lines = value_lines(grid.values, texts)
    about = {
        "name": title,
        "legendgroup": look.group,
        "showlegend": bool(grid.holds(x, y)),
        "meta": {"symbol": look.symbol},
        "hovertemplate": f"<b>{title}</b><br>α = {x:.4g}, β = {y:.4g}<br>{lines}<extra></extra>",
    }
    across, along = look.outline
    around = on_surface_and_floor(x + across * np.ptp(grid.x), y + along * np.ptp(grid.y), view)
    return [
        {**around, **about, "mode": "lines", "line": {"color": look.colour, "width": 5}},
        {**stand, **about, **pole_style(look.colour, look.plotly_symbol)},
    ]


def pole_style(colour: str, symbol: str) -> dict[str, Any]:
    """Return the style of a pole with a symbol at its ends."""
    return {
        "mode": "lines+markers",
        "line": {"color": colour, "width": 4},
        "marker": {"color": colour, "size": SIZES[symbol], "symbol": symbol, "opacity": 1},
    }


def values_at(grid: Grid, x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """Return the interpolated values of each quantity at points of the plane, NaN where unknown."""
    return {name: grid.interpolate(finite(values), x, y) for name, values in grid.values.items()}
