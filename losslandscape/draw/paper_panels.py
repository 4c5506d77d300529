"""Draws the blocks of a figure of a paper: contours, 3-D pictures, and curves, each on one scale."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation, Transform

from losslandscape.core import quantity
from losslandscape.draw.contour_levels import Scale
from losslandscape.draw.curves import draw_line
from losslandscape.draw.drawable import known_part, values_of
from losslandscape.draw.labels import label, value_label
from losslandscape.draw.line_axes import finish_horizontal, finish_vertical, horizontal_ends
from losslandscape.draw.line_marks import hatch_missing, mark_lost
from losslandscape.draw.panels import add_colour_bar, draw_contour
from losslandscape.draw.paper_layout import Place
from losslandscape.draw.relief_pictures import Reliefs
from losslandscape.draw.vertical_axes import VerticalAxis
from losslandscape.files.surface import Surface

Line = tuple[str, str | tuple]

CURVE_ASPECT = 0.62  # height by width of a panel with curves
# Colours that colour-blind readers tell apart, with the styles of their lines.
SOLID: Line = ("#0072b2", "-")
DASHED: Line = ("#d55e00", (0, (5, 1.6)))
KEY_DEPTH = 3.4  # of a colour bar or legend below a panel, in ems
BAR_ASPECT = 20  # height by width of a colour bar at the right
BAR_HEIGHT = 0.06  # of a colour bar below a panel, by the height of the panel
MARGIN = 0.05  # above and below curves, by the height of their panel
TOLERANCE = 1e-9  # of a coordinate that counts as zero, by the range of its axis


@dataclass(frozen=True)
class Curve:
    """One curve of a panel: its coordinates, values (NaN makes a gap), name in the legend, and line."""

    x: np.ndarray
    values: np.ndarray
    name: str
    line: Line


def draw_contours(fig: Figure, place: Place, surfaces: Sequence[Surface], name: str, scale: Scale) -> None:
    """Draw contour lines, with one colour bar."""
    drawn: ScalarMappable | None = None
    for axes, surface in zip(place.panels, surfaces, strict=True):
        drawn = draw_contour(axes, surface, name, scale) or drawn
    _name_outermost(place)
    if drawn:
        _add_bar(fig, place, drawn, name)


def draw_reliefs(fig: Figure, place: Place, made: Reliefs, name: str) -> None:
    """Draw pictures without axes, with one colour bar."""
    for axes, picture in zip(place.panels, made.pictures, strict=True):
        axes.imshow(picture, interpolation="antialiased")
        axes.set_aspect("equal", adjustable="datalim")
        axes.set_box_aspect(place.aspect)
        axes.set_axis_off()
    if not made.colours:
        return
    bar = _add_bar(fig, place, made.colours, name)
    bar.set_ticks([height for height, _ in made.ticks], labels=[text for _, text in made.ticks])


def draw_curves(fig: Figure, place: Place, surfaces: Sequence[Surface], name: str, scale: Scale) -> None:
    """Draw curves: lines as they are, and of planes the cross-sections nearest to the centre."""
    drawn = [curves_of(surface, name, log=scale.log) for surface in surfaces]
    are_parts = any(len(curves) > 1 and one.y is None for curves, one in zip(drawn, surfaces, strict=True))
    vertical = VerticalAxis(
        (name,),
        value_label(quantity.split(name)[1]) if are_parts else label(name),
        log=scale.log,
        limits=_ends(drawn, log=scale.log),
    )
    handles: dict[str, Artist] = {}
    for axes, surface, curves in zip(place.panels, surfaces, drawn, strict=True):
        axes.set_box_aspect(place.aspect)
        is_line = surface.y is None
        xlabel = r"$\alpha$" if is_line else r"$\alpha$ or $\beta$"
        finish_horizontal(axes, horizontal_ends([surface], None, None), xlabel=xlabel)
        for curve in curves:
            colour, style = curve.line
            made: list[Artist] = [
                draw_line(axes, curve.x, curve.values, label=curve.name, colour=colour, style=style)
            ]
            made += mark_lost(axes, surface, [name], colour) if is_line else []
            handles |= {str(handle.get_label()): handle for handle in made}
        if is_line:
            missing = hatch_missing(axes, surface, [curve.values for curve in curves])
            handles |= {str(handle.get_label()): handle for handle in missing}
        finish_vertical(axes, vertical, coloured=False)
    _name_outermost(place)
    if len(handles) > 1:
        _add_legend(fig, place, list(handles.values()))


def curves_of(surface: Surface, name: str, *, log: bool) -> list[Curve]:
    """Return the curves of a surface: of a line those of training and test, of a plane two cross-sections."""
    if surface.y is not None:
        x, y, values = known_part(surface, name, log=log)
        row, column = (int(np.abs(axis).argmin()) for axis in (y, x))
        return [
            Curve(x, values[row], r"along $\alpha$", SOLID),
            Curve(y, values[:, column], r"along $\beta$", DASHED),
        ]
    part, value = quantity.split(name)
    names = {name: part or value_label(value)}
    if part:
        names = {f"{other}_{value}": other for other in quantity.PARTS}
    return [
        Curve(surface.x, values_of(surface, one, log=log), text, line)
        for (one, text), line in zip(names.items(), (SOLID, DASHED), strict=False)
        if one in surface.names
    ]


def through_centre(surface: Surface) -> bool:
    """Return whether the cross-sections of a plane go through its centre."""
    assert surface.y is not None
    axes = surface.x, surface.y
    return all(bool(np.abs(axis).min() <= TOLERANCE * np.ptp(axis)) for axis in axes)


def _ends(drawn: Sequence[Sequence[Curve]], *, log: bool) -> tuple[float, float] | None:
    """Return the ends of an axis that holds all curves; None to leave them to matplotlib."""
    values = np.concatenate([curve.values for curves in drawn for curve in curves])
    values = values[np.isfinite(values)]
    if not values.size or not values.max() > values.min():
        return None
    low, high = float(values.min()), float(values.max())
    if log:
        factor = (high / low) ** MARGIN
        return low / factor, high * factor
    margin = MARGIN * (high - low)
    return low - margin, high + margin


def _name_outermost(place: Place) -> None:
    """Keep texts of equal axes only at the left and below."""
    first = place.panels[0]
    for index, axes in enumerate(place.panels):
        if index % place.columns:
            axes.set_ylabel("")
            if axes.get_ylim() == first.get_ylim():
                axes.tick_params(axis="y", which="both", labelleft=False)
        if index + place.columns < len(place.panels):
            axes.set_xlabel("")


def _add_bar(fig: Figure, place: Place, drawn: ScalarMappable, name: str) -> Colorbar:
    if place.key == "right":
        return add_colour_bar(fig, drawn, place.panels, name, aspect=BAR_ASPECT)
    first = place.panels[0]
    inside = first.inset_axes((0, -BAR_HEIGHT, 1, BAR_HEIGHT), transform=_below(fig, first))
    return add_colour_bar(fig, drawn, first, name, cax=inside, orientation="horizontal")


def _add_legend(fig: Figure, place: Place, handles: Sequence[Artist]) -> None:
    """Add a legend where it hides nothing: right of the last panel of the first row, or below."""
    style: dict[str, Any] = {"handles": handles, "frameon": False, "borderaxespad": 0.0}
    style |= {"handlelength": 1.4, "handletextpad": 0.5}
    axes = place.panels[min(place.columns, len(place.panels)) - 1]
    if place.key == "bottom":
        where = _below(fig, axes)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0), bbox_transform=where, ncols=2, **style)
        return
    where = axes.transAxes + ScaledTranslation(_em() / 2, 0, fig.dpi_scale_trans)
    legend = axes.legend(loc="upper left", bbox_to_anchor=(1, 1), bbox_transform=where, **style)
    legend.set_in_layout(False)  # a colour bar has made room
    fig.draw_without_rendering()
    legend.set_in_layout(legend.get_window_extent().x1 > fig.bbox.x1)


def _below(fig: Figure, axes: Axes) -> Transform:
    """Return coordinates that are those of axes, but begin below the texts of the horizontal axis."""
    return axes.transAxes + ScaledTranslation(0, -KEY_DEPTH * _em(), fig.dpi_scale_trans)


def _em() -> float:
    """Return the font size in inches."""
    return float(matplotlib.rcParams["font.size"]) / 72
