"""Memory of each rank, and of a node with so many of them.

    OMP_NUM_THREADS=1 python bench/memory.py --out bench/results/memory.json       1, 2 and 4 ranks, 20,000 images; two minutes
    python bench/memory.py --ranks 1 2 --images 2000                                a shorter look

The ranks of real runs of `plot_surface.py`, ResNet-20 and a point for each rank, are watched from outside. The batch size is fixed, as
the one that the program finds to be the fastest, and the memory with it, differs from run to run. RSS counts all pages that a
process has in memory, PSS (proportional set size) a page that n processes share as 1/n of it in each: PSS alone may be summed over
the ranks of a node, as libraries are there once for all of them. The peak of RSS is the kernel's own, that of PSS the highest of the
samples. Run it where nothing else uses PyTorch, since other programs take their part of shared pages too. It needs Linux.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench import report
from tests.helpers import command

SCRIPT = "plot_surface.py"
BATCH_SIZE = 64
SAMPLE_SECONDS = 0.2
END_SECONDS = 30  # for a run to end after it is asked to
MIB = 1024  # KiB


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--images", type=int, default=20_000, help="3 x 32 x 32 bytes each (default: 20000)")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--out", default="", metavar="FILE.json")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "images.npz"
        make_images(data, args.images)
        runs = report.interleaved(
            {str(ranks): partial(peaks_of_a_run, data, ranks) for ranks in args.ranks}, args.repeats
        )
    rows = [
        {
            "ranks": int(ranks),
            **report.medians({f"{name} MiB": [peaks[name] for peaks in found] for name in found[0]}),
        }
        for ranks, found in runs.items()
    ]
    print(report.table([{name: round(value) for name, value in row.items()} for row in rows]))
    if args.out:
        report.write(
            args.out,
            {
                "images": args.images,
                "image_mib": args.images * 3 * 32 * 32 / 2**20,
                "rows": rows,
                "repeats": runs,
            },
        )


def make_images(path: Path, count: int) -> None:
    random = np.random.default_rng(0)
    np.savez(
        path,
        images=random.integers(0, 256, (count, 3, 32, 32), np.uint8),
        labels=random.integers(0, 10, count),
    )


def peaks_of_a_run(data: Path, ranks: int) -> dict[str, float]:
    """MiB at the peak of a run to its end: of the largest rank, and of all ranks together."""
    with tempfile.TemporaryDirectory() as folder, open(Path(folder) / "output", "w+") as output:
        line = command(
            SCRIPT,
            "--trainloader",
            data,
            "--model",
            "resnet20",
            "--batch_size",
            BATCH_SIZE,
            f"--x=-1:1:{ranks}",
            "--xnorm",
            "filter",
            "--xignore",
            "biasbn",
            ranks=ranks if ranks > 1 else 0,
        )
        process = subprocess.Popen(
            line, cwd=folder, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            rss, pss, node = watch(process)
        finally:
            end(process)
        if process.returncode or len(rss) != ranks:
            output.seek(0)
            raise SystemExit(
                f"a run of {ranks} ranks ended with status {process.returncode}, {len(rss)} were seen; it said:\n{output.read()}"
            )
    return {
        "RSS a rank": max(rss.values()) / MIB,
        "PSS a rank": max(pss.values()) / MIB,
        "PSS of the node": node / MIB,
    }


def watch(process: subprocess.Popen) -> tuple[dict[int, int], dict[int, int], int]:
    """Peak RSS and PSS of each rank by process id, and the peak of the sum of their PSS, in KiB; returns when the run has ended."""
    rss: dict[int, int] = {}
    pss: dict[int, int] = {}
    node = 0
    while process.poll() is None:
        ranks = [pid for pid in family(process.pid) if is_rank(pid)]
        now = {pid: kib(pid, "smaps_rollup", "Pss:") for pid in ranks}
        node = max(node, sum(now.values()))
        for pid in ranks:
            pss[pid] = max(pss.get(pid, 0), now[pid])
            rss[pid] = max(rss.get(pid, 0), kib(pid, "status", "VmHWM:"))
        time.sleep(SAMPLE_SECONDS)
    return rss, pss, node


def family(root: int) -> list[int]:
    """The process and all that it started, directly or through others."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        state = (
            read(folder / "stat").rpartition(")")[2].split()
        )  # after the name, which may hold anything: state, parent, ...
        if state:
            children.setdefault(int(state[1]), []).append(int(folder.name))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, []))
    return found


def is_rank(pid: int) -> bool:
    """Whether the process is Python with our script, not the launcher with both among its arguments."""
    program, script, *_ = [*read(Path(f"/proc/{pid}/cmdline")).split("\0"), "", ""]
    return Path(program).name.startswith("python") and Path(script).name == SCRIPT


def kib(pid: int, file: str, name: str) -> int:
    """A value of /proc/PID/<file>; 0 when the process has ended."""
    for line in read(Path(f"/proc/{pid}/{file}")).splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    return 0


def read(path: Path) -> str:
    """A file of /proc; empty when the process has ended."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def end(process: subprocess.Popen) -> None:
    """End a run if it has not ended: ask for it, as a launcher hands the signal on to its ranks; else kill them all."""
    process.terminate()
    try:
        process.communicate(timeout=END_SECONDS)
    except subprocess.TimeoutExpired:
        for pid in family(process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.communicate()


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main()
