"""The interactive page of surface files: surfaces to turn, or the curves of lines."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from losslandscape.core.errors import InputError
from losslandscape.draw import training_paths
from losslandscape.draw.drawable import describe_missing
from losslandscape.draw.figure_metadata import commands
from losslandscape.draw.labels import page_label
from losslandscape.draw.surface_title import all_titles, page_title, size, surface_subtitle
from losslandscape.draw.web import scene
from losslandscape.draw.web.curves_figure import curve_panels
from losslandscape.draw.web.film_figure import with_checkpoint_steps
from losslandscape.draw.web.grid import Grid
from losslandscape.draw.web.html_page import Page, write_page
from losslandscape.draw.web.surface_figure import surface_panel
from losslandscape.draw.web.trajectory import trajectories_of
from losslandscape.draw.web.views import View, common_views, first_shown
from losslandscape.files import h5_util
from losslandscape.files.projection import Projection
from losslandscape.files.surface import Surface

MAX_SURFACES = 12  # browsers keep at most 16 scenes


def write_surface_page(
    surf_files: str | Sequence[str],
    *,
    proj_file: str | Sequence[str] = "",
    dir_file: str = "",
    name: str = "",
    log: bool = False,
    zmax: float | None = None,
    titles: Sequence[str] = (),
    out: str = "",
    own_scale: bool = False,
) -> str:
    """Write the page of a surface, or of several side by side. An old page is replaced.

    Args:
        surf_files: the surface file of a line or a plane, or several files, all of lines or all of planes.
        proj_file: the projection of a training, or several, to draw on a single plane. Checkpoints outside
            the grid are left out. The page and standard output give the number of these checkpoints.
        dir_file: the PCA direction file, for the titles of the axes.
        name: the quantity to show first on a plane; empty for the first quantity, usually the training loss.
        log: whether to show the logarithm first.
        zmax: the height at which losses on a plane are cut off; None to choose it from the values.
        titles: a title per surface; by default from the facts in its file.
        out: the beginning of the page's name; by default the first surface file, and `_compared` if there are
            several.
        own_scale: whether each of several surfaces has its own heights and colours.

    Returns:
        The path of the page.

    Raises:
        InputError: files, titles or a name cannot be used, or there are too few values to draw.
    """
    paths = [surf_files] if isinstance(surf_files, str) else list(surf_files)
    surfaces = [h5_util.as_surface(path) for path in paths]
    proj_files = training_paths.listed(proj_file)
    _require_drawable(surfaces, name, proj_files)
    names = all_titles(surfaces, titles)
    axis_titles = scene.axis_titles(dir_file)
    if surfaces[0].y is None:
        panels, labels, first = curve_panels(
            surfaces, log=log, axis_title=axis_titles[0], titles=names, shared=not own_scale
        )
        parts = Page("", "", panels, labels, first, one_scale=not own_scale)
        ending = "1d"
    else:
        parts = _planes(
            surfaces, proj_files, axis_titles, names, name, log=log, zmax=zmax, own_scale=own_scale
        )
        ending = "3dsurface"
    stem = out or (paths[0] if len(paths) == 1 else f"{paths[0]}_compared")
    return write_page(f"{stem}_{ending}.html", _with_texts(parts, surfaces, titles, own_scale=own_scale))


def _require_drawable(surfaces: Sequence[Surface], name: str, proj_files: list[str]) -> None:
    if len(surfaces) > MAX_SURFACES:
        raise InputError(f"{len(surfaces)} surfaces are too many for a page", f"give up to {MAX_SURFACES}")
    first = surfaces[0]
    for surface in surfaces:
        if not surface.names:
            raise InputError(f"{surface.path} has no quantity to draw")
        if (surface.y is None) != (first.y is None):
            fault = f"one of {first.path} and {surface.path} is 1-D and the other 2-D"
            raise InputError(fault, "make a page for each")
        if name:
            surface.get(name)  # raises an error if the surface does not have this quantity
    if proj_files and first.y is None:
        need = f"a trajectory ({proj_files[0]}) needs a surface with two coordinates"
        raise InputError(f"{first.path} is 1-D; {need}")
    if proj_files and len(surfaces) > 1:
        raise InputError("a trajectory is drawn on one surface", "give one {surf_file} with {proj_file}")


def _planes(
    surfaces: Sequence[Surface],
    proj_files: list[str],
    axis_titles: tuple[str, str],
    titles: Sequence[str],
    name: str,
    *,
    log: bool,
    zmax: float | None,
    own_scale: bool,
) -> Page:
    """Return the plots of planes, without the texts around them."""
    all_views = common_views(surfaces, zmax=zmax, own_scale=own_scale)
    first = first_shown(all_views, name, log=log)
    paths = _read_paths(proj_files, surfaces[0])
    trajectories = trajectories_of(paths)
    grid = all_views[0][first].grid
    notes = [note for path in paths for note in _notes_on_trajectory(path, surfaces[0], grid)]
    for note in notes:
        print(note)
    panels = []
    for surface, views, title in zip(surfaces, all_views, titles, strict=True):
        notes += _after(titles, title, _notes_on_grids(surface, views))
        noted = [replace(view, note=" ".join(_after(titles, title, [view.note]))) for view in views]
        panels.append(
            surface_panel(noted, first=first, title=title, axis_titles=axis_titles, trajectories=trajectories)
        )
    steps = None
    if any(path.x.size > 1 for path in paths):
        several = len(paths) > 1
        panels[0], steps = with_checkpoint_steps(
            panels[0],
            trajectories,
            all_views[0][first],
            titles=training_paths.titles(paths) if several else trajectories[0].names,
            progress=training_paths.progress(paths),
        )
    labels = [view.label for view in all_views[0]]
    return Page("", "", panels, labels, first, steps, scene.CAMERA, not own_scale, notes)


def _with_texts(page: Page, surfaces: Sequence[Surface], given: Sequence[str], *, own_scale: bool) -> Page:
    """Return a page with its texts; `given` are the titles that the user gave."""
    titles = [panel.title for panel in page.panels]
    if len(surfaces) == 1:
        title = titles[0] if given else page_title(surfaces[0])
        subtitle = surface_subtitle(surfaces[0])
    else:
        title = " and ".join(titles) if len(titles) == 2 else f"{len(titles)} loss landscapes"
        parts = dict.fromkeys(map(surface_subtitle, surfaces))
        scale = "each on its own scale" if own_scale else "all on one scale"
        subtitle = "; ".join([*(parts if len(parts) == 1 else []), scale])
    missing = [
        note
        for surface, name in zip(surfaces, titles, strict=True)
        for note in _after(titles, name, _notes_on_missing(surface))
    ]
    return replace(
        page,
        title=title,
        subtitle=subtitle,
        notes=[*missing, *page.notes],
        commands=commands(*surfaces),
    )


def _after(titles: Sequence[str], title: str, notes: Sequence[str]) -> list[str]:
    """Return the notes that are not empty, after the title of their surface if there are several."""
    return [f"{title}: {note}" if len(titles) > 1 else note for note in notes if note]


def _notes_on_missing(surface: Surface) -> list[str]:
    """Return a sentence for each group of quantities that lack the same values."""
    names_by_text: dict[str, list[str]] = {}
    for name in surface.names:
        if text := describe_missing(surface, name):
            names_by_text.setdefault(text, []).append(page_label(name))
    return [f"{', '.join(names)}: {text}." for text, names in names_by_text.items()]


def _notes_on_grids(surface: Surface, views: Sequence[View]) -> list[str]:
    """Return a sentence for each quantity that is shown on only a part of the grid."""
    return [
        f"Of {view.label}, {size(view.grid.shape)} points are shown, a grid that is complete."
        for view in views
        if view.grid.shape != surface.shape and not view.log
    ]


def _read_paths(proj_files: list[str], surface: Surface) -> list[Projection]:
    paths = [h5_util.read_projection(proj_file) for proj_file in proj_files]
    for path in paths:
        path.require_on(surface)
    training_paths.require_together(paths)
    return paths


def _notes_on_trajectory(projection: Projection, surface: Surface, grid: Grid) -> list[str]:
    """Return warnings about the directions of the trajectory and about checkpoints outside the grid."""
    file = os.path.basename(projection.path)
    directions = os.path.basename(surface.dir_file)
    notes = []
    # Coordinates along other directions are meaningless. But a file without the fact `directions` may have
    # been renamed, so a name that does not fit only causes a warning.
    if "directions" not in projection.made_with and not file.startswith(directions):
        check = f"check that {file} was projected on them"
        notes.append(f"The surface was made along the directions {directions!r}; {check}.")
    outside = np.count_nonzero(~grid.holds(projection.x, projection.y))
    if outside:
        some = f"{outside} of {projection.x.size} checkpoints of {file}"
        notes.append(f"{some} lie outside the surface's grid and are left out.")
    return notes
