"""Curvature of ResNet-20 on digits beside two packages: the same numbers, and the time of a product.

    pip install pyhessian
    pip install curvlinops-for-pytorch
    python bench/curvature.py --out bench/results/curvature.json
    python bench/curvature.py --cuda --data_split 1 --out bench/results/curvature_cuda.json

Neither package is needed by the program, and one that is absent is left out. All compute the Hessian of the mean loss by the parameters
of more than one dimension, on the same batches, which are prepared beforehand for the packages and anew for each product by ours. The ways
take turns, in one process. Times are of the processor on a CPU, which other programs do not lengthen by waiting, and of the clock on a GPU.

PyHessian stops when two estimates in a row differ by less than 0.1 %, which for a trace says little; its trace is therefore compared on
the same random vectors, and ours that has converged stands beside both. Its density needs torch.eig, which PyTorch no longer has.
"""

import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench import report
from losslandscape.cli.command_line import Parser, sentence
from losslandscape.cli.options import positive
from losslandscape.curvature.hess_vec_prod import KINDS, Curvature
from losslandscape.curvature.lanczos import eigenvalues
from losslandscape.curvature.probes import TOGETHER
from losslandscape.curvature.trace import trace
from losslandscape.data import dataloader
from losslandscape.data.image_set import ImageSet
from losslandscape.nets import model_loader
from losslandscape.parallel.devices import set_precision

CHECKPOINT = report.REPO / "tests" / "golden" / "resnet20_digits_bs=64" / "model_6.t7"
AGREEMENT = 1e-4  # of two products, relative to their length
RANK = 32
CURVLINOPS = dict(zip(KINDS, ("HessianLinearOperator", "GGNLinearOperator", "EFLinearOperator"), strict=True))

Batches = list[tuple[Tensor, Tensor]]
Product = Callable[[Tensor], Tensor]


def pyhessian_of(net: nn.Module, batches: Batches, device: torch.device) -> object:
    from pyhessian import hessian

    return hessian(net, nn.CrossEntropyLoss(), dataloader=batches, cuda=device.type == "cuda")


def pyhessian_product(package: object, matrix: Curvature, vector: Tensor) -> Tensor:
    _, products = package.dataloader_hv_product(matrix.split(vector))
    return torch.cat([part.flatten() for part in products])


def curvlinops_of(kind: str, net: nn.Module, batches: Batches) -> object:
    import curvlinops

    parameters = [tensor for tensor in net.parameters() if tensor.dim() > 1]
    return getattr(curvlinops, CURVLINOPS[kind])(
        net,
        nn.CrossEntropyLoss(),
        parameters,
        batches,
        check_deterministic=False,
        num_data=sum(len(labels) for _, labels in batches),
    )


def products_of(
    kind: str, matrix: Curvature, net: nn.Module, batches: Batches, device: torch.device
) -> dict[str, Product]:
    """Every way to multiply with the matrix, that of one vector first."""
    ways: dict[str, Product] = {"ours": matrix}
    if kind == "hessian" and find_spec("pyhessian"):
        ways["pyhessian"] = partial(pyhessian_product, pyhessian_of(net, batches, device), matrix)
    if find_spec("curvlinops"):
        operator = curvlinops_of(kind, net, batches)
        ways["curvlinops"] = lambda vectors: (
            (operator @ vectors.T).T if vectors.dim() > 1 else operator @ vectors
        )
    return ways


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """Of the processor, or of the clock until a GPU is done."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    if device.type == "cuda":
        torch.cuda.synchronize()
    begin = clock()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - begin


def time_products(
    kind: str, matrix: Curvature, net: nn.Module, batches: Batches, device: torch.device, repeats: int
) -> list[dict[str, object]]:
    """A row for each way with one vector, and with several at once; ends the program if a way's product is another one."""
    ways = products_of(kind, matrix, net, batches, device)
    many = torch.randn(TOGETHER, matrix.dimension, generator=torch.Generator().manual_seed(0)).to(device)
    expected = matrix(many[0])
    for name, way in ways.items():
        difference = float(
            torch.linalg.vector_norm(way(many[0]) - expected) / torch.linalg.vector_norm(expected)
        )
        if not difference < AGREEMENT:
            raise SystemExit(
                f"{kind}: the product of {name!r} differs by {difference:.2g} of it from ours; nothing is measured"
            )
    calls = {(name, 1): partial(way, many[0]) for name, way in ways.items()}
    calls |= {(name, TOGETHER): partial(way, many) for name, way in ways.items() if name != "pyhessian"}
    times = report.medians(
        report.interleaved({key: partial(seconds, call, device) for key, call in calls.items()}, repeats)
    )
    images = sum(len(labels) for _, labels in batches)
    return [
        {
            "matrix": kind,
            "way": name,
            "vectors": count,
            "ms a product and image": 1000 * times[name, count] / count / images,
            "of ours, one vector": times[name, count] / count / times["ours", 1],
        }
        for name, count in calls
    ]


