"""A training as a film: loss surfaces of its checkpoints in one plane, one after the other, on one scale, and the path over them.

    python plot_film.py --surf_file SURFACE_OF_model_0 SURFACE_OF_model_1 … --proj_file PROJECTION
    python plot_film.py --surf_file SURFACES_OF_model_*.h5 --surf_name test_loss --out figures/training
    python plot_film.py --surf_file ONE_SURFACE --proj_file PROJECTION --log

`<out>.gif`, `<out>.mp4` where ffmpeg is installed, and `<out>.html`, in which a slider goes through the checkpoints. Several surfaces have one
grid and one pair of directions, and the projection a place for each of them; over one surface, the path alone moves.
"""

from __future__ import annotations

import os
import sys

import numpy as np

from losslandscape.cli.command_line import Parser, sentence
from losslandscape.cli.option_types import finite
from losslandscape.core.errors import InputError
from losslandscape.draw import figures, film
from losslandscape.draw.film import Reel
from losslandscape.draw.web import html_page, scene
from losslandscape.draw.web.film_figure import add_checkpoint_slider, film_figure
from losslandscape.draw.web.surface_figure import surface_figure
from losslandscape.draw.web.trajectory import Trajectory
from losslandscape.draw.web.views import views_of_one_scale


def argument_parser() -> Parser:
    parser = Parser(__doc__)
    parser.add_argument(
        "--surf_file",
        "-f",
        nargs="+",
        required=True,
        metavar="FILE",
        help="a surface file for each checkpoint, in order, or one for all; "
        "numbers in a pattern's names count as numbers",
    )
    parser.add_argument(
        "--proj_file",
        default="",
        metavar="FILE",
        help="projection of the training, which puts each checkpoint in the plane",
    )
    parser.add_argument(
        "--dir_file",
        default="",
        metavar="FILE",
        help="PCA direction file: the axes then say the variance that they explain",
    )
    parser.add_argument(
        "--surf_name",
        default="train_loss",
        metavar="NAME",
        help="the quantity to draw (default: %(default)s)",
    )
    parser.add_argument(
        "--title",
        nargs="+",
        default=[],
        metavar="TEXT",
        help="a title for each checkpoint (default: its epoch, or its file)",
    )
    parser.add_argument(
        "--vmax", type=finite, help="contours end before this (default: fitted to all surfaces)"
    )
    parser.add_argument("--vmin", type=finite, help="lowest contour (likewise)")
    parser.add_argument("--vlevel", type=finite, help="step between contours (likewise)")
    parser.add_argument(
        "--log",
        action="store_true",
        help="contours of equal ratios (default: where a loss ranges over more than two orders of magnitude)",
    )
    parser.add_argument(
        "--out",
        default="",
        metavar="STEM",
        help="what the files' names begin with (default: the first surface file with _film)",
    )
    return parser


def main(argv: list[str] | None = None) -> None:
    parser = argument_parser()
    args = parser.parse_args(argv)
    with sentence(parser), figures.drawn_by(__file__, sys.argv[1:] if argv is None else argv):
        plot_film(
            args.surf_file,
            proj_file=args.proj_file,
            dir_file=args.dir_file,
            name=args.surf_name,
            titles=args.title,
            out=args.out,
            vmin=args.vmin,
            vmax=args.vmax,
            vlevel=args.vlevel,
            log=args.log,
        )


def plot_film(
    surf_files: list[str],
    *,
    proj_file: str = "",
    dir_file: str = "",
    name: str = "train_loss",
    titles: list[str] | None = None,
    out: str = "",
    vmin: float | None = None,
    vmax: float | None = None,
    vlevel: float | None = None,
    log: bool = False,
) -> list[str]:
    """Make the film and its interactive page; return the paths written.

    Raises `InputError` for files that do not fit together, a quantity that they do not have, and impossible levels.
    """
    folder = os.path.dirname(out)
    if folder and not os.path.isdir(folder):
        raise InputError(f"the folder {folder!r} of --out is not there; make it, or give another --out")
    reel = film.read(surf_files, proj_file=proj_file, name=name, titles=titles or [])
    scale = film.scale_of(reel, vmin=vmin, vmax=vmax, vlevel=vlevel, log=log)
    stem = out or f"{reel.surfaces[0].path}_film"
    html = write_page(reel, f"{stem}.html", log=scale.log, dir_file=dir_file)
    return [
        *film.write(reel, [f"{stem}.{form}" for form in film.formats()], scale=scale, dir_file=dir_file),
        html,
    ]


def write_page(reel: Reel, path: str, *, log: bool, dir_file: str) -> str:
    """The film as an interactive page."""
    views = views_of_one_scale(reel.surfaces, reel.name, log=log)
    axis_titles = scene.axis_titles(dir_file)
    trajectory = (
        Trajectory(reel.projection.x, reel.projection.y, reel.titles) if reel.projection else None
    )
    if len(views) > 1:
        figure = film_figure(views, trajectory, titles=reel.titles, axis_titles=axis_titles)
    else:
        figure = surface_figure(views, first=0, axis_titles=axis_titles, trajectory=trajectory)
        add_checkpoint_slider(figure, trajectory)
    notes = list(dict.fromkeys(view.note for view in views if view.note))
    if trajectory and (outside := int(np.count_nonzero(~views[0].grid.holds(trajectory.x, trajectory.y)))):
        notes.append(f"{outside} of {trajectory.x.size} checkpoints lie outside the grid and are left out.")
    first = reel.surfaces[0]
    return html_page.write_page(
        path,
        figure,
        title=os.path.basename(path).removesuffix(".html"),
        notes=notes,
        commands=figures.commands(*reel.surfaces),
        subtitle=f"{figures.label(reel.name)} of {len(views)} surfaces, {first.x.size}×{first.y.size} points"
        + (f", along {os.path.basename(first.dir_file)}" if first.dir_file else ""),
    )


if __name__ == "__main__":
    main()
