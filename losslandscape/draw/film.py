"""A training as a film: its path over the contours of one surface, or of one surface a checkpoint, all on one scale.

Over one surface the point moves in a straight line from each checkpoint to the next. Of several surfaces each is shown as it was measured, for
the same time, and nothing between them: what was not measured is not shown.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.animation import FFMpegWriter, PillowWriter
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tqdm import tqdm

from losslandscape.core import quantity
from losslandscape.core.errors import InputError
from losslandscape.core.provenance import require_same
from losslandscape.draw import figures, panels, trajectory_figures
from losslandscape.draw.contour_levels import Scale, choose_scale
from losslandscape.files import h5_util
from losslandscape.files.atomic_file import replacing
from losslandscape.files.file_names import natural_order
from losslandscape.files.projection import Projection
from losslandscape.files.surface import Surface

FRAMES_A_SECOND = 15
SECONDS, LAST_SECONDS = 6, 2  # of the film, and of its last picture after that
LONGEST = 3  # times as long is the film of many checkpoints
DPI = 110
WRITERS = {".gif": PillowWriter, ".mp4": FFMpegWriter}


@dataclass(frozen=True)
class Reel:
    """What a film shows: quantity `name` of one surface, or of one a checkpoint, the path if there is one, and what each checkpoint is called."""

    surfaces: list[Surface]
    name: str
    projection: Projection | None
    titles: list[str]

    def values(self) -> list[np.ndarray]:
        """Of each surface, NaN where there is nothing to draw."""
        return [panels.values_to_draw(surface, self.name) for surface in self.surfaces]


def read(
    surf_files: Sequence[str], *, proj_file: str = "", name: str = "train_loss", titles: Sequence[str] = ()
) -> Reel:
    """Read what fits together for a film. Several surfaces, one a checkpoint, come in the order given, except that a shell's order of numbers is put right.

    Without `titles` a checkpoint is called by its epoch where the projection knows it, or else by its file.

    Raises `InputError` for a surface that is not 2-D or has nothing to draw, surfaces of different grids or directions, a projection on other
    directions or of another number of checkpoints, and one surface without a projection.
    """
    if len(surf_files) > 1 and list(surf_files) == sorted(surf_files):
        surf_files = sorted(surf_files, key=natural_order)
    surfaces = [_read_surface(path, name) for path in surf_files]
    first = surfaces[0]
    for surface in surfaces[1:]:
        if not np.array_equal(surface.x, first.x) or not np.array_equal(surface.y, first.y):
            raise InputError(
                f"{surface.path!r} has another grid than {first.path!r}; a film needs surfaces of one grid"
            )
        known = {fact: value for fact, value in first.made_with.items() if fact == "directions"}
        require_same(
            surface.path,
            surface.made_with,
            known,
            "a film needs surfaces along the same directions",
        )
    if not proj_file and len(surfaces) == 1:
        raise InputError(
            f"{first.path!r} alone is no film; give the --proj_file of a training, or several surface files"
        )
    projection = trajectory_figures.read_projection(proj_file) if proj_file else None
    if projection:
        projection.require_on(first)
        if len(surfaces) not in (1, projection.x.size):
            raise InputError(
                f"{proj_file!r} has {projection.x.size} checkpoints where there are {len(surfaces)} surfaces; give one for each, or one surface for all"
            )
    count = len(surfaces) if projection is None else projection.x.size
    if titles and len(titles) != count:
        raise InputError(f"--title has {len(titles)} texts for {count} checkpoints; give one for each")
    return Reel(surfaces, name, projection, list(titles) or _titles(surfaces, projection))


def _read_surface(path: str, name: str) -> Surface:
    surface = h5_util.read_surface(path)
    if surface.y is None or min(np.unique(surface.x).size, np.unique(surface.y).size) < 2:
        raise InputError(
            f"{path} has no contours: a film needs a surface of two coordinates, with at least 2x2 points"
        )
    missing = figures.describe_missing(surface, name)
    if not np.isfinite(panels.values_to_draw(surface, name)).any():
        raise InputError(f"{path} has no {name} to draw ({missing})")
    if missing:
        print(f"{path}: {name}: {missing}.")
    return surface


def _titles(surfaces: list[Surface], projection: Projection | None) -> list[str]:
    if projection is None:
        return [os.path.basename(surface.path) for surface in surfaces]
    if projection.epochs is None:
        return [f"checkpoint {i} of {projection.x.size}" for i in range(1, projection.x.size + 1)]
    return [f"epoch {epoch:g}" for epoch in projection.epochs]


def formats() -> list[str]:
    """The formats that can be written here: GIF, and MP4 where ffmpeg is installed."""
    return ["gif", *(["mp4"] if shutil.which("ffmpeg") else [])]


def scale_of(
    reel: Reel,
    *,
    vmin: float | None = None,
    vmax: float | None = None,
    vlevel: float | None = None,
    log: bool = False,
) -> Scale:
    """One scale for all surfaces of a film."""
    return choose_scale(
        reel.values(), is_loss=quantity.is_loss(reel.name), vmin=vmin, vmax=vmax, vlevel=vlevel, log=log
    )


def write(
    reel: Reel, out: str | Sequence[str], *, scale: Scale | None = None, dir_file: str = ""
) -> list[str]:
    """Film it as `out` (`.gif`, or `.mp4` with ffmpeg), or several of these; return the paths written.

    `dir_file` tells the variance that each axis explains. Raises `InputError` for a format that cannot be written.
    """
    paths = [out] if isinstance(out, str) else list(out)
    for path in paths:
        if (ending := os.path.splitext(path)[1].lower()) not in WRITERS:
            raise InputError(f"{path!r} is no film: give a name that ends in {' or '.join(WRITERS)}")
        if ending[1:] not in formats():
            raise InputError(f"{path!r} needs ffmpeg, which is not installed; give a name that ends in .gif")
    shares = h5_util.read_explained_variance(dir_file) if dir_file else None
    for path in paths:
        _write(reel, path, scale=scale or scale_of(reel), shares=shares)
        print(f"saved {path}")
    return paths


@figures.styled
def _write(reel: Reel, path: str, *, scale: Scale, shares: np.ndarray | None) -> None:
    screen = Screen(reel, scale, shares)
    ending = os.path.splitext(path)[1].lower()
    rate = FRAMES_A_SECOND if len(reel.surfaces) == 1 else min(FRAMES_A_SECOND, len(reel.surfaces) / SECONDS)
    writer = WRITERS[ending](fps=rate)
    times = frame_times(len(reel.titles), between=len(reel.surfaces) == 1)
    with (
        replacing(path) as part,
        tempfile.TemporaryDirectory(prefix=".", suffix=".part", dir=os.path.dirname(path) or ".") as folder,
    ):
        film = os.path.join(folder, f"film{ending}")  # the writers tell the format by the name
        with writer.saving(screen.fig, film, DPI):
            for _ in tqdm(
                screen.pictures([*times, *[times[-1]] * round(LAST_SECONDS * rate)]),
                total=len(times) + round(LAST_SECONDS * rate),
                desc="film",
                unit="frame",
                disable=None,
                leave=False,
            ):
                writer.grab_frame()
        os.replace(film, part)


def frame_times(checkpoints: int, *, between: bool) -> np.ndarray:
    """The time of each frame, in checkpoints: theirs alone, or enough for a smooth motion between them."""
    if not between:
        return np.arange(checkpoints, dtype=float)
    frames = FRAMES_A_SECOND * SECONDS
    return np.linspace(0, checkpoints - 1, max(frames, min(checkpoints, LONGEST * frames)))


class Screen:
    """The figure of a film, whose picture changes."""

    def __init__(self, reel: Reel, scale: Scale, shares: np.ndarray | None):
        self._reel, self._scale, self._shares = reel, scale, shares
        first, path = reel.surfaces[0], reel.projection
        self._x_ends, self._y_ends = (
            (min(places), max(places))
            for places in ([*first.x, *(path.x if path else [])], [*first.y, *(path.y if path else [])])
        )
        self.fig = Figure(
            figsize=(6.6, 1.3 + 4.6 * np.clip(np.ptp(self._y_ends) / np.ptp(self._x_ends), 0.3, 1.2)),
            layout="constrained",
            dpi=DPI,
        )
        self._axes = self.fig.add_subplot()
        bar = (
            panels.add_colour_bar(self.fig, drawn, self._axes, reel.name)
            if (drawn := self._draw(first))
            else None
        )
        self.fig.draw_without_rendering()
        self.fig.set_layout_engine("none")  # a layout for each frame would shake
        if bar:  # as high as the plane, which equal lengths on both axes may have made lower than its place
            plane, place = self._axes.get_position(), bar.ax.get_position()
            bar.ax.set(aspect="auto", position=(place.x0, plane.y0, place.width, plane.height))

    def pictures(self, times: Sequence[float]) -> Iterator[None]:
        """Put the figure into its state at each of the times, one after the other."""
        shown = None
        for time in times:
            i = int(time)
            surface = self._reel.surfaces[i if len(self._reel.surfaces) > 1 else 0]
            if surface is not shown:
                self._axes.clear()
                self._draw(surface)
                panels.label_contours(self.fig)
                shown = surface
            self._axes.set_title(self._reel.titles[i])
            if self._reel.projection:
                self._move(time)
            yield

    def _draw(self, surface: Surface):
        if len(self._reel.surfaces) > 1:  # lines alone would leave a picture empty wherever a surface is flat
            drawn = panels.draw_filled_contour(self._axes, surface, self._reel.name, self._scale)
        else:
            drawn = panels.draw_contour(self._axes, surface, self._reel.name, self._scale, mark_centre=False)
        if path := self._reel.projection:
            self._trail, _, self._end = _draw_path(self._axes, path, self._shares)
            self._end.set(marker="o", markersize=10, zorder=7)
        self._axes.set(xlim=self._x_ends, ylim=self._y_ends, title=self._reel.titles[0])
        return drawn

    def _move(self, time: float) -> None:
        x, y = self._reel.projection.x, self._reel.projection.y
        here = [np.interp(time, np.arange(len(x)), coordinates) for coordinates in (x, y)]
        self._trail.set_data([*x[: int(time) + 1], here[0]], [*y[: int(time) + 1], here[1]])
        self._end.set_data(*np.reshape(here, (2, 1)))


def _draw_path(axes: Axes, projection: Projection, shares: np.ndarray | None) -> list:
    """The path, its first and its last point."""
    panels.draw_trajectory(axes, projection.x, projection.y, shares)
    trajectory_figures.name_axes(axes, projection, shares)
    return axes.lines[-3:]
