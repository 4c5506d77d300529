"""A line as a plotly figure: losses on the left axis, linear or logarithmic, and percentages on the right."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from losslandscape.core import quantity
from losslandscape.core.errors import InputError
from losslandscape.draw.contour_levels import LOG_RATIO
from losslandscape.draw.drawable import describe_missing, finite
from losslandscape.draw.grid_part import ascending
from losslandscape.draw.web.page_values import html_label, listed
from losslandscape.draw.web.scene import FONT, add_buttons
from losslandscape.draw.web.views import sensible_top

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from losslandscape.files.surface import Surface

COLOURS = {"loss": "#1f77b4", "acc": "#d62728"}  # as in plot_1D
OTHER_COLOURS = ("#2ca02c", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf")
MAX_TICKS = 10  # the maximum number of ticks at powers of ten
ZERO_LINE = {"color": "#888", "dash": "dot", "width": 1.5}
LAYOUT = {
    "template": "plotly_white",
    "font": FONT,
    "margin": {"l": 70, "r": 70, "t": 60, "b": 60},
    "hovermode": "x unified",
    "legend": {"orientation": "h", "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"},
}
PERCENT_AXIS = {
    "title": {"text": "accuracy (%)"},
    "overlaying": "y",
    "side": "right",
    "range": [-2, 102],
    "tickmode": "linear",
    "dtick": 20,
    "showgrid": False,
    "zeroline": False,
}


@dataclass(frozen=True)
class Scale:
    """A scale of the left axis.

    Args:
        kind: linear or log, plotly's type of an axis.
        ends: the ends of the axis; on a log scale, the base-10 logarithms of the ends.
        dtick: the step between ticks; None lets plotly choose.
    """

    kind: str
    ends: list[float]
    dtick: int | None = None


def curves_figure(surface: Surface, *, log: bool, axis_title: str) -> go.Figure:
    """Return a figure of all quantities of a line, with buttons for the scale of the left axis.

    Args:
        surface: a line.
        log: whether to show the log scale first, if a value is positive. It is also shown first
            if all values are positive and have a huge range.
        axis_title: the title of the x axis.

    Raises:
        InputError: there are fewer than two measured points, or no finite value.
    """
    import plotly.graph_objects as go  # takes a second, and may be absent

    x, values = _values(surface)
    left = {name: array for name, array in values.items() if not quantity.is_percentage(name)}
    colours = _colours(values)
    figure = go.Figure()
    for name, array in values.items():
        colour = colours[quantity.split(name)[1]]
        figure.add_scatter(**_curve(name, x, array, colour), yaxis="y" if name in left else "y2")
    figure.update_layout(
        **LAYOUT,
        xaxis={
            "title": {"text": axis_title},
            "zeroline": False,
            "hoverformat": ".4g",
            "unifiedhovertitle": {"text": "α = %{x:.4g}"},
        },
        yaxis={"title": {"text": _left_title(left)}, "visible": bool(left), "zeroline": False},
        yaxis2={**PERCENT_AXIS, "visible": len(left) < len(values)},
    )
    figure.add_vline(0, line=ZERO_LINE)
    if left:
        _add_scales(figure, left, log=log)
    return figure


def _values(surface: Surface) -> tuple[np.ndarray, dict[str, np.ndarray]]:
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


def _colours(values: dict[str, np.ndarray]) -> dict[str, str]:
    """Return a colour for each value; the training and the test curve of a value share it."""
    kinds = dict.fromkeys(quantity.split(name)[1] for name in values)
    others = [kind for kind in kinds if kind not in COLOURS]
    return {**COLOURS, **dict(zip(others, cycle(OTHER_COLOURS), strict=False))}


def _curve(name: str, x: np.ndarray, values: np.ndarray, colour: str) -> dict[str, Any]:
    return {
        "x": listed(x),
        "y": listed(values),
        "name": html_label(name),
        "line": {"color": colour, "dash": "dash" if name.startswith("test") else "solid", "width": 2.5},
        "mode": "lines+markers",
        "marker": {"size": 4},
        "hovertemplate": "%{y:.5g}",
    }


def _left_title(names: dict[str, np.ndarray]) -> str:
    return "loss" if all(map(quantity.is_loss, names)) else "value"


def _add_scales(figure: go.Figure, left: dict[str, np.ndarray], *, log: bool) -> None:
    """Set the left axis, and add buttons for its scales."""
    values = np.concatenate([array[np.isfinite(array)] for array in left.values()])
    scales = [_linear_scale(values)]
    if (values > 0).any():
        scales.append(_log_scale(values))
    huge = values.min() > 0 and values.max() > LOG_RATIO * values.min()
    first = len(scales) - 1 if log or huge else 0
    scale = scales[first]
    figure.update_yaxes(
        type=scale.kind,
        range=scale.ends,
        dtick=scale.dtick,
        exponentformat="power",
        selector={"side": None},
    )
    add_buttons(figure, [_button(scale) for scale in scales], active=first)


def _linear_scale(values: np.ndarray) -> Scale:
    top = min(values.max(), sensible_top(values))
    return Scale("linear", [min(0.0, values.min()), 1.03 * top])


def _log_scale(values: np.ndarray) -> Scale:
    low, high = np.log10(values[values > 0].min()), np.log10(values.max())
    room = 0.04 * (high - low)
    low, high = low - room - 0.01, high + room + 0.01
    whole_powers = int(np.ceil((high - low) / MAX_TICKS))
    return Scale("log", [low, high], whole_powers if high - low >= 2 else None)


def _button(scale: Scale) -> dict[str, Any]:
    change = {"yaxis.type": scale.kind, "yaxis.range": scale.ends, "yaxis.dtick": scale.dtick}
    return {"label": scale.kind, "method": "relayout", "args": [change]}
