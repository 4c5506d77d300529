"""Renders scenes with VTK, which needs neither ParaView nor a display, and saves pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from losslandscape.core.errors import InputError
from losslandscape.draw.vtk.window import open_window
from losslandscape.files.atomic_file import replacing

if TYPE_CHECKING:
    from vtkmodules.vtkRenderingCore import vtkCamera, vtkRenderer, vtkRenderWindow

# Pixels per side. A picture of up to half the most is rendered at twice its size or more, and averaged.
MIN_PIXELS, MAX_PIXELS = 16, 8192
FINEST = 4  # samples of a pixel, across and down; half as many in films
LINES_PER_HEIGHT = 700  # thin lines side by side would fill a picture
MAX_SAMPLES = 12_000_000  # of a picture with more than 2x2 samples per pixel


def require_size(size: tuple[int, int]) -> None:
    """Raise `InputError` if pictures of this width and height cannot be rendered."""
    if not MIN_PIXELS <= min(size) <= max(size) <= MAX_PIXELS:
        fault = f"a picture of {size[0]}x{size[1]} pixels cannot be rendered"
        raise InputError(fault, f"give from {MIN_PIXELS} to {MAX_PIXELS} a side")


def render(
    scenes: Sequence[Callable[[float], vtkRenderer]], cameras: Sequence[vtkCamera], size: tuple[int, int]
) -> Iterator[list[np.ndarray]]:
    """Yield the pictures of all scenes by each camera, as red, green, blue and alpha (height, width, 4).

    Values are bytes. Colours are not multiplied with alpha. The top row is first.

    Args:
        scenes: functions that return a scene, given the width of thin lines in pixels of the window.
        cameras: where to look from.
        size: width and height in pixels.

    Raises:
        InputError: this machine cannot render.
    """
    window = open_window()  # first: it loads the OpenGL classes, and objects made before could not be drawn
    width, height = size
    finer = _samples_across(width, height, most=FINEST if len(cameras) == 1 else FINEST // 2)
    window.SetSize(finer * width, finer * height)
    line_width = finer * max(1.0, height / LINES_PER_HEIGHT)
    renderers = [scene(line_width) for scene in scenes]
    for renderer in renderers:
        window.AddRenderer(renderer)
    for camera in cameras:
        yield [_shot(window, renderer, camera, finer) for renderer in renderers]
    for renderer in renderers:
        if renderer.GetPass():
            renderer.GetPass().ReleaseGraphicsResources(window)
    window.Finalize()


def _shot(window: vtkRenderWindow, shown: vtkRenderer, camera: vtkCamera, finer: int) -> np.ndarray:
    """Return a picture of one of the scenes in a window."""
    for renderer in window.GetRenderers():
        renderer.SetDraw(renderer is shown)
    shown.SetActiveCamera(camera)
    shown.ResetCameraClippingRange()
    return _picture(window, finer)


def _samples_across(width: int, height: int, *, most: int) -> int:
    """Return how many samples a pixel has, across and down."""
    if max(width, height) > MAX_PIXELS // 2:
        return 1
    affordable = int((MAX_SAMPLES / (width * height)) ** 0.5)
    return min(max(affordable, 2), most)


def _picture(window: vtkRenderWindow, finer: int) -> np.ndarray:
    """Return the content of a window; each pixel is the mean of `finer` x `finer` pixels of the window."""
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkRenderingCore import vtkWindowToImageFilter

    grab = vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.SetInputBufferTypeToRGBA()
    grab.ReadFrontBufferOff()
    grab.Update()
    image = grab.GetOutput()
    width, height, _ = image.GetDimensions()
    pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, 4)[::-1]
    blocks = pixels.reshape(height // finer, finer, width // finer, finer, 4)
    means = blocks.mean(axis=(1, 3), dtype=np.float32)
    alpha = means[..., 3:]
    means[..., :3] *= 255 / np.where(alpha > 0, alpha, 255)  # the background's colours are zero
    return np.minimum(means, 255).round().astype(np.uint8)


def save_png(picture: np.ndarray, path: str, *, about: dict[str, str] | None = None) -> None:
    """Write a picture completely or not at all.

    Args:
        picture: bytes (height, width, 3), or 4 with alpha.
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
