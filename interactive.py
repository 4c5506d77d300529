"""A surface as a plotly figure to turn, zoom and point at: a lit surface over its contours, or curves of a 1-D file.

The figure holds each quantity's heights once, in the button that shows it, and the text of each point once for all views.
"""
from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from contourpy import contour_generator
from matplotlib.ticker import MaxNLocator

import figures
from contour_levels import LOG_RATIO
from errors import InputError
from surface_views import Grid, View, in_order, interpolated, places, sensible_top

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from h5_util import Surface

COLOURS = "Viridis"  # as in the figures for print: even steps for every eye
TRAJECTORY_COLOUR, MINIMUM_COLOUR, CENTRE_COLOUR, CONTOUR_COLOUR = "#e8382d", "#ff2bc2", "#00c8ff", "#333"
_TURN = np.linspace(0, 2 * np.pi, 49)
_RING = 0.035 * np.stack([np.cos(_TURN), np.sin(_TURN)])  # outlines of marks, in widths of the plane
_CROSS = 0.028 * np.stack([[*np.linspace(-1, 1, 9), np.nan, *np.zeros(9)], [*np.zeros(9), np.nan, *np.linspace(-1, 1, 9)]])
LOSS_COLOUR, ACCURACY_COLOUR = "#1f77b4", "#d62728"  # as in plot_1D
LIFT = 0.012  # heights by which marks hover over the surface, which would hide half of them
CONTOURS = (12, 8, 5, 2, 0)  # how many, the fewer the rougher the surface: their corners must not outgrow the page
FEW_CORNERS = 1500
MOST_BUTTONS = 6  # that stand in a row
MOST_STEPS = 200  # between two checkpoints
LIGHT = {"ambient": 0.5, "diffuse": 0.55, "specular": 0.12, "roughness": 0.5, "fresnel": 0.02}
LIGHT_PLACE = {"x": -2000, "y": -3000, "z": 8000}
EYE = {"x": 1.02, "y": -1.02, "z": 1.5}
FONT = {"family": "system-ui, Segoe UI, Helvetica, Arial, sans-serif", "size": 13, "color": "#222"}


@dataclass(frozen=True)
class Trajectory:
    """x and y of the checkpoints in the plane, and what each is called."""

    x: np.ndarray
    y: np.ndarray
    names: list[str]


def surface_figure(all_views: list[View], *, first: int, axis_titles: tuple[str, str],
                   trajectory: Trajectory | None = None) -> go.Figure:
    """The lit surface of view `first`, with buttons for the others, marks, and a trajectory if one is given."""
    import plotly.graph_objects as go

    traces, layouts = [_traces(view, trajectory) for view in all_views], [_layout(view) for view in all_views]
    figure = go.Figure(traces[first], layouts[first])
    figure.update_layout(
        template="plotly_white", font=FONT, margin={"l": 0, "r": 0, "t": 50, "b": 0}, uirevision="kept", hoverlabel={"align": "left", "font": {"size": 13}},
        scene={"xaxis": _axis(axis_titles[0]), "yaxis": _axis(axis_titles[1]), "zaxis": _axis(), "aspectmode": "manual", "aspectratio": _aspect(all_views[first].shown),
               "camera": {"eye": EYE, "center": {"x": 0, "y": 0, "z": -0.13}}},
        coloraxis={"colorscale": COLOURS, "colorbar": {"len": 0.6, "thickness": 14, "x": 0.99, "xanchor": "right", "outlinewidth": 0}},
        legend={"x": 0.01, "y": 0.01, "itemsizing": "constant", "bgcolor": "rgba(255,255,255,0.7)"})
    one_grid = all(traces[first][0][axis] == other[0][axis] for other in traces for axis in "xy")
    keys = ("x", "y", "z", "name", "hovertemplate", *(() if one_grid else ("text",)))
    buttons = [{"label": view.label, "method": "update", "args": [_changing(its_traces, keys), its_layout]}
               for view, its_traces, its_layout in zip(all_views, traces, layouts, strict=True)]
    return with_menu(figure, buttons, first)


def with_menu(figure: go.Figure, buttons: list[dict[str, Any]], first: int) -> go.Figure:
    """The figure with buttons above it, or with a menu if they are many, the first view's pressed."""
    if len(buttons) > 1:
        row = len(buttons) <= MOST_BUTTONS
        figure.update_layout(updatemenus=[{
            "buttons": [{**button, "label": escape(button["label"], quote=False)} for button in buttons], "active": first, "showactive": True,
            "type": "buttons" if row else "dropdown", "direction": "right" if row else "down", "x": 0.01, "xanchor": "left", "y": 1, "yanchor": "bottom",
            "pad": {"b": 8}, "bgcolor": "white", "bordercolor": "#bbb"}])
    return figure


