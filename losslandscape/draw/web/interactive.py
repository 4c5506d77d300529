"""A surface as a plotly figure to turn, zoom and point at: a lit surface over its contours.

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

from losslandscape.core import quantity
from losslandscape.draw import drawable, labels
from losslandscape.draw.surface_views import Grid, View, interpolated
from losslandscape.files import h5_util

if TYPE_CHECKING:
    import plotly.graph_objects as go

COLOURS = "Viridis"  # as in the figures for print: even steps for every eye
TRAJECTORY_COLOUR, MINIMUM_COLOUR, CENTRE_COLOUR, CONTOUR_COLOUR = "#e8382d", "#ff2bc2", "#00c8ff", "#333"
_TURN = np.linspace(0, 2 * np.pi, 49)
_RING = 0.035 * np.stack([np.cos(_TURN), np.sin(_TURN)])  # outlines of marks, in widths of the plane
_CROSS = 0.028 * np.stack(
    [[*np.linspace(-1, 1, 9), np.nan, *np.zeros(9)], [*np.zeros(9), np.nan, *np.linspace(-1, 1, 9)]]
)
LIFT = 0.012  # heights by which marks hover over the surface, which would hide half of them
CONTOURS = (
    12,
    8,
    5,
    2,
    0,
)  # how many, the fewer the rougher the surface: their corners must not outgrow the page
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

    def along(self, shown: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x, y and time (0 at the first checkpoint, 1 at the next) of points on the straight ways between the checkpoints, so close together that their
        heights follow the surface.
        """
        cells = np.maximum(
            np.abs(np.diff(self.x)) / np.diff(shown.x).min(), np.abs(np.diff(self.y)) / np.diff(shown.y).min()
        )
        steps = np.clip(np.ceil(2 * np.nan_to_num(cells)), 1, MOST_STEPS).astype(int)
        times = np.concatenate([*(i + np.arange(n) / n for i, n in enumerate(steps)), [self.x.size - 1]])
        return (
            np.interp(times, np.arange(self.x.size), self.x),
            np.interp(times, np.arange(self.x.size), self.y),
            times,
        )


def surface_figure(
    all_views: list[View], *, first: int, axis_titles: tuple[str, str], trajectory: Trajectory | None = None
) -> go.Figure:
    """The lit surface of view `first`, with buttons for the others, marks, and a trajectory if one is given."""
    along = trajectory.along(all_views[first].shown) if trajectory else None
    traces, layouts = (
        [surface_traces(view, trajectory, along) for view in all_views],
        [_layout(view) for view in all_views],
    )
    figure = scene(traces[first], all_views[first], axis_titles)
    one_grid = all(traces[first][0][axis] == other[0][axis] for other in traces for axis in "xy")
    keys = ("x", "y", "z", "name", "hovertemplate", *(() if one_grid else ("text",)))
    buttons = [
        {"label": view.label, "method": "update", "args": [_changing(its_traces, keys), its_layout]}
        for view, its_traces, its_layout in zip(all_views, traces, layouts, strict=True)
    ]
    return with_menu(figure, buttons, first)


def scene(traces: list[dict[str, Any]], view: View, axis_titles: tuple[str, str]) -> go.Figure:
    """The figure of what is seen in one view: light, axes, colours and legend."""
    import plotly.graph_objects as go

    figure = go.Figure(traces, _layout(view))
    figure.update_layout(
        template="plotly_white",
        font=FONT,
        margin={"l": 0, "r": 0, "t": 50, "b": 0},
        uirevision="kept",
        hoverlabel={"align": "left", "font": {"size": 13}},
        scene={
            "xaxis": _axis(axis_titles[0]),
            "yaxis": _axis(axis_titles[1]),
            "zaxis": _axis(),
            "aspectmode": "manual",
            "aspectratio": _aspect(view.shown),
            "camera": {"eye": EYE, "center": {"x": 0, "y": 0, "z": -0.13}},
        },
        coloraxis={
            "colorscale": COLOURS,
            "colorbar": {"len": 0.6, "thickness": 14, "x": 0.99, "xanchor": "right", "outlinewidth": 0},
        },
        legend={"x": 0.01, "y": 0.01, "itemsizing": "constant", "bgcolor": "rgba(255,255,255,0.7)"},
    )
    return figure


