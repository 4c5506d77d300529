"""How well ranks share points, without nets: real MPI runs of a measure that sleeps.

    python bench/scale.py --out bench/results/scale.json            1 to 64 ranks, 50 ms points; five minutes
    python bench/scale.py --ranks 4 16 --seconds 0.2 --repeats 1    a shorter look

Efficiency is the ideal time over the time taken, from the first point handed out to the last result recorded. The ideal of ranks
of unequal speed is the shortest time in which they can finish that many points between them, each point being measured whole
by one rank. Beside the program's own schedule stands the published program's: an even split beforehand, and a barrier of all ranks after
each point. Its barrier sleeps here while it waits, as ours does: MPI's own, which spins, would measure how
many ranks share a core.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench import report
from losslandscape.parallel import mpi4pytorch, scheduler
from tests.helpers import mpirun

SLOWEST = 4.0  # times as slow as the fastest rank, where speeds are random
ROUND = 40  # points for each rank, as 64 ranks have of a surface of 51x51


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument(
        "--seconds", type=float, default=0.05, help="a point on the fastest rank (default: 0.05)"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", default="", metavar="FILE.json")
    parser.add_argument("--job", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        rank_main(**json.loads(args.job))
        return

    rows, raw = [], {}
    for ranks in args.ranks:
        for speeds in ("equal", "random"):
            seconds = rank_seconds(ranks, args.seconds, speeds)
            points = ROUND * ranks
            best = ideal_seconds(points, seconds)
            ways = {
                way: (
                    lambda way=way, points=points, seconds=seconds: run_job(points, seconds, way)["seconds"]
                )
                for way in ("dynamic", "published")
            }
            taken = report.interleaved(ways, args.repeats)
            raw[f"{ranks} {speeds}"] = {"ideal": best, **taken}
            middle = report.medians(taken)
            rows.append(
                {
                    "ranks": ranks,
                    "speeds": speeds,
                    "points": points,
                    "ideal s": best,
                    "ours s": middle["dynamic"],
                    "efficiency": best / middle["dynamic"],
                    "published s": middle["published"],
                    "its efficiency": best / middle["published"],
                }
            )
            print(
                f"{ranks} ranks, {speeds} speeds: {best / middle['dynamic']:.3f} of ideal; published way {best / middle['published']:.3f}",
                flush=True,
            )
    print(report.table(rows))

    cost = [clerk_cost(args.repeats, ranks) for ranks in (2, max(args.ranks))]
    per_result = max(cost)
    print(
        f"\nrank 0's processor time for a result, when every rank always asks: {', '.join(f'{c * 1e6:.0f} us' for c in cost)}"
    )
    implied = [
        {
            "ranks": ranks,
            "seconds a point": point,
            "results a second": ranks / point,
            "efficiency at most": min(1.0, point / (ranks * per_result)),
        }
        for ranks in (1_000, 10_000)
        for point in (0.5, 5.0, 30.0)
    ]
    print(report.table(implied))
    if args.out:
        report.write(args.out, {"rows": rows, "repeats": raw, "seconds_per_result": cost, "implied": implied})


def rank_seconds(ranks: int, fastest: float, speeds: str) -> list[float]:
    """Seconds that each rank takes for a point."""
    if speeds == "equal":
        return [fastest] * ranks
    draw = random.Random(ranks)
    return [fastest * draw.uniform(1, SLOWEST) for _ in range(ranks)]


def ideal_seconds(points: int, seconds: list[float]) -> float:
    """The least T with sum over ranks of floor(T / seconds) >= points."""
    ends = sorted(second * count for second in seconds for count in range(1, points + 1))
    return ends[points - 1]


def run_job(points: int, seconds: list[float], way: str) -> dict[str, float]:
    job = json.dumps({"points": points, "seconds": seconds, "way": way})
    done = subprocess.run(
        [*mpirun(len(seconds)), sys.executable, __file__, "--job", job],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"a run of {len(seconds)} ranks failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def clerk_cost(repeats: int, ranks: int) -> float:
    """Seconds of processor time that rank 0's clerk needs for a result, with points that take no time."""
    return min(run_job(2000, [0.0] * ranks, "dynamic")["clerk_seconds"] for _ in range(repeats))


def rank_main(points: int, seconds: list[float], way: str) -> None:
    """One rank of a run."""
    ranks = mpi4pytorch.connect(mpi=True)
    pause = seconds[ranks.rank]
    ranks.gather_all(None)  # the clock starts when all are there
    begin = time.perf_counter()
    clerk_times = (
        run_published(points, pause, ranks) if way == "published" else run_ours(points, pause, ranks, way)
    )
    if ranks.rank == 0:
        print(
            json.dumps(
                {
                    "seconds": time.perf_counter() - begin,
                    "clerk_seconds": (clerk_times[-1] - clerk_times[0]) / max(1, len(clerk_times) - 1),
                }
            )
        )


def run_ours(points: int, pause: float, ranks: mpi4pytorch.Serial, schedule: str) -> list[float]:
    """The program's scheduler; returns the processor time of the recording thread at each result."""

    def measure(point: int) -> dict[str, float]:
        time.sleep(pause)
        return {"train_loss": float(point), "train_acc": 0.0}

    times: list[float] = []
    scheduler.run(
        range(points),
        measure,
        record=lambda *_: times.append(time.thread_time()),
        save=lambda: None,
        ranks=ranks,
        total=points,
        schedule=schedule,
    )
    return times


def run_published(points: int, pause: float, ranks: mpi4pytorch.Serial) -> list[float]:
    """Points rank, rank + size, ...: each measured, then all ranks wait for all and share what they have."""
    for point in range(ranks.rank, points, ranks.size):
        time.sleep(pause)
        ranks.gather_all((point, float(point)))
    return [0.0]


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main()
