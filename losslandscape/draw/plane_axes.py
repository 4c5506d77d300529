"""Sets up the axes of a plane: labels, limits, the minimiser, hatched places without values, an inset."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from losslandscape.core.errors import InputError
from losslandscape.draw import figure_details, figures
from losslandscape.draw.drawable import known_part, values_of
from losslandscape.draw.figure_details import Zoom
from losslandscape.draw.labels import axis_labels
from losslandscape.draw.net_marks import mark_nets
from losslandscape.draw.resampling import whole_cells
from losslandscape.files.surface import Surface

MISSING_COLOUR, MISSING_HATCH = "0.85", "0.55"  # greys; the hatching differs from every colour of a map
MAX_ASPECT_RATIO = 4  # a longer plane is not drawn with the same unit length on both axes
X_SHORT, Y_SHORT = r"$\alpha$", r"$\beta$"
X_LABEL, Y_LABEL = f"{X_SHORT} (x direction)", f"{Y_SHORT} (y direction)"
NET_LABELS = f"{X_SHORT} (distance of weights)", f"{Y_SHORT} (distance of weights)"
INSET_SIZE, INSET_MARGIN = 0.42, 0.03  # of an inset, and its distance from the frame, in parts of the axes


def finish_plane(
    axes: Axes, surface: Surface, x: np.ndarray, y: np.ndarray, *, mark_centre: bool = True
) -> None:
    """Set labels, limits (the ends of x and y) and aspect, and mark the minimiser at the origin, or the nets.

    If the plane goes through several nets, their coordinates are distances of weights.
    """
    details, nets = figure_details.current(), surface.nets
    usual = axis_labels(surface, *(NET_LABELS if nets else (X_LABEL, Y_LABEL)))
    axes.set_xlabel(details.xlabel or usual[0])
    axes.set_ylabel(details.ylabel or usual[1])
    axes.set_xlim(x.min(), x.max())
    axes.set_ylim(y.min(), y.max())
    set_aspect(axes, np.ptp(x), np.ptp(y), adjustable="box")
    axes.locator_params(nbins=6)
    is_inside = x.min() <= 0 <= x.max() and y.min() <= 0 <= y.max()
    if nets and details.centre:
        mark_nets(axes, nets)
    elif mark_centre and details.centre and is_inside:
        style: dict[str, Any] = {"marker": "+", "linestyle": "none", "zorder": 4, "clip_on": False}
        scaled = figures.scaled
        axes.plot(0, 0, color="white", markersize=scaled(12), markeredgewidth=scaled(4), **style)
        axes.plot(0, 0, color="black", markersize=scaled(11), markeredgewidth=scaled(1.8), **style)


def set_aspect(axes: Axes, width: float, height: float, *, adjustable: Literal["box", "datalim"]) -> None:
    """Draw one unit with the same length on both axes, unless the plane would become too narrow."""
    if width > 0 and height > 0 and max(width / height, height / width) <= MAX_ASPECT_RATIO:
        axes.set_aspect("equal", adjustable=adjustable)


def edges(centres: np.ndarray) -> np.ndarray:
    """Return the borders of the cells around grid points, one more than `centres`.

    >>> edges(np.array([0.0, 1.0, 3.0])).tolist()
    [-0.5, 0.5, 2.0, 4.0]
    """
    if centres.size == 1:
        return centres + [-0.5, 0.5]
    middles = (centres[:-1] + centres[1:]) / 2
    return np.concatenate([[2 * centres[0] - middles[0]], middles, [2 * centres[-1] - middles[-1]]])


def y_of(surface: Surface) -> np.ndarray:
    """Return the y coordinates of a plane."""
    assert surface.y is not None, "the surface is a line, not a plane"
    return surface.y


def hatch_between(axes: Axes, surface: Surface, name: str, *, log: bool) -> None:
    """Hatch the part of a plane that lies between grid points of which one has no value, as in contours."""
    x, y, values = known_part(surface, name, log=log)
    is_drawn = whole_cells(np.isfinite(values))
    all_x, all_y = surface.x, y_of(surface)
    x_edges = np.concatenate([[all_x.min()], x, [all_x.max()]])
    y_edges = np.concatenate([[all_y.min()], y, [all_y.max()]])
    hatch_cells(axes, x_edges, y_edges, ~np.pad(is_drawn, 1))


def hatch_cells(axes: Axes, x_edges: np.ndarray, y_edges: np.ndarray, missing: np.ndarray) -> None:
    """Hatch the cells where `missing` (y, x) is true, between ascending or descending edges."""
    rectangles = []
    for row, bottom, top in zip(missing, y_edges, y_edges[1:], strict=False):
        ends = np.flatnonzero(np.diff(np.pad(row.astype(int), 1)))
        for left, right in x_edges[ends].reshape(-1, 2):
            if left != right and bottom != top:
                corners = [(left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)]
                rectangles.append(Path(corners, closed=True))
    if rectangles:
        style: dict[str, Any] = {"facecolor": MISSING_COLOUR, "edgecolor": MISSING_HATCH, "hatch": "////"}
        axes.add_patch(PathPatch(Path.make_compound_path(*rectangles), linewidth=0, zorder=0.5, **style))


def add_inset(axes: Axes, surface: Surface, name: str, draw: Callable[[Axes], object]) -> str | None:
    """Enlarge a part of a plane in a corner of its axes, if the user wants it.

    Args:
        draw: draws the plane into the inset.

    Returns:
        A text on the part that the inset shows.
    """
    if not (zoom := figure_details.current().zoom):
        return None
    left, right, bottom, top = zoom if len(zoom) == 4 else _around_minimum(surface, name, zoom[0])
    (x_low, x_high), (y_low, y_high) = axes.get_xlim(), axes.get_ylim()
    if right <= x_low or left >= x_high or top <= y_low or bottom >= y_high:
        raise InputError(f"the part to enlarge lies outside {surface.called}", "give another {zoom}")
    middle = np.array([(left + right) / 2 - x_low, (bottom + top) / 2 - y_low])
    middle /= [x_high - x_low, y_high - y_low]
    ratio = (right - left) / (x_high - x_low) / ((top - bottom) / (y_high - y_low))
    size = INSET_SIZE * np.array([min(1, ratio), min(1, 1 / ratio)])
    place = np.where(middle > 0.5, INSET_MARGIN, 1 - INSET_MARGIN - size)  # the corner far from the part
    inset = axes.inset_axes((*place, *size), zorder=5)
    draw(inset)
    inset.set(
        xlim=(left, right), ylim=(bottom, top), aspect="auto", xticks=[], yticks=[], xlabel="", ylabel=""
    )
    axes.indicate_inset_zoom(inset, edgecolor="0.3", alpha=1, linewidth=figures.scaled(0.8))
    return rf"inset: $\alpha$ ${left:.3g}$ to ${right:.3g}$, $\beta$ ${bottom:.3g}$ to ${top:.3g}$"


def _around_minimum(surface: Surface, name: str, half: float) -> Zoom:
    """Return the ends of a square around the lowest point."""
    row, column = np.unravel_index(np.nanargmin(values_of(surface, name)), surface.shape)
    x, y = surface.x[column], y_of(surface)[row]
    return x - half, x + half, y - half, y + half
