"""Turn 2-D surface files into files for ParaView, and into lit pictures without ParaView.

    python h52vtp.py --surf_file path_to_surf_file --surf_name train_loss --zmax 10 --log
    python h52vtp.py --surf_file path_to_surf_file --interp 1000
    python h52vtp.py --surf_file path_to_surf_file --log --png --view corner top --size 2400x1800
    python h52vtp.py --surf_file path_to_one path_to_another --log --png

Beside each surface file they write `<surf>_<name>[_zmax=10.0][_log].vtp`, and with `--png` `<the same>_<view>.png` for each view. The
pictures of several files share the scale of the heights, the colours and the camera.
"""

from __future__ import annotations

import argparse
import os
import sys

import numpy as np

from losslandscape.cli.command_line import Parser, sentence
from losslandscape.core import quantity
from losslandscape.core.errors import InputError
from losslandscape.core.provenance import command_line
from losslandscape.core.text import printable
from losslandscape.draw import drawable, figure_metadata, labels
from losslandscape.draw.vtk import polydata, rendering
from losslandscape.files import h5_util
from losslandscape.files.surface import Surface

FINE = 600  # points along an axis of a picture, at least
HUGE_RANGE = (
    1000.0  # from the least to the greatest value, offset included, from which a picture shows logarithms
)
FEWEST_TICKS, MOST_TICKS = 4, 8


def main(argv=None) -> None:
    parser = argument_parser()
    args = parser.parse_args(argv)
    if not args.png and (args.view or args.size):
        parser.error("--view and --size are of pictures: give --png as well")
    command = command_line(__file__, sys.argv[1:] if argv is None else argv)
    with sentence(parser):
        surfaces = [h5_util.read_surface(path) for path in dict.fromkeys(args.surf_file)]
        shown = {"name": args.surf_name or main_quantity(surfaces), "zmax": args.zmax, "log": args.log}
        write_vtp(surfaces, **shown, interp=args.interp, command=command)
        if args.png:
            write_png(
                surfaces,
                **shown,
                views=args.view or ["corner"],
                size=args.size or rendering.DEFAULT_SIZE,
                command=command,
            )


def argument_parser() -> Parser:
    parser = Parser(
        "Turn 2-D surface files into files for ParaView (.vtp), and into lit pictures without ParaView (--png)."
    )
    parser.add_argument(
        "--surf_file", "-f", nargs="+", required=True, help="surface files with two coordinates"
    )
    parser.add_argument(
        "--surf_name",
        default="",
        metavar="NAME",
        help="the quantity that is shown as height (default: train_loss, or the first that the files have)",
    )
    parser.add_argument(
        "--zmax",
        type=float,
        default=-1,
        help="cut the surface off at this height, if positive (default: no cut)",
    )
    parser.add_argument(
        "--interp",
        type=int,
        default=-1,
        help="resample the surface to so many points along each axis (default: as measured)",
    )
    parser.add_argument("--log", action="store_true", help="show ln(z + 0.1)")
    parser.add_argument("--png", action="store_true", help="render pictures as well; no display is needed")
    parser.add_argument(
        "--view", nargs="+", choices=rendering.VIEWS, help="where from, a picture each (default: corner)"
    )
    parser.add_argument(
        "--size", type=_size, metavar="WIDTHxHEIGHT", help="pixels of a picture (default: 1600x1200)"
    )
    return parser


def main_quantity(surfaces: list[Surface]) -> str:
    """The first quantity that all surfaces have; train_loss, which is refused with the names that there are, if they have none."""
    return next(
        (
            name
            for name in quantity.shown(surfaces[0].names)
            if all(name in surface.names for surface in surfaces)
        ),
        "train_loss",
    )


def write_vtp(
    surfaces: list[Surface],
    *,
    name: str = "train_loss",
    zmax: float = -1,
    log: bool = False,
    interp: int = -1,
    command: str = "",
) -> list[str]:
    """Write each surface as a VTP file and return the paths. Raises InputError before any is written if one cannot be shown."""
    if interp > polydata.MOST_POINTS or interp == 1:
        raise InputError(
            f"--interp {interp} is out of range; give from 2 to {polydata.MOST_POINTS} points along an axis"
        )
    resample = (interp, interp) if interp > 0 else None
    sheets = [polydata.sheet(surface, name, zmax=zmax, log=log, resample=resample) for surface in surfaces]
    paths = []
    for surface, sheet in zip(surfaces, sheets, strict=True):
        _say_missing(surface, name, log=log)
        path = _stem(surface, name, zmax=zmax, log=log) + ".vtp"
        polydata.write(polydata.mesh(sheet), path, made_by=_made_by(surface, command))
        print(f"saved {path}")
        paths.append(path)
    return paths


