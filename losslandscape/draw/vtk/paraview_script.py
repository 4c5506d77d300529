"""Writes a Python script for ParaView that shows a .vtp file as the lit picture shows the surface."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from losslandscape.core.errors import require_choice
from losslandscape.draw.vtk import lit_scene
from losslandscape.draw.vtk.album import PANEL_SIZE, Album
from losslandscape.draw.vtk.camera import Frame, fit, is_map
from losslandscape.draw.vtk.colours import Colours, background_colour
from losslandscape.draw.vtk.look import VIEWS
from losslandscape.draw.vtk.sheet import ceiling_height
from losslandscape.draw.vtk.stage import Subject
from losslandscape.files.atomic_file import replacing

JUST_BELOW = 1e-4  # the lid of a surface is cut off below it, by this share of the range of heights
SCRIPT = '''"""Shows {vtp} in ParaView, lit as its picture.

    paraview --script={script}
    pvpython {script} picture.png
"""

import json
import os
import sys

from paraview import simple

HERE = os.path.dirname(os.path.abspath(__file__)) if "__file__" in globals() else {folder!r}
LOOK = json.loads("""
{look}
""")


def show():
    surface = simple.XMLPolyDataReader(FileName=[os.path.join(HERE, {vtp!r})])
    if LOOK["ceiling"] is not None:  # without the flat lid
        cut = simple.Clip(Input=surface, ClipType="Scalar", Scalars=["POINTS", "zvalue"])
        cut.Value, cut.Invert = LOOK["ceiling"], 1
        surface = cut
    view = simple.GetActiveViewOrCreate("RenderView")
    set_view(view)
    simple.HideAll(view)
    display = simple.Show(surface, view)
    display.Scale, display.Position = LOOK["scale"], LOOK["position"]
    simple.ColorBy(display, ("POINTS", "zvalue"))
    display.SetScalarBarVisibility(view, False)
    display.Interpolation = "Gouraud"
    display.InterpolateScalarsBeforeMapping = 1
    set_all(display, LOOK["material"])
    colours = simple.GetColorTransferFunction("zvalue")
    colours.AutomaticRescaleRangeMode = "Never"
    colours.ColorSpace = "RGB"
    colours.RGBPoints = LOOK["colours"]
    simple.Render(view)  # the first one places the camera itself
    set_all(view, LOOK["camera"])
    simple.Render(view)
    return view


def set_view(view):
    """Set the size, the background and the light."""
    view.ViewSize = LOOK["size"]
    view.UseColorPaletteForBackground = 0
    view.Background = LOOK["background"]
    view.OrientationAxesVisibility = 0
    view.CenterAxesVisibility = 0
    view.UseLight = 0  # ParaView's own lights
    for position, intensity in LOOK["lights"]:
        light = simple.AddLight(view=view)
        light.Coords, light.Type = "Camera", "Directional"
        light.Position, light.FocalPoint = position, [0, 0, 0]
        light.Intensity = intensity
    set_all(view, LOOK["occlusion"])


def set_all(proxy, values):
    """Set those properties that this version of ParaView has."""
    for name, value in values.items():
        if proxy.GetProperty(name) is not None:
            proxy.SetPropertyWithName(name, value)


shown = show()
if sys.argv[-1].endswith(".png"):
    simple.SaveScreenshot(sys.argv[-1], shown, ImageResolution=LOOK["size"])
'''


def export_scripts(album: Album, view: str = "corner", size: tuple[int, int] | None = None) -> list[str]:
    """Write a script for ParaView beside the .vtp file of each surface.

    Args:
        album: what the pictures show.
        view: a name in `look.VIEWS`.
        size: greatest width and height of the view in pixels; None for the default.

    Returns:
        The paths of the scripts.

    Raises:
        InputError: a plane cannot be shown.
    """
    require_choice("view", view, VIEWS)
    width, height = size or PANEL_SIZE
    azimuth, elevation = album.look.viewpoint(view)
    meshes = [subject.mesh for subject in album.subjects]
    frame = fit(meshes, [azimuth], elevation, most=(width, height), zoom=album.look.zoom)
    ceiling = ceiling_height(album.zmax, log=album.log)
    paths = []
    for stem, subject in zip(album.own_stems(), album.subjects, strict=True):
        look = {
            **_look(subject, ceiling, lit=not is_map(elevation)),
            "camera": _camera(frame),
            "size": list(frame.size),
            "background": _numbers(background_colour(album.look.background)),
        }
        paths.append(_write(f"{stem}_paraview.py", f"{stem}.vtp", look))
    return paths


def _look(subject: Subject, ceiling: float, *, lit: bool) -> dict[str, Any]:
    matrix, colours = subject.transform.GetMatrix(), subject.colours
    is_cut = colours.highest >= ceiling
    exposure = lit_scene.exposure(colours)
    ambient, diffuse, specular = (
        (exposure * lit_scene.AMBIENT, exposure * lit_scene.DIFFUSE, lit_scene.SPECULAR)
        if lit
        else (1.0, 0.0, 0.0)
    )
    return {
        "scale": [matrix.GetElement(i, i) for i in range(3)],
        "position": [matrix.GetElement(i, 3) for i in range(3)],
        "ceiling": ceiling - JUST_BELOW * (ceiling - colours.lowest) if is_cut else None,
        "colours": _points(colours),
        "lights": lit_scene.LIGHTS,
        "material": {
            "Ambient": ambient,
            "Diffuse": diffuse,
            "Specular": specular,
            "SpecularPower": lit_scene.SPECULAR_POWER,
        },
        "occlusion": {
            "UseAmbientOcclusion": int(lit),
            "UseSSAODefaultPresets": 0,
            "Radius": lit_scene.SHADOW_RADIUS,
            "Bias": lit_scene.SHADOW_BIAS,
            "KernelSize": lit_scene.SHADOW_SAMPLES,
            "Blur": 1,
        },
    }


def _points(colours: Colours) -> list[float]:
    """Return heights, each followed by red, green and blue."""
    shades = colours.shades()
    return np.column_stack([np.linspace(*colours.ends, len(shades)), shades]).round(6).ravel().tolist()


def _camera(frame: Frame) -> dict[str, Any]:
    """Return a camera for ParaView, which cannot shift the picture: it is the camera that moves."""
    [camera], (width, height) = frame.cameras, frame.size
    angle = np.radians(camera.GetViewAngle() / 2)
    half_height = camera.GetDistance() * np.tan(angle)
    across, upward = camera.GetWindowCenter()
    up = np.array(camera.GetViewUp())
    right = np.cross(camera.GetDirectionOfProjection(), up)
    shift = half_height * (across * width / height * right + upward * up)
    return {
        "CameraPosition": (np.array(camera.GetPosition()) + shift).tolist(),
        "CameraFocalPoint": (np.array(camera.GetFocalPoint()) + shift).tolist(),
        "CameraViewUp": up.tolist(),
        "CameraViewAngle": camera.GetViewAngle(),
        "CameraParallelScale": camera.GetParallelScale(),
        "CameraParallelProjection": camera.GetParallelProjection(),
    }


def _numbers(background: np.ndarray | None) -> list[float]:
    return [1.0, 1.0, 1.0] if background is None else background.tolist()


def _write(path: str, vtp: str, look: dict[str, Any]) -> str:
    lines = [f'"{key}": {json.dumps(value)}' for key, value in look.items()]
    text = SCRIPT.format(
        vtp=os.path.basename(vtp),
        script=os.path.basename(path),
        folder=os.path.dirname(os.path.abspath(vtp)),
        look="{" + ",\n".join(lines) + "}",
    )
    with replacing(path) as part:
        Path(part).write_text(text, encoding="utf-8")
    print(f"saved {path}")
    return path