def axis_titles(dir_file: str = "") -> tuple[str, str]:
    """What x and y are; with a PCA direction file, the share of the variance that each explains too, in few words as a scene has room for."""
    shares = h5_util.read_explained_variance(dir_file) if dir_file else None
    if shares is None or shares.size < 2:
        return "α (x direction)", "β (y direction)"
    return f"α (PCA 1: {100 * shares[0]:.1f} %)", f"β (PCA 2: {100 * shares[1]:.1f} %)"


def with_menu(figure: go.Figure, buttons: list[dict[str, Any]], first: int) -> go.Figure:
    """The figure with buttons above it, or with a menu if they are many, the first view's pressed."""
    if len(buttons) > 1:
        row = len(buttons) <= MOST_BUTTONS
        figure.update_layout(
            updatemenus=[
                {
                    "buttons": [
                        {**button, "label": escape(button["label"], quote=False)} for button in buttons
                    ],
                    "active": first,
                    "showactive": True,
                    "type": "buttons" if row else "dropdown",
                    "direction": "right" if row else "down",
                    "x": 0.01,
                    "xanchor": "left",
                    "y": 1,
                    "yanchor": "bottom",
                    "pad": {"b": 8},
                    "bgcolor": "white",
                    "bordercolor": "#bbb",
                }
            ]
        )
    return figure


def surface_traces(
    view: View, trajectory: Trajectory | None, along: tuple[np.ndarray, np.ndarray, np.ndarray] | None
) -> list[dict[str, Any]]:
    """The surface, its contours, its extreme point, the centre, and the trajectory's line (points `along` it, of one number in all views) and checkpoints.

    The colours of line and checkpoints are their times, so that a scale of colours tells what is past.
    """
    shown = view.shown
    made = [
        {
            "type": "surface",
            "x": listed(shown.x),
            "y": listed(shown.y),
            "z": listed(view.heights, digits=7),
            "coloraxis": "coloraxis",
            "text": _point_texts(shown),
            "lighting": LIGHT,
            "lightposition": LIGHT_PLACE,
            "contours": {axis: {"highlight": False} for axis in "xyz"},
            "name": "surface",
            "showlegend": False,
            "hoverinfo": "text",
        },
        _contours(view),
    ]

    row, column = _extreme(view)
    kind = "highest" if quantity.is_percentage(view.name) else "lowest"
    made += [
        _mark(
            f"{kind} {labels.label(view.name)}", (shown.x[column], shown.y[row]), _RING, MINIMUM_COLOUR, view
        ),
        _mark("centre (the minimiser)", (0.0, 0.0), _CROSS, CENTRE_COLOUR, view),
    ]
    if trajectory:
        x, y, times = along
        line = {
            "mode": "lines",
            "name": "trajectory",
            "line": {**_coloured_by(times), "width": 6},
            "hoverinfo": "skip",
            "showlegend": False,
        }
        made += [line | _on_surface_and_floor(x, y, view), _checkpoints(trajectory, view)]
    return made


def _coloured_by(times: np.ndarray) -> dict[str, Any]:
    """Colours of what is once above the surface and once on the floor."""
    return {
        "color": [*np.round(times, 3), 0, *np.round(times, 3)],
        "cmin": 0,
        "cmax": max(float(times[-1]), 1.0),
        "colorscale": [[0, TRAJECTORY_COLOUR], [1, TRAJECTORY_COLOUR]],
    }


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
    return {
        "type": "scatter3d",
        "mode": "lines",
        "name": "contours",
        "showlegend": False,
        "hoverinfo": "skip",
        "line": {"color": CONTOUR_COLOUR, "width": 1.5},
        **_coordinates(view, np.tile(x, 2), np.tile(y, 2), np.concatenate([heights + lift, floor])),
    }