def compare_estimates(
    matrix: Curvature, package: object, device: torch.device, trace_probes: int
) -> dict[str, object]:
    """The largest eigenvalue and the trace by PyHessian and by ours."""
    torch.manual_seed(0)
    (theirs,), _ = package.eigenvalues(maxIter=100, tol=1e-4)
    (low,), (high,) = eigenvalues(matrix, show_progress=True)
    samples = pyhessian_samples(matrix, package, trace_probes)
    converged = trace(matrix, rank=RANK, tolerance=0.01, most_probes=400, show_progress=True)
    error = float(np.std(samples["pyhessian"], ddof=1) / np.sqrt(trace_probes))
    print(
        f"largest eigenvalue: pyhessian {theirs:.6g}, ours {high.value:.6g} (residual {high.residual:.2g}); smallest, ours {low.value:.6g}"
    )
    print(
        f"trace on the same {trace_probes} random vectors: pyhessian {np.mean(samples['pyhessian']):.6g}, ours {np.mean(samples['ours']):.6g}, "
        f"standard error {error:.2g}; ours by Hutch++ of rank {RANK}: {converged.value:.6g} +- {converged.standard_error:.2g}"
    )
    return {
        "largest eigenvalue": {
            "pyhessian": theirs,
            "ours": high.value,
            "our residual": high.residual,
            "relative difference": abs(theirs / high.value - 1),
        },
        "trace": {
            "random vectors": trace_probes,
            **{name: float(np.mean(values)) for name, values in samples.items()},
            "standard error": error,
            "relative difference": float(abs(np.mean(samples["pyhessian"]) / np.mean(samples["ours"]) - 1)),
            "ours, Hutch++": converged.value,
            "its standard error": converged.standard_error,
            "its products": 2 * RANK + converged.probes,
        },
    }


def pyhessian_samples(matrix: Curvature, package: object, count: int) -> dict[str, list[float]]:
    """v . H v of PyHessian's own trace, and of ours on the random vectors that it draws."""
    torch.manual_seed(1)
    theirs = package.trace(maxIter=count, tol=0.0)
    torch.manual_seed(1)
    parts = [
        [2.0 * torch.randint_like(tensor, high=2) - 1 for tensor in package.params] for _ in range(count)
    ]
    vectors = torch.stack([torch.cat([part.flatten() for part in vector]) for vector in parts])
    ours = [float(value) for block in vectors.split(TOGETHER) for value in (block * matrix(block)).sum(1)]
    return {"pyhessian": theirs, "ours": ours}


def prepared(data: ImageSet, batch_size: int) -> Batches:
    return [
        (data.batch(slice(start, start + batch_size)), data.labels[start : start + batch_size])
        for start in range(0, len(data), batch_size)
    ]


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument(
        "--data_split",
        type=positive,
        default=32,
        metavar="N",
        help="one N-th of the digits' training images (default: 32)",
    )
    parser.add_argument("--batch_size", type=positive, default=32, help="(default: 32)")
    parser.add_argument("--repeats", type=positive, default=5, help="rounds of turns (default: 5)")
    parser.add_argument(
        "--trace_probes",
        type=positive,
        default=24,
        help="random vectors on which the traces are compared (default: 24)",
    )
    parser.add_argument("--cuda", action="store_true")
    parser.add_argument("--out", default="", metavar="FILE", help="JSON file to write")
    args = parser.parse_args()
    warnings.filterwarnings(
        "ignore", message="Using backward\\(\\) with create_graph=True"
    )  # PyHessian's way
    device = torch.device("cuda" if args.cuda else "cpu")
    with sentence(parser):
        set_precision("fp32", device)
        net = model_loader.load("resnet20", str(CHECKPOINT)).to(device).eval()
        for tensor in net.parameters():
            tensor.requires_grad_(tensor.dim() > 1)  # PyHessian takes what requires a gradient
        data = dataloader.load("digits", "train", datapath="", data_split=args.data_split).to(device)
        batches = prepared(data, args.batch_size)
        rows = []
        for kind in KINDS:
            matrix = Curvature(net, data, kind=kind, batch_size=args.batch_size)
            rows += time_products(kind, matrix, net, batches, device, args.repeats)
        print(report.table(rows))
        found = {"images": len(data), "batch size": args.batch_size, "products": rows}
        if find_spec("pyhessian"):
            found["estimates"] = compare_estimates(
                Curvature(net, data, batch_size=args.batch_size),
                pyhessian_of(net, batches, device),
                device,
                args.trace_probes,
            )
        found["packages"] = {
            name: version(name)
            for name in ("pyhessian", "curvlinops-for-pytorch")
            if find_spec(name.split("-")[0])
        }
        if args.out:
            report.write(args.out, found)


if __name__ == "__main__":
    main()
