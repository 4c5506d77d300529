"""Lays marks on a lit surface: the path of a training and the minimiser, above the surface."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from losslandscape.draw.vtk.sheet import Sheet
from losslandscape.files.surface import Place

if TYPE_CHECKING:
    from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData
    from vtkmodules.vtkCommonTransforms import vtkTransform
    from vtkmodules.vtkRenderingCore import vtkActor

# Lengths in widths of the plane.
TUBE_RADIUS, POINT_RADIUS, END_RADIUS = 0.0045, 0.009, 0.016
STEP = 0.004  # between two points of a path on the surface
OUTLINE = 1.45  # the radius of the dark outline, in radii of the mark
SIDES = 16  # of a tube
COLOUR, OUTLINE_COLOUR = (0.95, 0.95, 0.95), (0.08, 0.08, 0.08)


class Ground:
    """A scaled surface on which marks lie.

    Args:
        sheet: the surface.
        transform: what scales it for the picture, without turning it.
        ceiling: the height at which the surface is cut off.
    """

    def __init__(self, sheet: Sheet, transform: vtkTransform, ceiling: float):
        matrix = transform.GetMatrix()
        self._scale = np.array([matrix.GetElement(i, i) for i in range(3)])
        self._shift = np.array([matrix.GetElement(i, 3) for i in range(3)])
        self._axes = (sheet.y, sheet.x)
        self._height = np.where(sheet.height <= ceiling, sheet.height, np.nan)
        self._slopes = np.gradient(self._height, *self._axes)

    def above(self, x: np.ndarray, y: np.ndarray, lift: float) -> np.ndarray:
        """Return points (n, 3) of the picture that lie by `lift` above the surface, at right angles to it.

        Args:
            x, y: coordinates in the plane; points are NaN where the surface has no height.
        """
        z, slope_y, slope_x = (self._at(x, y, values) for values in (self._height, *self._slopes))
        steepness = self._scale[2] * np.stack([slope_x / self._scale[0], slope_y / self._scale[1]], axis=-1)
        normals = np.column_stack([-steepness, np.ones(len(steepness))])
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        return np.column_stack([x, y, z]) * self._scale + self._shift + lift * normals

    def along(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the path with more points between, so close that it follows the surface."""
        spans = np.hypot(np.diff(x) * self._scale[0], np.diff(y) * self._scale[1])
        counts = np.maximum(np.ceil(spans / STEP).astype(int), 1)
        parts = [i + np.arange(count) / count for i, count in enumerate(counts)]
        positions = np.append(np.concatenate(parts) if parts else [], len(x) - 1)
        known = np.arange(len(x))
        return np.interp(positions, known, x), np.interp(positions, known, y)

    def _at(self, x: np.ndarray, y: np.ndarray, values: np.ndarray) -> np.ndarray:
        from scipy.interpolate import RegularGridInterpolator

        at = RegularGridInterpolator(self._axes, values, bounds_error=False)
        return at(np.column_stack([y, x]))


@dataclass(frozen=True)
class Mark:
    """A shape on a surface, and the same a little thicker, whose far side is its dark outline."""

    shape: vtkPolyData
    outline: vtkPolyData

    def actors(self) -> list[vtkActor]:
        """Return what draws the mark. The OpenGL classes must be loaded."""
        mark, outline = _actor(self.shape, COLOUR), _actor(self.outline, OUTLINE_COLOUR)
        mark.GetProperty().SetAmbient(0.85)
        mark.GetProperty().SetDiffuse(0.12)
        outline.GetProperty().LightingOff()
        outline.GetProperty().FrontfaceCullingOn()
        return [mark, outline]


def minimiser_marks(ground: Ground, nets: Sequence[Place] = ()) -> list[Mark]:
    """Return a ball at the centre (0, 0) of the plane, or at each net that lies in it.

    There is no ball where the surface has no height.
    """
    x, y = np.array([[net.x, net.y] for net in nets] or [[0.0, 0.0]]).T
    return [_mark(_balls, ground.above(x, y, END_RADIUS), END_RADIUS)]


def path_marks(ground: Ground, x: np.ndarray, y: np.ndarray) -> list[Mark]:
    """Return a path on the surface: a tube, a ball at each checkpoint, and a larger one at the last.

    Args:
        ground: the surface; the path has gaps where it has no height.
        x, y: coordinates of the checkpoints.
    """
    lift = 1.5 * TUBE_RADIUS
    return [
        _mark(_tubes, ground.above(*ground.along(x, y), lift), TUBE_RADIUS),
        _mark(_balls, ground.above(x, y, lift), POINT_RADIUS),
        _mark(_balls, ground.above(x[-1:], y[-1:], END_RADIUS), END_RADIUS),
    ]


def _mark(make: Callable[[np.ndarray, float], vtkPolyData], points: np.ndarray, radius: float) -> Mark:
    return Mark(make(points, radius), make(points, OUTLINE * radius))


def _actor(shape: vtkPolyData, colour: tuple[float, float, float]) -> vtkActor:
    from vtkmodules.vtkRenderingCore import vtkActor, vtkPolyDataMapper

    mapper = vtkPolyDataMapper()
    mapper.SetInputData(shape)
    mapper.ScalarVisibilityOff()
    actor = vtkActor()
    actor.SetMapper(mapper)
    actor.GetProperty().SetColor(*colour)
    return actor


def _tubes(points: np.ndarray, radius: float) -> vtkPolyData:
    """Return a tube through points (n, 3), with a gap where a point is NaN."""
    from vtkmodules.vtkFiltersCore import vtkTubeFilter

    known = np.isfinite(points).all(axis=1)
    run = np.cumsum(~known)[known]  # the same number for neighbours without a gap between
    line = _polydata(points[known])
    line.SetLines(_polylines(np.bincount(run) if run.size else np.zeros(0, int)))
    tubes = vtkTubeFilter()
    tubes.SetInputData(line)
    tubes.SetRadius(radius)
    tubes.SetNumberOfSides(SIDES)
    tubes.CappingOn()
    tubes.Update()
    return tubes.GetOutput()


def _polylines(lengths: np.ndarray) -> vtkCellArray:
    """Return lines through consecutive points, each through so many; single points have no line."""
    from vtkmodules.vtkCommonDataModel import vtkCellArray

    lines = vtkCellArray()
    for start, length in zip(np.cumsum(lengths) - lengths, lengths, strict=True):
        if length > 1:
            lines.InsertNextCell(int(length), list(range(start, start + length)))
    return lines


def _balls(points: np.ndarray, radius: float) -> vtkPolyData:
    """Return balls around points (n, 3), without those that are NaN."""
    from vtkmodules.vtkFiltersCore import vtkGlyph3D
    from vtkmodules.vtkFiltersSources import vtkSphereSource

    ball = vtkSphereSource()
    ball.SetRadius(radius)
    ball.SetThetaResolution(2 * SIDES)
    ball.SetPhiResolution(SIDES)
    balls = vtkGlyph3D()
    balls.SetInputData(_polydata(points[np.isfinite(points).all(axis=1)]))
    balls.SetSourceConnection(ball.GetOutputPort())
    balls.ScalingOff()
    balls.Update()
    return balls.GetOutput()


def _polydata(points: np.ndarray) -> vtkPolyData:
    from vtkmodules.util.numpy_support import numpy_to_vtk
    from vtkmodules.vtkCommonCore import vtkPoints
    from vtkmodules.vtkCommonDataModel import vtkPolyData

    places = vtkPoints()
    places.SetData(numpy_to_vtk(points, deep=True))
    polydata = vtkPolyData()
    polydata.SetPoints(places)
    return polydata
