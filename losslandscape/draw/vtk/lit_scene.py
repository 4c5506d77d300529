"""Builds a VTK scene: a surface in soft light from one side, or as a map with isolines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from losslandscape.draw.vtk.colours import Colours
from losslandscape.draw.vtk.marks import Mark
from losslandscape.draw.vtk.polydata import with_normals
from losslandscape.draw.vtk.sheet import is_flat

if TYPE_CHECKING:
    from vtkmodules.vtkCommonDataModel import vtkPolyData
    from vtkmodules.vtkCommonTransforms import vtkTransform
    from vtkmodules.vtkRenderingCore import vtkActor, vtkRenderer

MAX_ASPECT_RATIO = 4.0  # a longer plane is drawn square, not to scale
# How much of its colour a surface shows in the shade, and how much more in full light.
AMBIENT, DIFFUSE, SPECULAR, SPECULAR_POWER = 0.68, 0.48, 0.05, 20.0
WHITEST = 0.96  # of the least of red, green and blue: no pixel burns to white, whatever the colours
# Lights that move with the camera: direction (right, up, towards the camera) and intensity; in sum 1.
LIGHTS = (((-1.2, 1.0, 0.8), 0.75), ((0.6, -0.2, 1.0), 0.25))
SHADOW_RADIUS, SHADOW_BIAS, SHADOW_SAMPLES = (
    0.12,
    0.004,
    64,
)  # ambient occlusion; lengths in widths of the plane
ISOLINE_COLOUR = (0.1, 0.1, 0.1)
ISOLINE_LIFT, MARK_LIFT = 0.5, 1.0  # above a map, whose steep slopes would hide one side of a line


def scaling(surface: vtkPolyData, low: float, high: float, height: float) -> vtkTransform:
    """Return the transform that scales a surface for a picture, and centres it on the vertical axis.

    The longer side of the plane becomes 1, and the heights from `low` to `high` become 0 to `height`. If one
    side is more than `MAX_ASPECT_RATIO` times the other, both become 1.
    """
    from vtkmodules.vtkCommonTransforms import vtkTransform

    x0, x1, y0, y1, _, _ = surface.GetBounds()
    spans = np.array([x1 - x0, y1 - y0])
    to_scale = spans.max() <= MAX_ASPECT_RATIO * spans.min()
    x, y = 1 / (np.full(2, spans.max()) if to_scale else spans)
    transform = vtkTransform()
    transform.Scale(x, y, 1.0 if is_flat(low, high) else height / (high - low))
    transform.Translate(-(x0 + x1) / 2, -(y0 + y1) / 2, -low)
    return transform


def transformed(surface: vtkPolyData, transform: vtkTransform) -> vtkPolyData:
    """Return a transformed surface, with new normals."""
    from vtkmodules.vtkFiltersGeneral import vtkTransformFilter

    change = vtkTransformFilter()
    change.SetTransform(transform)
    change.SetInputData(surface)
    change.Update()
    return with_normals(change.GetPolyDataOutput())


def cut_off(surface: vtkPolyData, ceiling: float) -> vtkPolyData:
    """Return the part of a surface with a `zvalue` up to `ceiling`, cut along the isocontour, without lid."""
    from vtkmodules.vtkFiltersCore import vtkClipPolyData

    clip = vtkClipPolyData()
    clip.SetInputData(surface)
    clip.SetValue(ceiling)
    clip.InsideOutOn()
    clip.Update()
    return clip.GetOutput()


def lit_scene(surface: vtkPolyData, colours: Colours, *, marks: Iterable[Mark] = ()) -> vtkRenderer:
    """Return a scene with a scaled surface in soft light, on a transparent background."""
    from vtkmodules.vtkRenderingOpenGL2 import vtkRenderStepsPass, vtkSSAOPass

    actor = _actor(surface, colours)
    material = actor.GetProperty()
    brightness = exposure(colours)
    material.SetInterpolationToPhong()
    material.SetAmbient(brightness * AMBIENT)
    material.SetDiffuse(brightness * DIFFUSE)
    material.SetSpecular(SPECULAR)
    material.SetSpecularPower(SPECULAR_POWER)
    renderer = _renderer([actor, *_drawn(marks)])
    occlusion = vtkSSAOPass()
    occlusion.SetDelegatePass(vtkRenderStepsPass())
    occlusion.SetRadius(SHADOW_RADIUS)
    occlusion.SetBias(SHADOW_BIAS)
    occlusion.SetKernelSize(SHADOW_SAMPLES)
    occlusion.BlurOn()
    renderer.SetPass(occlusion)
    return renderer


def map_scene(
    surface: vtkPolyData,
    colours: Colours,
    *,
    marks: Iterable[Mark] = (),
    levels: Sequence[float],
    line_width: float,
) -> vtkRenderer:
    """Return a scene with a scaled surface from the top: pure colours, and isolines.

    Args:
        levels: the unscaled heights of the isolines.
        line_width: the width of isolines, in pixels of the window.
    """
    actor = _actor(surface, colours)
    actor.GetProperty().LightingOff()
    lines = _isolines(surface, levels, line_width)
    above = _drawn(marks)
    for mark in above:
        mark.SetPosition(0, 0, MARK_LIFT)
    return _renderer([actor, lines, *above])


def exposure(colours: Colours) -> float:
    """Return by how much to darken the light on a surface: 1, or less for pale colours."""
    palest = colours.shades().min(axis=1).max()
    return min(1.0, (WHITEST - SPECULAR) / ((AMBIENT + DIFFUSE) * max(palest, 0.01)))


def _drawn(marks: Iterable[Mark]) -> list[vtkActor]:
    return [actor for mark in marks for actor in mark.actors()]


def _renderer(actors: Iterable[vtkActor]) -> vtkRenderer:
    from vtkmodules.vtkRenderingCore import vtkLight, vtkRenderer

    renderer = vtkRenderer()
    renderer.SetBackground(0, 0, 0)
    renderer.SetBackgroundAlpha(0)
    renderer.AutomaticLightCreationOff()
    for actor in actors:
        renderer.AddActor(actor)
    for position, intensity in LIGHTS:
        light = vtkLight()
        light.SetLightTypeToCameraLight()
        light.SetPosition(*position)
        light.SetFocalPoint(0, 0, 0)
        light.SetIntensity(intensity)
        renderer.AddLight(light)
    return renderer


def _actor(surface: vtkPolyData, colours: Colours) -> vtkActor:
    from vtkmodules.vtkRenderingCore import vtkActor, vtkPolyDataMapper

    mapper = vtkPolyDataMapper()
    mapper.SetInputData(surface)
    mapper.SetScalarModeToUsePointFieldData()
    mapper.SelectColorArray("zvalue")
    mapper.SetLookupTable(colours.table())
    mapper.UseLookupTableScalarRangeOn()
    mapper.InterpolateScalarsBeforeMappingOn()
    actor = vtkActor()
    actor.SetMapper(mapper)
    return actor


def _isolines(surface: vtkPolyData, levels: Sequence[float], width: float) -> vtkActor:
    from vtkmodules.vtkFiltersCore import vtkContourFilter
    from vtkmodules.vtkRenderingCore import vtkActor, vtkPolyDataMapper

    contours = vtkContourFilter()
    contours.SetInputData(surface)
    contours.SetNumberOfContours(len(levels))
    for i, level in enumerate(levels):
        contours.SetValue(i, level)
    mapper = vtkPolyDataMapper()
    mapper.SetInputConnection(contours.GetOutputPort())
    mapper.ScalarVisibilityOff()
    actor = vtkActor()
    actor.SetMapper(mapper)
    actor.SetPosition(0, 0, ISOLINE_LIFT)
    actor.GetProperty().SetColor(*ISOLINE_COLOUR)
    actor.GetProperty().SetLineWidth(width)
    actor.GetProperty().LightingOff()
    return actor
