"""Draw a surface as an interactive page: one HTML file that works offline, to turn, zoom and point at.

    python plot_html.py --surf_file path_to_surf_file
    python plot_html.py --surf_file path_to_surf_file --surf_name test_loss --log
    python plot_html.py --surf_file growing_surf_file --watch
    python plot_html.py --surf_file path_to_surf_file --proj_file path_to_proj_file --dir_file path_to_direction_file

`<surf>_3dsurface.html` shows a lit surface over its contours, with buttons for each quantity and for the losses' logarithms; the values at the point
under the mouse; the lowest point, the centre, and the trajectory on the surface, to be played or gone through with a slider. A 1-D file gets its
curves, as `<surf>_1d.html`.
"""

from __future__ import annotations

import os

import numpy as np

from losslandscape.cli.command_line import Parser, sentence
from losslandscape.core.errors import InputError
from losslandscape.draw import drawable, figure_metadata, labels, redraw, surface_views
from losslandscape.draw.web import html_page, interactive, interactive_curves, interactive_film
from losslandscape.files import h5_util
from losslandscape.files.surface import Surface


def main(argv=None) -> None:
    parser = argument_parser()
    args = parser.parse_args(argv)

    def draw() -> None:
        write_html(
            args.surf_file,
            proj_file=args.proj_file,
            dir_file=args.dir_file,
            name=args.surf_name,
            log=args.log,
            zmax=args.zmax,
        )

    with sentence(parser):
        redraw.draw(draw, [args.surf_file], watch=args.watch)


def argument_parser() -> Parser:
    parser = Parser(__doc__)
    parser.add_argument("--surf_file", "-f", required=True, help="surface file, of one coordinate or two")
    parser.add_argument(
        "--proj_file", default="", help="projection file of a trajectory, to be drawn on the surface"
    )
    parser.add_argument(
        "--dir_file", default="", help="PCA direction file: the axes then say the variance that they explain"
    )
    parser.add_argument(
        "--surf_name", default="", help="the quantity shown first (default: train_loss, or what there is)"
    )
    parser.add_argument(
        "--log",
        action="store_true",
        help="show the logarithm of the loss first (default: where a loss ranges over more than two orders of magnitude)",
    )
    parser.add_argument(
        "--zmax",
        type=float,
        help="cut losses off at this value (default: where a few huge values would flatten the rest)",
    )
    parser.add_argument(
        "--watch",
        action="store_true",
        help="write the page again whenever the file has grown, until it is complete; reload it to see",
    )
    return parser


def write_html(
    surf_file: str,
    *,
    proj_file: str = "",
    dir_file: str = "",
    name: str = "",
    log: bool = False,
    zmax: float | None = None,
) -> str:
    """Write the page of a surface beside its file and return its path; a page that is there is replaced in one step.

    `name` is the quantity shown first, with `log` its logarithm; `zmax` is the height at which losses are cut off. Checkpoints of `proj_file` that lie
    off the grid are left out, and said to be. Raises `InputError` for files and names that cannot be used, and for less than 2x2 points.
    """
    surface = h5_util.read_surface(surf_file)
    if not surface.names:
        raise InputError(f"{surf_file} has no quantity to draw")
    if name:
        surface.get(name)
    titles = interactive.axis_titles(dir_file)
    notes = _missing(surface)
    if surface.y is None:
        if proj_file:
            raise InputError(
                f"{surf_file} is 1-D; a trajectory ({proj_file}) needs a surface with two coordinates"
            )
        figure = interactive_curves.curves_figure(surface, log=log, axis_title=titles[0])
    else:
        views = surface_views.views(surface, zmax=zmax)
        first = surface_views.opening(views, name, log=log)
        notes += [
            f"Of {view.label}, {_size(view.shown)} points are shown, a grid that is complete."
            for view in views
            if view.shown.shape != surface.shape and not view.log
        ]
        trajectory = None
        if proj_file:
            trajectory, said = _trajectory(surface, views[first].shown, proj_file)
            notes += said
        figure = interactive.surface_figure(views, first=first, axis_titles=titles, trajectory=trajectory)
        if trajectory and trajectory.x.size > 1:
            figure = interactive_film.follow(figure, trajectory)
        notes += [view.note for view in views if view.note]
    return _write(surface, figure, notes)


def _write(surface: Surface, figure, notes: list[str]) -> str:
    return html_page.write(
        f"{surface.path}_{'1d' if surface.y is None else '3dsurface'}.html",
        figure,
        title=os.path.basename(surface.path),
        subtitle=_subtitle(surface),
        notes=notes,
        commands=figure_metadata.commands(surface),
    )


def _subtitle(surface: Surface) -> str:
    axes = [("α", surface.x)] + ([("β", surface.y)] if surface.y is not None else [])
    text = f"{_size(surface)} points, " + ", ".join(
        f"{symbol} from {values.min():g} to {values.max():g}" for symbol, values in axes
    )
    return text + (f", along {os.path.basename(surface.dir_file)}" if surface.dir_file else "")


def _size(grid) -> str:
    return "×".join(str(size) for size in reversed(grid.shape))


def _missing(surface: Surface) -> list[str]:
    """What the page cannot show, a sentence for all quantities of which the same is missing."""
    names: dict[str, list[str]] = {}
    for name in surface.names:
        if text := drawable.describe_missing(surface, name):
            names.setdefault(text, []).append(labels.label(name))
    return [f"{', '.join(those)}: {text}." for text, those in names.items()]


def _trajectory(
    surface: Surface, shown: surface_views.Grid, proj_file: str
) -> tuple[interactive.Trajectory, list[str]]:
    """A trajectory, and what a reader of the page must know of it, which is printed too."""
    projection = h5_util.read_projection(proj_file)
    projection.require_on(surface)
    said = []
    # Coordinates mean nothing along other directions. Files that do not know theirs are moved and renamed, so this can only be said, not refused.
    if "directions" not in projection.made_with and not os.path.basename(proj_file).startswith(
        os.path.basename(surface.dir_file)
    ):
        said.append(
            f"The surface was made along the directions {os.path.basename(surface.dir_file)!r}; check that {os.path.basename(proj_file)} was "
            "projected on them."
        )
    x, y, epochs = projection.x, projection.y, projection.epochs
    inside = shown.holds(x, y)
    if not inside.all():
        said.append(
            f"{np.count_nonzero(~inside)} of {inside.size} checkpoints of {os.path.basename(proj_file)} lie outside the surface's grid and are left out."
        )
    for text in said:
        print(text)
    names = (
        [f"checkpoint {i} of {x.size}" for i in range(1, x.size + 1)]
        if epochs is None
        else [f"epoch {epoch:g}" for epoch in epochs]
    )
    return interactive.Trajectory(x, y, names), said


if __name__ == "__main__":
    main()
