"""Writes planes as files for ParaView (.vtp)."""

from collections.abc import Sequence

import numpy as np

from losslandscape.core import quantity
from losslandscape.core.errors import InputError
from losslandscape.core.text import printable
from losslandscape.draw.drawable import describe_interpolated, describe_lost
from losslandscape.draw.figure_metadata import commands
from losslandscape.draw.vtk import polydata
from losslandscape.draw.vtk.sheet import LARGEST, LOG_OFFSET, make_sheet
from losslandscape.files.surface import Surface

MAX_POINTS = 5000  # per axis of a resampled surface: 25 million points need about 10 GB


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
        path = stem(surface, name, zmax=zmax, log=log) + ".vtp"
        mesh = polydata.make_polydata(sheet)
        polydata.write_vtp(mesh, path, made_by=made_by([surface], command))
        print(f"saved {path}")
        paths.append(path)
    return paths


def stem(surface: Surface, name: str, *, zmax: float | None, log: bool) -> str:
    """Return the beginning of the names of a surface's files."""
    cut = "" if zmax is None else f"_zmax={zmax}"
    return f"{surface.path}_{name}{cut}{'_log' if log else ''}"


def made_by(surfaces: Sequence[Surface], command: str) -> list[str]:
    """Return the commands that measured and drew surfaces, as far as known."""
    return [printable(text) for text in dict.fromkeys((*commands(*surfaces), command)) if text]


def _print_missing(surface: Surface, name: str, *, log: bool) -> None:
    """Print which points of a surface are interpolated, and which are cut out."""
    if interpolated := describe_interpolated(surface, name):
        print(f"{surface.path}: {name}: {interpolated}.")
    if lost := describe_lost(surface, name, largest=np.inf if log else LARGEST):
        print(f"{surface.path}: {name}: {lost}: cut out.")
    below = np.count_nonzero(surface.get(name) <= -LOG_OFFSET) if log else 0
    if below:
        values = "value" if below == 1 else "values"
        print(f"{surface.path}: {name}: {below} {values} of -0.1 or less, without logarithm: cut out.")
