"""The interactive page of a surface file: a surface to turn, or the curves of a line."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from losslandscape.core.errors import InputError
from losslandscape.draw.drawable import describe_missing
from losslandscape.draw.figure_metadata import commands
from losslandscape.draw.labels import label
from losslandscape.draw.web import html_page, scene
from losslandscape.draw.web.curves_figure import curves_figure
from losslandscape.draw.web.film_figure import add_checkpoint_slider
from losslandscape.draw.web.grid import Grid
from losslandscape.draw.web.surface_figure import surface_figure
from losslandscape.draw.web.trajectory import Trajectory
from losslandscape.draw.web.views import View, first_shown, views
from losslandscape.files import h5_util
from losslandscape.files.projection import Projection
from losslandscape.files.surface import Surface

if TYPE_CHECKING:
    import plotly.graph_objects as go


def write_surface_page(
    surf_file: str,
    *,
    proj_file: str = "",
    dir_file: str = "",
    name: str = "",
    log: bool = False,
    zmax: float | None = None,
) -> str:
    """Write the page of a surface beside its file. An old page is replaced.

    Args:
        surf_file: the surface file of a line or a plane.
        proj_file: the projection of a training to draw on the plane. Checkpoints outside the grid are left
            out. The page and standard output give the number of these checkpoints.
        dir_file: the PCA direction file, for the titles of the axes.
        name: the quantity to show first on a plane; empty for the first quantity, usually the training loss.
        log: whether to show the logarithm first.
        zmax: the height at which losses on a plane are cut off; None to choose it from the values.

    Returns:
        The path of the page.

    Raises:
        InputError: a file or a name cannot be used, or there are too few values to draw.
    """
    surface = h5_util.read_surface(surf_file)
    _require_drawable(surface, name, proj_file)
    axis_titles = scene.axis_titles(dir_file)
    notes = _notes_on_missing(surface)
    if surface.y is None:
        figure = curves_figure(surface, log=log, axis_title=axis_titles[0])
        return _write(surface, figure, notes, ending="1d")
    projection = _read_projection(proj_file, surface) if proj_file else None
    figure, plane_notes = _plane_figure(surface, projection, axis_titles, name=name, log=log, zmax=zmax)
    return _write(surface, figure, [*notes, *plane_notes], ending="3dsurface")


def _plane_figure(
    surface: Surface,
    projection: Projection | None,
    axis_titles: tuple[str, str],
    *,
    name: str,
    log: bool,
    zmax: float | None,
) -> tuple[go.Figure, list[str]]:
    """Return the figure of a plane, and notes for its reader."""
    all_views = views(surface, zmax=zmax)
    first = first_shown(all_views, name, log=log)
    notes = _notes_on_grids(surface, all_views)
    trajectory = None
    if projection:
        trajectory = _trajectory(projection)
        trajectory_notes = _notes_on_trajectory(projection, surface, all_views[first].grid)
        for note in trajectory_notes:
            print(note)
        notes += trajectory_notes
    figure = surface_figure(all_views, first=first, axis_titles=axis_titles, trajectory=trajectory)
    if trajectory and trajectory.x.size > 1:
        add_checkpoint_slider(figure, trajectory)
    return figure, notes + [view.note for view in all_views if view.note]


def _require_drawable(surface: Surface, name: str, proj_file: str) -> None:
    if not surface.names:
        raise InputError(f"{surface.path} has no quantity to draw")
    if name:
        surface.get(name)  # raises an error if the surface does not have this quantity
    if proj_file and surface.y is None:
        need = f"a trajectory ({proj_file}) needs a surface with two coordinates"
        raise InputError(f"{surface.path} is 1-D; {need}")


def _write(surface: Surface, figure: go.Figure, notes: list[str], *, ending: str) -> str:
    return html_page.write_page(
        f"{surface.path}_{ending}.html",
        figure,
        title=os.path.basename(surface.path),
        subtitle=_subtitle(surface),
        notes=notes,
        commands=commands(surface),
    )


def _subtitle(surface: Surface) -> str:
    parts = [f"{_size(surface.shape)} points", _range("α", surface.x)]
    if surface.y is not None:
        parts.append(_range("β", surface.y))
    if surface.dir_file:
        parts.append(f"along {os.path.basename(surface.dir_file)}")
    return ", ".join(parts)


def _range(symbol: str, values: np.ndarray) -> str:
    return f"{symbol} from {values.min():g} to {values.max():g}"


def _size(shape: tuple[int, ...]) -> str:
    return "×".join(str(size) for size in reversed(shape))


def _notes_on_missing(surface: Surface) -> list[str]:
    """Return a sentence for each group of quantities that lack the same values."""
    names_by_text: dict[str, list[str]] = {}
    for name in surface.names:
        if text := describe_missing(surface, name):
            names_by_text.setdefault(text, []).append(label(name))
    return [f"{', '.join(names)}: {text}." for text, names in names_by_text.items()]


def _notes_on_grids(surface: Surface, all_views: list[View]) -> list[str]:
    """Return a sentence for each quantity that is shown on only a part of the grid."""
    return [
        f"Of {view.label}, {_size(view.grid.shape)} points are shown, a grid that is complete."
        for view in all_views
        if view.grid.shape != surface.shape and not view.log
    ]


def _read_projection(proj_file: str, surface: Surface) -> Projection:
    projection = h5_util.read_projection(proj_file)
    projection.require_on(surface)
    return projection


def _trajectory(projection: Projection) -> Trajectory:
    count = projection.x.size
    if projection.epochs is None:
        names = [f"checkpoint {number} of {count}" for number in range(1, count + 1)]
    else:
        names = [f"{projection.unit} {epoch:.10g}" for epoch in projection.epochs]
    return Trajectory(projection.x, projection.y, names)


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
