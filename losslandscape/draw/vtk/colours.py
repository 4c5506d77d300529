"""Chooses the colours of heights: the map, and the heights at its ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from losslandscape.core.errors import InputError
from losslandscape.draw.vtk.sheet import Sheet, is_flat

if TYPE_CHECKING:
    from matplotlib.colors import Colormap
    from vtkmodules.vtkCommonCore import vtkLookupTable

DEFAULT_CMAP = "turbo"
TURBO_PART = 0.08, 0.88  # from deep blue to red; beyond, shaded pixels are nearly black
# A few extreme heights would leave most of a surface one colour. They get the colours of the ends.
SHARE_BEYOND = 0.01
TRANSPARENT = "transparent"
NUMBER = 256


@dataclass(frozen=True)
class Colours:
    """The colours of heights.

    Args:
        low, high: the heights at the ends of the map.
        lowest, highest: the heights that are drawn; those beyond the ends have the colours of the ends.
        cmap: the name of the map.
    """

    low: float
    high: float
    lowest: float
    highest: float
    cmap: str

    @property
    def is_flat(self) -> bool:
        return is_flat(self.low, self.high)

    @property
    def ends(self) -> tuple[float, float]:
        """The heights at the ends of the map, apart even if all heights are equal."""
        margin = max(abs(self.low), 1.0) if self.is_flat else 0.0
        return self.low - margin, self.high + margin

    def table(self) -> vtkLookupTable:
        """Return the colours for VTK."""
        from vtkmodules.vtkCommonCore import vtkLookupTable

        table = vtkLookupTable()
        table.SetNumberOfTableValues(NUMBER)
        table.SetTableRange(*self.ends)
        for i, colour in enumerate(self.shades()):
            table.SetTableValue(i, *colour)
        return table

    def shades(self) -> np.ndarray:
        """Return the colours from the low end to the high end, (n, 3), from 0 to 1."""
        return colour_map(self.cmap)(np.linspace(0, 1, NUMBER))[:, :3]


def choose_colours(
    sheets: Sequence[Sheet], *, ceiling: float, cmap: str = DEFAULT_CMAP, own: bool = False
) -> list[Colours]:
    """Return the colours of each sheet, which are shared unless `own`.

    The ends leave out `SHARE_BEYOND` of the heights of each sheet on either side. Where sheets are cut at
    `ceiling`, that is the upper end.
    """
    if not own:
        return [_of(sheets, ceiling, cmap)] * len(sheets)
    return [_of([sheet], ceiling, cmap) for sheet in sheets]


def _of(sheets: Sequence[Sheet], ceiling: float, cmap: str) -> Colours:
    shown = [np.minimum(sheet.height[np.isfinite(sheet.height)], ceiling) for sheet in sheets]
    lowest, highest = min(float(heights.min()) for heights in shown), max(float(h.max()) for h in shown)
    low = min(float(np.quantile(heights, SHARE_BEYOND)) for heights in shown)
    high = max(float(np.quantile(heights, 1 - SHARE_BEYOND)) for heights in shown)
    if highest >= ceiling:
        high = highest
    if is_flat(low, high):  # nearly all is one height
        low, high = lowest, highest
    return Colours(low, high, lowest, highest, cmap)


def colour_map(name: str) -> Colormap:
    """Return a colour map of matplotlib; raise `InputError` if it has none of this name."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    if name not in colormaps:
        raise InputError(f"matplotlib has no colour map {name!r}", "give {cmap:turbo}, {cmap:viridis}, …")
    colours = colormaps[name]
    if name != DEFAULT_CMAP:
        return colours
    return ListedColormap(colours(np.linspace(*TURBO_PART, NUMBER)), name)


def background_colour(name: str) -> np.ndarray | None:
    """Return a background as red, green and blue (3,) from 0 to 1, or None if it is transparent."""
    from matplotlib.colors import is_color_like, to_rgb

    if name == TRANSPARENT:
        return None
    if not is_color_like(name):
        raise InputError(f"{name!r} is no colour", "give {background:transparent}, {background:white}, …")
    return np.array(to_rgb(name))