def _lines(view: View, levels: np.ndarray) -> np.ndarray:
    """x, y and height of the corners, of shape (n, 3), of all contour lines, with a row of NaN after each line."""
    generator = contour_generator(view.shown.x, view.shown.y, np.ma.masked_invalid(view.heights))
    parts = [np.empty((0, 3))]
    for level in levels:
        for line in generator.lines(level):
            parts += [np.column_stack([line, np.full(len(line), level)]), np.full((1, 3), np.nan)]
    return np.concatenate(parts)


def _mark(
    name: str, place: tuple[float, float], outline: np.ndarray, colour: str, view: View
) -> dict[str, Any]:
    """A sign around a point, drawn on the surface and on the floor as if on a map: signs that face the viewer would be half hidden."""
    shown = view.shown
    x, y = (np.array([coordinate]) for coordinate in place)
    texts = _texts(_values_at(shown, x, y))[0]
    lines = "<br>".join(
        f"{escape(labels.label(other), quote=False)} = {text}"
        for other, text in zip(shown.values, texts, strict=True)
    )
    name = escape(name, quote=False)
    return _on_surface_and_floor(
        place[0] + outline[0] * np.ptp(shown.x), place[1] + outline[1] * np.ptp(shown.y), view
    ) | {
        "mode": "lines",
        "name": name,
        "line": {"color": colour, "width": 7},
        "showlegend": bool(shown.holds(x, y)[0]),
        "hovertemplate": f"<b>{name}</b><br>α = {place[0]:.4g}, β = {place[1]:.4g}<br>{lines}<extra></extra>",
    }


def _checkpoints(trajectory: Trajectory, view: View) -> dict[str, Any]:
    """The checkpoints of a trajectory, with the values that the surface has there."""
    values = _values_at(view.shown, trajectory.x, trajectory.y)
    texts = [[*texts, name] for texts, name in zip(_texts(values), trajectory.names, strict=True)]
    return _on_surface_and_floor(trajectory.x, trajectory.y, view) | {
        "mode": "markers",
        "name": "checkpoints",
        "marker": {
            "size": 3.5,
            "opacity": 1,
            **_coloured_by(np.arange(trajectory.x.size)),
            "line": {"width": 1, "color": "white"},
        },
        "customdata": [*texts, None, *texts],
        "hovertemplate": f"<b>%{{customdata[{len(values)}]}}</b><br>α = %{{x:.4g}}, β = %{{y:.4g}}<br>{_value_lines(values)}<extra></extra>",
    }


