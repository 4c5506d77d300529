"""Draw a quantity of 2-D surface files, a trajectory, or the trajectory on the surface.

    python plot_2D.py --surf_file path_to_surf_file --surf_name train_loss
    python plot_2D.py --surf_file path_to_surf_file --surf_name all
    python plot_2D.py --surf_file path_to_surf_file --vmin 0.1 --vmax 10 --vlevel 0.5 --format pdf png
    python plot_2D.py --surf_file with.h5 without.h5 --title "with shortcuts" "without shortcuts" --log --out shortcuts
    python plot_2D.py --surf_file growing_surf_file --watch
    python plot_2D.py --proj_file path_to_proj_file --dir_file path_to_direction_file
    python plot_2D.py --proj_file path_to_proj_file --dir_file path_to_direction_file --surf_file path_to_surf_file

A surface gets `<surf>_<name>_2dcontour.pdf`, `_2dcontourf.pdf`, `_2dheat.pdf` and `_3dsurface.pdf` beside its file, and where it has Hessian
eigenvalues `<surf>_min_eig_max_eig_ratio_heat_sns.pdf` and `_abs_ratio_heat_sns.pdf`; several surfaces these side by side on one scale as
`<out>_<name>_…`, and a trajectory `<proj>.pdf` and `<proj>_<name>_2dcontour_proj.pdf` beside the projection
file. What the figures show is also told in numbers (docs/metrics.md).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

import numpy as np

from losslandscape.cli.command_line import (
    Parser,
    add_comparison_options,
    add_figure_options,
    sentence,
)
from losslandscape.cli.option_types import finite
from losslandscape.core import quantity
from losslandscape.core.errors import InputError
from losslandscape.draw import eigen_figures, figures, metrics_table, panels, redraw, trajectory_figures
from losslandscape.draw.contour_levels import VLEVEL, VMAX, VMIN, Scale, choose_scale
from losslandscape.files import h5_util
from losslandscape.files.surface import Surface

ALL = "all"  # of --surf_name


def main(argv=None) -> None:
    parser = argument_parser()
    args = parser.parse_args(argv)
    if not (args.surf_file or args.proj_file):
        parser.error("give --surf_file, --proj_file, or both")
    if args.proj_file and len(args.surf_file) > 1:
        parser.error(
            f"--proj_file is drawn on one surface, not on {len(args.surf_file)}; give one --surf_file"
        )
    if args.proj_file and (args.title or args.out or args.zlim is not None):
        parser.error(
            "--title, --out and --zlim are for surfaces without a trajectory; leave them out, or --proj_file"
        )
    output = {"show": args.show, "formats": args.format}
    levels = {
        "name": args.surf_name,
        "vmin": args.vmin,
        "vmax": args.vmax,
        "vlevel": args.vlevel,
        "log": args.log,
    }

    def draw() -> None:
        if args.proj_file:
            plot_trajectory(args.proj_file, dir_file=args.dir_file, **output)
        if args.proj_file and args.surf_file:
            plot_contour_trajectory(
                args.surf_file[0],
                dir_file=args.dir_file,
                proj_file=args.proj_file,
                json_file=args.json,
                **levels,
                **output,
            )
        elif args.surf_file:
            plot_2d(
                *args.surf_file,
                titles=args.title,
                out=args.out,
                zlim=args.zlim,
                json_file=args.json,
                **levels,
                **output,
            )

    with (
        sentence(parser),
        figures.drawn_by(__file__, sys.argv[1:] if argv is None else argv),
        figures.sent_to_tensorboard(args.tensorboard),
    ):
        redraw.draw(draw, args.surf_file, watch=args.watch, others=[args.proj_file] if args.proj_file else [])


def argument_parser() -> Parser:
    parser = Parser(__doc__)
    parser.add_argument(
        "--surf_file",
        "-f",
        nargs="+",
        default=[],
        metavar="FILE",
        help="surface file with two coordinates; several are drawn side by side",
    )
    parser.add_argument(
        "--dir_file", default="", help="PCA direction file: the axes then say the variance that they explain"
    )
    parser.add_argument("--proj_file", default="", help="projection file of a trajectory")
    parser.add_argument(
        "--surf_name",
        default="",
        metavar="NAME",
        help=f"the quantity to draw, or {ALL} (default: train_loss, or the first that the file has)",
    )
    parser.add_argument(
        "--vmax",
        type=finite,
        help=f"contour levels end before this value (default: fitted to the data, or {VMAX:g} with --vmin or --vlevel)",
    )
    parser.add_argument("--vmin", type=finite, help=f"first contour level (likewise, {VMIN:g})")
    parser.add_argument("--vlevel", type=finite, help=f"step between contour levels (likewise, {VLEVEL:g})")
    parser.add_argument(
        "--log",
        action="store_true",
        help="levels of equal ratios (default: where a loss ranges over more than two orders of magnitude)",
    )
    parser.add_argument(
        "--zlim", type=finite, help="cut the 3-D surface off at this height, e.g. 10 (default: no cut)"
    )
    add_comparison_options(parser)
    add_figure_options(parser)
    return parser


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
) -> list[str]:
    """Draw quantity `name` as contour lines, filled contours, a heat map and a 3-D surface; return the paths written.

    `name` "" is train_loss, or the first quantity that the file has, and "all" is each one in turn. Several surfaces stand side by side on one scale,
    with `titles`; `out` begins the figures' names. Of a grid with a single row or column there is only a heat map. The ratio of Hessian eigenvalues
    is drawn too where the files have them. Numbers that describe the surfaces are printed, and written to `json_file`.

    Raises `InputError` for a 1-D file, an unknown quantity, a file without any finite value, or impossible levels.
    """
    surfaces = [_read_plane(path) for path in surf_files]
    names = _names(surfaces, name)
    for surface in surfaces:
        for one in names:
            _require_values(surface, one)
    titles, stem = figures.titles_and_stem(surf_files, titles, out)
    scales = {one: _scale(surfaces, one, vmin=vmin, vmax=vmax, vlevel=vlevel, log=log) for one in names}
    if zlim is not None and all(map(has_cells, surfaces)):
        _require_heights_below(zlim, scales)
    paths = []
    for one, scale in scales.items():
        paths += _draw(surfaces, one, scale, titles, stem, zlim=zlim, show=show, formats=formats)
    if all(map(eigen_figures.has_eigenvalues, surfaces)):
        paths += eigen_figures.draw_heats(surfaces, titles, stem, show=show, formats=formats)
    metrics_table.tell(surfaces, titles, names, json_file=json_file)
    if show:
        figures.show()
    return paths


def _names(surfaces: Sequence[Surface], name: str) -> list[str]:
    """The quantities that `name` means: itself, or of those that all files have the first, or (ALL) each that has a value to draw."""
    shared = [
        one for one in quantity.shown(surfaces[0].names) if all(one in surface.names for surface in surfaces)
    ]
    if name and name != ALL:
        return [name]
    if not shared:
        raise InputError(
            f"{surfaces[0].called} has no quantity to draw"
            + (" that all files have" if len(surfaces) > 1 else "")
        )
    if not name:
        return shared[:1]
    return [
        one
        for one in shared
        if not all(np.isnan(panels.values_to_draw(surface, one)).all() for surface in surfaces)
    ] or shared[:1]


def _draw(
    surfaces: Sequence[Surface],
    name: str,
    scale: Scale,
    titles: Sequence[str],
    stem: str,
    *,
    zlim: float | None,
    show: bool,
    formats: Sequence[str],
) -> list[str]:
    """The four figures of one quantity, of a grid without cells the heat map alone; the paths written."""
    _say(surfaces, name, scale)
    kinds: dict[str, Callable] = {
        "2dcontour": panels.draw_contour,
        "2dcontourf": panels.draw_filled_contour,
        "2dheat": panels.draw_heat,
        "3dsurface": panels.draw_surface_3d,
    }
    if thin := [surface for surface in surfaces if not has_cells(surface)]:
        print(f"{thin[0].called}: {too_thin(thin[0])}; only the heat map is drawn.")
        kinds = {"2dheat": panels.draw_heat}
    paths = []
    for suffix, draw in kinds.items():
        options = {"zlim": zlim} if draw is panels.draw_surface_3d else {}
        fig = panels.side_by_side(surfaces, titles, name, scale, draw, show=show, **options)
        paths += figures.save(fig, f"{stem}_{name}_{suffix}", formats, made_by=figures.commands(*surfaces))
    if not thin:
        for surface, title in zip(surfaces, titles, strict=True):
            figures.send_mesh(title or os.path.basename(surface.path), surface, name, scale)
    return paths


def plot_trajectory(proj_file, *, dir_file="", show=False, formats=("pdf",)) -> list[str]:
    """Draw a projected trajectory alone, as `<proj_file>`; `dir_file` tells the variance that each axis explains."""
    paths = trajectory_figures.draw(proj_file, dir_file=dir_file, show=show, formats=formats)
    if show:
        figures.show()
    return paths


def plot_contour_trajectory(
    surf_file,
    *,
    name="",
    dir_file="",
    proj_file,
    vmin=None,
    vmax=None,
    vlevel=None,
    log=False,
    json_file="",
    show=False,
    formats=("pdf",),
) -> list[str]:
    """Draw the contours of a surface under a trajectory, as `<proj_file>_<name>_2dcontour_proj`; return the paths written.

    Raises `InputError` if the trajectory is known to have been projected on other directions.
    """
    surface = _read_plane(surf_file)
    (name, *more) = _names([surface], name)
    if more:
        raise InputError(
            f"a trajectory is drawn on one quantity; give --surf_name one of {name}, {', '.join(more)}"
        )
    _require_values(surface, name)
    if not has_cells(surface):
        raise InputError(f"{surf_file}: {too_thin(surface)}")
    projection = trajectory_figures.read_projection(proj_file)
    projection.require_on(surface)
    shares = h5_util.read_explained_variance(dir_file) if dir_file else None
    scale = _scale([surface], name, vmin=vmin, vmax=vmax, vlevel=vlevel, log=log)
    _say([surface], name, scale)
    # Coordinates mean nothing along other directions. Files of the published program know of no directions, so this can only be said.
    if "directions" not in projection.made_with and not os.path.basename(proj_file).startswith(
        os.path.basename(surface.dir_file)
    ):
        print(
            f"{surf_file} was made along the directions {surface.dir_file!r}; check that {proj_file} was projected on them."
        )
    x, y = projection.x, projection.y
    outside = (x < surface.x.min()) | (x > surface.x.max()) | (y < surface.y.min()) | (y > surface.y.max())
    if outside.any():
        print(
            f"{proj_file}: {np.count_nonzero(outside)} of {outside.size} checkpoints lie outside the surface's grid."
        )
    fig = panels.side_by_side(
        [surface], [""], name, scale, panels.draw_contour, show=show, mark_centre=False
    )  # the last checkpoint is there
    trajectory_figures.add(fig, projection, shares)
    paths = figures.save(
        fig, f"{proj_file}_{name}_2dcontour_proj", formats, made_by=figures.commands(surface)
    )
    metrics_table.tell([surface], [""], [name], json_file=json_file)
    if show:
        figures.show()
    return paths


def _read_plane(surf_file: str) -> Surface:
    surface = h5_util.as_surface(surf_file)
    if surface.y is None:
        raise InputError(f"{surface.called} is 1-D; use plot_1D.py")
    return surface


def _require_values(surface: Surface, name: str) -> None:
    """Raise `InputError` if the surface has nothing of quantity `name` to draw."""
    if np.isnan(panels.values_to_draw(surface, name)).all():
        raise InputError(
            f"{surface.called} has no {name} to draw ({figures.describe_missing(surface, name)})"
        )


def _require_heights_below(zlim: float, scales: dict[str, Scale]) -> None:
    """Raise `InputError` if a 3-D surface that is cut off at `zlim` would have nothing left of one of the quantities."""
    for name, scale in scales.items():
        if not zlim > scale.heights[0]:
            raise InputError(
                f"zlim {zlim:g} is below every value of {name} (the least is {scale.heights[0]:.3g})"
            )


def has_cells(surface) -> bool:
    """Whether contours and surfaces can be drawn at all: they live between the points."""
    return min(np.unique(surface.x).size, np.unique(surface.y).size) >= 2


def too_thin(surface) -> str:
    return f"a contour or a 3-D surface needs at least 2x2 points, and this grid is {len(surface.x)}x{len(surface.y)} (x by y)"


def _scale(surfaces, name: str, **levels) -> Scale:
    return choose_scale(
        [panels.values_to_draw(surface, name) for surface in surfaces],
        is_loss=not quantity.is_percentage(name),
        **levels,
    )


def _say(surfaces, name: str, scale: Scale) -> None:
    """Print what a reader of the figures must know."""
    for surface in surfaces:
        if missing := figures.describe_missing(surface, name):
            print(f"{surface.called}: {name}: {missing}.")
    if scale.refitted and scale.levels.size and all(map(has_cells, surfaces)):
        low, high = scale.levels[0], scale.levels[-1]
        print(
            f"{surfaces[0].called}: vmin, vmax and vlevel do not suit {name}; the levels go from {low:.4g} to {high:.4g} instead."
        )


if __name__ == "__main__":
    main()
