"""What a point costs on a user's own nets and losses, compared with the plain loop that one would write.

    OMP_NUM_THREADS=1 python bench/own_nets.py --out bench/results/own_nets.json

A point is the loss over all samples of a net whose weights have just been moved. `plain loop` runs the net
itself in inference mode, batch by batch. `Evaluator` is what `plot_surface.py` runs: with the same batch
size, and in the last columns with the batch size that it chooses. torch.fx cannot trace the second net of
each pair, whose forward asks for a value, so nothing is folded there. Repeats take turns; the table shows
medians.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench import report
from losslandscape.data import user_data
from losslandscape.evaluate import losses
from losslandscape.evaluate.evaluation import Evaluator
from losslandscape.nets import model_loader

TOLERANCE = 1e-4  # relative difference of the losses

OwnLoss = Callable[[Callable[[Tensor], Tensor], tuple[Tensor, ...]], Tensor]


class Untraceable(nn.Module):
    """A wrapper that puts a net behind a branch on a value."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) if float(x[(0,) * x.dim()]) < 1e30 else x


@dataclass(frozen=True)
class Case:
    """A net with its data and batch size."""

    name: str
    net: nn.Module
    inputs: Tensor
    labels: Tensor
    batch_size: int


def cases(samples: int) -> list[Case]:
    """Return two nets, each also in a form that cannot be traced."""
    images, image_labels = torch.randn(samples, 3, 32, 32), torch.randint(0, 10, (samples,))
    many = 16 * samples
    vectors, vector_labels = torch.randn(many, 64), torch.randint(0, 10, (many,))
    layers = [nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)]
    perceptron = nn.Sequential(*layers).eval()
    traceable = [
        Case("ResNet-20", model_loader.load("resnet20"), images, image_labels, 64),
        Case("perceptron, 3 layers", perceptron, vectors, vector_labels, 256),
    ]
    all_cases = []
    for case in traceable:
        net = Untraceable(case.net).eval()
        name = f"{case.name}, not traceable"
        all_cases += [case, Case(name, net, case.inputs, case.labels, case.batch_size)]
    return all_cases


def own_loss(net: Callable[[Tensor], Tensor], batch: tuple[Tensor, ...]) -> Tensor:
    return F.cross_entropy(net(batch[0]), batch[1])


def main() -> None:
    parser = report.options(__doc__, repeats=9)
    parser.add_argument("--samples", type=int, default=512)
    args = parser.parse_args()
    torch.manual_seed(0)
    rows = [
        compare(case, loss, args.repeats)
        for case in cases(args.samples)
        for loss in ("crossentropy", own_loss)
    ]
    print(report.table(rows))
    report.write(args.out, {"samples": args.samples, "rows": rows})


def compare(case: Case, loss: str | OwnLoss, repeats: int) -> dict[str, object]:
    """Return a row of the table; end the program if the two losses differ."""
    sets = {"train": user_data.as_samples((case.inputs, case.labels))}
    evaluator = Evaluator(case.net, sets, loss=loss, batch_size=case.batch_size)
    chooses = Evaluator(case.net, sets, loss=loss)
    chooses.prepare()
    plain = plain_loop(case, with_accuracy=loss == "crossentropy")
    expected, measured = plain(), evaluator.measure()["train_loss"]
    if abs(measured - expected) > TOLERANCE * abs(expected):
        raise SystemExit(f"{case.name}: the Evaluator measures {measured}, the plain loop {expected}")
    ways = {"plain": timed(plain), "ours": timed(evaluator.measure), "own": timed(chooses.measure)}
    seconds = report.medians(report.interleaved(ways, repeats))
    return {
        "net": case.name,
        "loss": losses.find(loss).name,
        "batch norms folded": evaluator.folded,
        "plain loop, ms": 1e3 * seconds["plain"],
        "Evaluator, ms": 1e3 * seconds["ours"],
        "x as fast": seconds["plain"] / seconds["ours"],
        "batch": case.batch_size,
        "own batch": chooses.batch_size,
        "x as fast with it": seconds["plain"] / seconds["own"],
    }


def plain_loop(case: Case, *, with_accuracy: bool) -> Callable[[], float]:
    """Return a function that measures the loss, and the accuracy where the Evaluator does."""

    @torch.inference_mode()
    def measure() -> float:
        total, right = 0.0, 0
        batches = zip(case.inputs.split(case.batch_size), case.labels.split(case.batch_size), strict=True)
        for x, y in batches:
            scores = case.net(x)
            total += F.cross_entropy(scores, y, reduction="sum").item()
            if with_accuracy:
                right += (scores.argmax(1) == y).sum().item()
        return total / len(case.labels)

    return measure


def timed(call: Callable[[], object]) -> Callable[[], float]:
    def seconds() -> float:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    return seconds


if __name__ == "__main__":
    main()
