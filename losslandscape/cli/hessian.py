"""Curvature of the loss at a checkpoint: extreme eigenvalues, trace and spectral density of the Hessian.

    python hessian.py --model resnet20 --model_file F --dataset digits
    python hessian.py --model resnet56 --model_file F --cuda --top 10 --data_split 50 --json curvature.json
    python hessian.py --model resnet20 --model_file F --dataset digits --kind gauss_newton --only trace

All results are for the mean loss over the chosen training images, with the net in evaluation mode.
Without --all_parameters, the matrix covers only parameters of more than one dimension. Each estimate is
printed with its residual or standard error. The figure of the density is `<model_file>_hessian_density.pdf`.
"""

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch

from losslandscape.cli.command_line import sentence
from losslandscape.cli.hessian_request import HessianOptions, HessianRequest, build_parser
from losslandscape.curvature.density import Density, spectral_density
from losslandscape.curvature.hess_vec_prod import Curvature
from losslandscape.curvature.lanczos import Eigen, eigenvalues
from losslandscape.curvature.trace import Trace, trace
from losslandscape.draw.density_figure import draw_density
from losslandscape.draw.figure_metadata import drawn_by
from losslandscape.evaluate import losses
from losslandscape.evaluate.fit_check import check_data
from losslandscape.files.atomic_file import replacing
from losslandscape.parallel.devices import require_cuda, set_precision
from losslandscape.parallel.mpi4pytorch import Serial

NAMES = {"hessian": "Hessian", "gauss_newton": "Gauss-Newton matrix", "fisher": "empirical Fisher matrix"}


@dataclass(frozen=True)
class Estimates:
    """The requested estimates; an estimate that was not requested is None."""

    eigenvalues: tuple[list[Eigen], list[Eigen]] | None = None
    trace: Trace | None = None
    density: Density | None = None

    def plain(self) -> dict[str, object]:
        """Return all results except the eigenvectors, as nested dictionaries for JSON."""
        numbers: dict[str, object] = {}
        if self.eigenvalues:
            smallest, largest = self.eigenvalues
            numbers["eigenvalues"] = {"smallest": _plain(smallest), "largest": _plain(largest)}
        if self.trace:
            numbers["trace"] = asdict(self.trace)
        if self.density:
            numbers["density"] = asdict(self.density)
        return numbers


def _plain(eigens: list[Eigen]) -> list[dict[str, object]]:
    names = ("value", "residual", "converged")
    return [{name: getattr(eigen, name) for name in names} for eigen in eigens]


def main(argv: list[str] | None = None) -> None:
    parser = build_parser(__doc__)
    request = HessianRequest.of(parser.parse_args(argv))
    with sentence(parser), drawn_by("hessian.py", sys.argv[1:] if argv is None else argv):
        matrix, samples, place = load_matrix(request)
        name = NAMES[request.hessian.kind]
        print(
            f"{name} at {place or 'random weights'}: mean loss over {samples} samples, "
            f"{matrix.dimension} parameters in {len(matrix.names)} tensors"
        )
        doubt = matrix.doubt()
        if doubt:
            print(doubt)
        stem = f"{place or request.net.model}_{request.hessian.kind}_density"
        estimates = estimate(matrix, request.hessian, stem)
        if request.hessian.json:
            facts = {
                "kind": request.hessian.kind,
                "samples": samples,
                "parameters": dict(zip(matrix.names, matrix.sizes, strict=True)),
            }
            write_json(request.hessian.json, {**facts, **estimates.plain()})


def load_matrix(request: HessianRequest) -> tuple[Curvature, int, str]:
    """Return the matrix, the number of its samples, and the path of the checkpoint ("" without one)."""
    options = request.hessian
    if options.cuda:
        require_cuda("cuda")
    device = torch.device("cuda" if options.cuda else "cpu")
    set_precision("fp32", device)  # TF32 is too coarse for second derivatives
    torch.manual_seed(options.seed)
    file = request.net.files().get("model_file", "")
    net = request.net.load(file).to(device)
    data = request.data.load(Serial())["train"].to(device)
    loss = losses.find(options.loss_name)
    check_data(net, data, loss, request.net.model)
    matrix = Curvature(
        net,
        data,
        kind=options.kind,
        loss=loss,
        batch_size=options.batch_size,
        all_parameters=options.all_parameters,
    )
    return matrix, len(data), file


