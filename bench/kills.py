"""Kill runs at random moments, look at what they leave, resume them, and count what went wrong.

    python bench/kills.py --kills 100 --out bench/results/kills.json
    python bench/kills.py --kills 5

The first command takes 20 minutes on two cores; the second is a shorter look. Nothing should go wrong.

Each run is the real program on two ranks. SIGKILL ends rank 0, rank 1 or the launcher, while it starts or
while it measures. Then the surface file must open, hold no value that an uninterrupted run does not have, and
hold every point that was finished 5 seconds before the kill. The same command resumes it, is killed again,
and so on until the surface is complete. Then it must equal the uninterrupted surface. A log, which the
program writes here beside its own work, says when each point was finished.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench import report
from bench.processes import all_end_within, family, kill, read
from losslandscape.core.errors import InputError
from losslandscape.files import h5_util
from losslandscape.files.surface import Surface
from losslandscape.parallel.mpi4pytorch import LAUNCHERS
from tests.helpers import LARGE_BATCH, mpirun

NET = LARGE_BATCH
GRID = (
    "--dataset digits --data_split 8 --batch_size 64 --model resnet20 --x=-1:1:15 --y=-1:1:15 "
    "--xnorm filter --xignore biasbn --ynorm filter --yignore biasbn"
).split()
RANKS = 2
LONGEST_SECONDS = 8.0  # from the first measured point to the kill
WHILE_STARTING = 0.15  # of the kills, within this many seconds:
STARTING_SECONDS = 6.0
KEPT_AFTER_SECONDS = 5.0
END_SECONDS = 10.0  # for the rest of a run to end when a part of it is killed
QUANTITIES = ("train_loss", "train_acc")
DAMAGED, WRONG, LOST, UNLIKE = FAULTS = (
    "files that do not open",
    "wrong values",
    "finished points lost",
    "resumed surfaces unlike the uninterrupted one",
)
COMPLETED = "surfaces completed"
OUTLIVED = "runs that went on without what was killed"
KEPT = "points found in files that killed runs left"

Counts = Counter[str]


def main() -> None:
    parser = report.options(__doc__, repeats=None)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of what is killed, and when (default: 0)")
    parser.add_argument("--logged", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.logged:
        run_logged(args.logged[0], args.logged[1:])
        return
    counts = kill_runs(args.kills, args.seed)
    print(report.table([{"what": name, "number": number} for name, number in counts.items()]))
    report.write(args.out, {"seed": args.seed, **counts})
    raise SystemExit(any(counts[fault] for fault in FAULTS))


def kill_runs(kills: int, seed: int) -> dict[str, int]:
    """Kill `kills` runs; return the number of runs for each kind of kill, and of faults."""
    draw = random.Random(seed)
    counts: Counts = Counter(dict.fromkeys(("kills", COMPLETED, *FAULTS), 0))
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(NET, folder)
        uninterrupted = Path(folder) / "whole.h5"
        finish(uninterrupted)
        expected = h5_util.read_surface(str(uninterrupted))
        number = 0
        while counts["kills"] < kills:
            surf_file = Path(folder) / f"{number}.h5"
            number += 1
            kill_until_complete(surf_file, expected, kills, draw, counts)
            finish(surf_file)
            counts[COMPLETED] += 1
            counts[UNLIKE] += not are_equal(h5_util.read_surface(str(surf_file)), expected)
    return dict(counts)


def kill_until_complete(
    surf_file: Path, expected: Surface, kills: int, draw: random.Random, counts: Counts
) -> None:
    """Start, kill and check runs of one surface, until it is complete or `kills` runs were killed."""
    kept: set[int] = set()
    while counts["kills"] < kills:
        start_time = time.time()
        if not kill_once(surf_file, draw, counts):
            return
        print(f"\r{counts['kills']} of {kills} kills", end="", file=sys.stderr, flush=True)
        owed = kept | finished_since(surf_file, start_time)
        kept = check(surf_file, expected, owed, counts)


def command_for(surf_file: Path) -> list[str]:
    log = f"{surf_file}.log"
    files = ["--model_file", NET.name, "--surf_file", str(surf_file)]
    return [*mpirun(RANKS), sys.executable, __file__, "--logged", log, *GRID, *files]


def start(surf_file: Path) -> subprocess.Popen:
    return subprocess.Popen(
        command_for(surf_file),
        cwd=surf_file.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def finish(surf_file: Path) -> None:
    """Run until every point is measured."""
    if start(surf_file).wait():
        line = " ".join(command_for(surf_file))
        raise SystemExit(f"a run that was not killed failed; see what {line} prints")


def kill_once(surf_file: Path, draw: random.Random, counts: Counts) -> bool:
    """Start a run and kill a part of it at a random moment.

    Returns:
        False if the run had ended before the kill.
    """
    start_time = time.time()
    process = start(surf_file)
    if draw.random() < WHILE_STARTING:
        sleep_while(process, draw.uniform(0, STARTING_SECONDS))
    else:
        while process.poll() is None and not any(when > start_time for when, _ in logged(surf_file)):
            time.sleep(0.02)
        sleep_while(process, draw.uniform(0, LONGEST_SECONDS))
    if process.poll() is not None:
        return False
    victims = {f"rank {rank}": pid for pid, rank in ranks_of(process).items()} | {"the launcher": process.pid}
    name = draw.choice(sorted(victims))
    kill(victims[name])
    counts["kills"] += 1
    counts[f"kills of {name}"] += 1
    counts[OUTLIVED] += not all_end_within(victims.values(), END_SECONDS)
    for pid in victims.values():
        kill(pid)
    process.wait()
    return True


def ranks_of(process: subprocess.Popen) -> dict[int, int]:
    """Return the rank of each process of a run that has one."""
    ranks = {}
    for pid in family(process.pid):
        entries = read(Path(f"/proc/{pid}/environ")).split("\0")
        variables = dict(entry.split("=", 1) for entry in entries if "=" in entry)
        for name, _ in LAUNCHERS.values():
            if name in variables:
                ranks[pid] = int(variables[name])
    return ranks


def sleep_while(process: subprocess.Popen, seconds: float) -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def logged(surf_file: Path) -> list[tuple[float, int]]:
    """Return the time at which each point was finished, and the point's index."""
    lines = [line.split() for line in read(Path(f"{surf_file}.log")).splitlines()]
    return [(float(when), int(point)) for when, point in lines]


