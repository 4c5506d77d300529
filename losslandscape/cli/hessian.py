"""Curvature of the loss at a checkpoint: extreme eigenvalues, trace, and the density of the eigenvalues of the Hessian.

    python hessian.py --model resnet20 --model_file F --dataset digits
    python hessian.py --model resnet56 --model_file F --cuda --top 10 --data_split 50 --json curvature.json
    python hessian.py --model resnet20 --model_file F --dataset digits --kind gauss_newton --only eigenvalues trace

All are of the mean loss over the training images chosen, with the net in evaluation mode, and by parameters of more than one dimension
unless --all_parameters is given. Each number stands beside its residual or standard error. The figure of the density is
`<model_file>_hessian_density.pdf`.
"""

import json
import math
import sys
from dataclasses import asdict, is_dataclass

import numpy as np
import torch

from losslandscape.cli import options
from losslandscape.cli.command_line import Parser, add_format_option, output_file, sentence
from losslandscape.curvature.hess_vec_prod import BATCH_SIZE, KINDS, Curvature
from losslandscape.curvature.lanczos import Eigen, eigenvalues
from losslandscape.curvature.spectrum import (
    DENSITY_PROBES,
    MOST_PROBES,
    STEPS,
    TRACE_TOLERANCE,
    Density,
    Trace,
    spectral_density,
    trace,
)
from losslandscape.data import node_memory
from losslandscape.draw import figures
from losslandscape.files.atomic_file import replacing
from losslandscape.measure import losses
from losslandscape.measure.fit_check import check_data
from losslandscape.nets import model_loader
from losslandscape.parallel.devices import require_cuda, set_precision
from losslandscape.parallel.mpi4pytorch import Serial

QUANTITIES = ("eigenvalues", "trace", "density")
NAMES = {"hessian": "Hessian", "gauss_newton": "Gauss-Newton matrix", "fisher": "empirical Fisher matrix"}


def main(argv: list[str] | None = None) -> None:
    parser = argument_parser()
    args = parser.parse_args(argv)
    with sentence(parser), figures.drawn_by("hessian.py", sys.argv[1:] if argv is None else argv):
        if args.cuda:
            require_cuda("--cuda")
        device = torch.device("cuda" if args.cuda else "cpu")
        set_precision("fp32", device)  # TF32 is too coarse for second derivatives
        torch.manual_seed(args.seed)
        file = model_loader.find(args.model_folder, args.model_file)
        net = model_loader.load(
            args.model,
            file,
            model_args=model_loader.parse_model_args(args.model_args),
            state_key=args.state_key,
            unsafe_pickle=args.unsafe_pickle,
        )
        net = net.to(device)
        data = node_memory.load_parts(
            Serial(),
            args.dataset,
            args.datapath,
            test_set=False,
            npz_files={"train": args.trainloader, "test": ""},
            labels_file=args.train_labels,
            data_split=args.data_split,
            split_idx=args.split_idx,
            raw_data=args.raw_data,
            mean=args.mean,
            std=args.std,
            threads=args.threads,
        )["train"].to(device)
        loss = losses.find(args.loss_name)
        check_data(net, data, loss, args.model)
        matrix = Curvature(
            net,
            data,
            kind=args.kind,
            loss=loss,
            batch_size=args.batch_size,
            all_parameters=args.all_parameters,
        )
        print(
            f"{NAMES[args.kind]} at {file or 'random weights'}: mean loss over {len(data)} samples, {matrix.dimension} parameters in {len(matrix.names)} tensors"
        )
        if doubt := matrix.doubt():
            print(doubt)
        found: dict[str, object] = {}
        if "eigenvalues" in args.only:
            smallest, largest = found["eigenvalues"] = eigenvalues(
                matrix,
                smallest=args.bottom,
                largest=args.top,
                tolerance=args.tolerance,
                most_products=args.most_products,
                seed=args.seed,
                show_progress=True,
            )
            print_eigenvalues(smallest, largest, args.tolerance)
        if "trace" in args.only:
            found["trace"] = trace(
                matrix,
                rank=args.rank,
                tolerance=args.trace_tolerance,
                most_probes=args.probes,
                seed=args.seed,
                show_progress=True,
            )
            print_trace(found["trace"], args.trace_tolerance)
        if "density" in args.only:
            density = found["density"] = spectral_density(
                matrix, steps=args.steps, probes=args.density_probes, seed=args.seed, show_progress=True
            )
            print(
                f"density: eigenvalues from {density.nodes.min():.6g} to {density.nodes.max():.6g}; integrated sampling error {density.sampling_error:.2g}, "
                f"step error {density.step_error:.2g}{not_converged(density.converged)}"
            )
            known = [eigen.value for side in found.get("eigenvalues", ()) for eigen in side]
            plot_density(
                density,
                f"{file or args.model}_{args.kind}_density",
                name=NAMES[args.kind],
                count=matrix.dimension,
                known=known,
                formats=args.format,
            )
        if args.json:
            write_json(
                args.json,
                {
                    "kind": args.kind,
                    "samples": len(data),
                    "parameters": dict(zip(matrix.names, matrix.sizes, strict=True)),
                    **found,
                },
            )


