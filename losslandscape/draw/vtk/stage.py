"""Prepares surfaces for lit pictures: scaled alike, cut off, with their colours and marks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from losslandscape.core import quantity
from losslandscape.draw.drawable import finite
from losslandscape.draw.labels import label
from losslandscape.draw.vtk import lit_scene, marks, polydata
from losslandscape.draw.vtk.colour_bar_ticks import height_ticks
from losslandscape.draw.vtk.colours import Colours, choose_colours
from losslandscape.draw.vtk.look import Look
from losslandscape.draw.vtk.sheet import LOG_OFFSET, Sheet, ceiling_height, make_sheet
from losslandscape.files.projection import Projection
from losslandscape.files.surface import Place, Surface

if TYPE_CHECKING:
    from vtkmodules.vtkCommonDataModel import vtkPolyData
    from vtkmodules.vtkCommonTransforms import vtkTransform

MIN_POINTS = 600  # per axis of the surface in a picture
# Above this ratio of the greatest to the least value, both plus the offset, a picture shows logarithms.
HUGE_RATIO = 1000.0


@dataclass(frozen=True)
class Subject:
    """What one picture shows.

    Args:
        transform: what scales the surface for the picture.
        mesh: the scaled surface.
        colours: the colours of its heights.
        label: the text of the colour bar.
        ticks: heights on the colour bar, each with its text.
        marks: what lies on the surface.
    """

    transform: vtkTransform
    mesh: vtkPolyData
    colours: Colours
    label: str
    ticks: list[tuple[float, str]]
    marks: list[marks.Mark] = field(default_factory=list)

    def levels(self) -> list[float]:
        """Return the heights of isolines: those of the ticks, and half-way between."""
        ticks = [height for height, _ in self.ticks]
        return sorted([*ticks, *((a + b) / 2 for a, b in zip(ticks, ticks[1:], strict=False))])


def prepare(
    surfaces: Sequence[Surface],
    name: str,
    *,
    zmax: float | None,
    log: bool,
    look: Look,
    projection: Projection | None = None,
) -> list[Subject]:
    """Return what the pictures of surfaces show, with one scale of the heights.

    Args:
        surfaces: planes.
        name: the quantity to show as height.
        zmax: the value at which surfaces are cut off.
        log: whether heights are ln(value + 0.1). They are also logarithmic if `zmax` is None and the range of
            the values is huge, except for a percentage.
        look: how pictures look.
        projection: the path of a training to lay on each surface.

    Raises:
        InputError: a plane cannot be shown, or the path is not on it.
    """
    for surface in surfaces:
        if projection:
            projection.require_on(surface)
    if not log and zmax is None and _range_is_huge(surfaces, name):
        log = True
        print(f"The values of {name} have a huge range: pictures show logarithms, unless zmax cuts them off.")
    ceiling = ceiling_height(zmax, log=log)
    sheets = [
        make_sheet(surface, name, zmax=zmax, log=log, points=_points(surface), bounded=True)
        for surface in surfaces
    ]
    colours = choose_colours(sheets, ceiling=ceiling, cmap=look.cmap, own=look.own_colours)
    low, high = _shown_range(sheets, ceiling)
    subjects = []
    for surface, sheet, shades in zip(surfaces, sheets, colours, strict=True):
        mesh = polydata.make_polydata(sheet)
        transform = lit_scene.scaling(mesh, low, high, look.height)
        mesh = lit_scene.transformed(mesh, transform)
        if sheet.z_range[1] > ceiling:
            mesh = lit_scene.cut_off(mesh, ceiling)
        ground = marks.Ground(sheet, transform, ceiling)
        if projection:
            _print_lost(ground, projection, surface.path)
        laid = _marks(ground, projection, look, surface.nets)
        ticks = height_ticks(shades.low, shades.high, log=log)
        subjects.append(Subject(transform, mesh, shades, label(name), ticks, laid))
    return subjects


def _marks(
    ground: marks.Ground, projection: Projection | None, look: Look, nets: Sequence[Place]
) -> list[marks.Mark]:
    path = marks.path_marks(ground, projection.x, projection.y) if projection else []
    if projection and projection.is_curve:
        path = path[:1]  # the line alone: it has no checkpoints
    return [*path, *(marks.minimiser_marks(ground, nets) if look.minimiser else [])]


def _print_lost(ground: marks.Ground, projection: Projection, surf_file: str) -> None:
    """Print how many checkpoints lie off the shown surface: outside, in a hole, or above the cut."""
    places = ground.above(projection.x, projection.y, 0.0)
    lost = np.count_nonzero(np.isnan(places).any(axis=1))
    if lost:
        print(f"{surf_file}: {lost} of {len(places)} checkpoints lie off the shown surface: left out.")


def _shown_range(sheets: Sequence[Sheet], ceiling: float) -> tuple[float, float]:
    ranges = [sheet.z_range for sheet in sheets]
    return min(low for low, _ in ranges), min(ceiling, max(high for _, high in ranges))


def _range_is_huge(surfaces: Sequence[Surface], name: str) -> bool:
    if quantity.is_percentage(name):
        return False
    values = np.concatenate([finite(surface.get(name)).ravel() for surface in surfaces])
    low, high = np.nanmin(values) + LOG_OFFSET, np.nanmax(values) + LOG_OFFSET
    return bool(low > 0 and high / low > HUGE_RATIO)


def _points(surface: Surface) -> tuple[int, int]:
    """Return how many points along x and y make a smooth picture that includes all points of the grid."""
    return _refined_count(surface.shape[-1]), _refined_count(surface.shape[0])


def _refined_count(count: int) -> int:
    cells = max(count - 1, 1)
    return math.ceil(MIN_POINTS / cells) * cells + 1
