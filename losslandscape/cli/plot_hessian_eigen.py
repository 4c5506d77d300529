"""Measure the extreme eigenvalues of the Hessian on a line or in a plane, and plot their ratio.

    python plot_hessian_eigen.py --dataset digits --data_split 16 --model resnet20 --model_file FILE.t7 \\
        --x=-1:1:11 --xnorm filter --xignore biasbn --plot
    mpirun -n 4 python plot_hessian_eigen.py --mpi --cuda --model resnet56 --data_split 50 \\
        --model_file FILE.t7 --x=-1:1:51 --y=-1:1:51 --dir_type weights --xnorm filter --xignore biasbn \\
        --ynorm filter --yignore biasbn --plot

Where |smallest / largest| is near 0 the surface is nearly convex; where it is near 1, it is not. These are
the paper's convexity maps (Li et al. 2018, section 6). The Hessian is that of the mean loss over the chosen
training images. Without --all_parameters, it covers only parameters of more than one dimension. `hessian.py`
prints more about a single point. A stopped run resumes with the same command.
"""

import os
import sys

from losslandscape.cli import options
from losslandscape.cli.command_line import Parser, sentence
from losslandscape.cli.figure_options import add_out, add_page_options, page_of
from losslandscape.cli.landscapes import find_request_axes, make_landscape, make_run, surface_file
from losslandscape.cli.request import SurfaceRequest
from losslandscape.core.errors import InputError
from losslandscape.curvature.eigen_measure import EigenMeasure, TrainLoss
from losslandscape.draw.page_style import drawn_on
from losslandscape.files import h5_util
from losslandscape.measure.grid import measure_surface


def build_parser() -> Parser:
    parser = Parser(__doc__)
    options.add_hardware(parser)
    options.add_data(parser)
    options.add_subset(parser, test_set=False)
    options.add_model(parser)
    options.add_directions(parser)
    group = parser.add_argument_group("eigenvalues")
    options.add_lanczos(group)
    options.add_randomness(group)
    group = parser.add_argument_group("plots")
    group.add_argument(
        "--plot", action="store_true", help="plot the ratio of the eigenvalues when they are measured"
    )
    group.add_argument("--show", action="store_true", help="open the figures in windows as well")
    add_out(group, "the surface file", of="the figures' names")
    add_page_options(group)
    return parser


def main(argv: list[str] | None = None) -> None:
    parser = build_parser()
    args = parser.parse_args(argv)
    arguments = sys.argv[1:] if argv is None else argv
    request = SurfaceRequest.of(args, program="plot_hessian_eigen.py", arguments=arguments)
    with sentence(parser), drawn_on(page_of(args)):
        request.require_possible()
        machine = request.hardware.connect()
        sets = request.data.load(machine.ranks)
        facts = EigenMeasure.facts(args.tolerance, args.all_parameters, args.fix_randomness)
        landscape = make_landscape(request, machine, sets, facts)
        run = make_run(request, machine, landscape)
        measure = EigenMeasure(
            landscape,
            run,
            device=machine.device,
            tolerance=args.tolerance,
            most_products=args.most_products,
            batch_size=args.batch_size,
            all_parameters=args.all_parameters,
            fix_randomness=args.fix_randomness,
            sharers=machine.sharers,
        )
        axes = find_request_axes(
            request, landscape, TrainLoss(landscape, measure.batching, machine.device), run
        )
        surf_file = surface_file(request, landscape, axes)
        if not request.run.overwrite:
            machine.ranks.first(require_own_scale, surf_file)
        if args.plot:
            machine.ranks.first(require_figures, args.out, surf_file, args.format, is_line="y" not in axes)
        measure_surface(landscape, axes, measure, run, surf_file=surf_file)
        if args.plot and machine.ranks.rank == 0:
            from losslandscape.draw.eigen_figures import plot_eigenvalues

            plot_eigenvalues(surf_file, out=args.out, show=args.show, formats=args.format)


def require_figures(out: str, surf_file: str, formats: list[str], *, is_line: bool) -> None:
    """Raise `InputError` before the measurement if the figures cannot be written."""
    from losslandscape.draw import eigen_figures, figures

    endings = eigen_figures.endings(is_line=is_line)
    advice = "give another {out}" if out else "give another {surf_file}"
    figures.require_writable_figures(out or surf_file, endings, formats, advice=advice)


def require_own_scale(surf_file: str) -> None:
    """Raise `InputError` if a file has eigenvalues of the published program, which have another scale.

    The published program's eigenvalues are ours times its number of batches.
    """
    if not os.path.exists(surf_file):
        return
    surface = h5_util.read_surface(surf_file)
    eigenvalues = [name for name in ("min_eig", "max_eig") if name in surface.names]
    if any(surface.measured(name).any() for name in eigenvalues) and "min_eig_residual" not in surface.names:
        raise InputError(
            f"{surf_file!r} has eigenvalues of the published program, which are ours times its batches",
            "plot them with plot_2D.py or plot_1D.py, or give another {surf_file}, or {overwrite:True} "
            "(the old file is kept)",
        )
