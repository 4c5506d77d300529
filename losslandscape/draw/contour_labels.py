"""Writes levels on contour lines, where there is room for them."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.transforms import Affine2D

from losslandscape.draw.labels import level_texts
from losslandscape.draw.type_settings import CONTOUR_LABEL, text_size

MIN_EXTENT_RATIO = 2  # extent of a contour by length of its label, which would hide a smaller contour


def label_contours(fig: Figure) -> None:
    """Write the level on each contour line of a finished figure.

    A label is left out if its contour is too small, or if it would meet another label, another contour, the
    centre's mark or the frame.
    """
    fig.draw_without_rendering()  # the layout sets the size of the axes, and so where labels overlap
    for axes in fig.axes:
        for drawn in axes.collections:
            if isinstance(drawn, ContourSet) and not drawn.filled:
                _label_lines(axes, drawn)


def _label_lines(axes: Axes, lines: ContourSet) -> None:
    texts = dict(zip(lines.levels, level_texts(np.asarray(lines.levels)), strict=True))
    style: dict[str, Any] = {"fontsize": text_size(CONTOUR_LABEL), "fmt": texts, "colors": "0.15"}
    trial = axes.clabel(lines, inline=False, **style)
    places = _places_with_room(axes, trial, pieces_in_pixels(axes, lines))
    for text in trial:
        text.remove()
    axes.clabel(lines, manual=places, inline=True, inline_spacing=3, **style)


def pieces_in_pixels(axes: Axes, lines: ContourSet) -> list[np.ndarray]:
    """Return the vertices (n, 2), in pixels, of each connected piece of contour lines."""
    pieces = [piece for path in lines.get_paths() for piece in path.to_polygons(closed_only=False)]
    return [axes.transData.transform(piece) for piece in pieces]


def _places_with_room(axes: Axes, texts: list[Text], pieces: list[np.ndarray]) -> list[tuple[float, float]]:
    """Return the positions, in data coordinates, of the labels that have room."""
    taken = [line.get_window_extent() for line in axes.lines]
    places = []
    for text in texts:
        box = text.get_window_extent().padded(2)
        middle = axes.transData.transform(text.get_position())
        distances = [np.hypot(*(piece - middle).T).min() for piece in pieces]
        nearest = int(np.argmin(distances))
        extent = np.ptp(pieces[nearest], axis=0).max()
        is_large = extent > MIN_EXTENT_RATIO * max(box.width, box.height)
        is_inside = axes.bbox.contains(box.x0, box.y0) and axes.bbox.contains(box.x1, box.y1)
        if not is_large or not is_inside or any(box.overlaps(other) for other in taken):
            continue
        others = pieces[:nearest] + pieces[nearest + 1 :]
        if not is_crossed(text, middle, others):  # a reader would take it for the label of that contour
            taken.append(box)
            places.append(text.get_position())
    return places


def is_crossed(text: Text, middle: np.ndarray, pieces: list[np.ndarray]) -> bool:
    """Return whether a contour goes through a text.

    Args:
        text: the label, rotated around its middle.
        middle: the middle (2,) of the label, in pixels.
        pieces: the vertices (n, 2) of each piece of contour lines, in pixels.
    """
    rotation = text.get_rotation()
    text.set_rotation(0)
    upright = text.get_window_extent()
    text.set_rotation(rotation)
    turn_back = Affine2D().rotate_deg_around(middle[0], middle[1], -rotation)
    return any(Path(turn_back.transform(piece)).intersects_bbox(upright, filled=False) for piece in pieces)
