"""Kill runs at random moments, look at what they leave, go on with it, and count what went wrong: nothing should.

    python bench/kills.py --kills 100 --out bench/results/kills.json       20 minutes on two cores
    python bench/kills.py --kills 5                                        a shorter look

Each run is the real program on two ranks, killed with SIGKILL: rank 0, rank 1 or the launcher, while it starts or while it measures. Then
the surface file must open, hold no value that an uninterrupted run does not have, and hold every point that was finished 5 seconds
before the kill; the same command goes on with it, is killed again, and so on until it is complete, and then it must equal the
uninterrupted surface. When a point was finished is known from a log, which the program is made to write beside its own work.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import numpy as np

from bench import report
from bench.memory import family, read
from losslandscape.core.errors import InputError
from losslandscape.files import h5_util
from tests.helpers import LARGE_BATCH, mpirun

NET = LARGE_BATCH
GRID = [
    "--dataset",
    "digits",
    "--data_split",
    "8",
    "--batch_size",
    "64",
    "--model",
    "resnet20",
    "--x=-1:1:15",
    "--y=-1:1:15",
    "--xnorm",
    "filter",
    "--xignore",
    "biasbn",
    "--ynorm",
    "filter",
    "--yignore",
    "biasbn",
]
RANKS = 2
LONGEST_SECONDS = 8.0  # from the first measured point to the kill
WHILE_STARTING = 0.15  # of the kills, within this many seconds:
STARTING_SECONDS = 6.0
KEPT_AFTER_SECONDS = 5.0
END_SECONDS = 10.0  # for the rest of a run to end when a part of it is killed
QUANTITIES = ("train_loss", "train_acc")
FAULTS = (
    "files that do not open",
    "wrong values",
    "finished points lost",
    "resumed surfaces unlike the uninterrupted one",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="", metavar="FILE.json")
    parser.add_argument("--logged", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.logged:
        run_logged(args.logged[0], args.logged[1:])
        return
    counts = tally(args.kills, args.seed)
    print(report.table([{"what": name, "number": number} for name, number in counts.items()]))
    if args.out:
        report.write(args.out, {"seed": args.seed, **counts})
    raise SystemExit(any(counts[fault] for fault in FAULTS))


def tally(kills: int, seed: int) -> dict[str, int]:
    """Kill so many runs; how many were killed in which way, and how many faults were found."""
    draw = random.Random(seed)
    counts: Counter[str] = Counter(dict.fromkeys(("kills", "surfaces completed", *FAULTS), 0))
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(NET, folder)
        whole = Path(folder) / "whole.h5"
        finish(whole)
        expected = h5_util.read_surface(str(whole))
        number = 0
        while counts["kills"] < kills:
            surface = Path(folder) / f"{number}.h5"
            number += 1
            kept: set[int] = set()
            while counts["kills"] < kills:
                begin = time.time()
                if not kill_once(surface, draw, counts):
                    break
                print(f"\r{counts['kills']} of {kills} kills", end="", file=sys.stderr, flush=True)
                kept = check(surface, expected, counts, owed=kept | finished_since(surface, begin))
            finish(surface)
            counts["surfaces completed"] += 1
            counts[FAULTS[3]] += not same(h5_util.read_surface(str(surface)), expected)
    return dict(counts)


def command_for(surface: Path) -> list[str]:
    return [
        *mpirun(RANKS),
        sys.executable,
        __file__,
        "--logged",
        f"{surface}.log",
        *GRID,
        "--model_file",
        NET.name,
        "--surf_file",
        str(surface),
    ]


def start(surface: Path) -> subprocess.Popen:
    return subprocess.Popen(
        command_for(surface),
        cwd=surface.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def finish(surface: Path) -> None:
    """Run until every point is measured."""
    if start(surface).wait():
        raise SystemExit(f"a run that was not killed failed; see what {' '.join(command_for(surface))} says")


def kill_once(surface: Path, draw: random.Random, counts: Counter[str]) -> bool:
    """Start a run and kill a part of it at a random moment; False if it had ended before."""
    begin = time.time()
    process = start(surface)
    if draw.random() < WHILE_STARTING:
        sleep_while(process, draw.uniform(0, STARTING_SECONDS))
    else:
        while process.poll() is None and not any(when > begin for when, _ in logged(surface)):
            time.sleep(0.02)
        sleep_while(process, draw.uniform(0, LONGEST_SECONDS))
    if process.poll() is not None:
        return False
    victims = {f"rank {rank}": pid for pid, rank in ranks_of(process).items()} | {"the launcher": process.pid}
    name = draw.choice(sorted(victims))
    with suppress(ProcessLookupError):
        os.kill(victims[name], signal.SIGKILL)
    counts["kills"] += 1
    counts[f"kills of {name}"] += 1
    counts["runs that went on without what was killed"] += not all_ended(victims.values())
    for pid in victims.values():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
    return True


def ranks_of(process: subprocess.Popen) -> dict[int, int]:
    """Rank by process id."""
    found = {}
    for pid in family(process.pid):
        variables = dict(
            entry.split("=", 1) for entry in read(Path(f"/proc/{pid}/environ")).split("\0") if "=" in entry
        )
        if "PMI_RANK" in variables:
            found[pid] = int(variables["PMI_RANK"])
    return found


def all_ended(pids: Iterable[int]) -> bool:
    """Whether they all end within some seconds."""
    until = time.time() + END_SECONDS
    while time.time() < until:
        if all(read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()[:1] in ([], ["Z"]) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def sleep_while(process: subprocess.Popen, seconds: float) -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def logged(surface: Path) -> list[tuple[float, int]]:
    """When each point was finished, and its number."""
    return [
        (float(when), int(point))
        for when, point in (line.split() for line in read(Path(f"{surface}.log")).splitlines())
    ]


def finished_since(surface: Path, begin: float) -> set[int]:
    """The points that the run since then had finished some seconds before its last one."""
    log = [(when, point) for when, point in logged(surface) if when >= begin]
    return {point for when, point in log if when < log[-1][0] - KEPT_AFTER_SECONDS}


def check(path: Path, expected: h5_util.Surface, counts: Counter[str], owed: set[int]) -> set[int]:
    """Look at what a killed run left, which must hold the points `owed`; returns all that it holds."""
    try:
        left = h5_util.read_surface(str(path)) if path.exists() else None
    except InputError as error:
        print(f"kill {counts['kills']}: {error}")
        counts[FAULTS[0]] += 1
        left = None
    kept: set[int] = set()
    if left is not None and left.names:
        for name in QUANTITIES:
            there = left.measured(name)
            counts[FAULTS[1]] += int(np.count_nonzero(left.get(name)[there] != expected.get(name)[there]))
        kept = set(range(expected.get("train_loss").size)) - set(left.missing(list(QUANTITIES)).tolist())
    counts[FAULTS[2]] += len(owed - kept)
    counts["points found in files that killed runs left"] += len(kept)
    return kept


def same(a: h5_util.Surface, b: h5_util.Surface) -> bool:
    return all(a.measured(name).all() and np.array_equal(a.get(name), b.get(name)) for name in QUANTITIES)


def run_logged(log: str, arguments: list[str]) -> None:
    """The program, with a line of `log` for each point when rank 0 has its values."""
    from losslandscape.cli import plot_surface

    set_values = h5_util.Surface.set

    def set_and_log(surface: h5_util.Surface, index: int, values: dict[str, float]) -> None:
        set_values(surface, index, values)
        with open(log, "a") as file:
            file.write(f"{time.time()} {index}\n")

    h5_util.Surface.set = set_and_log
    plot_surface.main(arguments)


if __name__ == "__main__":
    main()
