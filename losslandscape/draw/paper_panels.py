"""Draws the blocks of a figure of a paper: contours, 3-D pictures, and curves, each on one scale."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from losslandscape.core import quantity
from losslandscape.draw.contour_levels import Scale
from losslandscape.draw.drawable import known_part, values_of
from losslandscape.draw.labels import label
from losslandscape.draw.panels import add_colour_bar, draw_contour
from losslandscape.draw.paper_layout import Place
from losslandscape.draw.relief_pictures import Reliefs
from losslandscape.files.surface import Surface

ALONG_X, ALONG_Y = ("along α", "#0072b2", "-"), ("along β", "#d55e00", (0, (5, 1.6)))
PARTS = {"train": ("train", "#0072b2", "-"), "test": ("test", "#d55e00", (0, (5, 1.6)))}
LEGEND_DEPTH = 3.6  # of a legend below the texts of an axis, in ems
TOLERANCE = 1e-9  # of a coordinate that counts as zero, by the range of its axis


@dataclass(frozen=True)
class Curve:
    """One curve of a panel: its coordinates, values (NaN makes a gap) and name in the legend."""

    x: np.ndarray
    values: np.ndarray
    style: tuple


def draw_contours(fig: Figure, place: Place, surfaces: Sequence[Surface], name: str, scale: Scale) -> None:
    """Draw contour lines, with one colour bar."""
    drawn: ScalarMappable | None = None
    for axes, surface in zip(place.panels, surfaces, strict=True):
        drawn = draw_contour(axes, surface, name, scale) or drawn
    _name_outermost(place)
    if drawn:
        add_colour_bar(fig, drawn, place.panels, name, location=place.key)


def draw_reliefs(place: Place, made: Reliefs) -> None:
    """Draw pictures without axes."""
    for axes, picture in zip(place.panels, made.pictures, strict=True):
        axes.imshow(picture, interpolation="antialiased")
        axes.set_axis_off()


def draw_curves(fig: Figure, place: Place, surfaces: Sequence[Surface], name: str, scale: Scale) -> None:
    """Draw curves: lines as they are, and of planes the cross-sections nearest to the centre."""
    low, high = scale.heights
    handles: dict[str, Line2D] = {}
    for axes, surface in zip(place.panels, surfaces, strict=True):
        for curve in curves_of(surface, name, log=scale.log):
            text, colour, style = curve.style
            alone = _isolated(curve.values)
            marker = {"marker": "o", "markersize": 2, "markevery": alone} if alone else {}
            handles[text] = axes.plot(
                curve.x, curve.values, color=colour, linestyle=style, label=text, **marker
            )[0]
        axes.set_box_aspect(CURVE_ASPECT)
        axes.margins(x=0)
        axes.set_xlabel(r"$\alpha$" if surface.y is None else r"$\alpha$ or $\beta$")
        axes.set_ylabel(label(name))
        if scale.log:
            axes.set_yscale("log")
        if high > low:
            margin = (high / low) ** 0.05 if scale.log else 0.05 * (high - low)
            axes.set_ylim((low / margin, high * margin) if scale.log else (low - margin, high + margin))
        axes.grid(True, axis="y", color="0.92", linewidth=0.5)
        axes.set_axisbelow(True)
        axes.locator_params(axis="x", nbins=5)
    _name_outermost(place)
    if len(handles) > 1:
        _add_legend(fig, place, list(handles.values()))


CURVE_ASPECT = 0.62  # height by width of a panel with curves


def curves_of(surface: Surface, name: str, *, log: bool) -> list[Curve]:
    """Return the curves of a surface: of a line those of training and test, of a plane two cross-sections."""
    if surface.y is not None:
        x, y, values = known_part(surface, name, log=log)
        row, column = (int(np.abs(axis).argmin()) for axis in (y, x))
        return [Curve(x, values[row], ALONG_X), Curve(y, values[:, column], ALONG_Y)]
    part, value = quantity.split(name)
    if not part:
        return [Curve(surface.x, values_of(surface, name, log=log), ("", *ALONG_X[1:]))]
    names = [f"{other}_{value}" for other in PARTS]
    return [
        Curve(surface.x, values_of(surface, other, log=log), PARTS[quantity.split(other)[0]])
        for other in names
        if other in surface.names
    ]


def through_centre(surface: Surface) -> bool:
    """Return whether the cross-sections of a plane go through its centre."""
    assert surface.y is not None
    axes = surface.x, surface.y
    return all(bool(np.abs(axis).min() <= TOLERANCE * np.ptp(axis)) for axis in axes)


def _isolated(values: np.ndarray) -> list[int]:
    """Return the indices of points without neighbours, which a line does not show."""
    known = np.pad(np.isfinite(values), 1)
    return np.flatnonzero(known[1:-1] & ~known[:-2] & ~known[2:]).tolist()


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


def _add_legend(fig: Figure, place: Place, handles: Sequence[Line2D]) -> None:
    """Add a legend where it hides nothing: right of the last panel of the first row, or below."""
    style: dict[str, Any] = {"frameon": False, "borderaxespad": 0.0, "handlelength": 1.5}
    em = float(matplotlib.rcParams["font.size"]) / 72
    axes = place.panels[min(place.columns, len(place.panels)) - 1]
    if place.key == "right":
        beside = axes.transAxes + ScaledTranslation(em, 0, fig.dpi_scale_trans)
        legend = axes.legend(
            handles=handles, loc="upper left", bbox_to_anchor=(1, 1), bbox_transform=beside, **style
        )
        legend.set_in_layout(not any(hasattr(other, "_colorbar") for other in fig.axes))  # a bar makes room
    else:
        below = axes.transAxes + ScaledTranslation(0, -LEGEND_DEPTH * em, fig.dpi_scale_trans)
        axes.legend(
            handles=handles,
            loc="upper center",
            bbox_to_anchor=(0.5, 0),
            bbox_transform=below,
            ncols=2,
            **style,
        )
