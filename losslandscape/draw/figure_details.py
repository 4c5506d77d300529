"""What the user wants to see in figures apart from the data: texts, marks, colours, and an inset."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.legend import Legend

from losslandscape.core.errors import InputError, require_choice
from losslandscape.draw.contour_levels import COLOURS
from losslandscape.draw.setting import Setting

NONE = "none"
PLACES = tuple(Legend.codes)  # of a legend: "best", "upper right", …

Zoom = tuple[float, ...]  # half the width around the minimum, or xmin, xmax, ymin, ymax


@dataclass(frozen=True)
class Details:
    """What figures show apart from the data.

    Args:
        footnote: the text below a figure; None: what the figure cannot show; "": nothing.
        xlabel, ylabel: the texts beside the axes; "" for the usual ones.
        centre: whether the minimiser is marked, or both on a line between two nets.
        cmap: of planes: a colour map of matplotlib, instead of viridis.
        contour_labels: of planes: whether contour lines have their levels on them.
        lines: of planes: whether filled contours have lines too.
        zoom: the part of a plane that an inset enlarges: half its width around the lowest point, or its
            ends xmin, xmax, ymin, ymax.
        legend: of curves: where in the first panel the legend stands, one of `PLACES`, or "none"; "" for
            above the panels.
        marks: of curves: the names of the minimisers at 0 and, between two nets, at 1.
        barrier: of curves: whether to draw how far the loss between two nets rises above the straight line
            between its ends.

    Raises:
        InputError: there is no such colour map or place, or the part to enlarge has no size.
    """

    footnote: str | None = None
    xlabel: str = ""
    ylabel: str = ""
    centre: bool = True
    cmap: str = ""
    contour_labels: bool = True
    lines: bool = False
    zoom: Zoom = ()
    legend: str = ""
    marks: Sequence[str] = ()
    barrier: bool = False

    def __post_init__(self) -> None:
        if self.legend:
            require_choice("legend", self.legend, (*PLACES, NONE))
        if self.cmap:
            _require_colour_map(self.cmap)
        if self.zoom and not _has_size(self.zoom):
            text = ":".join(f"{value:g}" for value in self.zoom)
            raise InputError(
                f"the part {text} has no size", "give half a width, or xmin:xmax:ymin:ymax ({zoom})"
            )

    @property
    def colours(self) -> str:
        return self.cmap or COLOURS


def _require_colour_map(name: str) -> None:
    if name not in colormaps:
        known = "viridis, cividis, magma, coolwarm"
        advice = f"give one of its names, such as {known} ({{cmap}})"
        raise InputError(f"matplotlib has no colour map {name!r}", advice)


def _has_size(zoom: Zoom) -> bool:
    if not np.isfinite(zoom).all():
        return False
    return zoom[0] > 0 if len(zoom) == 1 else len(zoom) == 4 and zoom[0] < zoom[1] and zoom[2] < zoom[3]


# `with drawn_with(details):` draws every figure inside with these; `detailed` does so for functions with
# the keyword `details`.
_setting = Setting("details", Details())
current, drawn_with, detailed = _setting.current, _setting.set_to, _setting.by_keyword
