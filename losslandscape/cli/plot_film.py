"""Make a film of a training: the loss surfaces of its checkpoints in one plane, and its path.

    python plot_film.py --surf_file SURFACE_OF_model_0 SURFACE_OF_model_1 … --proj_file PROJECTION
    python plot_film.py --surf_file SURFACES_OF_model_*.h5 --surf_name test_loss --out figures/training
    python plot_film.py --surf_file ONE_SURFACE --proj_file PROJECTION --log

It writes `<out>.gif`, `<out>.mp4` where ffmpeg is installed (`pip install imageio-ffmpeg` has it), and
`<out>.html`, in which a slider selects the checkpoint. Several surfaces must share their grid and directions,
and the projection must have a point for each surface. Over a single surface, only the path moves. All
pictures share one scale, which does not follow an untrained net whose loss is far above all others.
"""

import sys

from losslandscape.cli.command_line import Parser, sentence
from losslandscape.cli.figure_options import add_level_options, add_out
from losslandscape.draw.figure_metadata import drawn_by
from losslandscape.draw.film_files import plot_film


def main(argv: list[str] | None = None) -> None:
    argv = sys.argv[1:] if argv is None else argv
    parser = argument_parser()
    args = parser.parse_args(argv)
    with sentence(parser), drawn_by(__file__, argv):
        plot_film(
            args.surf_file,
            proj_file=args.proj_file,
            dir_file=args.dir_file,
            name=args.surf_name,
            titles=args.title,
            out=args.out,
            vmin=args.vmin,
            vmax=args.vmax,
            vlevel=args.vlevel,
            log=args.log,
        )


def argument_parser() -> Parser:
    parser = Parser(__doc__)
    add = parser.add_argument
    add(
        "--surf_file",
        "-f",
        nargs="+",
        required=True,
        metavar="FILE",
        help="a surface file for each checkpoint, in order, or one for all; "
        "files of a pattern are sorted by the numbers in their names",
    )
    add(
        "--proj_file",
        nargs="+",
        default=[],
        metavar="FILE",
        help="projection file of the training, which puts each checkpoint in the plane; over one surface "
        "also several, whose trainings move together by epoch",
    )
    add(
        "--dir_file",
        default="",
        metavar="FILE",
        help="PCA direction file: the axes then show the variance that they explain",
    )
    add(
        "--surf_name",
        default="train_loss",
        metavar="NAME",
        help="the quantity to draw (default: %(default)s)",
    )
    add(
        "--title",
        nargs="+",
        default=[],
        metavar="TEXT",
        help="a title for each checkpoint (default: its epoch, or its file)",
    )
    add_level_options(parser, fitted_to="all surfaces")
    add(
        "--log",
        action="store_true",
        help="levels of equal ratios (default: where a loss ranges over more than two orders of magnitude)",
    )
    add_out(parser, "the first surface file with _film", of="the files' names")
    return parser


if __name__ == "__main__":
    main()
