"""Draw loss, accuracy, error and every other quantity of surface files along one direction.

    python plot_1D.py --surf_file path_to_surf_file
    python plot_1D.py --surf_file path_to_surf_file --log --xmin -0.5 --xmax 0.5 --format pdf png
    python plot_1D.py --surf_file small.h5 large.h5 --title "batch 128" "batch 8192" --out batch_sizes
    python plot_1D.py --surf_file A.h5 B.h5 C.h5 --together --title A B C --out nets
    python plot_1D.py --group A_1.h5 A_2.h5 A_3.h5 --group B_1.h5 B_2.h5 B_3.h5 --title A B --out nets
    python plot_1D.py --surf_file growing_surf_file --watch
    python plot_1D.py --prefix path_to_surf_files --idx_min 1 --idx_max 10

The figures of a surface lie beside its file: `<surf>_1d_loss_acc[_log].pdf`,
`<surf>_1d_train_loss[_log].pdf`, `<surf>_1d_train_err.pdf`, and `<surf>_1d_<name>.pdf` for every other
quantity, with a solid line for training and a dashed line for test. A file without accuracies has only the
figures of its losses. With Hessian eigenvalues, there are also
`<surf>_1d_eig_ratio.pdf` and `<surf>_1d_eig_abs_ratio.pdf`. Several surfaces stand side by side on one scale
in `<out>_1d_….pdf`, and with `--together` in one panel. A `--group` holds files of one net along several
random directions: it becomes one curve, their mean, with a band. The last command draws the repeats
`<prefix>_1.h5` to `<prefix>_10.h5` in `<prefix>_1d_loss_err_repeat.pdf`. Metrics of the curves are printed
(docs/metrics.md).
"""

import argparse
import sys
from functools import partial
from itertools import chain

from losslandscape.cli.command_line import Parser, add_comparison_options, add_figure_options, sentence
from losslandscape.cli.figure_options import add_detail_options, details_of, page_of
from losslandscape.cli.option_types import finite
from losslandscape.draw import redraw, tensorboard_log
from losslandscape.draw.figure_details import NONE, PLACES, drawn_with
from losslandscape.draw.figure_metadata import drawn_by
from losslandscape.draw.line_figures import plot_1d, plot_repeats, plot_together, repeat_files
from losslandscape.draw.page_style import drawn_on
from losslandscape.draw.together import BANDS, STD
from losslandscape.draw.vertical_axes import LOSS_MAX


def main(argv: list[str] | None = None) -> None:
    argv = sys.argv[1:] if argv is None else argv
    parser = argument_parser()
    args = parser.parse_args(argv)
    if bool(args.surf_file or args.group) == bool(args.prefix):
        parser.error("give one of --surf_file and --prefix")
    if args.prefix and (args.title or args.together):
        parser.error("--title and --together are for --surf_file; leave them out with --prefix")
    with (
        sentence(parser),
        drawn_on(page_of(args)),
        drawn_with(details_of(args)),
        drawn_by(__file__, argv),
        tensorboard_log.logged_to(args.tensorboard),
    ):
        files = [*args.surf_file, *chain(*args.group)]
        files = files or repeat_files(args.prefix, args.idx_min, args.idx_max)
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
    elif args.together or args.group:
        names = {"titles": args.title, "out": args.out, "groups": args.group, "band": args.band}
        plot_together(*args.surf_file, **names, **options)
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
        help="surface file with one coordinate; several are drawn side by side, or --together",
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
        help=f"top of the loss axis, unless --log (default: {LOSS_MAX:g}, or fitted to curves that would use "
        "less than a fifth of that)",
    )
    parser.add_argument("--prefix", default="", help="draw the repeats <prefix>_<idx>.h5 in one figure")
    parser.add_argument("--idx_min", type=int, default=1, help="first repeat (default: %(default)s)")
    parser.add_argument("--idx_max", type=int, default=10, help="last repeat (default: %(default)s)")
    _add_nets(parser)
    _add_look(parser)
    add_comparison_options(parser)
    add_figure_options(parser)
    return parser


def _add_nets(parser: Parser) -> None:
    parser.add_argument(
        "--together",
        action="store_true",
        help="draw all nets in one panel, each with its own colour and line",
    )
    parser.add_argument(
        "--group",
        nargs="+",
        action="append",
        default=[],
        metavar="FILE",
        help="surface files of one net along several random directions: one curve, their mean, with a band; "
        "once for each net, with --together or without",
    )
    parser.add_argument(
        "--band",
        choices=BANDS,
        default=STD,
        help="what the band of a --group shows: the standard deviation, or the range (default: %(default)s)",
    )


def _add_look(parser: Parser) -> None:
    add_detail_options(parser)
    parser.add_argument(
        "--legend",
        default="",
        choices=["", *PLACES, NONE],
        metavar="PLACE",
        help=f"place of the legend inside the first panel: {', '.join(PLACES)}; or {NONE} (default: above)",
    )
    parser.add_argument(
        "--marks",
        nargs="+",
        default=[],
        metavar="TEXT",
        help="names of the minimisers at 0 and, between two nets, at 1",
    )
    parser.add_argument(
        "--barrier",
        action="store_true",
        help="between two nets, draw how far the loss rises above the straight line between its ends",
    )


if __name__ == "__main__":
    main()
