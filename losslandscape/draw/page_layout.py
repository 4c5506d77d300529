"""Fits the texts, the tick labels and the height of a finished figure into its width.

Every step measures what matplotlib would draw, so that no text covers another or leaves the figure.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text
from matplotlib.ticker import NullLocator
from matplotlib.transforms import Bbox
from mpl_toolkits.mplot3d import Axes3D

PAD = 0.08  # inches around a figure that is cropped
SIDE = 0.02  # inches between a text and the edge of the figure
WORD = re.compile(r"(?:\\\$|\$(?:\\\$|[^$])*\$|[^\s$])+")  # a formula is one word
PART = re.compile(r"[^_/=-]*[_/=-]*")  # of a file name, which has no spaces
# A formula or an escaped character, which stay, or a character that LaTeX takes for a command.
SPECIAL = re.compile(r"(\\.|\$(?:\\\$|[^$])*\$)|([%#&])")
MAX_ROUNDS = 8
LAYOUT_PAD = 3 / 72  # inches that matplotlib leaves around panels
MIN_SPARE = 0.05  # inches
MIN_KEPT = 0.97  # of the width of a panel, when a figure is lowered


def fit(fig: Figure, *, full_width: bool) -> Bbox:
    """Wrap long texts, drop tick labels that would overlap, and lower a figure that is too high.

    Args:
        full_width: whether the figure keeps exactly its width; otherwise it is cropped on all sides.

    Returns:
        The part of the figure to save, in inches.
    """
    _escape_for_latex(fig)
    is_free = isinstance(fig.get_layout_engine(), ConstrainedLayoutEngine)  # not in a film
    for _ in range(MAX_ROUNDS if is_free else 0):
        fig.draw_without_rendering()
        if not (_wrap_all(fig) or _thin_all(fig) or _lower(fig)):
            break
    fig.draw_without_rendering()
    tight = fig.get_tightbbox()
    low, high = tight.y0 - PAD, tight.y1 + PAD
    if full_width:
        return Bbox.from_extents(0, low, fig.get_figwidth(), high)
    return Bbox.from_extents(tight.x0 - PAD, low, tight.x1 + PAD, high)


def _escape_for_latex(fig: Figure) -> None:
    """Escape what LaTeX would take for a command in the texts that it sets."""
    for text in fig.findobj(Text):
        assert isinstance(text, Text)
        if text.get_usetex():
            text.set_text(SPECIAL.sub(lambda match: match[1] or rf"\{match[2]}", text.get_text()))


def wrapped(text: str, fits: Callable[[str], bool]) -> str:
    """Return a text with line breaks, so that each line fits if its words do.

    >>> wrapped("one two three", lambda line: len(line) <= 7)
    'one two\\nthree'
    >>> wrapped("resnet56_sgd_lr=0.1", lambda line: len(line) <= 9)
    'resnet56_\\nsgd_lr=\\n0.1'
    """
    return "\n".join(broken for line in text.split("\n") for broken in _broken(line, fits))


def _broken(line: str, fits: Callable[[str], bool]) -> list[str]:
    if fits(line):
        return [line]
    lines = [""]
    for word in WORD.findall(line):
        parts = [word] if fits(word) or "$" in word else [part for part in PART.findall(word) if part]
        for index, part in enumerate(parts):
            longer = lines[-1] + (" " if lines[-1] and not index else "") + part
            if not lines[-1] or fits(longer):
                lines[-1] = longer
            else:
                lines.append(part)
    return lines


def _wrap_all(fig: Figure) -> bool:
    """Wrap the footnote, titles and axis labels that are too long; return whether any was."""
    width = fig.bbox.width - 2 * SIDE * fig.dpi
    rooms: list[tuple[Text | None, float]] = [(fig._supxlabel, width), (fig._suptitle, width)]  # type: ignore[attr-defined]
    for axes in fig.axes:
        across = _room(fig, axes)
        rooms.append((axes.title, across))
        if not isinstance(axes, Axes3D):
            rooms += [(axes.xaxis.label, across), (axes.yaxis.label, axes.bbox.height)]
    changed = [wrap_text(text, room) for text, room in rooms if text is not None and text.get_text()]
    return any(changed)


def _room(fig: Figure, axes: Axes) -> float:
    """Return how wide a text centred on axes may be, in pixels, so that it meets no text beside it."""
    box = axes.bbox
    middle = (box.x0 + box.x1) / 2
    room = 2 * (min(middle - fig.bbox.x0, fig.bbox.x1 - middle) - SIDE * fig.dpi)
    for other in fig.axes:
        is_beside = other.bbox.y0 < box.y1 and box.y0 < other.bbox.y1
        away = abs((other.bbox.x0 + other.bbox.x1) / 2 - middle)
        if is_beside and other.get_title() and away > 1:
            room = min(room, away - 4 * SIDE * fig.dpi)
    return max(room, box.width)


def wrap_text(text: Text, room: float) -> bool:
    """Break a text into lines of at most `room` pixels, if its words allow it; return whether it changed."""
    before = text.get_text()
    rotation = text.get_rotation()
    text.set_rotation(0)

    def fits(line: str) -> bool:
        text.set_text(line)
        return text.get_window_extent().width <= room

    after = wrapped(before, fits)
    text.set_text(after)
    text.set_linespacing(1.0)
    text.set_rotation(rotation)
    return after != before


def _thin_all(fig: Figure) -> bool:
    """Drop tick labels that would touch their neighbours; return whether any was."""
    flat = [axes for axes in fig.axes if not isinstance(axes, Axes3D)]
    inside = [one for axes in flat for one in axes.child_axes if isinstance(one, Axes)]
    flat += [axes for axes in inside if hasattr(axes, "_colorbar")]
    changed = [_thin(axis) for axes in flat for axis in (axes.xaxis, axes.yaxis)]
    return any(changed)


def _thin(axis: XAxis | YAxis) -> bool:
    texts = [text for text in axis.get_ticklabels() if text.get_visible() and text.get_text()]
    if isinstance(axis.get_major_locator(), NullLocator) or not _touch(texts, axis.axis_name):
        return False
    ticks = np.asarray(axis.get_ticklocs())
    low, high = sorted(axis.get_view_interval())
    ticks = ticks[(ticks >= low) & (ticks <= high)]
    if ticks.size < 2:
        return False
    start = int(np.abs(ticks).argmin()) % 2  # zero stays
    axis.set_ticks(ticks[start::2].tolist())
    return True


def _touch(texts: Sequence[Text], axis_name: str) -> bool:
    boxes = [text.get_window_extent() for text in texts]
    ends = sorted((box.x0, box.x1) if axis_name == "x" else (box.y0, box.y1) for box in boxes)
    gap = 0.25 * max((box.height for box in boxes), default=0) if axis_name == "x" else 0
    return any(before[1] + gap > after[0] for before, after in zip(ends, ends[1:], strict=False))


def _lower(fig: Figure) -> bool:
    """Take the height away that panels of a fixed aspect leave empty; return whether there was any."""
    if not any(map(_has_fixed_aspect, fig.axes)):
        return False
    content = Bbox.union([box for axes in fig.axes if (box := axes.get_tightbbox())])
    others = [box for artist in _around(fig) if (box := artist.get_tightbbox())]
    above = [box.y0 for box in others if box.y0 >= content.y1]
    below = [box.y1 for box in others if box.y1 <= content.y0]
    spare = min([fig.bbox.height, *above]) - content.y1 + content.y0 - max([0, *below])
    pads = sum(2 * legend.borderaxespad * legend.prop.get_size() for legend in fig.legends) / 72
    spare = spare / fig.dpi - 4 * LAYOUT_PAD - pads
    if spare < MIN_SPARE:
        return False
    height, width = fig.get_figheight(), fig.axes[0].bbox.width
    fig.set_figheight(height - spare)
    fig.draw_without_rendering()
    if fig.axes[0].bbox.width > MIN_KEPT * width:
        return True
    fig.set_figheight(height)  # it was not empty: the panels need it
    fig.draw_without_rendering()
    return False


def _has_fixed_aspect(axes: Axes) -> bool:
    if isinstance(axes, Axes3D):
        return False
    has_box = axes.get_box_aspect() is not None and not hasattr(axes, "_colorbar")
    return has_box or (axes.get_aspect() == 1 and axes.get_adjustable() == "box")


def _around(fig: Figure) -> list[Artist]:
    """Return what stands around the panels."""
    labels = [fig._supxlabel, fig._suptitle]  # type: ignore[attr-defined]
    return [artist for artist in [*labels, *fig.legends] if artist is not None]
