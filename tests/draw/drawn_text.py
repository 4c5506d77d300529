"""Measures the text that a figure draws: sizes, overlaps, and what leaves the figure."""

from dataclasses import dataclass
from itertools import combinations
from unittest.mock import patch

import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from losslandscape.draw import page_layout, page_style
from losslandscape.draw.type_settings import rc_context

SLACK = 0.5  # pixels by which boxes may overlap


@dataclass
class DrawnText:
    """A text as it is drawn: its box, and its corners (4, 2) in pixels, which may be rotated."""

    text: str
    size: float
    box: Bbox
    corners: np.ndarray


def drawn_texts(fig: Figure, page: page_style.Page | None = None) -> tuple[list[DrawnText], Bbox]:
    """Return all texts of a finished figure, and the frame of its file, in pixels."""
    with page_style.drawn_on(page), rc_context():
        frame = page_layout.fit(fig, full_width=page is not None)
        texts: dict[Text, None] = {}
        draw = Text.draw

        def record(self: Text, *args: object, **kwargs: object) -> None:
            if self.get_visible() and self.get_text().strip():
                texts[self] = None
            draw(self, *args, **kwargs)

        with patch.object(Text, "draw", record):
            fig.draw_without_rendering()
    scale = fig.dpi
    return [_measured(text) for text in texts], Bbox(frame.get_points() * scale)


def text_faults(fig: Figure, page: page_style.Page | None = None) -> list[str]:
    """Return a sentence for each text that is too small, leaves the figure, or meets another text."""
    texts, frame = drawn_texts(fig, page)
    faults = [f"{one.text!r} has {one.size:g} pt" for one in texts if one.size < page_style.MIN_SIZE - 1e-6]
    for one in texts:
        inside = frame.padded(SLACK)
        if not (inside.contains(*one.box.min) and inside.contains(*one.box.max)):
            faults.append(f"{one.text!r} leaves the figure: {one.box} in {frame}")
    for one, other in combinations(texts, 2):
        if one.box.overlaps(other.box) and _meet(one.corners, other.corners):
            faults.append(f"{one.text!r} meets {other.text!r}")
    return faults


def _measured(text: Text) -> DrawnText:
    box = text.get_window_extent()
    angle = np.deg2rad(text.get_rotation())
    position = text.get_position()
    text.set_rotation(0)
    flat = text.get_window_extent()
    text.set_rotation(np.rad2deg(angle))
    assert text.get_position() == position
    half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [flat.width / 2, flat.height / 2]
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = (box.min + box.max) / 2
    return DrawnText(text.get_text(), float(text.get_fontsize()), box, half @ turn.T + middle)


def _meet(one: np.ndarray, other: np.ndarray) -> bool:
    """Return whether two rectangles overlap: no side of either separates them."""
    for corners in (one, other):
        for side in (corners[1] - corners[0], corners[2] - corners[1]):
            length = np.hypot(*side)
            if not length:
                return False
            first, second = one @ side / length, other @ side / length
            if first.max() - SLACK < second.min() or second.max() - SLACK < first.min():
                return False
    return True
