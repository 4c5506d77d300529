"""Makes lit pictures of surfaces: each alone, or side by side in one picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from losslandscape.draw.vtk import lit_scene
from losslandscape.draw.vtk.camera import fit, is_map
from losslandscape.draw.vtk.colour_bar import colour_bar, ink
from losslandscape.draw.vtk.colours import background_colour
from losslandscape.draw.vtk.look import Look
from losslandscape.draw.vtk.rendering import render, require_size
from losslandscape.draw.vtk.stage import Subject

if TYPE_CHECKING:
    from vtkmodules.vtkRenderingCore import vtkRenderer


def pictures(
    subjects: Sequence[Subject],
    azimuths: Sequence[float],
    elevation: float,
    *,
    size: tuple[int, int],
    look: Look,
    together: bool = False,
) -> Iterator[list[np.ndarray]]:
    """Yield the pictures for each azimuth, as bytes (height, width, 3), or 4 on a transparent background.

    All have the same camera and scale.

    Args:
        subjects: what `stage.prepare` returns.
        azimuths, elevation: where to look from, in degrees.
        size: width and height of a picture, in pixels.
        look: how they look.
        together: whether one picture shows all subjects side by side.

    Raises:
        InputError: this machine cannot render, or the size is impossible.
    """
    require_size(size)
    background = background_colour(look.background)
    bars = [_bar(subject, size, look, ink(background)) for subject in subjects]
    if together and not look.own_colours:
        bars[:-1] = [bars[0][:, :0]] * (len(bars) - 1)  # one bar, at the right end
    count = len(subjects)
    groups = [range(count)] if together else [range(i, i + 1) for i in range(count)]
    room = max(sum(bars[i].shape[1] for i in group) for group in groups)
    meshes = [subject.mesh for subject in subjects]
    most = (size[0] - room) // len(groups[0]), size[1]
    require_size(most)
    frame = fit(meshes, azimuths, elevation, most=most, zoom=look.zoom)
    scenes = [_scene(subject, elevation) for subject in subjects]
    for panels in render(scenes, frame.cameras, frame.size):
        parts = [[part for i in group for part in (panels[i], bars[i])] for group in groups]
        yield [_compose(row, size, background) for row in parts]


def _bar(subject: Subject, size: tuple[int, int], look: Look, ink: str) -> np.ndarray:
    if not look.bar:
        return np.zeros((size[1], 0, 4), np.uint8)
    return colour_bar(subject.colours, subject.label, subject.ticks, size=size, ink=ink)


def _scene(subject: Subject, elevation: float) -> Callable[[float], vtkRenderer]:
    """Return a function that makes the scene of a subject, with lines of a width in pixels of the window."""
    mesh, colours, marks = subject.mesh, subject.colours, subject.marks
    if is_map(elevation):
        levels = subject.levels()
        return lambda width: lit_scene.map_scene(mesh, colours, marks=marks, levels=levels, line_width=width)
    return lambda _: lit_scene.lit_scene(mesh, colours, marks=marks)


def _compose(parts: Sequence[np.ndarray], size: tuple[int, int], background: np.ndarray | None) -> np.ndarray:
    """Return parts side by side, in the middle of a background."""
    row = np.concatenate(parts, axis=1)
    empty = size[0] - row.shape[1]
    row = np.pad(row, ((0, 0), (empty // 2, empty - empty // 2), (0, 0)))
    if background is None:
        return row
    alpha = row[..., 3:] / np.float32(255)
    return (row[..., :3] * alpha + 255 * background * (1 - alpha)).round().astype(np.uint8)
