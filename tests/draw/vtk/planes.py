"""Surface files of planes, and VTP files read back with VTK's own reader."""

import numpy as np
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonDataModel import vtkDataSetAttributes, vtkPolyData
from vtkmodules.vtkIOXML import vtkXMLPolyDataReader

from tests.helpers import write_surface_file

X, Y = np.linspace(-1, 1, 7), np.linspace(-0.5, 1, 5)


def bowl(x: np.ndarray = X, y: np.ndarray = Y) -> np.ndarray:
    return bowl_height(x[None], y[:, None])


def bowl_height(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 0.2 + 8 * x**2 + 3 * y**2 + x * y


def write_plane(path="s.h5", x=X, y=Y, *, values=None, measured=None, **others) -> str:
    """Write a bowl, or other losses that may be broadcast, and more quantities."""
    loss = bowl(x, y) if values is None else np.broadcast_to(values, (len(y), len(x)))
    write_surface_file(path, x=x, y=y, quantities={"train_loss": loss, **others}, measured=measured)
    return path


class Mesh:
    """A VTP file as arrays: points (n, 3), cells (m, 4), and the arrays of points and cells by name."""

    def __init__(self, polydata: vtkPolyData):
        self.points = vtk_to_numpy(polydata.GetPoints().GetData())
        polys = polydata.GetPolys()
        assert polydata.GetNumberOfCells() == polydata.GetNumberOfPolys()
        offsets = np.arange(0, 4 * polys.GetNumberOfCells() + 1, 4)
        assert np.array_equal(vtk_to_numpy(polys.GetOffsetsArray()), offsets)
        self.cells = vtk_to_numpy(polys.GetConnectivityArray()).reshape(-1, 4)
        self.point_arrays = _arrays(polydata.GetPointData())
        self.cell_arrays = _arrays(polydata.GetCellData())
        self.scalars = polydata.GetPointData().GetScalars().GetName()
        self.normals = vtk_to_numpy(polydata.GetPointData().GetNormals())
        texts = polydata.GetFieldData().GetAbstractArray("made_by")
        self.made_by = [texts.GetValue(i) for i in range(texts.GetNumberOfValues())] if texts else []


def _arrays(data: vtkDataSetAttributes) -> dict[str, np.ndarray]:
    numbers = range(data.GetNumberOfArrays())
    return {data.GetArrayName(i): vtk_to_numpy(data.GetArray(i)) for i in numbers}


def read_vtp(path: str) -> Mesh:
    reader = vtkXMLPolyDataReader()
    reader.SetFileName(path)
    reader.Update()
    assert not reader.GetErrorCode()
    return Mesh(reader.GetOutput())


def grid_points(x: np.ndarray, y: np.ndarray, height: np.ndarray) -> np.ndarray:
    return np.array([(x[j], y[i], height[i, j]) for i in range(len(y)) for j in range(len(x))])