def write_png(
    surfaces: list[Surface],
    *,
    name: str = "train_loss",
    zmax: float = -1,
    log: bool = False,
    views: list[str],
    size: tuple[int, int] = rendering.DEFAULT_SIZE,
    command: str = "",
) -> list[str]:
    """Render each surface from each of `views`, all on one scale, and return the paths.

    Where neither `zmax` nor `log` is given and the range is huge, the picture shows logarithms. Raises InputError where nothing can be rendered.
    """
    stems = [_stem(surface, name, zmax=zmax, log=log) for surface in surfaces]
    if not log and not zmax > 0 and _range_is_huge(surfaces, name):
        log = True
        print(
            f"The values of {name} have a huge range: the pictures show their logarithms (--zmax 10 would cut them off instead)."
        )
    sheets = [
        polydata.sheet(surface, name, zmax=zmax, log=log, resample=_fine(surface), bounded=True)
        for surface in surfaces
    ]
    meshes = [polydata.mesh(sheet) for sheet in sheets]
    ticks = _ticks(
        min(sheet.z_range[0] for sheet in sheets), max(sheet.z_range[1] for sheet in sheets), log=log
    )
    paths = []
    for view in dict.fromkeys(views):
        pictures = rendering.render(meshes, view=view, size=size, label=labels.label(name), ticks=ticks)
        for surface, stem, picture in zip(surfaces, stems, pictures, strict=True):
            path = f"{stem}_{view}.png"
            rendering.save_png(
                picture,
                path,
                about={"Title": os.path.basename(path), "Description": "\n".join(_made_by(surface, command))},
            )
            print(f"saved {path}")
            paths.append(path)
    return paths


def _stem(surface: Surface, name: str, *, zmax: float, log: bool) -> str:
    return f"{surface.path}_{name}" + (f"_zmax={zmax}" if zmax > 0 else "") + ("_log" if log else "")


def _made_by(surface: Surface, command: str) -> list[str]:
    """The commands that measured and drew a surface, as far as known, without the characters that files cannot hold."""
    commands = filter(None, [*figure_metadata.commands(surface), command])
    return [printable(text) for text in commands]


def _size(text: str) -> tuple[int, int]:
    numbers = text.lower().split("x")
    if len(numbers) != 2 or not all(number.isdecimal() for number in numbers):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; give pixels as in 1600x1200")
    return int(numbers[0]), int(numbers[1])


def _say_missing(surface: Surface, name: str, *, log: bool) -> None:
    """Print what is cut out of a surface."""
    missing = drawable.describe_missing(surface, name, largest=np.inf if log else polydata.LARGEST)
    if missing:
        print(f"{surface.path}: {name}: {missing}: cut out.")
    below = np.count_nonzero(surface.get(name) <= -polydata.LOG_OFFSET) if log else 0
    if below:
        print(
            f"{surface.path}: {name}: {below} {'value' if below == 1 else 'values'} of -0.1 or less, without logarithm: cut out."
        )


def _range_is_huge(surfaces: list[Surface], name: str) -> bool:
    if quantity.is_percentage(name):
        return False  # percentages, whatever the least of them
    values = (
        np.concatenate([drawable.finite(surface.get(name)).ravel() for surface in surfaces])
        + polydata.LOG_OFFSET
    )
    return bool(np.nanmin(values) > 0 and np.nanmax(values) / np.nanmin(values) > HUGE_RANGE)


def _fine(surface: Surface) -> tuple[int, int]:
    """Points along x and y that are close enough for a smooth picture, all measured ones among them."""
    steps = (
        [max(len(places) - 1, 1) for places in (surface.x, surface.y)] if surface.y is not None else [1, 1]
    )
    return tuple(-(-FINE // step) * step + 1 for step in steps)


def _ticks(low: float, high: float, *, log: bool) -> list[tuple[float, str]]:
    """Heights between `low` and `high` to name on a colour bar, with the values there."""
    from matplotlib.ticker import MaxNLocator

    if rendering.is_flat(low, high):
        value = np.exp(low) - polydata.LOG_OFFSET if log else low
        return [(low, f"{value:.3g}")]
    values = _round_values(low, high) if log else MaxNLocator(nbins=6).tick_values(low, high)
    heights = np.log(values + polydata.LOG_OFFSET) if log else values
    return [
        (float(height), f"{value:.6g}")
        for height, value in zip(heights, values, strict=True)
        if low <= height <= high
    ]


def _round_values(low: float, high: float) -> np.ndarray:
    """Values whose logarithms lie between `low` and `high`: powers of ten, with numbers between them where these are few."""
    decades = 10.0 ** np.arange(-1, np.ceil(high / np.log(10)) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5), range(1, 10)):
        values = np.outer(decades, steps).ravel()
        heights = np.log(values + polydata.LOG_OFFSET)
        values = values[(heights >= low) & (heights <= high)]
        if len(values) >= FEWEST_TICKS:
            break
    return values[:: -(-len(values) // MOST_TICKS) or 1]


if __name__ == "__main__":
    main()
