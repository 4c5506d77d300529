"""Curvature of a net, compared with two packages: the values, and the time of a product.

    pip install pyhessian
    pip install curvlinops-for-pytorch
    python bench/curvature.py --out bench/results/curvature.json
    python bench/curvature.py --model resnet56 --kinds hessian --out bench/results/curvature_resnet56.json
    python bench/curvature.py --cuda --model resnet56 --images 5000 --vectors 1 8 16 --out curvature_cuda.json

The net is ResNet-20, trained on digits. `--model` takes another net, with random weights, on random images of
the size of CIFAR-10's.

The program needs neither package, and a missing package is left out. All compute the Hessian of the mean loss
by the parameters of more than one dimension, on the same batches; but on a GPU ours chooses its own. The
packages get batches that are prepared beforehand; ours prepares them anew for each product. The ways take
turns in one process. On a CPU times are the processor's, which do not grow while other programs run; on a GPU
they are the clock's.

PyHessian stops when two estimates in a row differ by less than 0.1 %, which means little for a trace. So its
trace is compared on the same random vectors, and our converged trace is shown too. Its density needs
torch.eig, which PyTorch no longer has.
"""

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench import report
from bench.evaluate import choose_device, random_images, random_net
from losslandscape.cli.command_line import Parser, sentence
from losslandscape.cli.option_types import positive
from losslandscape.curvature.batch_products import KINDS
from losslandscape.curvature.hess_vec_prod import Curvature
from losslandscape.curvature.lanczos import eigenvalues
from losslandscape.curvature.probes import TOGETHER
from losslandscape.curvature.trace import trace
from losslandscape.data import dataloader
from losslandscape.data.image_set import ImageSet
from losslandscape.nets import model_loader
from losslandscape.nets.models import MODELS
from losslandscape.parallel.devices import set_precision

CHECKPOINT = report.REPO / "tests" / "golden" / "resnet20_digits_bs=64" / "model_6.t7"
BATCH_SIZE, CUDA_BATCH_SIZE = 32, 512
# Of two products, relative to their length. Each way is 0.2 % off for a ResNet-56 of random weights.
TRAINED_AGREEMENT, RANDOM_AGREEMENT = 1e-4, 1e-2
RANK = 32
CURVLINOPS = dict(zip(KINDS, ("HessianLinearOperator", "GGNLinearOperator", "EFLinearOperator"), strict=True))
PACKAGES = {
    "pyhessian": "pyhessian",
    "curvlinops-for-pytorch": "curvlinops",
}  # names to install and to import

Batches = list[tuple[Tensor, Tensor]]
Product = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Problem:
    """A net with its data, which is held as our samples and as prepared batches."""

    net: nn.Module
    data: ImageSet
    batches: Batches
    agreement: float

    @property
    def device(self) -> torch.device:
        return self.data.labels.device

    def curvature(self, kind: str = "hessian") -> Curvature:
        size = None if self.device.type == "cuda" else len(self.batches[0][1])
        return Curvature(self.net, self.data, kind=kind, batch_size=size)


def main() -> None:
    parser = make_parser()
    args = parser.parse_args()
    # PyHessian warns of its own way.
    warnings.filterwarnings("ignore", message="Using backward\\(\\) with create_graph=True")
    with sentence(parser):
        problem = load_problem(args)
        rows = [
            row for kind in args.kinds for row in time_products(kind, problem, args.vectors, args.repeats)
        ]
        print(report.table(rows))
        results: dict[str, object] = {
            "model": args.model or "resnet20, trained on digits",
            "images": len(problem.data),
            "batch size": len(problem.batches[0][1]),
            "products": rows,
        }
        if find_spec("pyhessian") and not args.model:
            results["estimates"] = compare_estimates(problem, args.trace_probes)
        results["packages"] = {name: version(name) for name, module in PACKAGES.items() if find_spec(module)}
        report.write(args.out, results)


