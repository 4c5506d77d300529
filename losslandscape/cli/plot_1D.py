"""Draw loss, accuracy, error and every other quantity of surface files along one direction.

    python plot_1D.py --surf_file path_to_surf_file
    python plot_1D.py --surf_file path_to_surf_file --log --xmin -0.5 --xmax 0.5 --format pdf png
    python plot_1D.py --surf_file small.h5 large.h5 --title "batch 128" "batch 8192" --out batch_sizes
    python plot_1D.py --surf_file growing_surf_file --watch
    python plot_1D.py --prefix path_to_surf_files --idx_min 1 --idx_max 10

The figures of a surface lie beside its file: `<surf>_1d_loss_acc[_log].pdf`,
`<surf>_1d_train_loss[_log].pdf`, `<surf>_1d_train_err.pdf`, and `<surf>_1d_<name>.pdf` for every other
quantity, with a solid line for training and a dashed line for test. With Hessian eigenvalues, there are also
`<surf>_1d_eig_ratio.pdf` and `<surf>_1d_eig_abs_ratio.pdf`. Several surfaces stand side by side on one scale
in `<out>_1d_….pdf`. The last command draws the repeats `<prefix>_1.h5` to `<prefix>_10.h5` in
`<prefix>_1d_loss_err_repeat.pdf`. Metrics of the curves are printed (docs/metrics.md).
"""

import argparse
import sys
from functools import partial

from losslandscape.cli.command_line import Parser, add_comparison_options, add_figure_options, sentence
from losslandscape.cli.figure_options import add_detail_options, details_of, page_of
from losslandscape.cli.option_types import finite
from losslandscape.draw import redraw, tensorboard_log
from losslandscape.draw.figure_details import drawn_with
from losslandscape.draw.figure_metadata import drawn_by
from losslandscape.draw.line_figures import LOSS_MAX, plot_1d, plot_repeats, repeat_files
from losslandscape.draw.page_style import drawn_on


def main(argv: list[str] | None = None) -> None:
    argv = sys.argv[1:] if argv is None else argv
    parser = argument_parser()
    args = parser.parse_args(argv)
    if bool(args.surf_file) == bool(args.prefix):
        parser.error("give one of --surf_file and --prefix")
    if args.prefix and args.title:
        parser.error("--title is for --surf_file; leave it out with --prefix")
    with (
        sentence(parser),
        drawn_on(page_of(args)),
        drawn_with(details_of(args)),
        drawn_by(__file__, argv),
        tensorboard_log.logged_to(args.tensorboard),
    ):
        files = args.surf_file or repeat_files(args.prefix, args.idx_min, args.idx_max)
        redraw.draw(partial(draw, args), files, watch=args.watch)


def draw(args: argparse.Namespace) -> None:
    """Draw the requested figures."""
    options = {
        "xmin": args.xmin,
        "xmax": args.xmax,
        "loss_max": args.loss_max,
        "log": args.log,
        "show": args.show,
        "formats": args.format,
        "json_file": args.json,
    }
    if args.prefix:
        plot_repeats(args.prefix, idx_min=args.idx_min, idx_max=args.idx_max, out=args.out, **options)
    else:
        plot_1d(*args.surf_file, titles=args.title, out=args.out, **options)


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
        "--loss_max",
        type=finite,
        default=LOSS_MAX,
        help="top of the loss axis, unless --log (default: %(default)g)",
    )
    parser.add_argument("--prefix", default="", help="draw the repeats <prefix>_<idx>.h5 in one figure")
    parser.add_argument("--idx_min", type=int, default=1, help="first repeat (default: %(default)s)")
    parser.add_argument("--idx_max", type=int, default=10, help="last repeat (default: %(default)s)")
    add_comparison_options(parser)
    add_figure_options(parser)
    add_detail_options(parser, plane=False)
    return parser


if __name__ == "__main__":
    main()
