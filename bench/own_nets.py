"""What a point costs on nets and losses of the user's own, against the plain loop that one would write.

    OMP_NUM_THREADS=1 python bench/own_nets.py --out bench/results/own_nets.json

A point is the loss over all samples of a net whose weights have just been moved. `plain loop` runs the net itself in inference mode, batch by batch;
`Evaluator` is what `plot_surface.py` runs, with the same batch size, and in the last columns with the one that it chooses itself. torch.fx cannot trace the second net of each pair, as its forward asks for a value,
so nothing is folded there. Interleaved repeats, medians.
"""

import argparse
import sys
import time
from collections.abc import Callable
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


class Untraceable(nn.Module):
    """The same net behind a branch on a value."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) if float(x[(0,) * x.dim()]) < 1e30 else x


def multilayer() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))


def own_loss(net: Callable[[Tensor], Tensor], batch: tuple[Tensor, ...]) -> Tensor:
    return F.cross_entropy(net(batch[0]), batch[1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--out", default="", metavar="FILE.json")
    args = parser.parse_args()
    torch.manual_seed(0)
    images = (torch.randn(args.samples, 3, 32, 32), torch.randint(0, 10, (args.samples,)))
    rows = []
    for name, net, data, batch_size in (
        ("ResNet-20", model_loader.load("resnet20"), images, 64),
        (
            "perceptron, 3 layers",
            multilayer().eval(),
            (torch.randn(16 * args.samples, 64), torch.randint(0, 10, (16 * args.samples,))),
            256,
        ),
    ):
        for kind, tried in (("", net), (", not traceable", Untraceable(net).eval())):
            for loss in ("crossentropy", own_loss):
                rows.append(compare(f"{name}{kind}", tried, data, loss, batch_size, args.repeats))
    print(report.table(rows))
    if args.out:
        report.write(args.out, {"samples": args.samples, "rows": rows})


def compare(
    name: str, net: nn.Module, data: tuple[Tensor, ...], loss: str | Callable, batch_size: int, repeats: int
) -> dict[str, object]:
    sets = {"train": user_data.as_samples(data)}
    evaluator, chooses = (
        Evaluator(net, sets, loss=loss, batch_size=batch_size),
        Evaluator(net, sets, loss=loss),
    )
    chooses.prepare()
    inputs, labels = data

    @torch.inference_mode()
    def plain() -> float:
        total, right = 0.0, 0
        for x, y in zip(inputs.split(batch_size), labels.split(batch_size), strict=True):
            scores = net(x)
            total += F.cross_entropy(scores, y, reduction="sum").item()
            if loss == "crossentropy":  # which measures the accuracy too
                right += (scores.argmax(1) == y).sum().item()
        return total / len(labels)

    expected, found = plain(), evaluator.measure()["train_loss"]
    if abs(found - expected) > 1e-4 * abs(expected):
        raise SystemExit(f"{name}: the Evaluator measures {found}, the plain loop {expected}")
    times = report.medians(
        report.interleaved(
            {"plain": timed(plain), "ours": timed(evaluator.measure), "own": timed(chooses.measure)}, repeats
        )
    )
    return {
        "net": name,
        "loss": losses.find(loss).name,
        "batch norms folded": evaluator.folded,
        "plain loop, ms": 1e3 * times["plain"],
        "Evaluator, ms": 1e3 * times["ours"],
        "x as fast": times["plain"] / times["ours"],
        "batch": batch_size,
        "own batch": chooses.batch_size,
        "x as fast with it": times["plain"] / times["own"],
    }


def timed(call: Callable[[], object]) -> Callable[[], float]:
    def seconds() -> float:
        begin = time.perf_counter()
        call()
        return time.perf_counter() - begin

    return seconds


if __name__ == "__main__":
    main()