def make_parser() -> Parser:
    parser = Parser(__doc__)
    add = parser.add_argument
    model_help = "with random weights (default: ResNet-20, trained on digits)"
    add("--model", default="", choices=sorted(MODELS), metavar="MODEL", help=model_help)
    add("--images", type=positive, default=64, help="random images for --model (default: 64)")
    add("--kinds", nargs="+", choices=KINDS, default=KINDS, help="matrices (default: all)")
    vectors_help = f"numbers of vectors in a product (default: 1 {TOGETHER})"
    add("--vectors", nargs="+", type=positive, default=[1, TOGETHER], metavar="K", help=vectors_help)
    split_help = "one N-th of the digits' training images (default: 32)"
    add("--data_split", type=positive, default=32, metavar="N", help=split_help)
    batch_help = f"(default: {BATCH_SIZE}; with --cuda {CUDA_BATCH_SIZE}, for the packages)"
    add("--batch_size", type=positive, help=batch_help)
    add("--repeats", type=positive, default=5, help="rounds of turns (default: 5)")
    probes_help = "random vectors on which the traces are compared (default: 24)"
    add("--trace_probes", type=positive, default=24, help=probes_help)
    add("--cuda", action="store_true", help="on the GPU")
    add("--out", default="", metavar="FILE", help="JSON file to write")
    return parser


def load_problem(args: argparse.Namespace) -> Problem:
    device = choose_device(args.cuda)
    set_precision("fp32", device)
    agreement = RANDOM_AGREEMENT if args.model else TRAINED_AGREEMENT
    if args.model:
        data, _ = random_images(args.images)
        net = random_net(args.model, data.batch(slice(0, 128)))
    else:
        data = dataloader.load("digits", "train", datapath="", data_split=args.data_split)
        net = model_loader.load("resnet20", str(CHECKPOINT)).eval()
    for tensor in net.parameters():
        tensor.requires_grad_(tensor.dim() > 1)  # PyHessian takes what requires a gradient
    net, data = net.to(device), data.to(device)
    size = args.batch_size or (CUDA_BATCH_SIZE if args.cuda else BATCH_SIZE)
    return Problem(net, data, prepared(data, size), agreement)


def prepared(data: ImageSet, batch_size: int) -> Batches:
    slices = [slice(start, start + batch_size) for start in range(0, len(data), batch_size)]
    return [(data.batch(part), data.labels[part]) for part in slices]


def pyhessian_of(problem: Problem) -> Any:
    from pyhessian import hessian

    cuda = problem.device.type == "cuda"
    return hessian(problem.net, nn.CrossEntropyLoss(), dataloader=problem.batches, cuda=cuda)


def pyhessian_product(package: Any, matrix: Curvature, vector: Tensor) -> Tensor:
    _, products = package.dataloader_hv_product(matrix.split(vector))
    return torch.cat([part.flatten() for part in products])


def curvlinops_of(kind: str, problem: Problem) -> Any:
    import curvlinops

    parameters = [tensor for tensor in problem.net.parameters() if tensor.dim() > 1]
    return getattr(curvlinops, CURVLINOPS[kind])(
        problem.net,
        nn.CrossEntropyLoss(),
        parameters,
        problem.batches,
        check_deterministic=False,
        num_data=len(problem.data),
    )


def curvlinops_product(operator: Any, vectors: Tensor) -> Tensor:
    return (operator @ vectors.T).T if vectors.dim() > 1 else operator @ vectors


def products_of(kind: str, problem: Problem) -> dict[str, Product]:
    """Return every way to multiply with a matrix, ours first."""
    matrix = problem.curvature(kind)
    ways: dict[str, Product] = {"ours": matrix}
    if kind == "hessian" and find_spec("pyhessian"):
        ways["pyhessian"] = partial(pyhessian_product, pyhessian_of(problem), matrix)
    if find_spec("curvlinops"):
        ways["curvlinops"] = partial(curvlinops_product, curvlinops_of(kind, problem))
    return ways


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """Return the processor's seconds of a call, or on a GPU the clock's until the call is done."""
    if device.type != "cuda":
        start = time.process_time()
        call()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def time_products(kind: str, problem: Problem, counts: list[int], repeats: int) -> list[dict[str, object]]:
    """Return a row for each way and number of vectors.

    Raises:
        SystemExit: if a way's product differs from ours.
    """
    ways = products_of(kind, problem)
    generator = torch.Generator().manual_seed(0)
    dimension = problem.curvature(kind).dimension
    many = torch.randn(max(counts), dimension, generator=generator).to(problem.device)
    require_agreement(kind, ways, many[0], problem.agreement)
    calls = {
        (name, count): partial(way, many[:count] if count > 1 else many[0])
        for count in sorted({1, *counts})
        for name, way in ways.items()
        if count == 1 or name != "pyhessian"  # it has no product with several
    }
    timed = {key: partial(seconds, call, problem.device) for key, call in calls.items()}
    report.interleaved(timed, 1)  # warm up
    times = report.medians(report.interleaved(timed, repeats))
    return [
        {
            "matrix": kind,
            "way": name,
            "vectors": count,
            "products/s": count / times[name, count],
            "ms a product and image": 1000 * times[name, count] / count / len(problem.data),
            "of ours, one vector": times[name, count] / count / times["ours", 1],
        }
        for name, count in calls
    ]


