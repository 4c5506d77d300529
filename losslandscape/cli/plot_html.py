"""Draw a surface as an interactive page: one HTML file that works offline, to turn, zoom and point at.

    python plot_html.py --surf_file path_to_surf_file
    python plot_html.py --surf_file path_to_surf_file --surf_name test_loss --log
    python plot_html.py --surf_file growing_surf_file --watch
    python plot_html.py --surf_file path_to_surf_file --proj_file path_to_proj_file

`<surf>_3dsurface.html` shows a lit surface over its contours. It has buttons for each quantity and for the
logarithms of losses, the values at the point under the mouse, the lowest point and the centre. A trajectory
lies on the surface, with a slider and a play button. For a 1-D file, `<surf>_1d.html` shows the curves.
"""

from functools import partial

from losslandscape.cli.command_line import Parser, sentence
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
    )
    with sentence(parser):
        redraw.draw(draw, [args.surf_file], watch=args.watch)


def argument_parser() -> Parser:
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--surf_file", "-f", required=True, help="surface file, of one coordinate or two")
    add("--proj_file", default="", help="projection file of a trajectory, which is drawn on the surface")
    add("--dir_file", default="", help="PCA direction file: the axes then show the variance they explain")
    add("--surf_name", default="", help="the quantity shown first (default: train_loss, or the first one)")
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
        "--watch",
        action="store_true",
        help="write the page again whenever the file has grown, until it is complete; reload it to see",
    )
    return parser