def argument_parser() -> Parser:
    parser = Parser(
        "Curvature of the loss at a checkpoint: extreme eigenvalues, trace and density of the eigenvalues of the Hessian."
    )
    group = parser.add_argument_group("curvature")
    group.add_argument("--kind", choices=KINDS, default="hessian", help="(default: hessian)")
    options.add_lanczos(group)
    group.add_argument(
        "--only", nargs="+", choices=QUANTITIES, default=QUANTITIES, help="what is computed (default: all)"
    )
    group.add_argument(
        "--top",
        type=options.positive,
        default=1,
        metavar="K",
        help="this many of the largest eigenvalues (default: 1)",
    )
    group.add_argument(
        "--bottom",
        type=options.positive,
        default=1,
        metavar="K",
        help="this many of the smallest eigenvalues (default: 1)",
    )
    group.add_argument(
        "--trace_tolerance",
        type=options.share,
        default=TRACE_TOLERANCE,
        help=f"standard error of the trace, relative to it (default: {TRACE_TOLERANCE:g})",
    )
    group.add_argument(
        "--probes",
        type=options.positive,
        default=MOST_PROBES,
        metavar="N",
        help=f"random vectors that the trace may take (default: {MOST_PROBES})",
    )
    group.add_argument(
        "--rank",
        type=options.not_negative,
        default=0,
        metavar="R",
        help="Hutch++ with a sketch of this rank; 0 is Hutchinson (default: 0)",
    )
    group.add_argument(
        "--steps",
        type=options.positive,
        default=STEPS,
        metavar="N",
        help=f"Lanczos steps of the density (default: {STEPS})",
    )
    group.add_argument(
        "--density_probes",
        type=options.positive,
        default=DENSITY_PROBES,
        metavar="N",
        help=f"random vectors of the density (default: {DENSITY_PROBES})",
    )
    group.add_argument(
        "--seed", type=options.not_negative, default=0, help="of the random vectors (default: 0)"
    )
    options.add_model(parser, others=False)
    options.add_data(parser)
    options.add_subset(parser, test_set=False)
    group = parser.add_argument_group("hardware and output")
    group.add_argument("--cuda", "-c", action="store_true", help="compute on the GPU")
    group.add_argument(
        "--batch_size",
        type=options.positive,
        default=BATCH_SIZE,
        help=f"images that are in memory at a time (default: {BATCH_SIZE})",
    )
    group.add_argument(
        "--json", default="", type=output_file, metavar="FILE", help="write all numbers to this file"
    )
    add_format_option(group)
    return parser


def not_converged(converged: bool) -> str:
    return "" if converged else "  NOT CONVERGED"


