"""Memory of each rank, and of a node with several ranks. The benchmark needs Linux.

    OMP_NUM_THREADS=1 python bench/memory.py --out bench/results/memory.json
    python bench/memory.py --ranks 1 2 --images 2000

The first command measures 1, 2 and 4 ranks with 20,000 images, in two minutes; the second is a shorter look.
The ranks of real runs of `plot_surface.py`, ResNet-20 and one point per rank, are watched from outside. The
batch size is fixed: the fastest batch size, which the program would find, differs from run to run, and so
would the memory.

RSS counts all pages that a process has in memory. PSS (proportional set size) counts a page that n processes
share as 1/n in each. Only PSS may be summed over the ranks of a node, as they share the libraries. The peak
of RSS is the kernel's; the peak of PSS is the highest sample. Run the benchmark where no other program uses
PyTorch, since that would share pages too.
"""

import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench import report
from bench.processes import end, family, read
from tests.helpers import command

SCRIPT = "plot_surface.py"
BATCH_SIZE = 64
SAMPLE_SECONDS = 0.2
MIB = 1024  # KiB
IMAGE_SHAPE = (3, 32, 32)


def main() -> None:
    parser = report.options(__doc__, repeats=1)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--images", type=int, default=20_000, help="3 x 32 x 32 bytes each (default: 20000)")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "images.npz"
        make_images(data, args.images)
        ways = {str(ranks): partial(peaks_of_a_run, data, ranks) for ranks in args.ranks}
        runs = report.interleaved(ways, args.repeats)
    rows = []
    for ranks, peaks in runs.items():
        by_name = {f"{name} MiB": [run[name] for run in peaks] for name in peaks[0]}
        rows.append({"ranks": int(ranks), **report.medians(by_name)})
    print(report.table([{name: round(value) for name, value in row.items()} for row in rows]))
    image_mib = args.images * np.prod(IMAGE_SHAPE) / 2**20
    results = {"images": args.images, "image_mib": float(image_mib), "rows": rows, "repeats": runs}
    report.write(args.out, results)


def make_images(path: Path, count: int) -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, *IMAGE_SHAPE), np.uint8)
    np.savez(path, images=images, labels=random.integers(0, 10, count))


def peaks_of_a_run(data: Path, ranks: int) -> dict[str, float]:
    """Return MiB at the peak of a run to its end: of the largest rank, and of all ranks together."""
    with tempfile.TemporaryDirectory() as folder, open(Path(folder) / "output", "w+") as output:
        process = start(data, ranks, folder, output)
        try:
            rss, pss, node = watch(process)
        finally:
            end(process)
        if process.returncode or len(rss) != ranks:
            output.seek(0)
            status = f"status {process.returncode}, {len(rss)} were seen"
            raise SystemExit(f"a run of {ranks} ranks ended with {status}; it printed:\n{output.read()}")
    return {
        "RSS a rank": max(rss.values()) / MIB,
        "PSS a rank": max(pss.values()) / MIB,
        "PSS of the node": node / MIB,
    }


def start(data: Path, ranks: int, folder: str, output: IO[str]) -> subprocess.Popen:
    net = ["--trainloader", data, "--model", "resnet20", "--batch_size", BATCH_SIZE]
    axis = [f"--x=-1:1:{ranks}", "--xnorm", "filter", "--xignore", "biasbn"]
    line = command(SCRIPT, *net, *axis, ranks=ranks if ranks > 1 else 0)
    return subprocess.Popen(line, cwd=folder, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)


def watch(process: subprocess.Popen) -> tuple[dict[int, int], dict[int, int], int]:
    """Watch a run until it has ended.

    Returns:
        The peak RSS and the peak PSS of each rank by process id, and the peak of the sum of their PSS, in
        KiB.
    """
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


def is_rank(pid: int) -> bool:
    """Return whether a process is Python with our script; the launcher has both as arguments."""
    program, script, *_ = [*read(Path(f"/proc/{pid}/cmdline")).split("\0"), "", ""]
    return Path(program).name.startswith("python") and Path(script).name == SCRIPT


def kib(pid: int, file: str, name: str) -> int:
    """Return a value of /proc/PID/<file>; 0 when the process has ended."""
    for line in read(Path(f"/proc/{pid}/{file}")).splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    return 0


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main()
