"""Places the camera of a picture, so that the surfaces fill the picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from losslandscape.draw.vtk.lit_scene import HEIGHT

if TYPE_CHECKING:
    from vtkmodules.vtkCommonDataModel import vtkPolyData
    from vtkmodules.vtkRenderingCore import vtkCamera

# Azimuth and elevation in degrees.
VIEWS = {"corner": (-60.0, 36.0), "front": (-90.0, 24.0), "side": (0.0, 24.0), "top": (-90.0, 90.0)}
DISTANCE = 3.5  # from the camera to the middle of the surfaces, in widths of the plane
FILL_RATIO = 0.92  # the share of the picture's width or height that the surfaces fill


def place_camera(surfaces: Sequence[vtkPolyData], view: str, *, aspect: float, room: float) -> vtkCamera:
    """Return a camera that shows scaled surfaces as large as possible.

    The view "top" shows the plane as a map, without perspective.

    Args:
        surfaces: the surfaces, which must all fit into the picture.
        view: one of `VIEWS`.
        aspect: width / height of the picture.
        room: the share of the picture's width that stays empty at the right.
    """
    from vtkmodules.vtkRenderingCore import vtkCamera

    is_map = view == "top"
    position = _position(view)
    camera = vtkCamera()
    camera.SetFocalPoint(*_middle())
    camera.SetPosition(*position)
    camera.SetViewUp(*((0, 1, 0) if is_map else (0, 0, 1)))
    camera.OrthogonalizeViewUp()
    seen = _seen(_points(surfaces) - position, camera, is_map)
    lowest, highest = seen.min(axis=1), seen.max(axis=1)
    half_heights = (highest - lowest) / 2 / [aspect * (FILL_RATIO - room), FILL_RATIO]
    half_height = float(half_heights.max())
    camera.SetViewAngle(float(np.degrees(2 * np.arctan(half_height))))
    camera.SetParallelProjection(is_map)
    camera.SetParallelScale(half_height * DISTANCE)
    across, upward = (lowest + highest) / 2 / half_height
    camera.SetWindowCenter(across / aspect + room, upward)
    return camera


def _middle() -> np.ndarray:
    return np.array([0.0, 0.0, HEIGHT / 2])


def _position(view: str) -> np.ndarray:
    azimuth, elevation = np.radians(VIEWS[view])
    level = np.cos(elevation)
    direction = np.array([level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)])
    return _middle() + DISTANCE * direction


def _points(surfaces: Sequence[vtkPolyData]) -> np.ndarray:
    from vtkmodules.util.numpy_support import vtk_to_numpy

    return np.concatenate([vtk_to_numpy(surface.GetPoints().GetData()) for surface in surfaces])


def _seen(offsets: np.ndarray, camera: vtkCamera, is_map: bool) -> np.ndarray:
    """Return the positions of points in the view, across and up (2, n), as tangents of angles.

    Args:
        offsets: the points relative to the camera, (n, 3).
        camera: the camera.
        is_map: whether to leave out perspective.
    """
    forward, up = np.array(camera.GetDirectionOfProjection()), np.array(camera.GetViewUp())
    right = np.cross(forward, up)
    depth = DISTANCE if is_map else offsets @ forward
    return np.stack([offsets @ right, offsets @ up]) / depth
