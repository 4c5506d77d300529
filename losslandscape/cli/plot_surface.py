"""Measure the loss surface of a net around a minimiser, on a line or in a plane, and plot it.

    python plot_surface.py --dataset digits --model resnet20 --model_file FILE.t7 --x=-1:1:51 \\
        --xnorm filter --xignore biasbn --plot
    python plot_surface.py --dataset digits --model resnet20 --model_file FILE.t7 --x auto \\
        --xnorm filter --xignore biasbn --plot
    mpirun -n 4 python plot_surface.py --mpi --cuda --model resnet56 --model_file FILE.t7 \\
        --x=-1:1:51 --y=-1:1:51 --dir_type weights --xnorm filter --xignore biasbn \\
        --ynorm filter --yignore biasbn --plot

A stopped run resumes with the same command.
"""

import argparse
import sys

from losslandscape.cli import options
from losslandscape.cli.command_line import Parser, sentence
from losslandscape.cli.figure_options import add_level_options, add_out, add_page_options, page_of
from losslandscape.cli.landscapes import find_request_axes, surface_file
from losslandscape.cli.option_types import finite
from losslandscape.cli.request import Machine, SurfaceRequest
from losslandscape.cli.surface_job import PlotOptions, SurfaceJob
from losslandscape.cli.surface_series import measure_series
from losslandscape.core.provenance import require_same
from losslandscape.data.samples import Samples
from losslandscape.draw.page_style import drawn_on
from losslandscape.files import h5_util
from losslandscape.measure.grid import measure_surface
from losslandscape.measure.loss_measure import Measuring
from losslandscape.nets.models import MODELS


def build_parser() -> Parser:
    parser = Parser(__doc__)
    options.add_hardware(parser, spreads=True)
    options.add_data(parser)
    options.add_subset(parser)
    options.add_model(parser)
    options.add_directions(parser, inputs=True)
    options.add_measuring(parser)
    options.add_refine(parser)
    group = parser.add_argument_group("plots")
    group.add_argument("--plot", action="store_true", help="plot the surface when it is measured")
    group.add_argument("--show", action="store_true", help="open the figures in windows as well")
    group.add_argument("--log", action="store_true", help="logarithmic loss in the 1-D plots")
    group.add_argument(
        "--loss_max",
        type=finite,
        help="top of the loss axis of 1-D plots, unless --log (default: 5, or fitted to curves that would "
        "use less than a fifth of that)",
    )
    group.add_argument(
        "--proj_file",
        nargs="+",
        default=[],
        metavar="FILE",
        help="draw this projected trajectory over the contours, or several in one plane",
    )
    add_level_options(group)
    add_out(group, "the surface file, or with --proj_file that", of="the figures' names")
    add_page_options(group)
    return parser


def main(argv: list[str] | None = None) -> None:
    parser = build_parser()
    args = parser.parse_args(argv)
    arguments = sys.argv[1:] if argv is None else argv
    request = SurfaceRequest.of(args, program="plot_surface.py", arguments=arguments)
    plots, measuring = PlotOptions.of(args), measuring_of(args)
    with sentence(parser), drawn_on(page_of(args)):
        require_consistent(request, plots, parser, args.seeds)
        machine = request.hardware.connect()
        if plots.plot and request.is_plane:
            machine.ranks.first(require_drawable, plots)
        sets = request.data.load(machine.ranks)
        if request.net.is_series:
            measure_series(request, measuring, machine, sets, plots)
            return
        first_idx = request.directions.idx
        paths = []
        for idx in range(first_idx, first_idx + args.seeds):
            paths.append(measure_around(request.with_idx(idx), measuring, machine, sets, plots))
        if machine.ranks.rank == 0 and len(paths) > 1:
            print_spread(paths)


def measuring_of(args: argparse.Namespace) -> Measuring:
    """Return the settings of the measurement, from the command line."""
    return Measuring(
        batch_size=args.batch_size,
        precision=args.precision,
        memory=args.data_memory,
        weight_decay=args.weight_decay,
        bn_samples=args.bn,
        errors=args.errors,
        allow_nan=args.allow_nan,
        fix_randomness=args.fix_randomness,
    )


def require_consistent(request: SurfaceRequest, plots: PlotOptions, parser: Parser, seeds: int) -> None:
    """End with one sentence if options contradict each other."""
    request.require_possible()
    net, directions, surf_file = request.net, request.directions, request.run.surf_file
    if net.is_series and directions.over == "inputs":
        parser.error(f"--over inputs is for one net; --model_file {net.model_file} names several")
    if net.is_series and (seeds > 1 or plots.proj_file or net.model_file2 or net.model_file3):
        parser.error(
            f"--model_file {net.model_file} names several checkpoints, whose surfaces share their directions "
            "and have a path of their own; leave --seeds, --proj_file, --model_file2 and --model_file3 out"
        )
    if plots.proj_file and not plots.plot:
        parser.error(
            f"--proj_file {plots.proj_file[0]} is drawn over the contours of a plane; give --plot too"
        )
    if seeds > 1 and not net.model_file and net.model in MODELS:
        parser.error(
            f"--seeds {seeds} compares surfaces of one net, and {net.model} has other random weights for "
            "each; give --model_file"
        )
    if seeds > 1 and (directions.dir_file or surf_file or plots.proj_file or plots.out):
        parser.error(
            f"--seeds {seeds} makes directions, surfaces and figures of its own; leave --dir_file, "
            "--surf_file, --proj_file and --out out"
        )


