"""Renders lit pictures of surfaces with VTK, which needs neither ParaView nor a display."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from losslandscape.core.errors import InputError, require_choice
from losslandscape.draw.vtk.camera import VIEWS, place_camera
from losslandscape.draw.vtk.lit_scene import add_colour_bar, height_colours, lit_scene, scale_surface
from losslandscape.draw.vtk.window import open_window
from losslandscape.files.atomic_file import replacing

if TYPE_CHECKING:
    from vtkmodules.vtkCommonDataModel import vtkPolyData
    from vtkmodules.vtkRenderingCore import vtkRenderWindow

DEFAULT_SIZE = (1600, 1200)
# Pixels per side. Graphics systems allow up to 16384, and a picture may be rendered at twice its size.
MIN_PIXELS, MAX_PIXELS = 16, 8192
BAR_WIDTH = 0.13  # share of the picture's width for the colour bar
FONT_SIZE = 0.022  # height of a line of text, as a share of the picture's height


def render(
    surfaces: Sequence[vtkPolyData],
    *,
    view: str = "corner",
    size: tuple[int, int] = DEFAULT_SIZE,
    label: str = "",
    ticks: Sequence[tuple[float, str]] = (),
) -> list[np.ndarray]:
    """Return a picture of each surface, as bytes (height, width, 3) with the top row first.

    The pictures share the scale of the heights, the colours and the camera, so that they can be compared.

    Args:
        surfaces: the surfaces to draw.
        view: one of `camera.VIEWS`.
        size: width and height in pixels.
        label: the text above the colour bar.
        ticks: heights on the colour bar, each with its text; without ticks there is no bar.

    Raises:
        InputError: this machine cannot render, or the view or the size is impossible.
    """
    require_choice("view", view, VIEWS)
    width, height = size
    if not MIN_PIXELS <= min(size) <= max(size) <= MAX_PIXELS:
        fault = f"a picture of {width}x{height} pixels cannot be rendered"
        raise InputError(fault, f"give from {MIN_PIXELS} to {MAX_PIXELS} a side")
    window = open_window()  # first: it loads the OpenGL classes, and objects made before could not be drawn
    finer = 2 if max(size) <= MAX_PIXELS // 2 else 1
    window.SetSize(finer * width, finer * height)
    low, high = _z_range(surfaces)
    scaled = [scale_surface(surface, low, high) for surface in surfaces]
    camera = place_camera(scaled, view, aspect=width / height, room=BAR_WIDTH if ticks else 0.0)
    letters = round(FONT_SIZE * finer * min(height, 0.75 * width))
    pictures = []
    for surface in scaled:
        renderer = lit_scene(surface, height_colours(low, high), camera)
        if ticks:
            add_colour_bar(renderer, height_colours(low, high), label, ticks, letters=letters)
        window.AddRenderer(renderer)
        pictures.append(_picture(window, finer))
        window.RemoveRenderer(renderer)
    window.Finalize()
    return pictures


def _z_range(surfaces: Sequence[vtkPolyData]) -> tuple[float, float]:
    bounds = [surface.GetBounds() for surface in surfaces]
    return min(box[4] for box in bounds), max(box[5] for box in bounds)


def _picture(window: vtkRenderWindow, finer: int) -> np.ndarray:
    """Return the content of a window; each pixel is the mean of `finer` x `finer` pixels of the window."""
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkRenderingCore import vtkWindowToImageFilter

    grab = vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.SetInputBufferTypeToRGB()
    grab.ReadFrontBufferOff()
    grab.Update()
    image = grab.GetOutput()
    width, height, _ = image.GetDimensions()
    pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, 3)[::-1]
    blocks = pixels.reshape(height // finer, finer, width // finer, finer, 3)
    return blocks.mean(axis=(1, 3)).round().astype(np.uint8)


def save_png(picture: np.ndarray, path: str, *, about: dict[str, str] | None = None) -> None:
    """Write a picture completely or not at all.

    Args:
        picture: a picture from `render`, (height, width, 3).
        path: the path of the PNG file.
        about: texts for the metadata, by key.
    """
    from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
    from vtkmodules.vtkCommonDataModel import vtkImageData
    from vtkmodules.vtkIOImage import vtkPNGWriter

    height, width, colours = picture.shape
    image = vtkImageData()
    image.SetDimensions(width, height, 1)
    image.GetPointData().SetScalars(numpy_to_vtk(picture[::-1].reshape(-1, colours), deep=True))
    writer = vtkPNGWriter()
    writer.SetInputData(image)
    for key, text in (about or {}).items():
        latin_1 = text.encode("latin-1", "replace")  # the encoding of texts in PNG
        writer.AddText(key, latin_1)  # type: ignore[arg-type]  # VTK takes bytes too
    writer.WriteToMemoryOn()
    writer.Write()
    with replacing(path) as part:
        Path(part).write_bytes(vtk_to_numpy(writer.GetResult()).tobytes())
