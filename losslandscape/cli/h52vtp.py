"""Turn 2-D surface files into files for ParaView, and into lit pictures without ParaView.

    python h52vtp.py --surf_file path_to_surf_file --surf_name train_loss --zmax 10 --log
    python h52vtp.py --surf_file path_to_surf_file --interp 1000
    python h52vtp.py --surf_file path_to_surf_file --log --png --view corner top --size 2400x1800
    python h52vtp.py --surf_file path_to_one path_to_another --log --png --own_colours --no_bar --out both
    python h52vtp.py --surf_file path_to_surf_file --log --turntable --paraview

It writes `<surf>_<name>[_zmax=10.0][_log].vtp` beside each surface file. Beside it go, with `--png`, a
picture of each view, `…_<view>.png`; with `--turntable` a film in which the surface turns once around,
`…_turntable.gif` and `.mp4`; with `--paraview` a script that shows the `.vtp` file in ParaView with the
light, height and colours of the picture, `…_paraview.py`. All pictures share the scale of the heights, the
colours and the camera. `--out STEM` puts all surfaces side by side into one picture, `STEM_<view>.png`.
"""

import argparse
import sys

from losslandscape.cli.command_line import Parser, sentence
from losslandscape.cli.option_types import finite
from losslandscape.core.provenance import command_line
from losslandscape.draw.vtk.album import Album, export_views
from losslandscape.draw.vtk.colours import DEFAULT_CMAP
from losslandscape.draw.vtk.export import export_vtp, main_quantity
from losslandscape.draw.vtk.look import HEIGHT, VIEWS, Look
from losslandscape.draw.vtk.paraview_script import export_scripts
from losslandscape.draw.vtk.turntable import export_turntable
from losslandscape.files import h5_util
from losslandscape.files.writable import require_writable

# Options of pictures, which without a picture have no use.
OF_PICTURES = (
    *("view", "size", "out", "proj_file", "minimiser", "azimuth", "elevation"),
    *("height", "zoom", "cmap", "own_colours", "background", "no_bar"),
)


def main(argv: list[str] | None = None) -> None:
    argv = sys.argv[1:] if argv is None else argv
    parser = argument_parser()
    args = parser.parse_args(argv)
    unused = [f"--{name}" for name in OF_PICTURES if getattr(args, name) != parser.get_default(name)]
    if unused and not (args.png or args.turntable or args.paraview):
        parser.error(
            f"{' and '.join(unused)} {'is' if len(unused) == 1 else 'are'} for pictures: give --png as well"
        )
    zmax = args.zmax if args.zmax > 0 else None
    interp = args.interp if args.interp > 0 else None
    with sentence(parser):
        album = _album(args, zmax, command_line(__file__, argv))
        export_vtp(album.surfaces, album.name, zmax=zmax, log=args.log, interp=interp, command=album.command)
        views = args.view or ["corner"]
        if args.png:
            export_views(album, views, args.size)
        if args.turntable:
            export_turntable(album, views[0], args.size)
        if args.paraview:
            export_scripts(album, views[0], args.size)


def _album(args: argparse.Namespace, zmax: float | None, command: str) -> Album:
    """Read the files; return what the pictures show."""
    look = Look(
        azimuth=args.azimuth,
        elevation=args.elevation,
        height=args.height,
        zoom=args.zoom,
        cmap=args.cmap,
        own_colours=args.own_colours,
        background=args.background,
        bar=not args.no_bar,
        minimiser=args.minimiser,
    )
    if args.out:
        require_writable(args.out, "give another {out}", ending="_turntable.gif")
    surfaces = [h5_util.as_surface(path) for path in dict.fromkeys(args.surf_file)]
    projection = h5_util.read_projection(args.proj_file) if args.proj_file else None
    name = args.surf_name or main_quantity(surfaces)
    return Album(surfaces, name, zmax, args.log, projection, look, args.out, command)


def argument_parser() -> Parser:
    parser = Parser(__doc__)
    add = parser.add_argument
    add(
        "--surf_file",
        "-f",
        nargs="+",
        required=True,
        metavar="FILE",
        help="surface files with two coordinates",
    )
    add(
        "--surf_name",
        default="",
        metavar="NAME",
        help="the quantity shown as height (default: train_loss, or the first that all files have)",
    )
    add("--zmax", type=float, default=-1, help="cut heights off at this value, if positive (default: no cut)")
    add(
        "--interp",
        type=int,
        default=-1,
        help="resample the surface to so many points along each axis (default: as measured)",
    )
    add("--log", action="store_true", help="show ln(z + 0.1)")
    _add_picture_options(parser.add_argument_group("pictures, which need no display"))
    _add_look_options(parser.add_argument_group("how pictures look"))
    return parser


def _add_picture_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--png", action="store_true", help="write pictures as well")
    add("--turntable", action="store_true", help="write a film in which the surface turns once around")
    add("--paraview", action="store_true", help="write a script that shows the .vtp file in ParaView alike")
    add("--view", nargs="+", choices=VIEWS, help="where to look from, a picture each (default: corner)")
    add(
        "--size",
        type=_size,
        metavar="WIDTHxHEIGHT",
        help="pixels of a picture (default: 1600x1200 a surface)",
    )
    add(
        "--out",
        default="",
        metavar="STEM",
        help="one picture with all surfaces side by side, STEM_<view>.png",
    )
    add(
        "--proj_file",
        default="",
        metavar="FILE",
        help="projection file of a trajectory, which is laid on the surface",
    )
    add("--minimiser", action="store_true", help="mark the minimiser, or the nets that a plane goes through")


def _add_look_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--azimuth", type=finite, metavar="DEGREES", help="look from there, instead of from where --view does"
    )
    add(
        "--elevation",
        type=finite,
        metavar="DEGREES",
        help="likewise, above the plane: 90 looks straight down, on a map",
    )
    add(
        "--height",
        type=finite,
        default=HEIGHT,
        metavar="WIDTHS",
        help="height of the surface, in widths of its plane (default: %(default)s)",
    )
    add("--zoom", type=finite, default=1.0, metavar="FACTOR", help="more than 1 is nearer (default: fits)")
    add(
        "--cmap",
        default=DEFAULT_CMAP,
        metavar="NAME",
        help="a colour map of matplotlib (default: %(default)s, from its deep blue to its red)",
    )
    add("--own_colours", action="store_true", help="each surface in the colours of its own heights")
    add(
        "--background",
        default="white",
        metavar="COLOUR",
        help="transparent, or a colour such as black or #f0f0f0 (default: %(default)s)",
    )
    add("--no_bar", action="store_true", help="no colour bar")


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; give pixels as in 1600x1200")
    return int(width), int(height)
