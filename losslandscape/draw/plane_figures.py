"""Draws figures of planes: contours, filled contours, a heat map and a 3-D surface of a quantity."""

import os
from collections.abc import Sequence

import numpy as np

from losslandscape.core import quantity
from losslandscape.core.errors import InputError
from losslandscape.draw import eigen_figures, figures, metrics_table, panels, training_paths
from losslandscape.draw.comparison import Comparison
from losslandscape.draw.contour_levels import Scale, choose_scale
from losslandscape.draw.drawable import describe_missing, describe_thin, has_cells, values_of
from losslandscape.draw.figure_details import Details, detailed
from losslandscape.draw.page_style import Page, paged
from losslandscape.draw.surface_panels import surface_figure
from losslandscape.draw.tensorboard_log import send_mesh
from losslandscape.draw.trajectory_figures import read_shares
from losslandscape.draw.trajectory_path import add_paths
from losslandscape.files import h5_util
from losslandscape.files.projection import Projection
from losslandscape.files.surface import Surface

ALL = "all"  # the name that stands for every quantity


@paged
@detailed
def plot_2d(
    *surf_files: str | Surface,
    name: str = "",
    titles: Sequence[str] = (),
    out: str = "",
    vmin: float | None = None,
    vmax: float | None = None,
    vlevel: float | None = None,
    log: bool = False,
    zlim: float | None = None,
    json_file: str = "",
    show: bool = False,
    formats: str | Sequence[str] = ("pdf",),
    page: Page | None = None,
    details: Details | None = None,
) -> list[str]:
    """Draw a quantity of planes as contour lines, filled contours, a heat map and a 3-D surface.

    Several surfaces share one scale, side by side. If a grid has a single row or column, only the heat map is
    drawn. Also draw the ratio of Hessian eigenvalues, if all surfaces have both, and print metrics of the
    surfaces.

    Args:
        surf_files: surface files, or surfaces.
        name: the quantity; "all" for every shared quantity, "" for the first, which is train_loss if shared.
        titles: one title per surface; by default, the file names if there are several surfaces.
        out: the beginning of the figures' file names; by default, the name of the surface file.
        vmin, vmax, vlevel, log: the contour levels, as in `contour_levels.choose_scale`.
        zlim: the height at which the 3-D surface is cut off.
        json_file: a JSON file to write the metrics to.
        show: whether to also open the figures in windows.
        formats: file formats of the figures: pdf, png, svg, eps, pgf.
        page: the printed page that the figures are for; None for the published look.
        details: texts, marks, colours and an inset; None for the usual ones.

    Returns:
        The paths of the figures.

    Raises:
        InputError: a surface is 1-D, lacks the quantity or has no finite value, or the levels are invalid.
    """
    surfaces = [_read_plane(file) for file in surf_files]
    names = _names(surfaces, name)
    for surface in surfaces:
        for one in names:
            _require_values(surface, one)
    shown = Comparison.of(surfaces, titles=titles, out=out, show=show, formats=formats)
    levels = {"vmin": vmin, "vmax": vmax, "vlevel": vlevel}
    scales = {one: _scale(surfaces, one, levels, log=log) for one in names}
    if zlim is not None and all(map(has_cells, surfaces)):
        _require_heights_below(zlim, scales)
    paths = []
    for one, scale in scales.items():
        paths += _draw(shown, one, scale, zlim=zlim)
    if all(map(eigen_figures.has_eigenvalues, surfaces)):
        paths += eigen_figures.draw_heats(shown)
    metrics_table.report(surfaces, shown.titles, names, json_file=json_file)
    if show:
        figures.show()
    return paths


def endings(names: Sequence[str]) -> list[str]:
    """Return the ends of the figures' names, for a surface that will have these quantities."""
    first = quantity.shown(names)[0]
    return [f"{first}_2dcontour", f"{first}_2dcontourf", f"{first}_2dheat", f"{first}_3dsurface"]


@paged
@detailed
def plot_contour_trajectory(
    surf_file: str | Surface,
    *,
    proj_file: str | Sequence[str],
    dir_file: str = "",
    name: str = "",
    out: str = "",
    vmin: float | None = None,
    vmax: float | None = None,
    vlevel: float | None = None,
    log: bool = False,
    json_file: str = "",
    show: bool = False,
    formats: str | Sequence[str] = ("pdf",),
    page: Page | None = None,
    details: Details | None = None,
) -> list[str]:
    """Draw a training path over the contours of a plane, as `<proj_file>_<name>_2dcontour_proj`.

    Args:
        surf_file: a surface file, or a surface.
        proj_file: the projection file of the path, on the directions of the surface; or several.
        dir_file: a PCA direction file; the axes then show the share of the variance that each explains.
        out: the beginning of the figure's file name; by default, the name of the projection file
            (of several, the first and `_compared`).

    For the other arguments, see `plot_2d`.

    Returns:
        The paths of the figure, one per format.

    Raises:
        InputError: the path is recorded as lying in another plane, or a case of `plot_2d`.
    """
    surface = _read_plane(surf_file)
    names = _names([surface], name)
    if len(names) > 1:
        raise InputError(
            f"a trajectory is drawn on one quantity, not on {', '.join(names)}", "choose one with {name}"
        )
    name = names[0]
    _require_values(surface, name)
    if not has_cells(surface):
        raise InputError(f"{surface.called}: {describe_thin(surface)}")
    trainings = training_paths.read_paths(proj_file)
    for projection in trainings:
        projection.require_on(surface)
    shares = read_shares(dir_file)
    scale = _scale([surface], name, {"vmin": vmin, "vmax": vmax, "vlevel": vlevel}, log=log)
    shown = Comparison([surface], [""], out or training_paths.stem(proj_file), show=show, formats=formats)
    _print_missing(shown, name, scale)
    for projection in trainings:
        _print_doubts(surface, projection)
    fig = panels.contour_figure(shown, name, scale, below_path=True)
    add_paths(fig, trainings, shares)
    paths = shown.save(fig, f"{name}_2dcontour_proj")
    metrics_table.report([surface], [""], [name], json_file=json_file)
    if show:
        figures.show()
    return paths