def measure_around(
    request: SurfaceRequest,
    measuring: Measuring,
    machine: Machine,
    sets: dict[str, Samples],
    plots: PlotOptions,
) -> str:
    """Measure the requested surface, plot it if --plot is given, and return the path of its file."""
    job = SurfaceJob.of(request, measuring, machine, sets)
    axes = find_request_axes(request, job.landscape, job.measure, job.run)
    surf_file = surface_file(request, job.landscape, axes)
    if plots.proj_file:
        machine.ranks.first(require_path_on_surface, job, plots.proj_file, surf_file)
    is_plane = "y" in axes
    if plots.plot:
        machine.ranks.first(require_figures, plots, surf_file, job.measure.names, is_plane=is_plane)
    measure_surface(job.landscape, axes, job.measure, job.run, surf_file=surf_file)
    if plots.plot and machine.ranks.rank == 0:
        plot(plots, surf_file, job.landscape.dir_file, is_plane=is_plane)
    return surf_file


def print_spread(paths: list[str]) -> None:
    """Print the mean and the spread of the metrics of several surfaces around one checkpoint."""
    from losslandscape.draw.metrics_table import report_spread

    surfaces = [h5_util.as_surface(path) for path in paths]
    checkpoint = {"model_file": surfaces[0].made_with["model_file"]}
    advice = "the net has other weights for each seed; give one of them as {model_file}"
    if not checkpoint["model_file"].startswith("weights "):
        advice = "the checkpoint was changed while this ran; give the same command again"
    for surface in surfaces[1:]:
        require_same(surface.path, surface.made_with, checkpoint, advice)
    report_spread(surfaces, [name for name in surfaces[0].names if name.endswith("_loss")])


def plot(plots: PlotOptions, surf_file: str, dir_file: str, *, is_plane: bool) -> None:
    """Plot a measured surface, with the requested trajectory over the contours of a plane."""
    if not is_plane:
        from losslandscape.draw.line_figures import plot_1d

        plot_1d(
            surf_file,
            loss_max=plots.loss_max,
            log=plots.log,
            out=plots.out,
            show=plots.show,
            formats=plots.format,
        )
    elif plots.proj_file:
        from losslandscape.draw.plane_figures import plot_contour_trajectory

        plot_contour_trajectory(
            surf_file,
            dir_file=dir_file,
            proj_file=plots.proj_file,
            vmin=plots.vmin,
            vmax=plots.vmax,
            vlevel=plots.vlevel,
            out=plots.out,
            show=plots.show,
            formats=plots.format,
        )
    else:
        from losslandscape.draw.plane_figures import plot_2d

        plot_2d(
            surf_file,
            vmin=plots.vmin,
            vmax=plots.vmax,
            vlevel=plots.vlevel,
            out=plots.out,
            show=plots.show,
            formats=plots.format,
        )


def require_path_on_surface(job: SurfaceJob, proj_files: list[str], surf_file: str) -> None:
    """Raise `InputError` if a trajectory does not lie on the surface that will be measured."""
    landscape = job.landscape
    directions, _ = landscape.find_directions(overwrite=job.run.overwrite)
    facts = landscape.surface_facts(directions)
    for projection in map(h5_util.read_projection, proj_files):
        projection.require_fit(facts, surf_file=surf_file, dir_file=landscape.dir_file)


def require_figures(plots: PlotOptions, surf_file: str, names: list[str], *, is_plane: bool) -> None:
    """Raise `InputError` before the measurement if the figures of these quantities cannot be written."""
    from losslandscape.draw import figures, line_figures, plane_figures, training_paths

    stem, endings = surf_file, plane_figures.endings(names)
    if not is_plane:
        endings = line_figures.endings(names, log=plots.log)
    elif plots.proj_file:
        stem, endings = training_paths.stem(plots.proj_file), [f"{endings[0]}_proj"]
    advice = "give another {out}" if plots.out else "give another {surf_file}"
    figures.require_writable_figures(plots.out or stem, endings, plots.format, advice=advice)


def require_drawable(plots: PlotOptions) -> None:
    """Raise `InputError` before the measurement for plot options that the figures would refuse after it."""
    from losslandscape.draw.contour_levels import complete_levels

    complete_levels(plots.vmin, plots.vmax, plots.vlevel)
    if plots.proj_file:
        from losslandscape.draw.training_paths import read_paths

        read_paths(plots.proj_file)
