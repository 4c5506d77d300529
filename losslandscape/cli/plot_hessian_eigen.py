"""Measure the smallest and the largest eigenvalue of the Hessian around a minimiser, on a line or in a plane, and plot their ratio.

    python plot_hessian_eigen.py --dataset digits --data_split 16 --model resnet20 --model_file FILE.t7 --x=-1:1:11 --xnorm filter --xignore biasbn --plot
    mpirun -n 4 python plot_hessian_eigen.py --mpi --cuda --model resnet56 --data_split 50 --x=-1:1:51 --y=-1:1:51 --model_file FILE.t7 \\
        --dir_type weights --xnorm filter --xignore biasbn --ynorm filter --yignore biasbn --plot

Where |smallest / largest| is near 0 the surface is nearly convex, where it is near 1 it is not: the paper's convexity maps (Li et al. 2018,
section 6). The Hessian is that of the mean loss over the training images chosen, by parameters of more than one dimension. At a single
point, `hessian.py` tells more. A run that was stopped goes on where it was when it is started again.
"""

import os
import sys
from collections.abc import Callable

from losslandscape.cli import options, request
from losslandscape.cli.command_line import Parser, add_format_option, sentence
from losslandscape.core.errors import InputError
from losslandscape.curvature.hess_vec_prod import BATCH_SIZE, Curvature, extreme_eigenvalues
from losslandscape.files import h5_util
from losslandscape.files.h5_util import Surface
from losslandscape.measure import grid
from losslandscape.measure.evaluation import Evaluator
from losslandscape.measure.fit_check import check_data
from losslandscape.nets.net_plotter import Direction
from losslandscape.parallel.devices import set_precision
from losslandscape.parallel.mpi4pytorch import together
from losslandscape.parallel.scheduler import Values

QUANTITIES = ("min_eig", "max_eig", "min_eig_residual", "max_eig_residual")


def build_parser() -> Parser:
    parser = Parser(__doc__)
    options.add_hardware(parser)
    options.add_data(parser)
    options.add_subset(parser, test_set=False)
    options.add_model(parser)
    options.add_directions(parser)
    group = parser.add_argument_group("eigenvalues")
    options.add_lanczos(group)
    group = parser.add_argument_group("plots")
    group.add_argument(
        "--plot", action="store_true", help="plot the ratio of the eigenvalues when they are measured"
    )
    group.add_argument("--show", action="store_true", help="and show the plots on the screen")
    add_format_option(group)
    return parser


def main(argv: list[str] | None = None) -> None:
    parser = build_parser()
    args = parser.parse_args(argv)
    if fault := request.fault(args):
        parser.error(fault)
    argv = sys.argv[1:] if argv is None else argv
    with sentence(parser):
        machine = request.machine(args)
        set_precision("fp32", machine.device)  # TF32 is too coarse for second derivatives
        parameters = "all" if args.all_parameters else "of more than one dimension"
        study = request.study(
            args,
            machine,
            request.load_sets(args, machine.ranks),
            **{"eigenvalue tolerance": f"{args.tolerance:g}", "parameters of the Hessian": parameters},
        )
        run = request.run(args, machine, study, program=__file__, argv=argv)
        together(machine.ranks, lambda: check_data(study.net, study.sets["train"], study.loss, args.model))

        def prepare(surface: Surface, directions: list[Direction]) -> Callable[[], Values]:
            net, data = study.net.to(machine.device), study.sets["train"].to(machine.device)
            matrix = together(
                machine.ranks,
                lambda: Curvature(
                    net,
                    data,
                    loss=study.loss,
                    batch_size=args.batch_size or BATCH_SIZE,
                    all_parameters=args.all_parameters,
                ),
            )
            run.say(
                f"{machine.device.type}, Hessian of the mean loss over {len(data)} samples, eigenvalues to {args.tolerance:g}"
            )
            if doubt := matrix.doubt():
                run.say(doubt)

            def measure() -> Values:
                found = extreme_eigenvalues(
                    matrix, tolerance=args.tolerance, most_products=args.most_products
                )
                return dict(
                    zip(
                        QUANTITIES,
                        [eigen.value for eigen in found] + [eigen.residual for eigen in found],
                        strict=True,
                    )
                )

            return measure

        axes = request.grid(
            args,
            study,
            run,
            lambda: Evaluator(study.net.to(machine.device), study.sets, loss=study.loss).measure,
        )
        surf_file = request.surface_file(args, study, axes)
        if not args.overwrite:
            together(machine.ranks, lambda: require_own_scale(surf_file), only=True)
        grid.measure(study, axes, list(QUANTITIES), run, surf_file=surf_file, prepare=prepare)
        if args.plot and machine.ranks.rank == 0:
            from losslandscape.draw.eigen_figures import plot_eigenvalues

            plot_eigenvalues(surf_file, show=args.show, formats=args.format)


def require_own_scale(surf_file: str) -> None:
    """Raise `InputError` for eigenvalues of the published program, which are ours times its number of batches: a file with some of each would tell nothing."""
    if not os.path.exists(surf_file):
        return
    surface = h5_util.read_surface(surf_file)
    if "min_eig_residual" not in surface.names and any(
        name in surface.names and surface.measured(name).any() for name in ("min_eig", "max_eig")
    ):
        raise InputError(
            f"{surf_file!r} has eigenvalues of the published program, which are those of this one times its number of batches; plot them with plot_2D.py or "
            "plot_1D.py, give another --surf_file, or --overwrite (the old file is kept aside)"
        )


if __name__ == "__main__":
    main()