def _read_plane(surf_file: str | Surface) -> Surface:
    surface = h5_util.as_surface(surf_file)
    if surface.y is None:
        raise InputError(f"{surface.called} is 1-D", "use plot_1D.py, or plot_1d from Python")
    return surface


def _names(surfaces: Sequence[Surface], name: str) -> list[str]:
    """Return the quantities to draw: `name` itself, all that have values (ALL), or the first (no name)."""
    if name and name != ALL:
        return [name]
    names = quantity.shown(surfaces[0].names)
    shared = [one for one in names if all(one in surface.names for surface in surfaces)]
    if not shared:
        others = " that all files have" if len(surfaces) > 1 else ""
        raise InputError(f"{surfaces[0].called} has no quantity to draw{others}")
    with_values = [one for one in shared if any(_has_values(surface, one) for surface in surfaces)]
    return with_values if name == ALL and with_values else shared[:1]


def _has_values(surface: Surface, name: str) -> bool:
    return bool(np.isfinite(values_of(surface, name)).any())


def _require_values(surface: Surface, name: str) -> None:
    if not _has_values(surface, name):
        raise InputError(f"{surface.called} has no {name} to draw ({describe_missing(surface, name)})")


def _scale(surfaces: Sequence[Surface], name: str, levels: dict[str, float | None], *, log: bool) -> Scale:
    values = [values_of(surface, name) for surface in surfaces]
    return choose_scale(values, log=log, is_loss=not quantity.is_percentage(name), **levels)


def _require_heights_below(zlim: float, scales: dict[str, Scale]) -> None:
    """Raise `InputError` if `zlim` cuts off a whole 3-D surface."""
    for name, scale in scales.items():
        if not zlim > scale.heights[0]:
            least = f"the least is {scale.heights[0]:.3g}"
            raise InputError(f"zlim {zlim:g} is below every value of {name} ({least})")


def _draw(shown: Comparison, name: str, scale: Scale, *, zlim: float | None) -> list[str]:
    """Draw the four figures of a quantity, or only the heat map if a grid has no cells."""
    _print_missing(shown, name, scale)
    thin = [surface for surface in shown.surfaces if not has_cells(surface)]
    if thin:
        print(f"{thin[0].called}: {describe_thin(thin[0])}; only the heat map is drawn.")
        return shown.save(panels.heat_figure(shown, name, scale), f"{name}_2dheat")
    paths = shown.save(panels.contour_figure(shown, name, scale), f"{name}_2dcontour")
    paths += shown.save(panels.filled_contour_figure(shown, name, scale), f"{name}_2dcontourf")
    paths += shown.save(panels.heat_figure(shown, name, scale), f"{name}_2dheat")
    paths += shown.save(surface_figure(shown, name, scale, zlim=zlim), f"{name}_3dsurface")
    for surface, title in shown:
        send_mesh(title or os.path.basename(surface.path), surface, name, scale)
    return paths


def _print_missing(shown: Comparison, name: str, scale: Scale) -> None:
    for surface in shown.surfaces:
        if missing := describe_missing(surface, name):
            print(f"{surface.called}: {name}: {missing}.")
    if scale.refitted and scale.levels.size and all(map(has_cells, shown.surfaces)):
        levels = f"the levels go from {scale.levels[0]:.4g} to {scale.levels[-1]:.4g} instead"
        print(f"{shown.surfaces[0].called}: vmin, vmax and vlevel do not suit {name}; {levels}.")


def _print_doubts(surface: Surface, projection: Projection) -> None:
    """Print a warning if a path may not belong to a surface, or leaves its grid."""
    # Coordinates along other directions would be meaningless. A file of the published program does not record
    # its directions; only the file name shows them.
    file_name, directions = os.path.basename(projection.path), os.path.basename(surface.dir_file)
    if "directions" not in projection.made_with and not file_name.startswith(directions):
        made = f"{surface.called} was made along the directions {surface.dir_file!r}"
        print(f"{made}; check that {projection.path} was projected on them.")
    assert surface.y is not None
    is_outside = (projection.x < surface.x.min()) | (projection.x > surface.x.max())
    is_outside |= (projection.y < surface.y.min()) | (projection.y > surface.y.max())
    if is_outside.any():
        count = f"{np.count_nonzero(is_outside)} of {is_outside.size} checkpoints"
        print(f"{projection.path}: {count} lie outside the surface's grid.")
