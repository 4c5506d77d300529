"""The barrier on the straight line between two nets, before and after the neurons of one are permuted.

    OMP_NUM_THREADS=1 python bench/alignment.py --out bench/results/alignment.json
    python bench/alignment.py --model vgg9 --model_file A.t7 --model_file2 B.t7 --dataset digits --points 11

The first command trains pairs of MLPs with three hidden layers of 512 neurons on scikit-learn's digits (8x8),
in two minutes on one core, and gives means and standard errors over the pairs. If the package rebasin is
installed, its weight matching is a row of its own. The second measures two checkpoints; its errors are upper
bounds on the standard error over the samples (`draw.loss_shape.barrier_error`).
"""

import copy
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import losslandscape
from bench import report
from losslandscape.cli import options
from losslandscape.cli.request import DataOptions, NetOptions
from losslandscape.data.dataloader import DIGITS_TRAIN
from losslandscape.draw.loss_shape import barrier, barrier_error
from losslandscape.evaluate.bn_statistics import norms_of
from losslandscape.parallel.mpi4pytorch import Serial

WIDTH, HIDDEN = 512, 3
PAIRS = 5
EPOCHS, BATCH, RATE = 60, 100, 1e-3  # Adam
POINTS = 25
BN_SAMPLES = 1000

Aligner = Callable[
    [nn.Module, nn.Module, object], nn.Module
]  # of A, B and data; returns B or its permuted copy
Row = dict[str, object]


def main() -> None:
    parser = report.options(__doc__, repeats=None)
    parser.add_argument("--pairs", type=int, default=PAIRS, help="of MLPs (default: %(default)s)")
    parser.add_argument("--points", type=int, default=POINTS, help="along the line (default: %(default)s)")
    options.add_model(parser, others=False)
    parser.add_argument("--model_file2", default="", help="with --model_file: measure these nets")
    options.add_data(parser)
    options.add_subset(parser)
    args = parser.parse_args()
    if args.model_file:
        net = NetOptions.of(args)
        pair = [net.load(file) for file in net.files().values()]
        rows = checkpoints(*pair, DataOptions.of(args).load(Serial()), args.points)
    else:
        rows = mlps(args.pairs, args.points)
    print(report.table(rows))
    nets = f"{args.model} on {args.dataset}" if args.model_file else f"{args.pairs} pairs of MLPs on digits"
    report.write(args.out, {"nets": nets, "points": args.points, "rows": rows})


def by(match: str) -> Aligner:
    """Return the aligner of this program by weights or by activations."""
    return lambda net, other, data: losslandscape.align(net, other, data, match=match).net


def by_rebasin(net: nn.Module, other: nn.Module, data: object) -> nn.Module:
    """Align by the weight matching of the package rebasin."""
    from rebasin import PermutationCoordinateDescent

    other = copy.deepcopy(other)
    PermutationCoordinateDescent(copy.deepcopy(net), other, data["train"][0][:2]).rebasin()
    return other


ALIGNERS: dict[str, Aligner] = {
    "none": lambda net, other, data: other,
    "weights": by("weights"),
    "activations": by("activations"),
    **({"weights, by rebasin": by_rebasin} if find_spec("rebasin") else {}),
}


def mlps(pairs: int, points: int) -> list[Row]:
    """Measure pairs of MLPs; return for each aligner the means over the pairs with their standard errors."""
    data = digits()
    numbers: dict[str, list[list[float]]] = {name: [] for name in ALIGNERS}
    for pair in range(pairs):
        net, other = (trained_mlp(data["train"], seed) for seed in (2 * pair, 2 * pair + 1))
        for name, align in ALIGNERS.items():
            start = time.perf_counter()
            aligned = align(net, other, data)
            seconds = time.perf_counter() - start
            surface = losslandscape.loss_surface(net, data, x=(0, 1, points), target=aligned, quiet=True)
            barriers = [barrier(surface.x, surface.get(f"{part}_loss")) for part in ("train", "test")]
            middle = surface.get("test_acc")[points // 2]
            numbers[name].append([*barriers, middle, distance(net, aligned), seconds])
    names = ["train barrier", "test barrier", "test accuracy in the middle, %", "distance", "seconds"]
    return [
        {"matched by": name, **dict(zip(names, map(with_error, zip(*values, strict=True)), strict=True))}
        for name, values in numbers.items()
    ]


def checkpoints(net: nn.Module, other: nn.Module, data: dict[str, object], points: int) -> list[Row]:
    """Measure two nets; return a row for each aligner of this program."""
    rows = []
    for name in ("none", "weights", "activations"):
        aligned = ALIGNERS[name](net, other, data)
        surface = losslandscape.loss_surface(
            net,
            data,
            x=(0, 1, points),
            target=aligned,
            errors=True,
            bn_samples=BN_SAMPLES if norms_of(net) else 0,
            quiet=True,
        )
        row: Row = {"matched by": name}
        for part in data:
            values, errors = surface.get(f"{part}_loss"), surface.get(f"{part}_loss_diff_se")
            height, error = barrier(surface.x, values), barrier_error(surface.x, values, errors)
            row[f"{part} barrier"] = f"{height:.3f} ± {error:.3f}"
            row[f"least {part} accuracy"] = f"{surface.get(f'{part}_acc').min():.1f} %"
        rows.append({**row, "distance": distance(net, aligned)})
    return rows


def digits() -> dict[str, tuple[Tensor, Tensor]]:
    """Return the digits as vectors of 64 pixels in [0, 1], with their labels, by part."""
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
    return {"train": (x[:DIGITS_TRAIN], y[:DIGITS_TRAIN]), "test": (x[DIGITS_TRAIN:], y[DIGITS_TRAIN:])}


def trained_mlp(data: tuple[Tensor, Tensor], seed: int, *, epochs: int = EPOCHS) -> nn.Module:
    """Train an MLP; the seed decides its first weights and the order of the samples."""
    torch.manual_seed(seed)
    widths = [data[0].shape[1], *[WIDTH] * HIDDEN, 10]
    layers = [[nn.Linear(a, b), nn.ReLU()] for a, b in zip(widths, widths[1:], strict=False)]
    net = nn.Sequential(*[layer for pair in layers for layer in pair][:-1])
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    for _ in range(epochs):
        for index in torch.randperm(len(data[0])).split(BATCH):
            optimizer.zero_grad()
            F.cross_entropy(net(data[0][index]), data[1][index]).backward()
            optimizer.step()
    return net.eval()


def distance(net: nn.Module, other: nn.Module) -> float:
    pairs = zip(net.parameters(), other.parameters(), strict=True)
    return float(sum((a - b).detach().double().square().sum() for a, b in pairs)) ** 0.5


def with_error(values: tuple[float, ...]) -> str:
    """Return the mean with its standard error, as text."""
    error = np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.nan
    return f"{np.mean(values):.3g} ± {error:.1g}"


if __name__ == "__main__":
    main()