def _traces(view: View, trajectory: Trajectory | None) -> list[dict[str, Any]]:
    """The surface, its extreme point, the centre, and the trajectory's line and checkpoints, as they are in one view."""
    shown = view.shown
    made = [{
        "type": "surface", "x": listed(shown.x), "y": listed(shown.y), "z": listed(view.heights, digits=7), "coloraxis": "coloraxis", "text": _point_texts(shown),
        "lighting": LIGHT, "lightposition": LIGHT_PLACE, "contours": {axis: {"highlight": False} for axis in "xyz"},
        "name": "surface", "showlegend": False, "hoverinfo": "text"},
        _contours(view)]

    row, column = _extreme(view)
    kind = "highest" if view.name.endswith("_acc") else "lowest"
    made += [_mark(f"{kind} {figures.label(view.name)}", (shown.x[column], shown.y[row]), _RING, MINIMUM_COLOUR, view),
             _mark("centre (the minimiser)", (0.0, 0.0), _CROSS, CENTRE_COLOUR, view)]
    if trajectory:
        line = {"mode": "lines", "name": "trajectory", "line": {"color": TRAJECTORY_COLOUR, "width": 6}, "hoverinfo": "skip"}
        made += [line | _on_surface_and_floor(*_along(shown, trajectory.x, trajectory.y), view), _checkpoints(trajectory, view)]
    return made


def _contours(view: View) -> dict[str, Any]:
    """Lines of equal height on the surface and on the floor. Plotly's own would hang the browser at some surfaces with holes."""
    low, high = view.range
    for count in CONTOURS:
        lines = _lines(view, np.linspace(low, high, count + 2)[1:-1])
        if len(lines) <= max(view.heights.size / 2, FEW_CORNERS):
            break
    x, y, heights = lines.T
    lift = LIFT / 2 * (high - low)
    floor = np.where(np.isfinite(heights), view.floor + lift, np.nan)
    return {"type": "scatter3d", "mode": "lines", "name": "contours", "showlegend": False, "hoverinfo": "skip", "line": {"color": CONTOUR_COLOUR, "width": 1.5},
            **_coordinates(view, np.tile(x, 2), np.tile(y, 2), np.concatenate([heights + lift, floor]))}


def _lines(view: View, levels: np.ndarray) -> np.ndarray:
    """x, y and height of the corners, of shape (n, 3), of all contour lines, with a row of NaN after each line."""
    generator = contour_generator(view.shown.x, view.shown.y, np.ma.masked_invalid(view.heights))
    parts = [np.empty((0, 3))]
    for level in levels:
        for line in generator.lines(level):
            parts += [np.column_stack([line, np.full(len(line), level)]), np.full((1, 3), np.nan)]
    return np.concatenate(parts)


def _mark(name: str, place: tuple[float, float], outline: np.ndarray, colour: str, view: View) -> dict[str, Any]:
    """A sign around a point, drawn on the surface and on the floor as if on a map: signs that face the viewer would be half hidden."""
    shown = view.shown
    x, y = (np.array([coordinate]) for coordinate in place)
    texts = _texts(_values_at(shown, x, y))[0]
    lines = "<br>".join(f"{escape(figures.label(other), quote=False)} = {text}" for other, text in zip(shown.values, texts, strict=True))
    name = escape(name, quote=False)
    return _on_surface_and_floor(place[0] + outline[0] * np.ptp(shown.x), place[1] + outline[1] * np.ptp(shown.y), view) | {
        "mode": "lines", "name": name, "line": {"color": colour, "width": 7}, "showlegend": bool(shown.holds(x, y)[0]),
        "hovertemplate": f"<b>{name}</b><br>α = {place[0]:.4g}, β = {place[1]:.4g}<br>{lines}<extra></extra>"}


def _checkpoints(trajectory: Trajectory, view: View) -> dict[str, Any]:
    """The checkpoints of a trajectory, with the values that the surface has there."""
    values = _values_at(view.shown, trajectory.x, trajectory.y)
    texts = [[*texts, name] for texts, name in zip(_texts(values), trajectory.names, strict=True)]
    return _on_surface_and_floor(trajectory.x, trajectory.y, view) | {
        "mode": "markers", "name": "checkpoints", "marker": {"size": 3.5, "color": TRAJECTORY_COLOUR, "line": {"width": 1, "color": "white"}},
        "customdata": [*texts, None, *texts],
        "hovertemplate": f"<b>%{{customdata[{len(values)}]}}</b><br>α = %{{x:.4g}}, β = %{{y:.4g}}<br>{_value_lines(values)}<extra></extra>"}


