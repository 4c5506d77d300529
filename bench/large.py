"""Memory and time of surfaces of large nets: GPTs of random bfloat16 weights. The benchmark needs Linux.

    python bench/large.py --billions 0.1 0.4 --out bench/results/large.json
    python bench/large.py --billions 1 --points 5
    python bench/large.py --cuda --billions 1 7 --points 25 --tokens 16384

Real runs of `plot_surface.py` on a line along a random direction. `host` is the most anonymous and shared
memory at any moment beyond that of an idle Python with torch imported; the system cannot drop this memory.
`RSS` also has the pages of mapped files, which it can. The kernel's counts are read every 20 ms; the peak of
RSS is the kernel's own. On a GPU, `allocated` and `reserved` are torch's peaks.

A point's seconds are those of the program's scheduler, and `beyond` is what they exceed the forward pass of
a plain loop by, which moves the net's tensors one by one to the same points. The two take turns; seconds are
medians. `error` is the largest relative difference between their losses.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench import gpt, report
from bench.memory import kib
from losslandscape.files import h5_util

SIZES = {0.1: (768, 11), 0.4: (1024, 29), 1.0: (2048, 19), 7.0: (4096, 34)}  # billions: width, layers
CHILD = Path(__file__).with_name("large_child.py")
NET = Path(__file__).with_name("gpt.py")
SAMPLE_SECONDS = 0.02
IDLE = "import time, torch; time.sleep(2)"
UNDROPPABLE = ("RssAnon:", "RssShmem:")
GIB, KIB = 2**30, 2**10


@dataclass(frozen=True)
class Case:
    """A net, its checkpoint, and the line on which its loss is measured."""

    billions: float
    checkpoint: Path
    bytes: int
    tokens: int
    points: int
    step: float
    cuda: bool

    @property
    def shape(self) -> dict[str, int]:
        width, layers = SIZES[self.billions]
        return {"width": width, "layers": layers}

    @property
    def surface(self) -> Path:
        return self.checkpoint.with_name("surface.h5")

    @property
    def directions(self) -> Path:
        return self.checkpoint.with_name("directions.h5")


def main() -> None:
    parser = report.options(__doc__, repeats=1)
    add = parser.add_argument
    add("--billions", type=float, nargs="+", choices=SIZES, default=[0.1], help="parameters (default: 0.1)")
    add("--points", type=int, default=5, help="of the line (default: 5)")
    add("--tokens", type=int, default=4 * gpt.LENGTH, help=f"at most {gpt.TOKENS} (default: %(default)s)")
    add("--step", type=float, default=0.5, help="half the line's length (default: %(default)s)")
    add("--cuda", action="store_true", help="measure on a GPU")
    add("--folder", help="for the checkpoints meanwhile (default: the system's folder for temporary files)")
    args = parser.parse_args()

    os.environ.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))
    rows = []
    for billions in sorted(args.billions):
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            checkpoint = Path(folder) / "gpt.safetensors"
            size = gpt.write_checkpoint(checkpoint, *SIZES[billions])
            case = Case(billions, checkpoint, size, args.tokens, args.points, args.step, args.cuda)
            rows.append(measure(case, args.repeats))
            print(report.table(rows[-1:]), flush=True)
    print(report.table(rows))
    report.write(args.out, {"tokens": args.tokens, "points": args.points, "step": args.step, "rows": rows})


def measure(case: Case, repeats: int) -> dict[str, object]:
    """Return a row of the table."""
    idle = watched([sys.executable, "-c", IDLE])
    ways = {"program": partial(run_program, case), "plain": partial(run_plain, case)}
    runs = report.interleaved(ways, repeats)
    point, forward = (median(second for run in runs[way] for second in run["seconds"]) for way in ways)
    losses = [runs[way][-1]["losses"] for way in ways]
    peaks = {name: max(run[name] for run in runs["program"]) for name in ("host", "RSS")}
    device = {name: max(run.get(name, 0) for run in runs["program"]) for name in ("allocated", "reserved")}
    return {
        "billions": case.billions,
        "net GiB": case.bytes / GIB,
        "host GiB": (peaks["host"] - idle["host"]) / GIB,
        "of the net": (peaks["host"] - idle["host"]) / case.bytes,
        "RSS GiB": (peaks["RSS"] - idle["RSS"]) / GIB,
        **{f"{name} GiB": size / GIB for name, size in device.items() if case.cuda},
        "directions GiB": case.directions.stat().st_size / GIB,
        "s a point": point,
        "s beyond": point - forward,
        "beyond": f"{100 * (point - forward) / point:.0f} %",
        "error": max(abs(a / b - 1) for a, b in zip(*losses, strict=True)),
    }


def run_program(case: Case) -> dict[str, Any]:
    """Measure the line with the program; return its peaks, the seconds of its points, and its losses."""
    case.surface.unlink(missing_ok=True)
    net = ["--model", f"{NET}:net", "--model_args", *(f"{name}={size}" for name, size in case.shape.items())]
    net += ["--model_file", case.checkpoint]
    data = ["--dataset", f"{NET}:data", "--samples", case.tokens // gpt.LENGTH, "--loss_name", "next_token"]
    line = [f"--x={-case.step}:{case.step}:{case.points}", "--xnorm", "filter", "--xignore", "biasbn"]
    files = ["--dir_file", case.directions, "--surf_file", case.surface, "--batch_size", 1]
    device = ["--cuda"] if case.cuda else []
    run = watched([sys.executable, CHILD, "program", *net, *data, *line, *files, *device], prints=True)
    return {**run, "losses": h5_util.as_surface(str(case.surface)).get("train_loss").tolist()}


def run_plain(case: Case) -> dict[str, Any]:
    """Measure the same points with the plain loop."""
    points = h5_util.as_surface(str(case.surface)).x.tolist()
    files = {"checkpoint": str(case.checkpoint), "dir_file": str(case.directions)}
    where = {"tokens": case.tokens, "device": "cuda" if case.cuda else "cpu", "points": points}
    wanted = {**case.shape, **files, **where}
    return watched([sys.executable, CHILD, "plain", json.dumps(wanted)], prints=True)


def watched(line: Sequence[object], *, prints: bool = False) -> dict[str, Any]:
    """Run a process to its end; return its peak memory in bytes, and what it prints last as JSON."""
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(list(map(str, line)), stdout=output, stderr=subprocess.STDOUT)
        host = rss = 0
        while process.poll() is None:
            host = max(host, sum(kib(process.pid, "status", name) for name in UNDROPPABLE))
            rss = max(rss, kib(process.pid, "status", "VmHWM:"))
            time.sleep(SAMPLE_SECONDS)
        output.seek(0)
        text = output.read()
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, line))} ended with {process.returncode}; it printed:\n{text}")
    return {"host": host * KIB, "RSS": rss * KIB, **(json.loads(text.splitlines()[-1]) if prints else {})}


if __name__ == "__main__":
    main()