def estimate(matrix: Curvature, options: HessianOptions, stem: str) -> Estimates:
    """Compute and print the requested estimates, and draw the density as `<stem>.<format>`."""
    ends, traced, density = None, None, None
    if "eigenvalues" in options.only:
        ends = estimate_eigenvalues(matrix, options)
        print_eigenvalues(*ends, options.tolerance)
    if "trace" in options.only:
        traced = estimate_trace(matrix, options)
        print_trace(traced, options.trace_tolerance)
    if "density" in options.only:
        density = spectral_density(
            matrix, steps=options.steps, probes=options.density_probes, seed=options.seed, show_progress=True
        )
        print_density(density)
        smallest, largest = ends or ([], [])
        draw_density(
            density,
            stem,
            name=NAMES[options.kind],
            count=matrix.dimension,
            known=[eigen.value for eigen in smallest + largest],
            formats=options.format,
        )
    return Estimates(ends, traced, density)


def estimate_eigenvalues(matrix: Curvature, options: HessianOptions) -> tuple[list[Eigen], list[Eigen]]:
    """Return the requested smallest and largest eigenvalues."""
    return eigenvalues(
        matrix,
        smallest=options.bottom,
        largest=options.top,
        tolerance=options.tolerance,
        most_products=options.most_products,
        seed=options.seed,
        show_progress=True,
    )


def estimate_trace(matrix: Curvature, options: HessianOptions) -> Trace:
    return trace(
        matrix,
        rank=options.rank,
        tolerance=options.trace_tolerance,
        most_probes=options.probes,
        seed=options.seed,
        show_progress=True,
    )


def print_eigenvalues(smallest: list[Eigen], largest: list[Eigen], tolerance: float) -> None:
    for name, eigens in (("largest", largest), ("smallest", smallest)):
        for i, eigen in enumerate(eigens, 1):
            label = f"{name} eigenvalue" + (f" {i}" if len(eigens) > 1 else "")
            value = f"{eigen.value:>12.6g}   residual {eigen.residual:.2g}"
            print(f"{label:<23} {value}{mark(eigen.converged)}")
    if not all(math.isfinite(eigen.value) for eigen in smallest + largest):
        print("The second derivative is not finite here: the loss may have overflowed.")
    elif not all(eigen.converged for eigen in smallest + largest):
        print(
            f"Residuals are above --tolerance {tolerance:g}, or equal eigenvalues may be missing; "
            "give more --most_products."
        )
    else:
        low, high = smallest[0].value, largest[0].value
        print(f"|smallest / largest|    {abs(low / high) if high else math.nan:>12.6g}")


def print_trace(estimate: Trace, tolerance: float) -> None:
    error = f"standard error {estimate.standard_error:.2g} from {estimate.probes} random vectors"
    print(f"trace                   {estimate.value:>12.6g}   {error}{mark(estimate.converged)}")
    if math.isfinite(estimate.value) and not estimate.converged:
        print(
            f"The standard error is above --trace_tolerance {tolerance:g}; "
            "give more --probes, or another --rank of Hutch++."
        )
    width = max(map(len, estimate.layers))
    for name, (value, layer_error) in estimate.layers.items():
        print(f"  {name:<{width}} {value:>12.6g} +- {layer_error:.2g}")


def print_density(density: Density) -> None:
    print(
        f"density: eigenvalues from {density.nodes.min():.6g} to {density.nodes.max():.6g}; "
        f"integrated sampling error {density.sampling_error:.2g}, step error {density.step_error:.2g}"
        f"{mark(density.converged)}"
    )


def mark(converged: bool) -> str:
    return "" if converged else "  NOT CONVERGED"


def write_json(path: str, numbers: Mapping[str, object]) -> None:
    """Write results as JSON, with NaN and infinity as Python's `json` writes them (not standard JSON)."""
    with replacing(path) as part, open(part, "w") as file:
        json.dump(numbers, file, indent=1, default=np.ndarray.tolist)
    print(f"written: {path}")
