"""Curvature of the loss at a checkpoint: extreme eigenvalues, trace and spectral density of the Hessian.

    python hessian.py --model resnet20 --model_file F --dataset digits
    python hessian.py --model resnet56 --model_file F --cuda --top 10 --data_split 50 --json curvature.json
    python hessian.py --model resnet20 --model_file F --dataset digits --params layer3 --per_layer
    python hessian.py --model resnet20 --model_file F --dataset digits --kind gauss_newton --only trace
    python hessian.py --model resnet20 --model_file F --dataset digits --along random:3 gradient hessian G

All results are for the mean loss over the chosen training images, with the net in evaluation mode.
Without --all_parameters, the matrix covers only parameters of more than one dimension. --params chooses
parameters by their names, such as one layer or an adapter. Each estimate is printed with its residual or
standard error. The figure of the density is `<model_file>_hessian_density.pdf`.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch

from losslandscape.cli.along_directions import Lines
from losslandscape.cli.command_line import as_flag, sentence
from losslandscape.cli.figure_options import page_of
from losslandscape.cli.hessian_report import (
    print_along,
    print_density,
    print_eigenvalues,
    print_layers,
    print_trace,
)
from losslandscape.cli.hessian_request import HessianOptions, HessianRequest, build_parser
from losslandscape.cli.landscapes import without_checkpoint
from losslandscape.core.errors import InputError
from losslandscape.curvature.along import Along
from losslandscape.curvature.density import Density, spectral_density
from losslandscape.curvature.hess_vec_prod import Curvature
from losslandscape.curvature.lanczos import Eigen, eigenvalues
from losslandscape.curvature.layers import Ends, layer_eigenvalues
from losslandscape.curvature.trace import Trace, trace
from losslandscape.draw import figures
from losslandscape.draw.density_figure import draw_density
from losslandscape.draw.figure_metadata import drawn_by
from losslandscape.draw.page_style import drawn_on
from losslandscape.evaluate import losses
from losslandscape.evaluate.batching import Batching, choose_batches
from losslandscape.files import file_names
from losslandscape.files.atomic_file import replacing
from losslandscape.measure.repeatability_checks import check_repeatability
from losslandscape.parallel.devices import require_cuda, set_precision
from losslandscape.parallel.mpi4pytorch import Serial

NAMES = {"hessian": "Hessian", "gauss_newton": "Gauss-Newton matrix", "fisher": "empirical Fisher matrix"}


@dataclass(frozen=True)
class Estimates:
    """The requested estimates; an estimate that was not requested is None."""

    eigenvalues: tuple[list[Eigen], list[Eigen]] | None = None
    trace: Trace | None = None
    density: Density | None = None
    layers: dict[str, Ends] | None = None
    along: dict[str, Along] | None = None

    def plain(self) -> dict[str, object]:
        """Return all results except the eigenvectors, as nested dictionaries for JSON."""
        numbers: dict[str, object] = {}
        if self.eigenvalues:
            smallest, largest = self.eigenvalues
            numbers["eigenvalues"] = {
                "smallest": [plain(eigen) for eigen in smallest],
                "largest": [plain(eigen) for eigen in largest],
            }
        if self.trace:
            numbers["trace"] = asdict(self.trace)
        if self.density:
            numbers["density"] = asdict(self.density)
        if self.layers:
            numbers["layers"] = {
                name: {"smallest": plain(low), "largest": plain(high)}
                for name, (low, high) in self.layers.items()
            }
        if self.along:
            numbers["along"] = {name: asdict(line) for name, line in self.along.items()}
        return numbers


def plain(eigen: Eigen) -> dict[str, object]:
    """Return an eigenvalue without its eigenvector."""
    return {name: getattr(eigen, name) for name in ("value", "residual", "converged")}


def main(argv: list[str] | None = None) -> None:
    parser = build_parser(__doc__)
    args = parser.parse_args(argv)
    request = HessianRequest.of(args)
    arguments = sys.argv[1:] if argv is None else argv
    with sentence(parser), drawn_on(page_of(args)), drawn_by("hessian.py", arguments):
        stem = figure_stem(request)
        if "density" in request.hessian.only:
            figures.require_writable_figures(
                stem, ["density"], request.hessian.format, advice="give another {out}"
            )
        matrix, batching, lines, place = load_matrix(request)
        samples = len(batching.sets["train"])
        name = NAMES[request.hessian.kind] + (f" at {place}" if place else "")
        if not place:
            print(without_checkpoint(request.net.model))
        print(
            f"{name}: mean loss over {samples} samples, "
            f"{matrix.dimension} parameters in {len(matrix.names)} tensors"
        )
        print_cautions(matrix, batching, strict=request.hessian.strict)
        estimates = estimate(matrix, request.hessian, stem, lines=lines, is_noisy=batching.is_noisy)
        if request.hessian.json:
            facts = {
                "kind": request.hessian.kind,
                "samples": samples,
                **batching.facts,
                "parameters": dict(zip(matrix.names, matrix.sizes, strict=True)),
            }
            write_json(request.hessian.json, {**facts, **estimates.plain()})


def figure_stem(request: HessianRequest) -> str:
    """Return the beginning of the figure's name; without --out and a checkpoint the net names it."""
    options, net = request.hessian, request.net
    start = options.out or net.files().get("model_file", "")
    start = start or file_names.model_name(net.model, net.model_args)
    params = file_names.without_special_characters(options.params)
    return f"{start}_{options.kind}" + (f"_params={params}" if params else "")