def require_agreement(kind: str, ways: dict[str, Product], vector: Tensor, agreement: float) -> None:
    expected = ways["ours"](vector)
    for name, way in ways.items():
        error = torch.linalg.vector_norm(way(vector) - expected)
        difference = float(error / torch.linalg.vector_norm(expected))
        if not difference < agreement:
            what = f"the product of {name!r} differs from ours by {difference:.2g} of it"
            raise SystemExit(f"{kind}: {what}; nothing is measured")


def compare_estimates(problem: Problem, trace_probes: int) -> dict[str, object]:
    """Return the largest eigenvalue and the trace by PyHessian and by ours."""
    matrix, package = problem.curvature(), pyhessian_of(problem)
    torch.manual_seed(0)
    (theirs,), _ = package.eigenvalues(maxIter=100, tol=1e-4)
    (low,), (high,) = eigenvalues(matrix, show_progress=True)
    ours = f"ours {high.value:.6g} (residual {high.residual:.2g})"
    print(f"largest eigenvalue: pyhessian {theirs:.6g}, {ours}; smallest, ours {low.value:.6g}")
    eigenvalue = {
        "pyhessian": theirs,
        "ours": high.value,
        "our residual": high.residual,
        "relative difference": abs(theirs / high.value - 1),
    }
    return {"largest eigenvalue": eigenvalue, "trace": compare_traces(matrix, package, trace_probes)}


def compare_traces(matrix: Curvature, package: Any, probes: int) -> dict[str, object]:
    theirs, ours = trace_samples(matrix, package, probes)
    converged = trace(matrix, rank=RANK, tolerance=0.01, most_probes=400, show_progress=True)
    error = float(np.std(theirs, ddof=1) / np.sqrt(probes))
    means = f"pyhessian {np.mean(theirs):.6g}, ours {np.mean(ours):.6g}, standard error {error:.2g}"
    print(f"trace on the same {probes} random vectors: {means}")
    print(f"ours by Hutch++ of rank {RANK}: {converged.value:.6g} +- {converged.standard_error:.2g}")
    return {
        "random vectors": probes,
        "pyhessian": float(np.mean(theirs)),
        "ours": float(np.mean(ours)),
        "standard error": error,
        "relative difference": float(abs(np.mean(theirs) / np.mean(ours) - 1)),
        "ours, Hutch++": converged.value,
        "its standard error": converged.standard_error,
        "its products": 2 * RANK + converged.probes,
    }


def trace_samples(matrix: Curvature, package: Any, count: int) -> tuple[list[float], list[float]]:
    """Return v . H v of PyHessian's own trace, and of ours on the random vectors that PyHessian draws."""
    torch.manual_seed(1)
    theirs = package.trace(maxIter=count, tol=0.0)
    torch.manual_seed(1)
    vectors = torch.stack([_random_signs(package.params) for _ in range(count)])
    products = [(block * matrix(block)).sum(1) for block in vectors.split(TOGETHER)]
    return theirs, torch.cat(products).tolist()


def _random_signs(parameters: list[Tensor]) -> Tensor:
    """Return random signs in the shapes of the parameters, as PyHessian draws them."""
    parts = [2.0 * torch.randint_like(tensor, high=2) - 1 for tensor in parameters]
    return torch.cat([part.flatten() for part in parts])


if __name__ == "__main__":
    main()
