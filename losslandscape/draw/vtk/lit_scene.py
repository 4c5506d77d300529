"""Builds a VTK scene: a surface in white light, with a colour bar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from losslandscape.draw.vtk.polydata import with_normals
from losslandscape.draw.vtk.sheet import is_flat

if TYPE_CHECKING:
    from vtkmodules.vtkCommonCore import vtkScalarsToColors
    from vtkmodules.vtkCommonDataModel import vtkPolyData
    from vtkmodules.vtkRenderingCore import vtkActor, vtkCamera, vtkLightKit, vtkRenderer, vtkTextActor

HEIGHT = 0.7  # height of the surfaces, in widths of their plane
MAX_ASPECT_RATIO = 4.0  # a longer plane is drawn square, not to scale
# The ends of the diverging map of K. Moreland, "Diverging Color Maps for Scientific Visualization" (2009).
COOL, WARM = (0.230, 0.299, 0.754), (0.706, 0.016, 0.150)
WHITE = 0.5  # the warmth of white light in VTK


def scale_surface(surface: vtkPolyData, low: float, high: float) -> vtkPolyData:
    """Return a surface that is scaled for a picture, and centred on the vertical axis.

    The longer side of the plane becomes 1, and the heights from `low` to `high` become 0 to `HEIGHT`. If one
    side is more than `MAX_ASPECT_RATIO` times the other, both become 1.
    """
    from vtkmodules.vtkCommonTransforms import vtkTransform
    from vtkmodules.vtkFiltersGeneral import vtkTransformFilter

    x0, x1, y0, y1, _, _ = surface.GetBounds()
    spans = np.array([x1 - x0, y1 - y0])
    to_scale = spans.max() <= MAX_ASPECT_RATIO * spans.min()
    x, y = 1 / (np.full(2, spans.max()) if to_scale else spans)
    scaling = vtkTransform()
    scaling.Scale(x, y, 1.0 if is_flat(low, high) else HEIGHT / (high - low))
    scaling.Translate(-(x0 + x1) / 2, -(y0 + y1) / 2, -low)
    transform = vtkTransformFilter()
    transform.SetTransform(scaling)
    transform.SetInputData(surface)
    transform.Update()
    return with_normals(transform.GetPolyDataOutput())


def lit_scene(surface: vtkPolyData, colours: vtkScalarsToColors, camera: vtkCamera) -> vtkRenderer:
    """Return a scene with a scaled surface on white, as a camera shows it."""
    from vtkmodules.vtkRenderingCore import vtkRenderer

    renderer = vtkRenderer()
    renderer.SetBackground(1, 1, 1)
    renderer.AddActor(_actor(surface, colours))
    _lights().AddLightsToRenderer(renderer)
    renderer.SetActiveCamera(camera)
    renderer.ResetCameraClippingRange()
    return renderer


def _actor(surface: vtkPolyData, colours: vtkScalarsToColors) -> vtkActor:
    from vtkmodules.vtkRenderingCore import vtkActor, vtkPolyDataMapper

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
    return actor


def _lights() -> vtkLightKit:
    """Return white lights, which keep the colours of the surface equal to those of the bar."""
    from vtkmodules.vtkRenderingCore import vtkLightKit

    lights = vtkLightKit()
    lights.SetKeyToFillRatio(2.2)
    lights.SetKeyLightWarmth(WHITE)
    lights.SetFillLightWarmth(WHITE)
    lights.SetBackLightWarmth(WHITE)
    lights.SetHeadLightWarmth(WHITE)
    return lights


def height_colours(low: float, high: float) -> vtkScalarsToColors:
    """Return the colours of unscaled heights from `low` to `high`."""
    from vtkmodules.vtkRenderingCore import vtkColorTransferFunction

    if is_flat(low, high):
        margin = max(abs(low), 1.0)
        low, high = low - margin, low + margin
    colours = vtkColorTransferFunction()
    colours.SetColorSpaceToDiverging()
    colours.AddRGBPoint(low, *COOL)
    colours.AddRGBPoint(high, *WARM)
    return colours


def add_colour_bar(
    renderer: vtkRenderer,
    colours: vtkScalarsToColors,
    label: str,
    ticks: Sequence[tuple[float, str]],
    *,
    letters: int,
) -> None:
    """Add a slim colour bar at the right of the picture.

    Args:
        renderer: the scene.
        colours: the colours of the bar.
        label: the text above the bar.
        ticks: unscaled heights, each with its text.
        letters: the font size, in pixels.
    """
    from vtkmodules.vtkCommonCore import vtkVariant
    from vtkmodules.vtkRenderingAnnotation import vtkScalarBarActor

    for height, text in ticks:
        colours.SetAnnotation(vtkVariant(height), text)
    bar = vtkScalarBarActor()
    bar.SetLookupTable(colours)
    bar.SetNumberOfLabels(0)
    bar.SetTextPositionToPrecedeScalarBar()  # the annotations are on the other side
    bar.UnconstrainedFontSizeOn()
    bar.SetMaximumNumberOfColors(256)
    bar.SetPosition(0.81, 0.24)
    bar.SetWidth(0.1)
    bar.SetHeight(0.5)
    bar.SetBarRatio(0.16)
    title = _bar_title(label)
    for style in (title.GetTextProperty(), bar.GetAnnotationTextProperty()):
        style.SetFontFamilyToArial()
        style.SetFontSize(letters)
        style.SetColor(0.15, 0.15, 0.15)
        style.BoldOff()
        style.ItalicOff()
        style.ShadowOff()
    renderer.AddViewProp(bar)
    renderer.AddViewProp(title)


def _bar_title(label: str) -> vtkTextActor:
    from vtkmodules.vtkRenderingCore import vtkTextActor

    title = vtkTextActor()
    title.SetInput(label)
    title.GetPositionCoordinate().SetCoordinateSystemToNormalizedViewport()
    title.SetPosition(0.98, 0.76)
    title.GetTextProperty().SetJustificationToRight()
    return title