def print_cautions(matrix: Curvature, batching: Batching, *, strict: bool) -> None:
    """Print what makes the results uncertain; if `strict`, a warning is an error."""
    report = check_repeatability(batching)
    for text in (report.text(as_flag), "" if batching.is_noisy else matrix.doubt()):
        if text:
            print(text)
    if strict:
        report.require_no_warning()


def load_matrix(request: HessianRequest) -> tuple[Curvature, Batching, Lines | None, str]:
    """Return the matrix, the batches of its data, the requested lines, and the path of the checkpoint.

    Without --along there are no lines, and without a checkpoint the path is empty.
    """
    options = request.hessian
    if options.along and options.kind != "hessian":
        fault = f"kind {options.kind} is not the curvature of the loss along a direction"
        raise InputError(fault, "leave {kind} or {along} out")
    if options.cuda:
        require_cuda("cuda")
    device = torch.device("cuda" if options.cuda else "cpu")
    set_precision("fp32", device)  # TF32 is too coarse for second derivatives
    torch.manual_seed(options.seed)
    file = request.net.files().get("model_file", "")
    net = request.net.load(file).to(device)
    data = request.data.load(Serial())["train"].to(device)
    loss = losses.find(options.loss_name)
    batching = choose_batches(
        net,
        {"train": data},
        loss,
        model=request.net.model,
        ranks=Serial(),
        batch_size=options.batch_size,
        fix_randomness=options.fix_randomness,
    )
    matrix = Curvature(
        net,
        batching.sets["train"],
        kind=options.kind,
        loss=loss,
        batch_size=batching.batch_size,
        all_parameters=options.all_parameters,
        params=options.params,
        fix_randomness=options.fix_randomness,
    )
    lines = None
    if options.along:
        lines = Lines.of(
            options.along, net, matrix, batching, loss, checkpoints=request.net, seed=options.seed
        )
    return matrix, batching, lines, file


def estimate(
    matrix: Curvature, options: HessianOptions, stem: str, *, lines: Lines | None, is_noisy: bool
) -> Estimates:
    """Compute and print the requested estimates, and draw the density as `<stem>_density.<format>`."""
    ends, traced, density, layers = None, None, None, None
    if "eigenvalues" in options.only:
        ends = estimate_eigenvalues(matrix, options)
        print_eigenvalues(*ends, options.tolerance, is_noisy=is_noisy)
    if "trace" in options.only:
        traced = estimate_trace(matrix, options)
        print_trace(traced, options.trace_tolerance, is_noisy=is_noisy)
    if options.per_layer:
        layers = estimate_layers(matrix, options)
    if layers or traced:
        traces = traced.layers if traced else {}
        print_layers(matrix, layers or {}, traces, options.tolerance, is_noisy=is_noisy)
    if "density" in options.only:
        density = spectral_density(
            matrix, steps=options.steps, probes=options.density_probes, seed=options.seed, show_progress=True
        )
        print_density(density)
        smallest, largest = ends or ([], [])
        draw_density(
            density,
            f"{stem}_density",
            name=NAMES[options.kind],
            count=matrix.dimension,
            known=[eigen.value for eigen in smallest + largest],
            formats=options.format,
        )
    along = None
    if lines:
        if lines.need_eigenvector and not ends:
            ends = estimate_eigenvalues(matrix, options)
        along = lines.measured(matrix, ends[1][0] if ends else None)
        mean = traced.value / matrix.dimension if traced else None
        print_along(along, mean_eigenvalue=mean)
    return Estimates(ends, traced, density, layers, along)


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


def estimate_layers(matrix: Curvature, options: HessianOptions) -> dict[str, Ends]:
    """Return the extreme eigenvalues of the block of each parameter tensor, by its name."""
    return layer_eigenvalues(
        matrix,
        tolerance=options.tolerance,
        most_products=options.most_products,
        seed=options.seed,
        show_progress=True,
    )


def estimate_trace(matrix: Curvature, options: HessianOptions) -> Trace:
    """Return the trace, estimated to the requested tolerance."""
    return trace(
        matrix,
        rank=options.rank,
        tolerance=options.trace_tolerance,
        most_probes=options.probes,
        seed=options.seed,
        show_progress=True,
    )


def write_json(path: str, numbers: Mapping[str, object]) -> None:
    """Write results as JSON, with NaN and infinity as Python's `json` writes them (not standard JSON)."""
    with replacing(path) as part, open(part, "w") as file:
        json.dump(numbers, file, indent=1, default=np.ndarray.tolist)
    print(f"written: {path}")
