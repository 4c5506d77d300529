"""Lines as panels of a page: losses on the left axis, linear or logarithmic, and percentages on the right."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Any

import numpy as np

from losslandscape.core import quantity
from losslandscape.core.errors import InputError
from losslandscape.core.quantity import LOG_RATIO
from losslandscape.draw.drawable import describe_missing, describe_no_logarithm, finite
from losslandscape.draw.grid_part import ascending
from losslandscape.draw.labels import page_label
from losslandscape.draw.surface_metrics import is_interpolation
from losslandscape.draw.web.html_page import Panel, View
from losslandscape.draw.web.page_values import html_label, listed
from losslandscape.draw.web.scene import FONT
from losslandscape.draw.web.views import sensible_top
from losslandscape.files.surface import Surface

COLOURS = {"loss": "#2f86c9", "acc": "#e0463e"}  # as in plot_1D, and legible on black as well
OTHER_COLOURS = ("#2ca02c", "#a37cd0", "#a9735f", "#e377c2", "#8a8a8a", "#a8a91c", "#17a5b4")
FEW_POINTS, MARK_SIZE = 30, 5  # each point of a curve with few points has a mark
MAX_TICKS = 10  # the maximum number of ticks at powers of ten
LAYOUT = {
    "font": FONT,
    "margin": {"l": 8, "r": 8, "t": 12, "b": 8},
    "hovermode": "x unified",
    "showlegend": False,
    "uirevision": "kept",
}
AXIS = {"zeroline": False, "automargin": True, "title": {"standoff": 6}}
PERCENT_AXIS = {
    "title": {"text": "accuracy (%)", "standoff": 6},
    "automargin": True,
    "overlaying": "y",
    "side": "right",
    "range": [-2, 102],
    "tickmode": "linear",
    "dtick": 20,
    "showgrid": False,
    "zeroline": False,
}
MARK_AXIS = {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True}
MARK_STYLES = (("#808891", "dot", "dotted"), ("#808891", "dash", "dash"))  # colour, dash, symbol
Curves = dict[str, np.ndarray]


def curve_panels(
    surfaces: Sequence[Surface], *, log: bool, axis_title: str, titles: Sequence[str], shared: bool = True
) -> tuple[list[Panel], list[str], int]:
    """Return a panel per line, the labels of the scales of their left axes, and the index of the first.

    Args:
        surfaces: the lines.
        log: whether to show the log scale first, if a value is positive. It is also shown first
            if all values are positive and have a huge range.
        axis_title: the title of the x axes.
        titles: the title of each panel.
        shared: whether all left axes have one range.

    Raises:
        InputError: there are fewer than two measured points, or no finite value.
    """
    curves = [_values(surface) for surface in surfaces]
    lefts = [_left_values(values) for _, values in curves]
    everything = np.concatenate(lefts)
    kinds = ["linear", "log"] if (everything > 0).any() else ["linear"]
    panels = []
    for surface, (x, values), left, title in zip(surfaces, curves, lefts, titles, strict=True):
        traces = [*_curves(x, values), *_minimisers(surface)]
        scaled = everything if shared else left
        notes = {"linear": [], "log": _notes_on_log(values)}
        views = [View(layout=_scale(kind, scaled), notes=notes[kind]) for kind in kinds]
        panels.append(Panel(title, traces, _layout(values, axis_title), views))
    huge = bool(everything.size) and everything.min() > 0 and everything.max() > LOG_RATIO * everything.min()
    labels = kinds if everything.size else ["linear"]
    return panels, labels, len(kinds) - 1 if log or huge else 0


def _values(surface: Surface) -> tuple[np.ndarray, Curves]:
    """Return x and the quantities with finite values, at the points where any quantity is measured."""
    measured = np.logical_or.reduce([surface.measured(name) for name in surface.names])
    points = ascending(surface.x, measured)
    values = {name: finite(surface.get(name)[points]) for name in quantity.shown(surface.names)}
    drawable = {name: array for name, array in values.items() if np.isfinite(array).any()}
    if points.size < 2 or not drawable:
        first = surface.names[0]
        missing = describe_missing(surface, first)
        fault = f"{surface.path}: a curve needs at least 2 points with values to draw"
        raise InputError(f"{fault}, {first}: {missing}" if missing else fault)
    return surface.x[points], drawable


def _left_values(values: Curves) -> np.ndarray:
    """Return all finite values of the left axis."""
    arrays = [array[np.isfinite(array)] for name, array in values.items() if not quantity.is_percentage(name)]
    return np.concatenate([np.empty(0), *arrays])


def _notes_on_log(values: Curves) -> list[str]:
    """Return a sentence for each curve of the left axis that a log scale cannot show in full."""
    texts = {
        name: describe_no_logarithm(array)
        for name, array in values.items()
        if not quantity.is_percentage(name)
    }
    return [f"{page_label(name)} is {text}." for name, text in texts.items() if text]


def _layout(values: Curves, axis_title: str) -> dict[str, Any]:
    left = [name for name in values if not quantity.is_percentage(name)]
    left_title = "loss" if all(map(quantity.is_loss, left)) else "value"
    return {
        **LAYOUT,
        "xaxis": {
            **AXIS,
            "title": {"text": axis_title, "standoff": 6},
            "hoverformat": ".4g",
            "unifiedhovertitle": {"text": "α = %{x:.4g}"},
        },
        "yaxis": {
            **AXIS,
            "title": {"text": left_title, "standoff": 6},
            "visible": bool(left),
            "exponentformat": "power",
        },
        "yaxis2": {**PERCENT_AXIS, "visible": len(left) < len(values)},
        "yaxis3": MARK_AXIS,
    }


def _curves(x: np.ndarray, values: Curves) -> list[dict[str, Any]]:
    """Return a trace per quantity; the training and the test curve of a value share their colour."""
    kinds = dict.fromkeys(quantity.split(name)[1] for name in values)
    others = [kind for kind in kinds if kind not in COLOURS]
    colours = {**COLOURS, **dict(zip(others, cycle(OTHER_COLOURS), strict=False))}
    return [_curve(name, x, array, colours[quantity.split(name)[1]]) for name, array in values.items()]


def _curve(name: str, x: np.ndarray, values: np.ndarray, colour: str) -> dict[str, Any]:
    dash = "dash" if name.startswith("test") else "solid"
    return {
        "type": "scatter",
        "x": listed(x),
        "y": listed(values),
        "yaxis": "y2" if quantity.is_percentage(name) else "y",
        "name": html_label(name),
        "legendgroup": name,
        "meta": {"symbol": "dash" if dash == "dash" else "line"},
        "line": {"color": colour, "dash": dash, "width": 2.5},
        "mode": "lines+markers",
        "marker": {"size": _sizes(values)},
        "hovertemplate": "%{y:.5g}",
    }


def _sizes(values: np.ndarray) -> list[int]:
    """Return the size of the mark at each point: 0 along a dense curve, where marks would hide dashes."""
    if values.size <= FEW_POINTS:
        return [MARK_SIZE] * values.size
    is_drawn = np.pad(np.isfinite(values), 1)
    isolated = is_drawn[1:-1] & ~is_drawn[:-2] & ~is_drawn[2:]
    return [MARK_SIZE if alone else 0 for alone in isolated]


def _minimisers(surface: Surface) -> list[dict[str, Any]]:
    """Return a vertical line at each minimiser within the range: one, or both of an interpolation."""
    marks = {0: "minimiser (α = 0)"}
    if is_interpolation(surface):
        marks = {0: "first minimiser (α = 0)", 1: "second minimiser (α = 1)"}
    return [
        {
            "type": "scatter",
            "x": [place, place],
            "y": [0, 1],
            "yaxis": "y3",
            "name": name,
            "legendgroup": f"minimiser {place}",
            "meta": {"symbol": symbol},
            "mode": "lines",
            "line": {"color": colour, "dash": dash, "width": 1.8},
            "hoverinfo": "skip",
        }
        for (place, name), (colour, dash, symbol) in zip(marks.items(), MARK_STYLES, strict=False)
        if surface.x.min() <= place <= surface.x.max()
    ]


def _scale(kind: str, values: np.ndarray) -> dict[str, Any]:
    """Return the layout of a left axis that shows values on a linear or log scale."""
    if not values.size or (kind == "log" and not (values > 0).any()):
        return {"yaxis.type": "linear"}
    ends, step = _linear(values) if kind == "linear" else _log(values)
    return {"yaxis.type": kind, "yaxis.range": ends, "yaxis.dtick": step}


def _linear(values: np.ndarray) -> tuple[list[float], None]:
    top = min(values.max(), sensible_top(values))
    low = min(0.0, float(values.min()))
    return [low, float(top + 0.03 * (top - low)) if top > low else low + 1], None


def _log(values: np.ndarray) -> tuple[list[float], int | None]:
    """Return base-10 logarithms of the ends, and the step between ticks."""
    low, high = np.log10(values[values > 0].min()), np.log10(values.max())
    room = 0.04 * (high - low)
    low, high = float(low - room - 0.01), float(high + room + 0.01)
    whole_powers = int(np.ceil((high - low) / MAX_TICKS))
    return [low, high], whole_powers if high - low >= 2 else None
