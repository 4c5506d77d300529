"""A sheet as a vtkPolyData of quads, and the file that ParaView opens.

No cell touches a point without a height. The arrays of heights have the published names: `zvalue` for points,
and `averaged zvalue` for cells, the mean of their corners.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from losslandscape.draw.vtk.resampling import whole_cells
from losslandscape.draw.vtk.sheet import Sheet
from losslandscape.files.atomic_file import replacing

if TYPE_CHECKING:
    from vtkmodules.vtkCommonCore import vtkDataArray
    from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData

COMPRESSION = 1  # Higher levels take half as long again, and make the file half a per cent smaller.


def make_polydata(sheet: Sheet) -> vtkPolyData:
    """Return the points with a height, row after row, the quads between them, and normals for lighting."""
    from vtkmodules.util.numpy_support import numpy_to_vtk
    from vtkmodules.vtkCommonCore import vtkPoints
    from vtkmodules.vtkCommonDataModel import vtkPolyData

    known = np.isfinite(sheet.height)
    corners = _corners(known)
    x, y = np.meshgrid(sheet.x, sheet.y)
    height = sheet.height[known]
    points = vtkPoints()
    points.SetData(numpy_to_vtk(np.stack([x[known], y[known], height], axis=-1), deep=True))
    polydata = vtkPolyData()
    polydata.SetPoints(points)
    polydata.SetPolys(_quads(corners))
    for name, values in sheet.values.items():
        polydata.GetPointData().AddArray(_array(name, values[known]))
    polydata.GetPointData().SetScalars(_array("zvalue", height))
    polydata.GetCellData().SetScalars(_array("averaged zvalue", height[corners].mean(axis=1)))
    return with_normals(polydata)


def _corners(known: np.ndarray) -> np.ndarray:
    """The numbers (cells, 4) of the known points at the corners of each whole cell, counter-clockwise."""
    number = np.cumsum(known).reshape(known.shape) - 1
    whole = whole_cells(known)
    around = number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]
    return np.stack([corner[whole] for corner in around], axis=-1)


def _quads(corners: np.ndarray) -> vtkCellArray:
    from vtkmodules.util.numpy_support import numpy_to_vtkIdTypeArray
    from vtkmodules.vtkCommonDataModel import vtkCellArray

    offsets = np.arange(0, corners.size + 1, 4, dtype=np.int64)
    numbers = corners.ravel().astype(np.int64)
    quads = vtkCellArray()
    quads.SetData(numpy_to_vtkIdTypeArray(offsets, deep=True), numpy_to_vtkIdTypeArray(numbers, deep=True))
    return quads


def _array(name: str, values: np.ndarray) -> vtkDataArray:
    from vtkmodules.util.numpy_support import numpy_to_vtk

    array = numpy_to_vtk(values, deep=True)
    array.SetName(name)
    return array


def with_normals(polydata: vtkPolyData) -> vtkPolyData:
    """Return the same points and cells with new normals at the points."""
    from vtkmodules.vtkFiltersCore import vtkPolyDataNormals

    normals = vtkPolyDataNormals()
    normals.SetInputData(polydata)
    normals.SplittingOff()
    normals.ConsistencyOff()
    normals.Update()
    return normals.GetOutput()


def write_vtp(polydata: vtkPolyData, path: str, *, made_by: Iterable[str] = ()) -> None:
    """Write a VTP file, whole or not at all.

    Args:
        polydata: what the file holds.
        path: of the file.
        made_by: the commands that made it, for the file's field data.
    """
    from vtkmodules.vtkCommonCore import vtkStringArray
    from vtkmodules.vtkIOXML import vtkXMLPolyDataWriter

    commands = vtkStringArray()
    commands.SetName("made_by")
    for command in made_by:
        commands.InsertNextValue(command)
    if commands.GetNumberOfValues():
        polydata.GetFieldData().AddArray(commands)
    writer = vtkXMLPolyDataWriter()
    writer.SetInputData(polydata)
    writer.SetDataModeToAppended()
    writer.SetCompressorTypeToZLib()
    writer.SetCompressionLevel(COMPRESSION)
    # Python writes the file: it reports a full disk or a forbidden folder, and VTK would not.
    writer.WriteToOutputStringOn()
    writer.Write()
    with replacing(path) as part:
        Path(part).write_bytes(writer.GetOutputString().encode())
