"""Draw contours, lit 3-D surfaces and curves of several nets as one figure of a paper, with its caption.

    python script/figure.py with.h5 without.h5 --paper neurips --out figure1
    python script/figure.py with.h5 without.h5 --title "with shortcuts" "without shortcuts" --paper icml
    python script/figure.py plane.h5 line.h5 --kinds contour curve --out figure2

It writes `<out>.pdf`, `<out>.png`, and `<out>.tex`: a figure environment with the caption. It says what the
files tell about nets, data, grid and directions, and the numbers that plot_2D.py prints. The figure has the
width of the page; do not scale it. Each kind of panel has rows of its own, with one scale for all nets.
Curves of a plane are its cross-sections through the centre, unless a line of the same net is given.
"""

import argparse
import sys

from losslandscape.cli.command_line import Parser, sentence
from losslandscape.cli.figure_options import add_page_options, page_of
from losslandscape.draw.figure_metadata import drawn_by
from losslandscape.draw.paper_figure import KINDS, plot_paper_figure


def main(argv: list[str] | None = None) -> None:
    argv = sys.argv[1:] if argv is None else argv
    parser = argument_parser()
    args = parser.parse_args(argv)
    with sentence(parser), drawn_by(__file__, argv):
        plot_paper_figure(
            *args.surf_file,
            kinds=args.kinds,
            name=args.surf_name,
            titles=args.title,
            out=args.out,
            log=args.log,
            formats=args.format,
            page=page_of(args),
        )


def argument_parser() -> argparse.ArgumentParser:
    parser = Parser(__doc__)
    add = parser.add_argument
    add("surf_file", nargs="+", metavar="FILE", help="surface files, of planes and lines")
    add(
        "--kinds",
        nargs="+",
        choices=KINDS,
        default=list(KINDS),
        help="the panels of each net, from top to bottom (default: all)",
    )
    add(
        "--surf_name",
        default="",
        metavar="NAME",
        help="the quantity to draw (default: train_loss, or the first that all files have)",
    )
    add(
        "--title",
        nargs="+",
        default=[],
        metavar="TEXT",
        help="a title for each surface file (default: the nets' or the files' names)",
    )
    add(
        "--out", default="figure", metavar="STEM", help="beginning of the files' names (default: %(default)s)"
    )
    add(
        "--log",
        action="store_true",
        help="logarithmic scale (default: if a loss ranges over two orders of magnitude)",
    )
    add_page_options(parser)
    parser.set_defaults(paper="neurips", format=["pdf", "png"])
    return parser