def print_eigenvalues(smallest: list[Eigen], largest: list[Eigen], tolerance: float) -> None:
    for name, found in (("largest", largest), ("smallest", smallest)):
        for i, eigen in enumerate(found, 1):
            print(
                f"{name + ' eigenvalue' + (f' {i}' if len(found) > 1 else ''):<23} {eigen.value:>12.6g}   residual {eigen.residual:.2g}"
                f"{not_converged(eigen.converged)}"
            )
    if not all(math.isfinite(eigen.value) for eigen in smallest + largest):
        print("The second derivative is not finite here: the loss may have overflowed.")
    elif not all(eigen.converged for eigen in smallest + largest):
        print(
            f"Residuals are above --tolerance {tolerance:g}, or whether there are others between these could not be seen; give more --most_products."
        )
    else:
        print(
            f"|smallest / largest|    {abs(smallest[0].value / largest[0].value) if largest[0].value else math.nan:>12.6g}"
        )


def print_trace(found: Trace, tolerance: float) -> None:
    print(
        f"trace                   {found.value:>12.6g}   standard error {found.standard_error:.2g} from {found.probes} random vectors"
        f"{not_converged(found.converged)}"
    )
    if math.isfinite(found.value) and not found.converged:
        print(
            f"The standard error is above --trace_tolerance {tolerance:g}; give more --probes, or --rank for Hutch++."
        )
    width = max(map(len, found.layers))
    for name, (value, error) in found.layers.items():
        print(f"  {name:<{width}} {value:>12.6g} +- {error:.2g}")


@figures.styled
def plot_density(
    density: Density, stem: str, *, name: str, count: int, known: list[float], formats: list[str]
) -> list[str]:
    """Draw the density of `count` eigenvalues, logarithmic, with a band of one standard error and marks at those that are `known`.

    Down to a tenth of what one eigenvalue alone has, so that none is lost. Saved as `<stem>.<format>`; returns the paths.
    """
    fig = figures.new_figure()
    axes = fig.add_subplot()
    axes.set(xlabel="eigenvalue", ylabel="density of eigenvalues", title=name)
    if np.isfinite(density.density).all():
        floor = 0.1 / (count * density.width * math.sqrt(2 * math.pi))
        axes.fill_between(
            density.grid,
            np.maximum(density.density - density.standard_error, floor),
            density.density + density.standard_error,
            where=density.density + density.standard_error > floor,
            color="tab:blue",
            alpha=0.25,
            linewidth=0,
        )
        axes.semilogy(
            density.grid, np.where(density.density > floor, density.density, np.nan), color="tab:blue"
        )
        axes.set(ylim=(floor, 3 * density.density.max()), xlim=(density.grid[0], density.grid[-1]))
        marks = [value for value in known if math.isfinite(value)]
        if marks:
            axes.plot(
                marks,
                np.full(len(marks), 0.02),
                "|",
                color="tab:red",
                markersize=12,
                markeredgewidth=1.8,
                transform=axes.get_xaxis_transform(),
                label="outermost eigenvalues" if len(marks) > 1 else "eigenvalue",
            )
            axes.legend(loc="upper right")
        note = f"{len(density.nodes)} random vectors, {density.nodes.shape[1]} Lanczos steps, Gaussians of deviation {density.width:.2g}; band: one standard error"
    else:
        axes.set(xticks=[], yticks=[])
        note = "the second derivative is not finite here"
    figures.footnote(fig, note)
    return figures.save(fig, stem, formats)


def write_json(path: str, results: dict[str, object]) -> None:
    """All results but the eigenvectors, as JSON; NaN where a number is not finite, as Python's json reads it."""
    if "eigenvalues" in results:
        results["eigenvalues"] = dict(
            zip(
                ("smallest", "largest"),
                [[_without_vector(eigen) for eigen in side] for side in results["eigenvalues"]],
                strict=True,
            )
        )
    plain = {name: asdict(value) if is_dataclass(value) else value for name, value in results.items()}
    with replacing(path) as part, open(part, "w") as file:
        json.dump(plain, file, indent=1, default=np.ndarray.tolist)
    print(f"written: {path}")


def _without_vector(eigen: Eigen) -> dict[str, object]:
    return {"value": eigen.value, "residual": eigen.residual, "converged": eigen.converged}


if __name__ == "__main__":
    main()
