"""What the user wants to see in figures apart from the data: texts, marks, colours, and an inset."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, TypeVar

import numpy as np
from matplotlib import colormaps
from matplotlib.legend import Legend

from losslandscape.core.errors import InputError, require_choice
from losslandscape.draw.contour_levels import COLOURS

P = ParamSpec("P")
R = TypeVar("R")

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


USUAL = Details()
_details: ContextVar[Details] = ContextVar("_details", default=USUAL)


def current() -> Details:
    """Return the details of the innermost `drawn_with`."""
    return _details.get()


@contextmanager
def drawn_with(details: Details | None) -> Iterator[None]:
    """Draw every figure inside the block with these details; None changes nothing."""
    token = _details.set(current() if details is None else details)
    try:
        yield
    finally:
        _details.reset(token)


def detailed(draw: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function with a keyword `details`, which holds for all its figures."""

    @wraps(draw)
    def with_details(*args: P.args, **kwargs: P.kwargs) -> R:
        details = kwargs.get("details")
        assert details is None or isinstance(details, Details)
        with drawn_with(details):
            return draw(*args, **kwargs)

    return with_details
