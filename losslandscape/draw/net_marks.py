"""Marks the nets that lie in a plane, each with its name."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from losslandscape.core.text import legible
from losslandscape.draw.labels import escape_mathematics
from losslandscape.draw.type_settings import scaled, text_size
from losslandscape.files.surface import Place

NAME_SIZE = 11 / 13  # of a net's name, relative to the font size
MOST_LETTERS = 28  # a longer name begins with an ellipsis, as the ends of names differ


def mark_nets(axes: Axes, nets: Sequence[Place]) -> None:
    """Mark the nets inside the axes, and write their names beside them, away from the middle of the nets."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    middle = sum(net.y for net in nets) / len(nets)
    for net in nets:
        if not (left <= net.x <= right and low <= net.y <= high):
            continue
        style: dict[str, Any] = {"color": "black", "markeredgecolor": "white", "zorder": 6.5}
        axes.plot(net.x, net.y, "o", markersize=scaled(7), **style)
        is_right, is_low = net.x > (left + right) / 2, net.y < middle
        text = axes.annotate(
            shown_name(net),
            (net.x, net.y),
            (scaled(-7 if is_right else 7), scaled(-5 if is_low else 5)),
            textcoords="offset points",
            ha="right" if is_right else "left",
            va="top" if is_low else "bottom",
            fontsize=text_size(NAME_SIZE),
            zorder=7,
        )
        text.set_path_effects([withStroke(linewidth=scaled(3), foreground="white")])


def shown_name(net: Place) -> str:
    """Return the name of a net as figures write it."""
    name = legible(net.name)
    short = name if len(name) <= MOST_LETTERS else f"…{name[1 - MOST_LETTERS :]}"
    return escape_mathematics(short)
