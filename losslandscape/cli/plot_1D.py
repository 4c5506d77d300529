"""Draw loss, accuracy, error and every other quantity along one direction, of one surface file or of several.

    python plot_1D.py --surf_file path_to_surf_file
    python plot_1D.py --surf_file path_to_surf_file --log --xmin -0.5 --xmax 0.5 --format pdf png
    python plot_1D.py --surf_file small.h5 large.h5 --title "batch 128" "batch 8192" --out batch_sizes
    python plot_1D.py --surf_file growing_surf_file --watch
    python plot_1D.py --prefix path_to_surf_files --idx_min 1 --idx_max 10

A surface gets `<surf>_1d_loss_acc[_log].pdf`, `<surf>_1d_train_loss[_log].pdf` and `<surf>_1d_train_err.pdf` beside its file, `<surf>_1d_<value>.pdf` for
every other value (of training a line, of test a dashed one), and `<surf>_1d_eig_ratio.pdf` and `_1d_eig_abs_ratio.pdf` where it has Hessian
eigenvalues; several surfaces these side by side on one scale as `<out>_1d_…`. The last command draws the repeats `<prefix>_1.h5` to
`<prefix>_10.h5` in `<prefix>_1d_loss_err_repeat.pdf`. What the figures show is also told in numbers (docs/metrics.md).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

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
from losslandscape.draw import curves, eigen_figures, figures, metrics_table, redraw
from losslandscape.draw.curves import Side
from losslandscape.files import h5_util
from losslandscape.files.surface import Surface


def main(argv=None) -> None:
    parser = argument_parser()
    args = parser.parse_args(argv)
    if bool(args.surf_file) == bool(args.prefix):
        parser.error("give one of --surf_file and --prefix")
    if args.prefix and (args.title or args.out):
        parser.error("--title and --out are for --surf_file; leave them out with --prefix")
    options = {
        "xmin": args.xmin,
        "xmax": args.xmax,
        "loss_max": args.loss_max,
        "log": args.log,
        "show": args.show,
        "formats": args.format,
        "json_file": args.json,
    }

    def draw() -> None:
        if args.prefix:
            plot_repeats(args.prefix, idx_min=args.idx_min, idx_max=args.idx_max, **options)
        else:
            plot_1d(*args.surf_file, titles=args.title, out=args.out, **options)

    with (
        sentence(parser),
        figures.drawn_by(__file__, sys.argv[1:] if argv is None else argv),
        figures.sent_to_tensorboard(args.tensorboard),
    ):
        redraw.draw(
            draw, args.surf_file or repeat_files(args.prefix, args.idx_min, args.idx_max), watch=args.watch
        )


def argument_parser() -> Parser:
    parser = Parser(__doc__)
    parser.add_argument(
        "--surf_file",
        "-f",
        nargs="+",
        default=[],
        metavar="FILE",
        help="surface file with one coordinate; several are drawn side by side",
    )
    parser.add_argument("--log", action="store_true", help="logarithmic scale for the loss")
    parser.add_argument(
        "--xmin", type=finite, help="left end of the axis (default: the file's whole range, not -1)"
    )
    parser.add_argument(
        "--xmax", type=finite, help="right end of the axis (default: the file's whole range, not 1)"
    )
    parser.add_argument(
        "--loss_max", type=finite, default=5, help="top of the loss axis, unless --log (default: %(default)s)"
    )
    parser.add_argument("--prefix", default="", help="draw the repeats <prefix>_<idx>.h5 in one figure")
    parser.add_argument("--idx_min", type=int, default=1, help="first repeat (default: %(default)s)")
    parser.add_argument(
        "--idx_max", type=int, default=10, help="last repeat, included (default: %(default)s)"
    )
    add_comparison_options(parser)
    add_figure_options(parser)
    return parser


def plot_1d(
    *surf_files: str | Surface,
    titles: Sequence[str] = (),
    out: str = "",
    xmin: float | None = None,
    xmax: float | None = None,
    loss_max: float = 5,
    log: bool = False,
    json_file: str = "",
    show: bool = False,
    formats: str | Sequence[str] = ("pdf",),
) -> list[str]:
    """Draw every 1-D figure that the files' quantities allow, several files side by side; return the paths written.

    Numbers that describe the curves are printed, and written to `json_file`. Raises InputError for a 2-D file, and for one without any finite value.
    """
    surfaces = [read_line(path) for path in surf_files]
    titles, stem = figures.titles_and_stem(surf_files, titles, out)
    _say_missing(surfaces)
    kinds = {value: [side] for value, side in _sides(surfaces, loss_max=loss_max, log=log).items()}
    if "train_loss" in kinds or "train_err" in kinds:
        kinds = {
            "loss_acc": [
                curves.loss_side(surfaces, loss_max=loss_max, log=log),
                curves.accuracy_side(surfaces),
            ],
            **kinds,
        }
    paths = []
    for value, sides in kinds.items():
        fig = curves.side_by_side(surfaces, titles, sides, xmin=xmin, xmax=xmax, show=show)
        suffix = "_log" if log and sides[0].log else ""
        paths += figures.save(fig, f"{stem}_1d_{value}{suffix}", formats, made_by=figures.commands(*surfaces))
    if all(map(eigen_figures.has_eigenvalues, surfaces)):
        paths += eigen_figures.draw_lines(
            surfaces, titles, stem, xmin=xmin, xmax=xmax, show=show, formats=formats
        )
    metrics_table.tell(surfaces, titles, _told(surfaces), json_file=json_file)
    if show:
        figures.show()
    return paths


def plot_repeats(
    prefix: str,
    *,
    idx_min: int = 1,
    idx_max: int = 10,
    xmin: float | None = None,
    xmax: float | None = None,
    loss_max: float = 5,
    log: bool = False,
    json_file: str = "",
    show: bool = False,
    formats: Sequence[str] = ("pdf",),
) -> list[str]:
    """Loss and error of `<prefix>_{idx_min}.h5` to `<prefix>_{idx_max}.h5`, thin, and where the grids agree their mean, thick, with a band of one
    standard deviation.

    Writes `<prefix>_1d_loss_err_repeat`, and `<prefix>_1d_<value>_repeat` for each other value, and returns the paths. The numbers that describe
    each curve are printed, and their mean and spread. Raises InputError naming the first file that is missing.
    """
    files = repeat_files(prefix, idx_min, idx_max)
    for path in files:
        if not os.path.exists(path):
            raise InputError(f"{path} does not exist; --idx_min {idx_min} --idx_max {idx_max} need it")
    surfaces = [read_line(path) for path in files]
    _say_missing(surfaces)
    sides = _sides(surfaces, loss_max=loss_max, log=log)
    published = [side for value in ("train_loss", "train_err") if (side := sides.pop(value, None))]
    kinds = {"loss_err": published} if published else {}
    kinds |= {value: [side] for value, side in sides.items()}
    paths = []
    for value, shown in kinds.items():
        fig = curves.repeats(surfaces, shown, xmin=xmin, xmax=xmax, show=show)
        paths += figures.save(
            fig, f"{prefix}_1d_{value}_repeat", formats, made_by=figures.commands(*surfaces)
        )
    metrics_table.tell(surfaces, [""] * len(surfaces), _told(surfaces), json_file=json_file, spread=True)
    if show:
        figures.show()
    return paths


def repeat_files(prefix: str, idx_min: int, idx_max: int) -> list[str]:
    if idx_max < idx_min:
        raise InputError(f"--idx_max {idx_max} is less than --idx_min {idx_min}")
    return [f"{prefix}_{index}.h5" for index in range(idx_min, idx_max + 1)]


def read_line(surf_file: str) -> Surface:
    """The surface of a 1-D file that has something to draw."""
    surface = h5_util.as_surface(surf_file)
    if surface.y is not None:
        raise InputError(f"{surface.called} is 2-D; use plot_2D.py")
    names = quantity.shown(surface.names)
    if not names:
        raise InputError(f"{surface.called} has no quantity to draw")
    if not any(np.isfinite(figures.finite(surface.get(name))).any() for name in names):
        raise InputError(
            f"{surface.called} has no value to draw ({names[0]}: {figures.describe_missing(surface, names[0])})"
        )
    return surface


def _sides(surfaces: Sequence[Surface], *, loss_max: float, log: bool) -> dict[str, Side]:
    """The vertical axis of each figure that has one, by what the figure's name says: train_loss, train_err and every other value."""
    loss, error = (
        curves.loss_side(surfaces, loss_max=loss_max, log=log),
        curves.accuracy_side(surfaces, error=True),
    )
    if loss.names and not log and not loss.limits:
        why = (
            "some loss is negative"
            if curves.found(surfaces, loss).min() < 0
            else f"no loss is below --loss_max {loss_max:g}"
        )
        print(f"{surfaces[0].called}: {why}, so the axis follows the data.")
    published = {"train_loss": loss, "train_err": error}
    return {value: side for value, side in published.items() if side.names} | {
        value: curves.value_side(surfaces, value, log=log) for value in curves.own_values(surfaces)
    }


def _told(surfaces: Sequence[Surface]) -> list[str]:
    """The quantities whose numbers are told: all but percentages."""
    names = dict.fromkeys(name for surface in surfaces for name in quantity.shown(surface.names))
    return [name for name in names if not quantity.is_percentage(name)]


def _say_missing(surfaces: Sequence[Surface]) -> None:
    for surface in surfaces:
        for text in curves.missing(surface, quantity.shown(surface.names)):
            print(f"{surface.called}: {text}.")


if __name__ == "__main__":
    main()
