"""How well ranks share points: real MPI runs of a measure that sleeps, without nets.

    python bench/scale.py --out bench/results/scale.json
    python bench/scale.py --ranks 4 16 --seconds 0.2 --repeats 1

The first command measures 1 to 64 ranks and points of 50 ms, in five minutes; the second is a shorter look.

Efficiency is the ideal time over the time taken, from the first point handed out to the last result recorded.
The ideal of ranks of unequal speed is the shortest time in which they can finish that many points, each
measured whole by one rank. For comparison there is the published program's way: an even split beforehand, and
a barrier of all ranks after each point. Its barrier sleeps here while it waits, as ours does. MPI's own
barrier spins, and would measure how many ranks share a core.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench import report
from losslandscape.parallel import mpi4pytorch, scheduler
from tests.helpers import mpirun

SLOWEST = 4.0  # times as slow as the fastest rank, where speeds are random
POINTS_PER_RANK = 40  # as 64 ranks have of a surface of 51x51
OURS, PUBLISHED = "dynamic", "published"
MANY_RANKS = (1_000, 10_000)
POINT_SECONDS = (0.5, 5.0, 30.0)

Rows = list[dict[str, object]]


def main() -> None:
    parser = report.options(__doc__)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    seconds_help = "of a point on the fastest rank (default: 0.05)"
    parser.add_argument("--seconds", type=float, default=0.05, help=seconds_help)
    parser.add_argument("--job", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        rank_main(**json.loads(args.job))
        return

    rows, repeats = [], {}
    for ranks in args.ranks:
        for speeds in ("equal", "random"):
            row, taken = compare(ranks, speeds, args.seconds, args.repeats)
            rows.append(row)
            repeats[f"{ranks} {speeds}"] = taken
    print(report.table(rows))

    costs = [clerk_cost(args.repeats, ranks) for ranks in (2, max(args.ranks))]
    texts = ", ".join(f"{cost * 1e6:.0f} us" for cost in costs)
    print(f"\nrank 0's processor time per result, when every rank always asks: {texts}")
    implied = implied_rows(max(costs))
    print(report.table(implied))
    results = {"rows": rows, "repeats": repeats, "seconds_per_result": costs, "implied": implied}
    report.write(args.out, results)


def compare(
    ranks: int, speeds: str, fastest: float, repeats: int
) -> tuple[dict[str, object], dict[str, object]]:
    """Return a row of the table, and the ideal time with the times of all repeats."""
    seconds = rank_seconds(ranks, fastest, speeds)
    points = POINTS_PER_RANK * ranks
    ideal = ideal_seconds(points, seconds)
    ways = {way: partial(run_seconds, points, seconds, way) for way in (OURS, PUBLISHED)}
    taken = report.interleaved(ways, repeats)
    medians = report.medians(taken)
    row = {
        "ranks": ranks,
        "speeds": speeds,
        "points": points,
        "ideal s": ideal,
        "ours s": medians[OURS],
        "efficiency": ideal / medians[OURS],
        "published s": medians[PUBLISHED],
        "its efficiency": ideal / medians[PUBLISHED],
    }
    ours, published = f"{row['efficiency']:.3f} of ideal", f"published way {row['its efficiency']:.3f}"
    print(f"{ranks} ranks, {speeds} speeds: {ours}; {published}", flush=True)
    return row, {"ideal": ideal, **taken}


def implied_rows(seconds_per_result: float) -> Rows:
    """Return the highest efficiency of many ranks, which share rank 0 as their bottleneck."""
    return [
        {
            "ranks": ranks,
            "seconds a point": point,
            "results a second": ranks / point,
            "efficiency at most": min(1.0, point / (ranks * seconds_per_result)),
        }
        for ranks in MANY_RANKS
        for point in POINT_SECONDS
    ]


def rank_seconds(ranks: int, fastest: float, speeds: str) -> list[float]:
    """Return the seconds that each rank takes for a point."""
    if speeds == "equal":
        return [fastest] * ranks
    draw = random.Random(ranks)
    return [fastest * draw.uniform(1, SLOWEST) for _ in range(ranks)]


def ideal_seconds(points: int, seconds: list[float]) -> float:
    """Return the least T with sum over ranks of floor(T / seconds) >= points."""
    ends = sorted(second * count for second in seconds for count in range(1, points + 1))
    return ends[points - 1]


def run_job(points: int, seconds: list[float], way: str) -> dict[str, float]:
    """Run one rank for each entry of `seconds`; return what rank 0 prints."""
    job = json.dumps({"points": points, "seconds": seconds, "way": way})
    line = [*mpirun(len(seconds)), sys.executable, __file__, "--job", job]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"a run of {len(seconds)} ranks failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def run_seconds(points: int, seconds: list[float], way: str) -> float:
    return run_job(points, seconds, way)["seconds"]


def clerk_cost(repeats: int, ranks: int) -> float:
    """Return the processor seconds of rank 0's clerk per result, with points that take no time."""
    jobs = [run_job(2000, [0.0] * ranks, OURS) for _ in range(repeats)]
    return min(job["clerk_seconds"] for job in jobs)


class Times:
    """A receiver of results that records the processor time of its thread at each result."""

    def __init__(self, size: int):
        self.size = size
        self.times: list[float] = []

    def set(self, point: int, values: dict[str, float]) -> None:
        self.times.append(time.thread_time())

    def save(self) -> None: ...

    def per_result(self) -> float:
        if len(self.times) < 2:
            return 0.0
        return (self.times[-1] - self.times[0]) / (len(self.times) - 1)


def rank_main(points: int, seconds: list[float], way: str) -> None:
    """Run one rank."""
    ranks = mpi4pytorch.connect(mpi=True)
    pause = seconds[ranks.rank]
    results = Times(points)
    ranks.gather_all(None)  # the clock starts when all are there
    start = time.perf_counter()
    if way == PUBLISHED:
        run_published(points, pause, ranks)
    else:
        run_ours(points, pause, ranks, results, way)
    if ranks.rank == 0:
        taken = time.perf_counter() - start
        print(json.dumps({"seconds": taken, "clerk_seconds": results.per_result()}))


def run_ours(points: int, pause: float, ranks: mpi4pytorch.Serial, results: Times, schedule: str) -> None:
    """Measure the points with the program's scheduler."""

    def measure(point: int) -> dict[str, float]:
        time.sleep(pause)
        return {"train_loss": float(point), "train_acc": 0.0}

    scheduler.run(range(points), measure, results, ranks, schedule=schedule)


def run_published(points: int, pause: float, ranks: mpi4pytorch.Serial) -> None:
    """Measure points rank, rank + size, …; after each, all ranks wait and share their results."""
    for point in range(ranks.rank, points, ranks.size):
        time.sleep(pause)
        ranks.gather_all((point, float(point)))


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main()
