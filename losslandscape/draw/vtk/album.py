"""Writes lit pictures of surfaces, which can be compared: each surface alone, or all side by side."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from losslandscape.core.errors import require_choice
from losslandscape.draw.vtk.export import made_by, stem
from losslandscape.draw.vtk.look import VIEWS, Look
from losslandscape.draw.vtk.pictures import pictures
from losslandscape.draw.vtk.rendering import MAX_PIXELS, require_size, save_png
from losslandscape.draw.vtk.stage import Subject, prepare
from losslandscape.files.projection import Projection
from losslandscape.files.surface import Surface

PANEL_SIZE = 1600, 1200  # pixels for each surface of a picture


@dataclass(frozen=True)
class Album:
    """What lit pictures show, and where they are written.

    The pictures share the scale of the heights, the camera, and unless the look says otherwise the colours.

    Args:
        surfaces: planes.
        name: the quantity to show as height.
        zmax: the value at which surfaces are cut off, along the isocontour.
        log: whether heights are ln(value + 0.1). They are also logarithmic if `zmax` is None and the range of
            the values is huge, except for a percentage.
        projection: the path of a training to lay on each surface.
        look: how pictures look.
        out: the beginning of the name of one picture with all surfaces side by side; empty for a picture
            beside each surface file.
        command: the command that draws, for the metadata of the files.
    """

    surfaces: Sequence[Surface]
    name: str = "train_loss"
    zmax: float | None = None
    log: bool = False
    projection: Projection | None = None
    look: Look = field(default_factory=Look)
    out: str = ""
    command: str = ""

    @cached_property
    def subjects(self) -> list[Subject]:
        """What each picture shows.

        Raises:
            InputError: a plane cannot be shown, or the path is not on it.
        """
        return prepare(
            self.surfaces,
            self.name,
            zmax=self.zmax,
            log=self.log,
            look=self.look,
            projection=self.projection,
        )

    def stems(self) -> list[str]:
        """Return the beginning of the name of each picture."""
        return [self.out] if self.out else self.own_stems()

    def own_stems(self) -> list[str]:
        """Return the beginning of the names of each surface's own files."""
        return [stem(surface, self.name, zmax=self.zmax, log=self.log) for surface in self.surfaces]

    def made_by(self) -> list[list[str]]:
        """Return the commands that made each picture."""
        shown = [self.surfaces] if self.out else [[surface] for surface in self.surfaces]
        return [made_by(surfaces, self.command) for surfaces in shown]

    def size(self, panel: tuple[int, int] = PANEL_SIZE) -> tuple[int, int]:
        """Return the default width and height of a picture in pixels, with a panel for each surface."""
        count = len(self.surfaces) if self.out else 1
        return min(count * panel[0], MAX_PIXELS), panel[1]

    def pictures(
        self, azimuths: Sequence[float], elevation: float, size: tuple[int, int]
    ) -> Iterator[list[np.ndarray]]:
        """Yield the pictures for each azimuth, as `pictures.pictures` does."""
        require_size(size)
        together = bool(self.out)
        return pictures(self.subjects, azimuths, elevation, size=size, look=self.look, together=together)


def export_views(
    album: Album, views: Sequence[str] = ("corner",), size: tuple[int, int] | None = None
) -> list[str]:
    """Write PNG pictures from several sides.

    Args:
        album: what they show.
        views: names in `look.VIEWS`.
        size: width and height of a picture in pixels; None for the default.

    Returns:
        The paths of the files.

    Raises:
        InputError: a plane cannot be shown, the path is not on it, or this machine cannot render.
    """
    for view in views:
        require_choice("view", view, VIEWS)
    paths = []
    for view in dict.fromkeys(views):
        azimuth, elevation = album.look.viewpoint(view)
        [made] = album.pictures([azimuth], elevation, size or album.size())
        for start, commands, picture in zip(album.stems(), album.made_by(), made, strict=True):
            path = f"{start}_{view}.png"
            about = {"Title": os.path.basename(path), "Description": "\n".join(commands)}
            save_png(picture, path, about=about)
            print(f"saved {path}")
            paths.append(path)
    return paths
