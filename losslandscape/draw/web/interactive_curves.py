"""A 1-D surface as a plotly figure: losses on the left axis, linear or logarithmic, percentages on the right one."""

from __future__ import annotations

from html import escape
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from losslandscape.core import quantity
from losslandscape.core.errors import InputError
from losslandscape.draw import drawable, labels
from losslandscape.draw.contour_levels import LOG_RATIO
from losslandscape.draw.surface_views import in_order, places, sensible_top
from losslandscape.draw.web import interactive

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from losslandscape.files.surface import Surface

COLOURS = {"loss": "#1f77b4", "acc": "#d62728"}  # as in plot_1D; those of a value on test data are dashed
OTHER_COLOURS = ("#2ca02c", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf")


def curves_figure(surface: Surface, *, log: bool, axis_title: str) -> go.Figure:
    """Losses (left axis) and accuracies (right) of a 1-D surface, with buttons for the scale of the losses.

    Raises `InputError` where there is nothing to draw.
    """
    import plotly.graph_objects as go

    kept = places(surface.x, np.logical_or.reduce([surface.measured(name) for name in surface.names]))
    values = {name: drawable.finite(surface.get(name)[kept]) for name in in_order(surface)}
    values = {name: array for name, array in values.items() if np.isfinite(array).any()}
    if kept.size < 2 or not values:
        about = drawable.describe_missing(surface, surface.names[0])
        raise InputError(
            f"{surface.path}: a curve needs at least 2 points with values to draw"
            + (f", {surface.names[0]}: {about}" if about else "")
        )
    x = surface.x[kept]
    left = {name: array for name, array in values.items() if not quantity.is_percentage(name)}
    own = [
        value for value in dict.fromkeys(quantity.split(name)[1] for name in values) if value not in COLOURS
    ]
    colours = COLOURS | dict(zip(own, cycle(OTHER_COLOURS)))
    figure = go.Figure()
    for name, array in values.items():
        style = {
            "color": colours[quantity.split(name)[1]],
            "dash": "dash" if name.startswith("test") else "solid",
            "width": 2.5,
        }
        figure.add_scatter(
            x=interactive.listed(x),
            y=interactive.listed(array),
            name=escape(labels.label(name), quote=False),
            line=style,
            mode="lines+markers",
            marker={"size": 4},
            yaxis="y" if name in left else "y2",
            hovertemplate="%{y:.5g}",
        )
    title = "loss" if all(map(quantity.is_loss, left)) else "value"
    figure.update_layout(
        template="plotly_white",
        font=interactive.FONT,
        margin={"l": 70, "r": 70, "t": 60, "b": 60},
        hovermode="x unified",
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"},
        xaxis={
            "title": {"text": axis_title},
            "zeroline": False,
            "hoverformat": ".4g",
            "unifiedhovertitle": {"text": "α = %{x:.4g}"},
        },
        yaxis={"title": {"text": title}, "visible": bool(left), "zeroline": False},
        yaxis2={
            "title": {"text": "accuracy (%)"},
            "overlaying": "y",
            "side": "right",
            "range": [-2, 102],
            "tickmode": "linear",
            "dtick": 20,
            "showgrid": False,
            "zeroline": False,
            "visible": len(left) < len(values),
        },
    )
    figure.add_vline(0, line={"color": "#888", "dash": "dot", "width": 1.5})
    if not left:
        return figure
    found = np.concatenate([array[np.isfinite(array)] for array in left.values()])
    ranges = {"linear": [min(0.0, found.min()), 1.03 * min(found.max(), sensible_top(found))]}
    if (found > 0).any():
        low, high = np.log10(found[found > 0].min()), np.log10(found.max())
        ranges["log"] = [low - 0.04 * (high - low) - 0.01, high + 0.04 * (high - low) + 0.01]
    dticks = {
        "linear": None,
        "log": int(np.ceil((ranges["log"][1] - ranges["log"][0]) / 10))
        if "log" in ranges and ranges["log"][1] - ranges["log"][0] >= 2
        else None,
    }  # whole powers of ten
    kinds = list(ranges)
    huge = found.min() > 0 and found.max() > LOG_RATIO * found.min()
    first = kinds.index("log") if "log" in ranges and (log or huge) else 0
    buttons = [
        {
            "label": kind,
            "method": "relayout",
            "args": [{"yaxis.type": kind, "yaxis.range": ranges[kind], "yaxis.dtick": dticks[kind]}],
        }
        for kind in kinds
    ]
    figure.update_yaxes(
        type=kinds[first],
        range=ranges[kinds[first]],
        dtick=dticks[kinds[first]],
        exponentformat="power",
        selector={"side": None},
    )
    return interactive.with_menu(figure, buttons, first)
