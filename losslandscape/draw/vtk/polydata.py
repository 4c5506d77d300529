"""A quantity of a 2-D surface as a vtkPolyData of quads, and the file that ParaView opens.

What has no value (NaN, infinite, not measured, without logarithm) is cut out: no cell touches such a point. The quantity's own arrays
have the published names `zvalue` (of a point) and `averaged zvalue` (of a cell: the mean of its corners).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from losslandscape.core import quantity
from losslandscape.core.errors import InputError
from losslandscape.draw.surface_views import places
from losslandscape.files.atomic_file import replacing

if TYPE_CHECKING:
    from vtkmodules.vtkCommonDataModel import vtkPolyData

    from losslandscape.files.surface import Surface

LOG_OFFSET = 0.1  # of the published program: the logarithm of a loss of zero is finite
LARGEST = 1e100  # squares and products of coordinates must stay finite: beyond this is as good as infinite
MOST_POINTS = 5000  # along an axis, of a resampled surface: 25 million points need about 10 GB
ROOM_ABOVE = 2  # heights of the shown part, above which a value is cut before it is resampled, that a cliff may not ripple far


@dataclass(frozen=True)
class Sheet:
    """What is shown: ascending `x` (nx,) and `y` (ny,), `height` (ny, nx), NaN where there is none, and further values by name."""

    x: np.ndarray
    y: np.ndarray
    height: np.ndarray
    others: dict[str, np.ndarray]

    @property
    def z_range(self) -> tuple[float, float]:
        return float(np.nanmin(self.height)), float(np.nanmax(self.height))

    @property
    def has_cells(self) -> bool:
        return bool(_whole_cells(np.isfinite(self.height)).any())


def sheet(
    surface: Surface,
    name: str,
    *,
    zmax: float = 0.0,
    log: bool = False,
    resample: tuple[int, int] | None = None,
    bounded: bool = False,
) -> Sheet:
    """Quantity `name` as heights, cut off at `zmax` if that is positive, as ln(z + 0.1) with `log`.

    `resample` (nx, ny) asks for a cubic spline, through the logarithms with `log`. A new point has a value if the corners of the cell that
    it lies in have theirs; `bounded` keeps the new heights between the least and the greatest measured one, which a spline leaves at cliffs.
    Rows and columns of which nothing is measured yet are left out, so that a run that began with a coarse grid shows that grid.
    Raises `InputError` for a 1-D surface and for one that leaves no cell to draw.
    """
    if surface.y is None:
        raise InputError(f"{surface.path} is 1-D; use plot_1D.py")
    measured = surface.measured(name)
    columns, rows = places(surface.x, measured.any(axis=0)), places(surface.y, measured.any(axis=1))
    values = {other: _finite(surface.get(other)[np.ix_(rows, columns)]) for other in surface.names}
    height = _log(surface.get(name)[np.ix_(rows, columns)]) if log else values[name]
    shown = Sheet(surface.x[columns], surface.y[rows], height, values)
    if not shown.has_cells:
        why = (
            f", and {LARGEST:g} or beyond is too large (--log shows it)"
            if not log and (np.abs(surface.get(name)) >= LARGEST).any()
            else ""
        )
        raise InputError(
            f"{surface.path}: {name} leaves nothing to draw: a surface needs 2x2 neighbouring points that have finite values{why}"
        )
    low, ceiling = shown.z_range[0], np.inf
    if zmax > 0:
        ceiling = float(np.log(zmax + LOG_OFFSET)) if log else zmax
        if not ceiling > low:
            raise InputError(
                f"zmax {zmax:g} is not above any value of {name} in {surface.path} (the least is {np.nanmin(values[name]):.3g})"
            )
        if resample:
            shown = Sheet(shown.x, shown.y, np.minimum(height, low + ROOM_ABOVE * (ceiling - low)), values)
    high = min(ceiling, shown.z_range[1])
    if resample:
        shown = _resampled(shown, *resample)
    if bounded:
        return Sheet(shown.x, shown.y, np.clip(shown.height, low, high), shown.others)
    return Sheet(shown.x, shown.y, np.minimum(shown.height, ceiling), shown.others)


def mesh(shown: Sheet) -> vtkPolyData:
    """The points that have a height, row after row, the quads between them, and normals for lighting."""
    from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray
    from vtkmodules.vtkCommonCore import vtkPoints
    from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData

    known = np.isfinite(shown.height)
    number = np.cumsum(known).reshape(known.shape) - 1
    whole = _whole_cells(known)
    corners = np.stack(
        [number[:-1, :-1][whole], number[:-1, 1:][whole], number[1:, 1:][whole], number[1:, :-1][whole]],
        axis=-1,
    )
    x, y = np.meshgrid(shown.x, shown.y)
    height = shown.height[known]

    points = vtkPoints()
    points.SetData(numpy_to_vtk(np.stack([x[known], y[known], height], axis=-1), deep=True))
    quads = vtkCellArray()
    offsets = np.arange(0, corners.size + 1, 4, dtype=np.int64)
    quads.SetData(
        numpy_to_vtkIdTypeArray(offsets, deep=True),
        numpy_to_vtkIdTypeArray(corners.ravel().astype(np.int64), deep=True),
    )
    made = vtkPolyData()
    made.SetPoints(points)
    made.SetPolys(quads)
    for name, values in shown.others.items():
        made.GetPointData().AddArray(_named(name, numpy_to_vtk(values[known], deep=True)))
    made.GetPointData().SetScalars(_named("zvalue", numpy_to_vtk(height, deep=True)))
    made.GetCellData().SetScalars(
        _named("averaged zvalue", numpy_to_vtk(height[corners].mean(axis=1), deep=True))
    )
    return with_normals(made)


def with_normals(surface: vtkPolyData) -> vtkPolyData:
    """The same points and cells, with normals of the points in place of those that there are."""
    from vtkmodules.vtkFiltersCore import vtkPolyDataNormals

    normals = vtkPolyDataNormals()
    normals.SetInputData(surface)
    normals.SplittingOff()
    normals.ConsistencyOff()
    normals.Update()
    return normals.GetOutput()


def write(surface: vtkPolyData, path: str, *, made_by: Iterable[str] = ()) -> None:
    """Write a VTP file, whole or not at all; its field data hold the commands that made it."""
    from vtkmodules.vtkCommonCore import vtkStringArray
    from vtkmodules.vtkIOXML import vtkXMLPolyDataWriter

    commands = vtkStringArray()
    commands.SetName("made_by")
    for command in made_by:
        commands.InsertNextValue(command)
    if commands.GetNumberOfValues():
        surface.GetFieldData().AddArray(commands)
    writer = vtkXMLPolyDataWriter()
    writer.SetInputData(surface)
    writer.SetDataModeToAppended()
    writer.SetCompressorTypeToZLib()
    writer.SetCompressionLevel(1)  # higher ones take half as long again, for half a per cent of the size
    writer.WriteToOutputStringOn()  # Python writes the file: it tells a full disk or a forbidden folder as every script does
    writer.Write()
    with replacing(path) as part:
        Path(part).write_bytes(writer.GetOutputString().encode())


def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.abs(values) < LARGEST, values, np.nan)


def _log(values: np.ndarray) -> np.ndarray:
    return np.log(
        values + LOG_OFFSET,
        out=np.full(values.shape, np.nan),
        where=np.isfinite(values) & (values > -LOG_OFFSET),
    )


def _whole_cells(known: np.ndarray) -> np.ndarray:
    """Of shape (ny - 1, nx - 1): the cells that have all four corners."""
    return known[:-1, :-1] & known[:-1, 1:] & known[1:, 1:] & known[1:, :-1]


def _resampled(shown: Sheet, nx: int, ny: int) -> Sheet:
    x, y = np.linspace(shown.x[0], shown.x[-1], nx), np.linspace(shown.y[0], shown.y[-1], ny)
    others = {name: _cubic(shown.x, shown.y, values, x, y) for name, values in shown.others.items()}
    for name, values in others.items():
        if quantity.is_percentage(name):
            np.clip(values, 0, 100, out=values)  # a spline may swing beyond the ends of a percentage
    return Sheet(x, y, _cubic(shown.x, shown.y, shown.height, x, y), others)


def _cubic(
    x: np.ndarray, y: np.ndarray, values: np.ndarray, new_x: np.ndarray, new_y: np.ndarray
) -> np.ndarray:
    """A cubic spline through the finite values at the new points, NaN at those that a hole's cells touch."""
    from scipy.interpolate import RectBivariateSpline

    known = np.isfinite(values)
    if not known.any():
        return np.full((new_y.size, new_x.size), np.nan)
    level = values[known][0]  # taken away before, so that a constant stays one to the last digit
    spline = RectBivariateSpline(
        y, x, _without_holes(values) - level, kx=min(3, y.size - 1), ky=min(3, x.size - 1)
    )
    resampled = spline(new_y, new_x) + level
    if not known.all():
        resampled[_shares(y, new_y) @ ~known @ _shares(x, new_x).T > 1e-9] = (
            np.nan
        )  # less is rounding of coordinates
    return resampled


def _shares(old_places: np.ndarray, new_places: np.ndarray) -> np.ndarray:
    """Of shape (new, old): how linear interpolation weighs the old places, not zero where a new place depends on an old one."""
    return np.stack([np.interp(new_places, old_places, unit) for unit in np.eye(old_places.size)], axis=-1)


def _without_holes(values: np.ndarray) -> np.ndarray:
    """The values with holes filled, so that a spline can be laid through them: linearly from around a hole, else by the nearest."""
    from scipy.interpolate import LinearNDInterpolator
    from scipy.ndimage import distance_transform_edt

    hole = ~np.isfinite(values)
    if not hole.any():
        return values
    nearest = values[tuple(distance_transform_edt(hole, return_distances=False, return_indices=True))]
    if not _whole_cells(~hole).any():
        return nearest  # perhaps all on one line, of which there is no triangle
    linear = LinearNDInterpolator(np.argwhere(~hole), values[~hole])(np.argwhere(hole))
    filled = nearest.copy()
    filled[hole] = np.where(np.isfinite(linear), linear, nearest[hole])
    return filled


def _named(name: str, array):
    array.SetName(name)
    return array
