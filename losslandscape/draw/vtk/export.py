"""Writes planes as files for ParaView (.vtp), and as lit pictures (.png) that can be compared."""

import math
import os
from collections.abc import Sequence

import numpy as np

from losslandscape.core import quantity
from losslandscape.core.errors import InputError
from losslandscape.core.text import printable
from losslandscape.draw.drawable import describe_missing, finite
from losslandscape.draw.figure_metadata import commands
from losslandscape.draw.labels import label
from losslandscape.draw.vtk import polydata, rendering
from losslandscape.draw.vtk.colour_bar_ticks import height_ticks
from losslandscape.draw.vtk.sheet import LARGEST, LOG_OFFSET, Sheet, make_sheet
from losslandscape.files.surface import Surface

MAX_POINTS = 5000  # per axis of a resampled surface: 25 million points need about 10 GB
MIN_PICTURE_POINTS = 600  # per axis of the surface in a picture
# Above this ratio of the greatest to the least value, both plus the offset, a picture shows logarithms.
HUGE_RATIO = 1000.0


def main_quantity(surfaces: Sequence[Surface]) -> str:
    """Return the first quantity that all surfaces have; train_loss if they share none."""
    for name in quantity.shown(surfaces[0].names):
        if all(name in surface.names for surface in surfaces):
            return name
    return "train_loss"


def export_vtp(
    surfaces: Sequence[Surface],
    name: str = "train_loss",
    *,
    zmax: float | None = None,
    log: bool = False,
    interp: int | None = None,
    command: str = "",
) -> list[str]:
    """Write a VTP file beside each surface file.

    Args:
        surfaces: planes.
        name: the quantity to show as height.
        zmax: the value at which heights are cut off.
        log: whether heights are ln(value + 0.1).
        interp: the number of points per axis after resampling; None to keep the grid.
        command: the command that draws, for the metadata of the files.

    Returns:
        The paths of the files.

    Raises:
        InputError: a plane cannot be shown. Then no file is written.
    """
    if interp is not None and not 2 <= interp <= MAX_POINTS:
        fault = f"{interp} points along an axis are out of range"
        raise InputError(fault, f"give {{interp}} from 2 to {MAX_POINTS}")
    points = (interp, interp) if interp else None
    sheets = [make_sheet(surface, name, zmax=zmax, log=log, points=points) for surface in surfaces]
    paths = []
    for surface, sheet in zip(surfaces, sheets, strict=True):
        _print_missing(surface, name, log=log)
        path = _stem(surface, name, zmax=zmax, log=log) + ".vtp"
        mesh = polydata.make_polydata(sheet)
        polydata.write_vtp(mesh, path, made_by=_made_by(surface, command))
        print(f"saved {path}")
        paths.append(path)
    return paths


def export_png(
    surfaces: Sequence[Surface],
    name: str = "train_loss",
    *,
    zmax: float | None = None,
    log: bool = False,
    views: Sequence[str] = ("corner",),
    size: tuple[int, int] = rendering.DEFAULT_SIZE,
    command: str = "",
) -> list[str]:
    """Write one picture per view beside each surface file.

    The pictures of a view share the scale of the heights, the colours and the camera.

    Args:
        surfaces: planes.
        name: the quantity to show as height.
        zmax: the value at which heights are cut off.
        log: whether heights are ln(value + 0.1). They are also logarithmic if `zmax` is None and the range of
            the values is huge, except for a percentage.
        views: names in `camera.VIEWS`.
        size: width and height in pixels.
        command: the command that draws, for the metadata of the files.

    Returns:
        The paths of the files.

    Raises:
        InputError: a plane cannot be shown, or this machine cannot render.
    """
    stems = [_stem(surface, name, zmax=zmax, log=log) for surface in surfaces]
    if not log and zmax is None and _range_is_huge(surfaces, name):
        log = True
        print(f"The values of {name} have a huge range: pictures show logarithms, unless zmax cuts them off.")
    sheets = [
        make_sheet(surface, name, zmax=zmax, log=log, points=_picture_points(surface), bounded=True)
        for surface in surfaces
    ]
    meshes = [polydata.make_polydata(sheet) for sheet in sheets]
    ticks = height_ticks(*_z_range(sheets), log=log)
    paths = []
    for view in dict.fromkeys(views):
        pictures = rendering.render(meshes, view=view, size=size, label=label(name), ticks=ticks)
        for surface, stem, picture in zip(surfaces, stems, pictures, strict=True):
            path = f"{stem}_{view}.png"
            commands = "\n".join(_made_by(surface, command))
            about = {"Title": os.path.basename(path), "Description": commands}
            rendering.save_png(picture, path, about=about)
            print(f"saved {path}")
            paths.append(path)
    return paths


def _stem(surface: Surface, name: str, *, zmax: float | None, log: bool) -> str:
    cut = "" if zmax is None else f"_zmax={zmax}"
    return f"{surface.path}_{name}{cut}{'_log' if log else ''}"


def _made_by(surface: Surface, command: str) -> list[str]:
    """Return the commands that measured and drew a surface, as far as known."""
    return [printable(text) for text in (*commands(surface), command) if text]


def _print_missing(surface: Surface, name: str, *, log: bool) -> None:
    """Print which points are cut out of a surface."""
    missing = describe_missing(surface, name, largest=np.inf if log else LARGEST)
    if missing:
        print(f"{surface.path}: {name}: {missing}: cut out.")
    below = np.count_nonzero(surface.get(name) <= -LOG_OFFSET) if log else 0
    if below:
        values = "value" if below == 1 else "values"
        print(f"{surface.path}: {name}: {below} {values} of -0.1 or less, without logarithm: cut out.")


def _range_is_huge(surfaces: Sequence[Surface], name: str) -> bool:
    if quantity.is_percentage(name):
        return False
    values = np.concatenate([finite(surface.get(name)).ravel() for surface in surfaces])
    low, high = np.nanmin(values) + LOG_OFFSET, np.nanmax(values) + LOG_OFFSET
    return bool(low > 0 and high / low > HUGE_RATIO)


def _z_range(sheets: Sequence[Sheet]) -> tuple[float, float]:
    ranges = [sheet.z_range for sheet in sheets]
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _picture_points(surface: Surface) -> tuple[int, int]:
    """Return how many points along x and y make a smooth picture that includes all points of the grid."""
    return _refined_count(surface.shape[-1]), _refined_count(surface.shape[0])


def _refined_count(count: int) -> int:
    cells = max(count - 1, 1)
    return math.ceil(MIN_PICTURE_POINTS / cells) * cells + 1
