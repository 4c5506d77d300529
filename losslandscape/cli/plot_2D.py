"""Draw a quantity of 2-D surface files, a trajectory, or the trajectory on the surface.

    python plot_2D.py --surf_file path_to_surf_file --surf_name train_loss
    python plot_2D.py --surf_file path_to_surf_file --surf_name all
    python plot_2D.py --surf_file path_to_surf_file --vmin 0.1 --vmax 10 --vlevel 0.5 --format pdf png
    python plot_2D.py --surf_file with.h5 without.h5 --title "with shortcuts" "without shortcuts" --log --out shortcuts
    python plot_2D.py --surf_file growing_surf_file --watch
    python plot_2D.py --proj_file path_to_proj_file --dir_file path_to_direction_file
    python plot_2D.py --proj_file path_to_proj_file --dir_file path_to_direction_file --surf_file path_to_surf_file

The figures of a surface lie beside its file: `<surf>_<name>_2dcontour.pdf`, `_2dcontourf.pdf`, `_2dheat.pdf`
and `_3dsurface.pdf`. With Hessian eigenvalues, there are also `<surf>_min_eig_max_eig_ratio_heat_sns.pdf` and
`<surf>_min_eig_max_eig_abs_ratio_heat_sns.pdf`. Several surfaces stand side by side on one scale in
`<out>_<name>_….pdf`. A trajectory is drawn beside the projection file, as `<proj>.pdf` and
`<proj>_<name>_2dcontour_proj.pdf`. Metrics of the surfaces are printed (docs/metrics.md).
"""  # noqa: E501 (commands stay on one line)

import argparse
import sys
from functools import partial

from losslandscape.cli.command_line import Parser, add_comparison_options, add_figure_options, sentence
from losslandscape.cli.figure_options import add_level_options, add_plane_options, details_of, page_of
from losslandscape.cli.option_types import finite
from losslandscape.draw import redraw, tensorboard_log, trajectory_figures
from losslandscape.draw.figure_details import drawn_with
from losslandscape.draw.figure_metadata import drawn_by
from losslandscape.draw.page_style import drawn_on
from losslandscape.draw.plane_figures import ALL, plot_2d, plot_contour_trajectory


def main(argv: list[str] | None = None) -> None:
    argv = sys.argv[1:] if argv is None else argv
    parser = argument_parser()
    args = parser.parse_args(argv)
    fault = option_fault(args)
    if fault:
        parser.error(fault)
    with (
        sentence(parser),
        drawn_on(page_of(args)),
        drawn_with(details_of(args)),
        drawn_by(__file__, argv),
        tensorboard_log.logged_to(args.tensorboard),
    ):
        redraw.draw(partial(draw, args), args.surf_file, watch=args.watch, others=args.proj_file)


def option_fault(args: argparse.Namespace) -> str:
    """Return a sentence on the first fault in the options; empty if they fit together."""
    if not (args.surf_file or args.proj_file):
        return "give --surf_file, --proj_file, or both"
    if args.proj_file and len(args.surf_file) > 1:
        return f"--proj_file is drawn on one surface, not on {len(args.surf_file)}; give one --surf_file"
    if args.proj_file and (args.title or args.zlim is not None):
        return "--title and --zlim are for surfaces without a trajectory; leave them out, or --proj_file"
    return ""


def draw(args: argparse.Namespace) -> None:
    """Draw the requested figures."""
    output = {"show": args.show, "formats": args.format}
    levels = {"vmin": args.vmin, "vmax": args.vmax, "vlevel": args.vlevel, "log": args.log}
    options = {"name": args.surf_name, "json_file": args.json, **levels, **output}
    path = {"proj_file": args.proj_file, "dir_file": args.dir_file, "out": args.out}
    if not args.proj_file:
        plot_2d(*args.surf_file, titles=args.title, out=args.out, zlim=args.zlim, **options)
    elif not args.surf_file:
        trajectory_figures.plot_trajectory(**path, **output)
    else:
        trajectory_figures.draw(**path, **output)  # `plot_contour_trajectory` shows this figure too
        plot_contour_trajectory(args.surf_file[0], **path, **options)


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
        "--dir_file",
        default="",
        metavar="FILE",
        help="PCA direction file: the axes then show the variance that they explain",
    )
    parser.add_argument(
        "--proj_file",
        nargs="+",
        default=[],
        metavar="FILE",
        help="projection file of a trajectory; several in one plane are drawn together",
    )
    parser.add_argument(
        "--surf_name",
        default="",
        metavar="NAME",
        help=f"the quantity to draw, or {ALL} (default: train_loss, or the first that all files have)",
    )
    add_level_options(parser)
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
    add_plane_options(parser)
    return parser


if __name__ == "__main__":
    main()
