"""Places the camera of a picture, so that the surfaces fill the picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vtkmodules.vtkCommonDataModel import vtkPolyData
    from vtkmodules.vtkRenderingCore import vtkCamera

DISTANCE = 3.5  # from the camera to the middle of the surfaces, in their largest side
FILL_RATIO = 0.96  # the share of the picture's width or height that the surfaces fill
MIN_WIDTH = 16  # pixels
MAP_ELEVATION = 90.0  # degrees


def is_map(elevation: float) -> bool:
    """Return whether a camera looks straight down, and so shows the plane as a map, without perspective."""
    return elevation >= MAP_ELEVATION


@dataclass(frozen=True)
class Frame:
    """What a surface fills: the cameras, and the width and height of their pictures in pixels."""

    cameras: list[vtkCamera]
    size: tuple[int, int]


def fit(
    surfaces: Sequence[vtkPolyData],
    azimuths: Sequence[float],
    elevation: float,
    *,
    most: tuple[int, int],
    zoom: float = 1.0,
) -> Frame:
    """Return a camera for each azimuth. All show the surfaces as large as fits into all their pictures.

    Pictures are narrower than they may be where surfaces fill their height alone.

    Args:
        surfaces: scaled surfaces, which must all fit into the picture.
        azimuths, elevation: where to look from, in degrees.
        most: width and height that the pictures may have, in pixels.
        zoom: how many times larger the surfaces are shown than fits.
    """
    points = _points(surfaces)
    low, high = points.min(axis=0), points.max(axis=0)
    middle = np.array([0.0, 0.0, (low[2] + high[2]) / 2])
    distance = DISTANCE * max(1.0, *(high - low))
    cameras = [_camera(middle, distance, azimuth, elevation) for azimuth in azimuths]
    extents = [_extent(points, camera, distance) for camera in cameras]
    lowest = np.min([extent[0] for extent in extents], axis=0)
    highest = np.max([extent[1] for extent in extents], axis=0)
    across, upward = highest - lowest
    natural = math.ceil(most[1] * max(zoom, 1.0) * across / upward)
    width, height = min(most[0], max(natural, MIN_WIDTH)), most[1]
    half_height = float(max(across * height / width, upward)) / 2 / FILL_RATIO / zoom
    shift = (lowest + highest) / 2 / half_height
    for camera in cameras:
        camera.SetViewAngle(float(np.degrees(2 * np.arctan(half_height))))
        camera.SetParallelScale(half_height * distance)
        camera.SetWindowCenter(shift[0] * height / width, shift[1])
    return Frame(cameras, (width, height))


def _camera(middle: np.ndarray, distance: float, azimuth: float, elevation: float) -> vtkCamera:
    from vtkmodules.vtkRenderingCore import vtkCamera

    around, above = np.radians(azimuth), np.radians(elevation)
    outward = np.array([np.cos(around), np.sin(around), 0.0])
    camera = vtkCamera()
    camera.SetFocalPoint(*middle)
    camera.SetPosition(*(middle + distance * (np.cos(above) * outward + [0, 0, np.sin(above)])))
    camera.SetViewUp(*(-np.sin(above) * outward + [0, 0, np.cos(above)]))
    camera.SetParallelProjection(is_map(elevation))
    return camera


def _points(surfaces: Sequence[vtkPolyData]) -> np.ndarray:
    from vtkmodules.util.numpy_support import vtk_to_numpy

    return np.concatenate([vtk_to_numpy(surface.GetPoints().GetData()) for surface in surfaces])


def _extent(points: np.ndarray, camera: vtkCamera, distance: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the points' positions in the view, each across and up, as tangents of angles."""
    offsets = points - camera.GetPosition()
    forward, up = np.array(camera.GetDirectionOfProjection()), np.array(camera.GetViewUp())
    depth = distance if camera.GetParallelProjection() else offsets @ forward
    seen = np.stack([offsets @ np.cross(forward, up), offsets @ up]) / depth
    return seen.min(axis=1), seen.max(axis=1)