def _values_at(shown: Grid, x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    return {name: interpolated(shown, figures.finite(values), x, y) for name, values in shown.values.items()}


def _on_surface_and_floor(x: np.ndarray, y: np.ndarray, view: View) -> dict[str, Any]:
    """Points of the plane, once just above the surface and once on the floor, where no wall hides them; those without a height are left out."""
    low, high = view.range
    heights = interpolated(view.shown, view.heights, x, y)
    floor = np.where(np.isfinite(heights), view.floor + LIFT * (high - low), np.nan)
    twice = [np.concatenate([above, [np.nan], below]) for above, below in ((x, x), (y, y), (heights + LIFT * (high - low), floor))]
    return {"type": "scatter3d", **_coordinates(view, *twice)}


def _coordinates(view: View, *points: np.ndarray) -> dict[str, list]:
    """x, y and z of lines and marks, to a thousandth of the axis or better: more digits would make the page large, and nobody could see them."""
    low, high = view.range
    spans = {"x": np.ptp(view.shown.x), "y": np.ptp(view.shown.y), "z": high - low}
    return {axis: listed(np.round(values, 4 - math.ceil(math.log10(span)))) for (axis, span), values in zip(spans.items(), points, strict=True)}


def _along(shown: Grid, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points on the straight way between checkpoints, so close together that their heights follow the surface."""
    cells = np.maximum(np.abs(np.diff(x)) / np.diff(shown.x).min(), np.abs(np.diff(y)) / np.diff(shown.y).min())
    steps = np.clip(np.ceil(2 * np.nan_to_num(cells)), 1, MOST_STEPS).astype(int)
    at = np.concatenate([*(i + np.arange(n) / n for i, n in enumerate(steps)), [x.size - 1]])
    return np.interp(at, np.arange(x.size), x), np.interp(at, np.arange(x.size), y)


def _extreme(view: View) -> tuple[int, int]:
    """Row and column of the lowest point, or of the highest accuracy: of several, of the one closest to the centre."""
    best = (np.nanmax if view.name.endswith("_acc") else np.nanmin)(view.heights)
    distance = np.where(view.heights == best, np.hypot(*np.meshgrid(view.shown.x, view.shown.y)), np.inf)
    row, column = np.unravel_index(np.argmin(distance), distance.shape)
    return int(row), int(column)


def _changing(traces: list[dict[str, Any]], keys: tuple[str, ...]) -> dict[str, list[Any]]:
    """What of each trace another view replaces, as Plotly.update takes it: for each attribute a list with an entry for each trace."""
    return {key: [trace[key].tolist() if isinstance(trace.get(key), np.ndarray) else trace.get(key, "") for trace in traces] for key in keys}


def _layout(view: View) -> dict[str, Any]:
    """Heights, colours and their labels; keys are the flat ones that Plotly.update takes."""
    (low, high), title = view.range, escape(view.label, quote=False)
    at, labels = _ticks(low, high, log=view.log)
    return {"scene.zaxis.range": [view.floor, high + 0.04 * (high - low)], "scene.zaxis.title.text": title, "scene.zaxis.tickvals": at,
            "scene.zaxis.ticktext": labels, "coloraxis.cmin": low, "coloraxis.cmax": high, "coloraxis.colorbar.title.text": title,
            "coloraxis.colorbar.tickvals": at, "coloraxis.colorbar.ticktext": labels}


def _ticks(low: float, high: float, *, log: bool) -> tuple[list[float], list[str]]:
    """Heights of round values, and the values as text."""
    if log and high - low >= 2:
        powers = np.arange(np.ceil(low), np.floor(high) + 1, np.ceil((high - low) / 7))
        return powers.tolist(), [f"10<sup>{power + 0:g}</sup>" for power in powers]
    values = MaxNLocator(nbins=6).tick_values(*(10.0 ** np.array([low, high]) if log else (low, high)))
    values = values[values > 0] if log else values
    at = np.log10(values) if log else values
    room = 0.03 * (high - low)
    inside = (at >= low - room) & (at <= high + room)
    return at[inside].tolist(), [f"{value:.6g}" for value in values[inside]]


def _axis(title: str = "") -> dict[str, Any]:
    axis = {"backgroundcolor": "#f4f5f7", "gridcolor": "#d5d8dc", "showbackground": True, "zeroline": False, "nticks": 6, "showspikes": False}
    return axis | ({"title": {"text": title}} if title else {})


def _aspect(shown: Grid) -> dict[str, float]:
    """Equal lengths in the plane, unless that would leave a sliver of a surface."""
    width, depth = np.ptp(shown.x), np.ptp(shown.y)
    longer = max(width, depth)
    return {"x": max(width / longer, 0.25), "y": max(depth / longer, 0.25), "z": 0.8}


def _value_lines(values: dict[str, np.ndarray]) -> str:
    """The lines of a hover text that name each quantity; their numbers are the point's `customdata`."""
    return "<br>".join(f"{escape(figures.label(name), quote=False)} = %{{customdata[{i}]}}" for i, name in enumerate(values))


def _point_texts(shown: Grid) -> np.ndarray:
    """Hover texts of shape (ny, nx). Plotly looks a surface's `customdata` up with row and column exchanged, so numbers alone would not do."""
    names = [escape(figures.label(name), quote=False) for name in shown.values]
    return np.array([["<br>".join([f"α = {x:.4g}, β = {y:.4g}", *(f"{name} = {text}" for name, text in zip(names, texts, strict=True))])
                      for x, texts in zip(shown.x, row, strict=True)] for y, row in zip(shown.y, _texts(shown.values), strict=True)])


def _texts(values: dict[str, np.ndarray]) -> list:
    """For each point (nested as the values are) the list of its values as text: JSON has no NaN, and a text is what is read."""
    return np.stack([np.vectorize("{:.5g}".format, otypes=[object])(array) for array in values.values()], axis=-1).tolist()


def listed(values: np.ndarray, *, digits: int = 15) -> list:
    """Nested lists of numbers, None where a value is not finite: JSON that every browser reads. A graphics card keeps 7 of the digits."""
    return [listed(row, digits=digits) if np.ndim(row) else (float(f"{row:.{digits}g}") if np.isfinite(row) else None) for row in values]


def curves_figure(surface: Surface, *, log: bool, axis_title: str) -> go.Figure:
    """Losses (left axis) and accuracies (right) of a 1-D surface, with buttons for the scale of the losses.

    Raises `InputError` where there is nothing to draw.
    """
    import plotly.graph_objects as go

    kept = places(surface.x, np.logical_or.reduce([surface.measured(name) for name in surface.names]))
    values = {name: figures.finite(surface.get(name)[kept]) for name in in_order(surface)}
    values = {name: array for name, array in values.items() if np.isfinite(array).any()}
    if kept.size < 2 or not values:
        raise InputError(f"{surface.path}: a curve needs at least 2 points with finite values")
    x = surface.x[kept]
    left = {name: array for name, array in values.items() if not name.endswith("_acc")}
    figure = go.Figure()
    for name, array in values.items():
        style = {"color": LOSS_COLOUR if name in left else ACCURACY_COLOUR, "dash": "dash" if name.startswith("test") else "solid", "width": 2.5}
        figure.add_scatter(x=listed(x), y=listed(array), name=escape(figures.label(name), quote=False), line=style, mode="lines+markers", marker={"size": 4},
                           yaxis="y" if name in left else "y2", hovertemplate="%{y:.5g}")
    title = "loss" if all(name.endswith("_loss") for name in left) else "value"
    figure.update_layout(
        template="plotly_white", font=FONT, margin={"l": 70, "r": 70, "t": 60, "b": 60}, hovermode="x unified",
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"},
        xaxis={"title": {"text": axis_title}, "zeroline": False, "hoverformat": ".4g", "unifiedhovertitle": {"text": "α = %{x:.4g}"}},
        yaxis={"title": {"text": title}, "visible": bool(left), "zeroline": False},
        yaxis2={"title": {"text": "accuracy (%)"}, "overlaying": "y", "side": "right", "range": [-2, 102], "tickmode": "linear", "dtick": 20, "showgrid": False,
                "zeroline": False, "visible": len(left) < len(values)})
    figure.add_vline(0, line={"color": "#888", "dash": "dot", "width": 1.5})
    if not left:
        return figure
    found = np.concatenate([array[np.isfinite(array)] for array in left.values()])
    ranges = {"linear": [min(0.0, found.min()), 1.03 * min(found.max(), sensible_top(found))]}
    if (found > 0).any():
        low, high = np.log10(found[found > 0].min()), np.log10(found.max())
        ranges["log"] = [low - 0.04 * (high - low) - 0.01, high + 0.04 * (high - low) + 0.01]
    dticks = {"linear": None, "log": int(np.ceil((ranges["log"][1] - ranges["log"][0]) / 10)) if "log" in ranges and ranges["log"][1] - ranges["log"][0] >= 2 else None}  # whole powers of ten
    kinds = list(ranges)
    huge = found.min() > 0 and found.max() > LOG_RATIO * found.min()
    first = kinds.index("log") if "log" in ranges and (log or huge) else 0
    buttons = [{"label": kind, "method": "relayout", "args": [{"yaxis.type": kind, "yaxis.range": ranges[kind], "yaxis.dtick": dticks[kind]}]} for kind in kinds]
    figure.update_yaxes(type=kinds[first], range=ranges[kinds[first]], dtick=dticks[kinds[first]], exponentformat="power", selector={"side": None})
    return with_menu(figure, buttons, first)
