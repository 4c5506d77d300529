"""Turns a sheet into a vtkPolyData of quads, and writes it to a file for ParaView.

No cell touches a point without a height. The arrays of heights have the names of the published program:
`zvalue` for points, and `averaged zvalue` for cells, as the mean of the corners.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from losslandscape.draw.resampling import whole_cells
from losslandscape.draw.vtk.sheet import Sheet
from losslandscape.files.atomic_file import replacing

if TYPE_CHECKING:
    from vtkmodules.vtkCommonCore import vtkDataArray
    from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData

COMPRESSION = 1  # A higher level takes 1.5 times as long, and makes the file only 0.5 % smaller.


def make_polydata(sheet: Sheet) -> vtkPolyData:
    """Return the points that have a height, row after row, with quads between them, and normals for light."""
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
    """Return the corners of each whole cell, (cells, 4) counter-clockwise, as indices of known points."""
    indices = np.cumsum(known).reshape(known.shape) - 1
    whole = whole_cells(known)
    around = indices[:-1, :-1], indices[:-1, 1:], indices[1:, 1:], indices[1:, :-1]
    return np.stack([corner[whole] for corner in around], axis=-1)


def _quads(corners: np.ndarray) -> vtkCellArray:
    from vtkmodules.util.numpy_support import numpy_to_vtkIdTypeArray
    from vtkmodules.vtkCommonDataModel import vtkCellArray

    offsets = np.arange(0, corners.size + 1, 4, dtype=np.int64)
    indices = corners.ravel().astype(np.int64)
    quads = vtkCellArray()
    quads.SetData(numpy_to_vtkIdTypeArray(offsets, deep=True), numpy_to_vtkIdTypeArray(indices, deep=True))
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
    """Write a VTP file completely or not at all.

    Args:
        polydata: the points and cells to write.
        path: the path of the file.
        made_by: the commands that made the surface, for the field data of the file.
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
