"""Draw a surface as an interactive page: one HTML file that works offline, to turn, zoom and point at.

    python plot_html.py --surf_file path_to_surf_file
    python plot_html.py --surf_file path_to_surf_file --surf_name test_loss --log
    python plot_html.py --surf_file growing_surf_file --watch
    python plot_html.py --surf_file path_to_surf_file --proj_file path_to_proj_file
    python plot_html.py --surf_file with_shortcuts.h5 without.h5 --title "with shortcuts" without

`<surf>_3dsurface.html` shows a lit surface over its contours. It has buttons for each quantity and for the
logarithms of losses, the values at the point under the mouse, the lowest point and the centre. A trajectory
lies on the surface, with a slider and a play button. For a 1-D file, `<surf>_1d.html` shows the curves.

Several surfaces stand side by side in `<first>_compared_3dsurface.html`, on one scale of heights and colours.
Turning one turns the others.
"""

from functools import partial

from losslandscape.cli.command_line import Parser, sentence
from losslandscape.cli.figure_options import add_out
from losslandscape.draw import redraw
from losslandscape.draw.web.surface_page import write_surface_page


def main(argv: list[str] | None = None) -> None:
    parser = argument_parser()
    args = parser.parse_args(argv)
    draw = partial(
        write_surface_page,
        args.surf_file,
        proj_file=args.proj_file,
        dir_file=args.dir_file,
        name=args.surf_name,
        log=args.log,
        zmax=args.zmax,
        titles=args.title,
        out=args.out,
        own_scale=args.own_scale,
    )
    with sentence(parser):
        redraw.draw(draw, args.surf_file, watch=args.watch)


def argument_parser() -> Parser:
    parser = Parser(__doc__)
    add = parser.add_argument
    add(
        "--surf_file",
        "-f",
        nargs="+",
        required=True,
        metavar="FILE",
        help="surface file, of one coordinate or two, or several of them",
    )
    add(
        "--proj_file",
        nargs="+",
        default=[],
        metavar="FILE",
        help="projection file of a trajectory; several in one plane are drawn together",
    )
    add(
        "--dir_file",
        default="",
        metavar="FILE",
        help="PCA direction file: the axes then show the variance that they explain",
    )
    add(
        "--surf_name",
        default="",
        metavar="NAME",
        help="the quantity shown first (default: train_loss, or the first that all files have)",
    )
    add(
        "--log",
        action="store_true",
        help="show the logarithm of the loss first (default: where a loss ranges over more than two orders "
        "of magnitude)",
    )
    add(
        "--zmax",
        type=float,
        help="cut losses off at this value (default: where a few huge values would flatten the rest)",
    )
    add(
        "--own_scale",
        action="store_true",
        help="give each of several surfaces its own heights and colours (default: all on one scale)",
    )
    add(
        "--title",
        nargs="+",
        default=[],
        metavar="TEXT",
        help="a title for each surface file (default: its net, checkpoint and data)",
    )
    add_out(parser, "the surface file, plus _compared for several", of="the page's name")
    add(
        "--watch",
        action="store_true",
        help="write the page again whenever the file has grown, until it is complete; reload it to see",
    )
    return parser
