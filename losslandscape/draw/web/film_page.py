"""The page of a film: a slider over the surfaces or the checkpoints of a training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from losslandscape.core.errors import InputError
from losslandscape.draw import training_paths
from losslandscape.draw.figure_metadata import commands
from losslandscape.draw.film_screen import Reel
from losslandscape.draw.labels import page_label
from losslandscape.draw.surface_title import size, surface_subtitle
from losslandscape.draw.web import scene
from losslandscape.draw.web.film_figure import film_panel, steps_of, with_checkpoint_steps
from losslandscape.draw.web.html_page import Page, write_page
from losslandscape.draw.web.surface_figure import surface_panel
from losslandscape.draw.web.trajectory import Trajectory, trajectories_of
from losslandscape.draw.web.views import View, common_views
from losslandscape.files.surface import Surface


def write_film_page(reel: Reel, path: str, *, log: bool, dir_file: str = "") -> str:
    """Write the page of a film, and return its path.

    Args:
        reel: what the film shows.
        path: the file of the page.
        log: whether heights are logarithms.
        dir_file: a PCA direction file, whose explained variance is then shown on the axes.

    Raises:
        InputError: a surface has fewer than 2x2 points to show.
    """
    views = _views(reel, log=log)
    axis_titles = scene.axis_titles(dir_file)
    trajectories = _trajectories(reel)
    title = _title(reel)
    silent = [replace(view, note="") for view in views]  # the notes of all views are in the page's
    if len(views) > 1:
        one = trajectories[0] if trajectories else None
        panel = film_panel(silent, one, title=title, axis_titles=axis_titles)
        steps = steps_of(reel.titles, active=0)
    else:
        panel = surface_panel(
            silent, first=0, title=title, axis_titles=axis_titles, trajectories=trajectories
        )
        progress = training_paths.progress(reel.paths)
        panel, steps = with_checkpoint_steps(
            panel, trajectories, views[0], titles=reel.titles, progress=progress
        )
    page = Page(
        title,
        _subtitle(reel),
        [panel],
        [views[0].label],
        steps=steps,
        camera=scene.CAMERA,
        notes=_notes(views, trajectories),
        commands=commands(*reel.surfaces),
    )
    return write_page(path, page)


def _views(reel: Reel, *, log: bool) -> list[View]:
    """Return the view of the film's quantity for each surface, all on one scale."""
    for views in zip(*common_views([_only(surface, reel.name) for surface in reel.surfaces]), strict=True):
        if views[0].log == log:
            return list(views)
    raise InputError(f"{reel.surfaces[0].path}: a page needs surfaces of at least 2x2 points")


def _only(surface: Surface, name: str) -> Surface:
    """Return a surface with a single quantity, so that a page of many surfaces stays small."""
    return Surface(
        surface.path,
        x=surface.x,
        y=surface.y,
        quantities={name: surface.stored(name)},
        measured=surface.measured(name),
    )


def _title(reel: Reel) -> str:
    model = reel.surfaces[-1].made_with.get("model", "")
    return f"The training of {model}" if model else "A training"


def _subtitle(reel: Reel) -> str:
    first = reel.surfaces[0]
    if len(reel.surfaces) == 1:
        return f"{page_label(reel.name)}, {surface_subtitle(first)}"
    return (
        f"{page_label(reel.name)} around each of {len(reel.surfaces)} checkpoints, {size(first.shape)} points"
    )


def _trajectories(reel: Reel) -> list[Trajectory]:
    if len(reel.paths) == 1:
        return [Trajectory(reel.paths[0].x, reel.paths[0].y, list(reel.titles))]
    return trajectories_of(reel.paths)


def _notes(views: list[View], trajectories: list[Trajectory]) -> list[str]:
    """Return sentences on what is cut off and on checkpoints outside the grid."""
    notes = list(dict.fromkeys(view.note for view in views if view.note))
    for trajectory in trajectories:
        is_outside = ~views[0].grid.holds(trajectory.x, trajectory.y)
        if is_outside.any():
            count = f"{np.count_nonzero(is_outside)} of {is_outside.size} checkpoints"
            count += f" of {trajectory.training}" if trajectory.training else ""
            notes.append(f"{count} lie outside the grid and are left out.")
    return notes
