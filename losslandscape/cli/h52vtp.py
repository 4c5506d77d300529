"""Turn 2-D surface files into files for ParaView, and into lit pictures without ParaView.

    python h52vtp.py --surf_file path_to_surf_file --surf_name train_loss --zmax 10 --log
    python h52vtp.py --surf_file path_to_surf_file --interp 1000
    python h52vtp.py --surf_file path_to_surf_file --log --png --view corner top --size 2400x1800
    python h52vtp.py --surf_file path_to_one path_to_another --log --png

It writes `<surf>_<name>[_zmax=10.0][_log].vtp` beside each surface file. With `--png` it also writes a
picture of each view, `<surf>_<name>[_zmax=10.0][_log]_<view>.png`. The pictures of several files share the
scale of the heights, the colours and the camera.
"""

import argparse
import sys

from losslandscape.cli.command_line import Parser, sentence
from losslandscape.core.provenance import command_line
from losslandscape.draw.vtk.camera import VIEWS
from losslandscape.draw.vtk.export import export_png, export_vtp, main_quantity
from losslandscape.draw.vtk.rendering import DEFAULT_SIZE
from losslandscape.files import h5_util


def main(argv: list[str] | None = None) -> None:
    argv = sys.argv[1:] if argv is None else argv
    parser = argument_parser()
    args = parser.parse_args(argv)
    if not args.png and (args.view or args.size):
        parser.error("--view and --size are for pictures: give --png as well")
    command = command_line(__file__, argv)
    zmax = args.zmax if args.zmax > 0 else None
    interp = args.interp if args.interp > 0 else None
    with sentence(parser):
        surfaces = [h5_util.read_surface(path) for path in dict.fromkeys(args.surf_file)]
        name = args.surf_name or main_quantity(surfaces)
        export_vtp(surfaces, name, zmax=zmax, log=args.log, interp=interp, command=command)
        if args.png:
            views, size = args.view or ["corner"], args.size or DEFAULT_SIZE
            export_png(surfaces, name, zmax=zmax, log=args.log, views=views, size=size, command=command)


def argument_parser() -> Parser:
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--surf_file", "-f", nargs="+", required=True, help="surface files with two coordinates")
    add(
        "--surf_name",
        default="",
        metavar="NAME",
        help="the quantity shown as height (default: train_loss, or the first one that all files have)",
    )
    add("--zmax", type=float, default=-1, help="cut heights off at this value, if positive (default: no cut)")
    add(
        "--interp",
        type=int,
        default=-1,
        help="resample the surface to so many points along each axis (default: as measured)",
    )
    add("--log", action="store_true", help="show ln(z + 0.1)")
    add("--png", action="store_true", help="render pictures as well; no display is needed")
    add("--view", nargs="+", choices=VIEWS, help="where to look from, a picture each (default: corner)")
    add("--size", type=_size, metavar="WIDTHxHEIGHT", help="pixels of a picture (default: 1600x1200)")
    return parser


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; give pixels as in 1600x1200")
    return int(width), int(height)
