"""A lit picture of a surface, drawn off screen by VTK: what ParaView would show, without ParaView and without a display.

The plane is scaled to a width of 1 and the heights to a fixed share of it, so that a picture looks right whatever the range of the
values.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from losslandscape.core.errors import InputError
from losslandscape.draw.vtk.polydata import with_normals
from losslandscape.files.atomic_file import replacing

if TYPE_CHECKING:
    from vtkmodules.vtkCommonCore import vtkScalarsToColors
    from vtkmodules.vtkCommonDataModel import vtkPolyData
    from vtkmodules.vtkRenderingCore import vtkCamera, vtkRenderer, vtkRenderWindow

VIEWS = {
    "corner": (-60.0, 36.0),
    "front": (-90.0, 24.0),
    "side": (0.0, 24.0),
    "top": (-90.0, 90.0),
}  # where the camera is: azimuth, elevation
DEFAULT_SIZE = (1600, 1200)
HEIGHT = 0.7  # of the surfaces, in widths of their plane
MOST_ASPECT = 4.0  # of a plane that is drawn to scale
DISTANCE = 3.5  # of the camera, in widths of the plane
FILLED = 0.92  # of the picture, by the surfaces
BAR_ROOM, TEXT = (
    0.13,
    0.022,
)  # shares of the picture's width for the colour bar, and of its height for a line of its text
LEAST_PIXELS, MOST_PIXELS = (
    16,
    8192,
)  # along a side: graphics systems end at 16384, and a picture is drawn at twice its size
# The ends of the diverging map of K. Moreland, "Diverging Color Maps for Scientific Visualization" (2009).
COOL, WARM = (0.230, 0.299, 0.754), (0.706, 0.016, 0.150)
# Kinds of window that need no display, by platform; an empty name is VTK's choice.
WINDOWS = {"linux": ("vtkEGLRenderWindow", "vtkOSOpenGLRenderWindow")}
_TRY = "import sys; sys.path.insert(0, sys.argv[1]); from losslandscape.draw.vtk import rendering; rendering.try_window(sys.argv[2])"


def render(
    surfaces: Sequence[vtkPolyData],
    *,
    view: str = "corner",
    size: tuple[int, int] = DEFAULT_SIZE,
    label: str = "",
    ticks: Sequence[tuple[float, str]] = (),
) -> list[np.ndarray]:
    """A picture of each surface, as bytes of shape (height, width, 3) with its top row first.

    They share the scale of the heights, the colours and the camera, so that they can be compared. `ticks` are heights and their names on
    a colour bar entitled `label`; without ticks there is none. Raises `InputError` where nothing can be rendered, and for a view or a size
    that cannot be.
    """
    if view not in VIEWS:
        raise InputError(f"view {view!r} is none of {', '.join(VIEWS)}")
    width, height = size
    if not LEAST_PIXELS <= min(size) <= max(size) <= MOST_PIXELS:
        raise InputError(
            f"a picture of {width}x{height} pixels cannot be rendered; give from {LEAST_PIXELS} to {MOST_PIXELS} a side"
        )
    window = _window(
        _usable_window()
    )  # before everything else: it loads what draws, without which VTK makes objects that cannot be drawn
    finer = 2 if max(size) <= MOST_PIXELS // 2 else 1
    window.SetSize(finer * width, finer * height)
    bounds = [surface.GetBounds() for surface in surfaces]
    low, high = min(box[4] for box in bounds), max(box[5] for box in bounds)
    scaled = [_scaled(surface, low, high) for surface in surfaces]
    camera = _camera(scaled, view, aspect=width / height, room=BAR_ROOM if ticks else 0.0)
    pictures = []
    for surface in scaled:
        renderer = _scene(surface, _colours(low, high), camera)
        if ticks:
            _add_bar(
                renderer,
                _colours(low, high),
                label,
                ticks,
                letters=round(TEXT * finer * min(height, 0.75 * width)),
            )
        window.AddRenderer(renderer)
        pictures.append(_picture(window, finer))
        window.RemoveRenderer(renderer)
    window.Finalize()
    return pictures


def is_flat(low: float, high: float) -> bool:
    """Whether heights from `low` to `high` differ by no more than rounding."""
    return not high - low > 1e-12 * max(abs(low), abs(high))


def save_png(picture: np.ndarray, path: str, *, about: dict[str, str] | None = None) -> None:
    """Write a picture that `render` made, whole or not at all; `about` are texts for its metadata."""
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
        writer.AddText(key, text.encode("latin-1", "replace"))  # the characters of PNG's texts
    writer.WriteToMemoryOn()
    writer.Write()
    with replacing(path) as part:
        Path(part).write_bytes(vtk_to_numpy(writer.GetResult()).tobytes())


def try_window(kind: str) -> None:
    """Render an empty picture in a window of this kind. Where there is no graphics system VTK may crash the process: hence `_usable_window`."""
    window = _window(kind)
    window.SetSize(16, 16)
    window.Render()
    window.Finalize()


@functools.cache
def _usable_window() -> str:
    """The first kind of window that works on this machine, tried in a process of its own. Raises `InputError` if none does."""
    kinds = WINDOWS.get(sys.platform, ("",))
    for kind in kinds:
        command = [sys.executable, "-c", _TRY, str(Path(__file__).parents[3]), kind]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return kind
    needed = (
        "libegl1 and libgl1-mesa-dri, or libosmesa6 (Debian's names)"
        if sys.platform == "linux"
        else "a driver with OpenGL 3.2"
    )
    raise InputError(
        f"this machine cannot render pictures; install {needed}, or open the .vtp file in ParaView"
    )


def _window(kind: str) -> vtkRenderWindow:
    from vtkmodules import vtkRenderingOpenGL2
    from vtkmodules.vtkRenderingCore import vtkRenderWindow

    window = getattr(vtkRenderingOpenGL2, kind)() if kind else vtkRenderWindow()
    window.SetOffScreenRendering(True)
    window.SetMultiSamples(4)
    return window


def _scaled(surface: vtkPolyData, low: float, high: float) -> vtkPolyData:
    """The surface around the vertical axis, its plane 1 wide and the heights from `low` to `high` as high as `HEIGHT`.

    A plane that is much longer than wide is drawn square.
    """
    from vtkmodules.vtkCommonTransforms import vtkTransform
    from vtkmodules.vtkFiltersGeneral import vtkTransformFilter

    box = surface.GetBounds()
    spans = np.array([box[1] - box[0], box[3] - box[2]])
    x, y = 1 / (spans if spans.max() > MOST_ASPECT * spans.min() else np.full(2, spans.max()))
    scaling = vtkTransform()
    scaling.Scale(x, y, 1.0 if is_flat(low, high) else HEIGHT / (high - low))
    scaling.Translate(-(box[0] + box[1]) / 2, -(box[2] + box[3]) / 2, -low)
    scaled = vtkTransformFilter()
    scaled.SetTransform(scaling)
    scaled.SetInputData(surface)
    scaled.Update()
    return with_normals(scaled.GetPolyDataOutput())


def _camera(surfaces: Sequence[vtkPolyData], view: str, *, aspect: float, room: float) -> vtkCamera:
    """The camera of a view from which the surfaces fill a picture of width / height `aspect`, but for a share `room` at its right."""
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkRenderingCore import vtkCamera

    azimuth, elevation = np.radians(VIEWS[view])
    middle = np.array([0.0, 0.0, HEIGHT / 2])
    position = middle + DISTANCE * np.array(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]
    )
    camera = vtkCamera()
    camera.SetFocalPoint(*middle)
    camera.SetPosition(*position)
    camera.SetViewUp(*((0, 1, 0) if view == "top" else (0, 0, 1)))
    camera.OrthogonalizeViewUp()
    forward, up = np.array(camera.GetDirectionOfProjection()), np.array(camera.GetViewUp())
    points = np.concatenate([vtk_to_numpy(surface.GetPoints().GetData()) for surface in surfaces]) - position
    depth = (
        DISTANCE if view == "top" else points @ forward
    )  # from above the plane is seen as a map, without perspective
    seen = (
        np.stack([points @ np.cross(forward, up), points @ up]) / depth
    )  # where a point is seen, across and up
    least, most = seen.min(axis=1), seen.max(axis=1)
    needed = (most - least) / 2 / [aspect * (FILLED - room), FILLED]
    half = float(needed.max())  # of the picture's height
    camera.SetViewAngle(float(np.degrees(2 * np.arctan(half))))
    camera.SetParallelProjection(view == "top")
    camera.SetParallelScale(half * DISTANCE)
    across, upward = (least + most) / 2 / half
    camera.SetWindowCenter(across / aspect + room, upward)
    return camera


def _scene(surface: vtkPolyData, colours: vtkScalarsToColors, camera: vtkCamera) -> vtkRenderer:
    from vtkmodules.vtkRenderingCore import vtkActor, vtkLightKit, vtkPolyDataMapper, vtkRenderer

    mapper = vtkPolyDataMapper()
    mapper.SetInputData(surface)
    mapper.SetScalarModeToUsePointFieldData()
    mapper.SelectColorArray("zvalue")
    mapper.SetLookupTable(colours)
    mapper.UseLookupTableScalarRangeOn()
    mapper.InterpolateScalarsBeforeMappingOn()
    actor = vtkActor()
    actor.SetMapper(mapper)
    material = actor.GetProperty()
    material.SetInterpolationToPhong()
    material.SetAmbient(0.14)
    material.SetDiffuse(0.9)
    material.SetSpecular(0.25)
    material.SetSpecularPower(25)
    lights = vtkLightKit()
    lights.SetKeyToFillRatio(2.2)
    for warmth in (
        lights.SetKeyLightWarmth,
        lights.SetFillLightWarmth,
        lights.SetBackLightWarmth,
        lights.SetHeadLightWarmth,
    ):
        warmth(0.5)  # white light: the colours stay those of the bar
    renderer = vtkRenderer()
    renderer.SetBackground(1, 1, 1)
    renderer.AddActor(actor)
    lights.AddLightsToRenderer(renderer)
    renderer.SetActiveCamera(camera)
    renderer.ResetCameraClippingRange()
    return renderer


def _colours(low: float, high: float) -> vtkScalarsToColors:
    from vtkmodules.vtkRenderingCore import vtkColorTransferFunction

    if is_flat(low, high):
        room = max(abs(low), 1.0)
        low, high = low - room, low + room
    colours = vtkColorTransferFunction()
    colours.SetColorSpaceToDiverging()
    colours.AddRGBPoint(low, *COOL)
    colours.AddRGBPoint(high, *WARM)
    return colours


def _add_bar(
    renderer: vtkRenderer,
    colours: vtkScalarsToColors,
    label: str,
    ticks: Sequence[tuple[float, str]],
    *,
    letters: int,
) -> None:
    """A slim bar of the colours at the right of the picture, with letters of so many pixels."""
    from vtkmodules.vtkRenderingAnnotation import vtkScalarBarActor
    from vtkmodules.vtkRenderingCore import vtkTextActor

    for height, name in ticks:
        colours.SetAnnotation(height, name)
    bar = vtkScalarBarActor()
    bar.SetLookupTable(colours)
    bar.SetNumberOfLabels(0)
    bar.SetTextPositionToPrecedeScalarBar()  # the annotations stand at the other side
    bar.UnconstrainedFontSizeOn()
    bar.SetMaximumNumberOfColors(256)
    bar.SetPosition(0.81, 0.24)
    bar.SetWidth(0.1)
    bar.SetHeight(0.5)
    bar.SetBarRatio(0.16)
    title = vtkTextActor()
    title.SetInput(label)
    title.GetPositionCoordinate().SetCoordinateSystemToNormalizedViewport()
    title.SetPosition(0.98, 0.76)
    title.GetTextProperty().SetJustificationToRight()
    for style in (title.GetTextProperty(), bar.GetAnnotationTextProperty()):
        style.SetFontFamilyToArial()
        style.SetFontSize(letters)
        style.SetColor(0.15, 0.15, 0.15)
        style.BoldOff()
        style.ItalicOff()
        style.ShadowOff()
    renderer.AddViewProp(bar)
    renderer.AddViewProp(title)


def _picture(window: vtkRenderWindow, finer: int) -> np.ndarray:
    """What the window shows, each pixel the mean of `finer` x `finer` of the window's."""
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkRenderingCore import vtkWindowToImageFilter

    grab = vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.SetInputBufferTypeToRGB()
    grab.ReadFrontBufferOff()
    grab.Update()
    width, height, _ = grab.GetOutput().GetDimensions()
    pixels = vtk_to_numpy(grab.GetOutput().GetPointData().GetScalars()).reshape(height, width, 3)[::-1]
    blocks = pixels.reshape(height // finer, finer, width // finer, finer, 3)
    return blocks.mean(axis=(1, 3)).round().astype(np.uint8)
