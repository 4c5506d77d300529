"""How many more points two ranks measure than one, each with one thread on a core of its own, or on one GPU.

    python bench/cores.py --out bench/results/cores.json
    python bench/cores.py --cuda --repeats 1 --out bench/results/cores_cuda.json

Each run measures ResNet-56 (random weights, random images) with the program's own scheduler and evaluator.
For comparison, as many independent programs of one rank each start at the same time. Their distance from the
ideal is due to the machine.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench import report
from tests.helpers import mpirun

POINTS_PER_RANK, CUDA_POINTS_PER_RANK = 40, 20
IMAGES, CUDA_IMAGES = 64, 50_000
# For Python, torch and the net; on a GPU also for the choice of batches and kernels.
START_SECONDS, CUDA_START_SECONDS = 8, 30
ONE = "1 rank"


def main() -> None:
    parser = report.options(__doc__, repeats=5)
    parser.add_argument("--ranks", type=int, nargs="+", default=[2], help="beside one rank (default: 2)")
    parser.add_argument("--cuda", action="store_true", help="all ranks on the first GPU")
    parser.add_argument("--start", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.start:
        rank_main(args.start, cuda=args.cuda)
        return
    run = partial(points_per_second, cuda=args.cuda)
    ways: dict[str, Callable[[], float]] = {ONE: partial(run, 1)}
    for count in args.ranks:
        ways[f"{count} ranks"] = partial(run, count)
        ways[f"{count} separate programs"] = partial(run, 1, programs=count)
    rates = report.interleaved(ways, args.repeats)
    medians = report.medians(rates)
    rows = [
        {"run": name, "points/s": rate, "x one rank": rate / medians[ONE]} for name, rate in medians.items()
    ]
    print(report.table(rows))
    report.write(args.out, {"rows": rows, "repeats": rates})


def points_per_second(ranks: int, *, programs: int = 1, cuda: bool) -> float:
    """Return the points per second of all programs together, each with `ranks` ranks."""
    start_time = time.time() + (CUDA_START_SECONDS if cuda else START_SECONDS)
    line = [*mpirun(ranks), sys.executable, __file__, "--start", str(start_time)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if cuda:
        line.append("--cuda")
        environment["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    started = [
        subprocess.Popen(line, env=environment, stdout=pipe, stderr=nowhere, text=True)
        for _ in range(programs)
    ]
    answers = [program.communicate()[0] for program in started]
    if any(program.returncode for program in started):
        raise SystemExit(f"a run of {ranks} ranks failed; see what {' '.join(line)} prints")
    return sum(json.loads(answer.splitlines()[-1]) for answer in answers)


class NoResults:
    """A receiver of results that discards them."""

    def __init__(self, size: int):
        self.size = size

    def set(self, point: int, values: dict[str, float]) -> None: ...

    def save(self) -> None: ...


def rank_main(start_time: float, *, cuda: bool) -> None:
    """Run one rank, which starts at `start_time`. Rank 0 prints the points per second of all ranks."""
    import torch

    from losslandscape.data.image_set import ImageSet
    from losslandscape.evaluate.evaluation import Evaluator
    from losslandscape.nets import model_loader
    from losslandscape.parallel import devices, mpi4pytorch, scheduler

    ranks = mpi4pytorch.connect(mpi=True)
    device = devices.choose(cuda, ranks)
    torch.manual_seed(0)
    count = CUDA_IMAGES if cuda else IMAGES
    pixels = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8)
    images = ImageSet(pixels, torch.randint(0, 10, (count,)))
    evaluator = Evaluator(
        model_loader.load("resnet56").eval().to(device),
        {"train": images},
        batch_size=None if cuda else 32,
        sharers=devices.sharers(ranks, device),
    )
    evaluator.measure()
    time.sleep(max(0.0, start_time - time.time()))
    ranks.gather_all(None)
    points = (CUDA_POINTS_PER_RANK if cuda else POINTS_PER_RANK) * ranks.size
    start = time.perf_counter()
    scheduler.run(range(points), lambda point: evaluator.measure(), NoResults(points), ranks)
    if ranks.rank == 0:
        print(json.dumps(points / (time.perf_counter() - start)))


if __name__ == "__main__":
    main()
