"""Writes a film of a training: as GIF, as MP4 if ffmpeg is installed, and as an interactive page."""

import os
from collections.abc import Sequence

import numpy as np

from losslandscape.core.errors import InputError
from losslandscape.draw import film
from losslandscape.draw.figure_metadata import commands
from losslandscape.draw.film_screen import Reel
from losslandscape.draw.labels import label
from losslandscape.draw.web import html_page, scene
from losslandscape.draw.web.film_figure import add_checkpoint_slider, film_figure
from losslandscape.draw.web.surface_figure import surface_figure
from losslandscape.draw.web.trajectory import Trajectory
from losslandscape.draw.web.views import views_of_one_scale


def plot_film(
    surf_files: Sequence[str],
    *,
    proj_file: str = "",
    dir_file: str = "",
    name: str = "train_loss",
    titles: Sequence[str] = (),
    out: str = "",
    vmin: float | None = None,
    vmax: float | None = None,
    vlevel: float | None = None,
    log: bool = False,
) -> list[str]:
    """Write a film of a training, and an interactive page with a slider over its checkpoints.

    Args:
        surf_files, proj_file, name, titles: what the film shows, as for `film.read`.
        dir_file: a PCA direction file, whose explained variance is then shown on the axes.
        out: the beginning of the files' names; by default, the path of the first surface file and `_film`.
        vmin, vmax, vlevel, log: contour levels, as for `contour_levels.choose_scale`.

    Returns:
        The paths of the files.

    Raises:
        InputError: the folder of `out` does not exist, files do not fit together, or levels are impossible.
    """
    folder = os.path.dirname(out)
    if folder and not os.path.isdir(folder):
        raise InputError(f"the folder {folder!r} does not exist", "make it, or give another {out}")
    reel = film.read(surf_files, proj_file=proj_file, name=name, titles=titles)
    scale = film.scale_of(reel, vmin=vmin, vmax=vmax, vlevel=vlevel, log=log)
    stem = out or film_stem(reel.surfaces[0].path)
    page = _write_page(reel, f"{stem}.html", log=scale.log, dir_file=dir_file)
    paths = [f"{stem}.{extension}" for extension in film.formats()]
    return [*film.write(reel, paths, scale=scale, dir_file=dir_file), page]


def film_stem(surf_file: str) -> str:
    """Return the beginning of the names of a film's files."""
    return f"{surf_file}_film"


def _write_page(reel: Reel, path: str, *, log: bool, dir_file: str) -> str:
    views = views_of_one_scale(reel.surfaces, reel.name, log=log)
    axis_titles = scene.axis_titles(dir_file)
    projection = reel.projection
    trajectory = Trajectory(projection.x, projection.y, list(reel.titles)) if projection else None
    if len(views) > 1:
        figure = film_figure(views, trajectory, titles=reel.titles, axis_titles=axis_titles)
    else:
        assert trajectory, "a single surface has a path"
        figure = surface_figure(views, first=0, axis_titles=axis_titles, trajectory=trajectory)
        add_checkpoint_slider(figure, trajectory)
    notes = list(dict.fromkeys(view.note for view in views if view.note))
    if trajectory:
        is_outside = ~views[0].grid.holds(trajectory.x, trajectory.y)
        if is_outside.any():
            count = f"{np.count_nonzero(is_outside)} of {is_outside.size} checkpoints"
            notes.append(f"{count} lie outside the grid and are left out.")
    return html_page.write_page(
        path,
        figure,
        title=os.path.basename(path).removesuffix(".html"),
        notes=notes,
        commands=commands(*reel.surfaces),
        subtitle=_subtitle(reel),
    )


def _subtitle(reel: Reel) -> str:
    first = reel.surfaces[0]
    assert first.y is not None
    points = f"{first.x.size}×{first.y.size} points"
    along = f", along {os.path.basename(first.dir_file)}" if first.dir_file else ""
    return f"{label(reel.name)} of {len(reel.surfaces)} surfaces, {points}{along}"
