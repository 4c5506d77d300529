"""Marks the nets that lie in a plane, each with its name."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from losslandscape.core.text import legible
from losslandscape.draw.labels import escape_mathematics
from losslandscape.draw.type_settings import scaled, text_size
from losslandscape.files.surface import Place

NAME_SIZE = 11 / 13  # of a net's name, relative to the font size
LAYOUT = 1.5, 1.2  # room around a name, in its sizes: the final layout may shrink the axes
MOST_LETTERS = 28  # a longer name begins with an ellipsis, as the ends of names differ


def mark_nets(axes: Axes, nets: Sequence[Place]) -> None:
    """Mark the nets inside the axes, and write their names beside them, away from the middle of the nets."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    middle = sum(net.x for net in nets) / len(nets), sum(net.y for net in nets) / len(nets)
    taken: list[Bbox] = []
    for net in nets:
        if not (left <= net.x <= right and low <= net.y <= high):
            continue
        style: dict[str, Any] = {"color": "black", "markeredgecolor": "white", "zorder": 6.5}
        axes.plot(net.x, net.y, "o", markersize=scaled(7), **style)
        across, up = (-1 if net.x < middle[0] else 1), (-1 if net.y < middle[1] else 1)
        for corner in ((across, up), (-across, up), (across, -up), (-across, -up)):
            text = _write_name(axes, net, *corner)
            box = text.get_window_extent().expanded(*LAYOUT)
            has_room = axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1
            if corner == (-across, -up) or (has_room and not any(map(box.overlaps, taken))):
                taken.append(box)
                break
            text.remove()


def _write_name(axes: Axes, net: Place, across: int, up: int) -> Annotation:
    """Write the name of a net to the right (`across` 1) or left (-1) of it, above (`up` 1) or below (-1)."""
    return axes.annotate(
        shown_name(net),
        (net.x, net.y),
        (scaled(7 * across), scaled(5 * up)),
        textcoords="offset points",
        ha="left" if across > 0 else "right",
        va="bottom" if up > 0 else "top",
        fontsize=text_size(NAME_SIZE),
        zorder=7,
        path_effects=[withStroke(linewidth=scaled(3), foreground="white")],
    )


def shown_name(net: Place) -> str:
    """Return the name of a net as figures write it."""
    name = legible(net.name)
    short = name if len(name) <= MOST_LETTERS else f"…{name[1 - MOST_LETTERS :]}"
    return escape_mathematics(short)