def finished_since(surf_file: Path, start_time: float) -> set[int]:
    """Return the points that the run from `start_time` on finished some seconds before its last."""
    log = [(when, point) for when, point in logged(surf_file) if when >= start_time]
    return {point for when, point in log if when < log[-1][0] - KEPT_AFTER_SECONDS}


def check(path: Path, expected: Surface, owed: set[int], counts: Counts) -> set[int]:
    """Count the faults of the file that a killed run left; return the points that it holds.

    Args:
        owed: the points that the file must hold.
    """
    kept: set[int] = set()
    surface = read_left(path, counts)
    if surface is not None and surface.names:
        for name in QUANTITIES:
            measured = surface.measured(name)
            is_wrong = surface.get(name)[measured] != expected.get(name)[measured]
            counts[WRONG] += int(np.count_nonzero(is_wrong))
        kept = set(range(expected.size)) - set(surface.missing(list(QUANTITIES)).tolist())
    counts[LOST] += len(owed - kept)
    counts[KEPT] += len(kept)
    return kept


def read_left(path: Path, counts: Counts) -> Surface | None:
    if not path.exists():
        return None
    try:
        return h5_util.read_surface(str(path))
    except InputError as error:
        print(f"kill {counts['kills']}: {error}")
        counts[DAMAGED] += 1
        return None


def are_equal(a: Surface, b: Surface) -> bool:
    return all(a.measured(name).all() and np.array_equal(a.get(name), b.get(name)) for name in QUANTITIES)


def run_logged(log: str, arguments: list[str]) -> None:
    """Run the program, and write a line of `log` for each point when rank 0 has its values."""
    from losslandscape.cli import plot_surface

    set_values = Surface.set

    def set_and_log(surface: Surface, index: int, values: dict[str, float]) -> None:
        set_values(surface, index, values)
        with open(log, "a") as file:
            file.write(f"{time.time()} {index}\n")

    Surface.set = set_and_log
    plot_surface.main(arguments)


if __name__ == "__main__":
    main()
