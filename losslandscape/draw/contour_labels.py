"""Writes levels on contour lines: along straight parts, upright, and where they cover nothing.

Every piece of a line is searched along its whole length. Short pieces come first: they have the least room.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.transforms import Affine2D, Bbox
from scipy.spatial import KDTree

from losslandscape.draw import figure_details, page_layout
from losslandscape.draw.labels import level_texts
from losslandscape.draw.type_settings import CONTOUR_LABEL, text_size, width_of_page

MIN_LENGTH_RATIO = 2.5  # length of a line by length of its label, which would hide a shorter line
MAX_BEND = 0.3  # distance of a line from its label's middle line, in heights of the label
HIDDEN = 0.8  # of half the height of a label: its own line is bent by less
GAP = 0.25  # free space around a label, in heights of it
TRIALS = 40  # places that are tried on a piece
STEEP, BENT = 1.0, 2.0  # what makes a place worse: its angle in right angles, its bend in heights


@dataclass(frozen=True)
class Place:
    """A place for a label, in pixels.

    Args:
        middle: (2,), a point of the line.
        angle: of the line, in radians.
        size: half the width and half the height, with the free space around the label.
        penalty: how much worse the place is than a level, straight one.
    """

    middle: np.ndarray
    angle: float
    size: np.ndarray
    penalty: float

    @property
    def corners(self) -> np.ndarray:
        """The corners (4, 2), in order."""
        signs = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
        return Affine2D().rotate(self.angle).transform(signs * self.size) + self.middle


def label_contours(fig: Figure) -> None:
    """Write the level on each contour line of a finished figure.

    A label is left out if its line is too short, or if it would meet another label, another line, a path,
    a mark, an inset or the frame everywhere.
    """
    page_layout.fit(
        fig, full_width=width_of_page() is not None
    )  # the layout sets the size of the axes, and so what has room
    if not figure_details.current().contour_labels:
        return
    for axes in fig.findobj(Axes):
        assert isinstance(axes, Axes)
        _label_lines(axes)


def _label_lines(axes: Axes) -> None:
    lines = [drawn for drawn in axes.collections if isinstance(drawn, ContourSet) and not drawn.filled]
    for drawn in lines:
        texts = dict(zip(drawn.levels, level_texts(np.asarray(drawn.levels)), strict=True))
        style: dict[str, Any] = {"fontsize": text_size(CONTOUR_LABEL), "fmt": texts, "colors": "0.15"}
        places = [place.middle for place in _places(axes, drawn, texts, style["fontsize"])]
        if places:
            middles = axes.transData.inverted().transform(places)
            axes.clabel(drawn, manual=middles.tolist(), inline=True, inline_spacing=3, **style)


def _pieces(axes: Axes, lines: ContourSet) -> Iterator[tuple[float, np.ndarray]]:
    """Yield the level and the vertices (n, 2), in pixels, of each connected piece."""
    for level, path in zip(lines.levels, lines.get_paths(), strict=True):
        # In pixels, as `to_polygons` leaves out vertices that are less than a ninth of a unit away.
        for piece in path.transformed(axes.transData).to_polygons(closed_only=False):
            vertices = np.asarray(piece)
            if len(vertices) > 1:
                yield float(level), vertices


def _places(axes: Axes, lines: ContourSet, texts: dict[float, str], size: float) -> list[Place]:
    """Return the places of all labels that have room."""
    pieces = sorted(_pieces(axes, lines), key=lambda piece: _lengths(piece[1])[-1])
    if not pieces:
        return []
    paths = [line for line in axes.lines if line.get_linestyle() != "None"]
    marks = [line.get_window_extent() for line in axes.lines if line not in paths]
    marks += [text.get_window_extent() for text in axes.texts]
    dense = [_dense(piece) for _, piece in pieces]
    dense += [_dense(axes.transData.transform(np.asarray(path.get_xydata()))) for path in paths]
    points = KDTree(np.concatenate(dense))
    owners = np.repeat(np.arange(len(dense)), [len(line) for line in dense])
    insets = [inset.bbox for inset in axes.child_axes]
    taken = [_corners_of(box) for box in [*marks, *insets]]
    sizes = {level: _size(axes, text, size) for level, text in texts.items()}
    places = []
    for index, (level, piece) in enumerate(pieces):
        candidates = [
            place
            for place in _candidates(piece, *sizes[level])
            if _is_inside(axes.bbox, place.corners)
            and not any(_overlap(place.corners, other) for other in taken)
            and not _is_crossed(place, points, owners == index)
        ]
        if candidates:
            best = min(candidates, key=lambda place: place.penalty)
            taken.append(best.corners)
            places.append(best)
    return places


def _size(axes: Axes, text: str, size: float) -> tuple[float, float]:
    """Return width and height of a text, in pixels."""
    trial = axes.text(0, 0, text, fontsize=size)
    box = trial.get_window_extent()
    trial.remove()
    return box.width, box.height


def _lengths(piece: np.ndarray) -> np.ndarray:
    """Return the length of a line up to each of its vertices."""
    return np.concatenate([[0], np.cumsum(np.hypot(*np.diff(piece, axis=0).T))])


def _dense(piece: np.ndarray) -> np.ndarray:
    """Return points on a line that are at most two pixels apart."""
    lengths = _lengths(piece)
    along = np.linspace(0, lengths[-1], max(2, int(lengths[-1] / 2) + 1))
    return np.column_stack([np.interp(along, lengths, axis) for axis in piece.T])


def _candidates(piece: np.ndarray, width: float, height: float) -> Iterator[Place]:
    """Yield places along a line where it is nearly straight for the width of its label."""
    lengths = _lengths(piece)
    total = lengths[-1]
    if total < MIN_LENGTH_RATIO * width:
        return
    is_closed = bool(np.allclose(piece[0], piece[-1]))
    margin = 0 if is_closed else width / 2
    half, tall = width / 2 + GAP * height, (0.5 + GAP / 2) * height
    steps = np.linspace(-half, half, 9)
    for middle in np.linspace(margin, total - margin, TRIALS, endpoint=not is_closed):
        along = middle + steps
        along = along % total if is_closed else along
        part = np.column_stack([np.interp(along, lengths, axis) for axis in piece.T])
        chord = part[-1] - part[0]
        angle = float(np.arctan2(chord[1], chord[0]))
        angle = (angle + np.pi / 2) % np.pi - np.pi / 2  # upright
        across = np.array([-np.sin(angle), np.cos(angle)])
        bend = float(np.abs((part - part[4]) @ across).max()) / height
        if bend <= MAX_BEND:
            penalty = STEEP * abs(angle) / (np.pi / 2) + BENT * bend
            yield Place(part[4], angle, np.array([half, tall]), penalty)


def _corners_of(box: Bbox) -> np.ndarray:
    """Return the corners (4, 2) of a box, in order."""
    return np.array([(box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1)])


def _is_inside(box: Bbox, corners: np.ndarray) -> bool:
    low, high = corners.min(axis=0), corners.max(axis=0)
    return bool((low >= box.min).all() and (high <= box.max).all())


def _overlap(one: np.ndarray, other: np.ndarray) -> bool:
    """Return whether two rectangles overlap: no side of either separates them."""
    for corners in (one, other):
        for side in (corners[1] - corners[0], corners[2] - corners[1]):
            first, second = one @ side, other @ side
            if first.max() <= second.min() or second.max() <= first.min():
                return False
    return True


def _is_crossed(place: Place, points: KDTree, is_own: np.ndarray) -> bool:
    """Return whether a line goes through a label, other than the part of its own line that it hides.

    Args:
        points: points of all lines.
        is_own: which of them are of the label's own line.
    """
    near = points.query_ball_point(place.middle, np.hypot(*place.size))
    relative = np.asarray(points.data)[near] - place.middle
    turned = np.abs(Affine2D().rotate(-place.angle).transform(relative))
    is_inside = (turned < place.size).all(axis=1)
    # Its own line runs along the middle; elsewhere it would be another part of the line.
    is_hidden = is_own[near] & (turned[:, 1] < place.size[1] * HIDDEN)
    return bool((is_inside & ~is_hidden).any())