def _values_at(shown: Grid, x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    return {name: interpolated(shown, drawable.finite(values), x, y) for name, values in shown.values.items()}


def _on_surface_and_floor(x: np.ndarray, y: np.ndarray, view: View) -> dict[str, Any]:
    """Points of the plane, once just above the surface and once on the floor, where no wall hides them; those without a height are left out."""
    low, high = view.range
    heights = interpolated(view.shown, view.heights, x, y)
    floor = np.where(np.isfinite(heights), view.floor + LIFT * (high - low), np.nan)
    twice = [
        np.concatenate([above, [np.nan], below])
        for above, below in ((x, x), (y, y), (heights + LIFT * (high - low), floor))
    ]
    return {"type": "scatter3d", **_coordinates(view, *twice)}


def _coordinates(view: View, *points: np.ndarray) -> dict[str, list]:
    """x, y and z of lines and marks, to a thousandth of the axis or better: more digits would make the page large, and nobody could see them."""
    low, high = view.range
    spans = {"x": np.ptp(view.shown.x), "y": np.ptp(view.shown.y), "z": high - low}
    return {
        axis: listed(np.round(values, 4 - math.ceil(math.log10(span))))
        for (axis, span), values in zip(spans.items(), points, strict=True)
    }


def _extreme(view: View) -> tuple[int, int]:
    """Row and column of the lowest point, or of the highest accuracy: of several, of the one closest to the centre."""
    best = (np.nanmax if quantity.is_percentage(view.name) else np.nanmin)(view.heights)
    distance = np.where(view.heights == best, np.hypot(*np.meshgrid(view.shown.x, view.shown.y)), np.inf)
    row, column = np.unravel_index(np.argmin(distance), distance.shape)
    return int(row), int(column)


def _changing(traces: list[dict[str, Any]], keys: tuple[str, ...]) -> dict[str, list[Any]]:
    """What of each trace another view replaces, as Plotly.update takes it: for each attribute a list with an entry for each trace."""
    return {
        key: [
            trace[key].tolist() if isinstance(trace.get(key), np.ndarray) else trace.get(key, "")
            for trace in traces
        ]
        for key in keys
    }


def _layout(view: View) -> dict[str, Any]:
    """Heights, colours and their labels; keys are the flat ones that Plotly.update takes."""
    (low, high), title = view.range, escape(view.label, quote=False)
    at, labels = _ticks(low, high, log=view.log)
    return {
        "scene.zaxis.range": [view.floor, high + 0.04 * (high - low)],
        "scene.zaxis.title.text": title,
        "scene.zaxis.tickvals": at,
        "scene.zaxis.ticktext": labels,
        "coloraxis.cmin": low,
        "coloraxis.cmax": high,
        "coloraxis.colorbar.title.text": title,
        "coloraxis.colorbar.tickvals": at,
        "coloraxis.colorbar.ticktext": labels,
    }


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
    axis = {
        "backgroundcolor": "#f4f5f7",
        "gridcolor": "#d5d8dc",
        "showbackground": True,
        "zeroline": False,
        "nticks": 6,
        "showspikes": False,
    }
    return axis | ({"title": {"text": title}} if title else {})


def _aspect(shown: Grid) -> dict[str, float]:
    """Equal lengths in the plane, unless that would leave a sliver of a surface."""
    width, depth = np.ptp(shown.x), np.ptp(shown.y)
    longer = max(width, depth)
    return {"x": max(width / longer, 0.25), "y": max(depth / longer, 0.25), "z": 0.8}


def _value_lines(values: dict[str, np.ndarray]) -> str:
    """The lines of a hover text that name each quantity; their numbers are the point's `customdata`."""
    return "<br>".join(
        f"{escape(labels.label(name), quote=False)} = %{{customdata[{i}]}}" for i, name in enumerate(values)
    )


def _point_texts(shown: Grid) -> np.ndarray:
    """Hover texts of shape (ny, nx). Plotly looks a surface's `customdata` up with row and column exchanged, so numbers alone would not do."""
    names = [escape(labels.label(name), quote=False) for name in shown.values]
    return np.array(
        [
            [
                "<br>".join(
                    [
                        f"α = {x:.4g}, β = {y:.4g}",
                        *(f"{name} = {text}" for name, text in zip(names, texts, strict=True)),
                    ]
                )
                for x, texts in zip(shown.x, row, strict=True)
            ]
            for y, row in zip(shown.y, _texts(shown.values), strict=True)
        ]
    )


def _texts(values: dict[str, np.ndarray]) -> list:
    """For each point (nested as the values are) the list of its values as text: JSON has no NaN, and a text is what is read."""
    return np.stack(
        [np.vectorize("{:.5g}".format, otypes=[object])(array) for array in values.values()], axis=-1
    ).tolist()


def listed(values: np.ndarray, *, digits: int = 15) -> list:
    """Nested lists of numbers, None where a value is not finite: JSON that every browser reads. A graphics card keeps 7 of the digits."""
    return [
        listed(row, digits=digits)
        if np.ndim(row)
        else (float(f"{row:.{digits}g}") if np.isfinite(row) else None)
        for row in values
    ]
