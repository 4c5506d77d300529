"""All checks and benchmarks that need a GPU, in one command and a limited time.

    python bench/on_gpu.py RESULTS_FOLDER
    python bench/on_gpu.py RESULTS_FOLDER --budget 1500 --steps evaluate surface
    python bench/on_gpu.py RESULTS_FOLDER --plan

The steps follow each other, each with a time limit; a step that fails or reaches its limit does not stop the
others. Each benchmark writes NAME.json into the folder. `on_gpu.json` has the GPU's name, and the command,
the status and the seconds of each step. The exit status is 1 unless all steps passed. --plan only prints the
steps.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench import report
from bench.processes import end
from losslandscape.cli.command_line import Parser, sentence
from losslandscape.cli.option_types import positive
from losslandscape.core.errors import InputError

BUDGET = 540  # seconds
LEAST = 10  # seconds; with less no step starts
SKIP_REASON = "this machine has no CUDA device"  # of tests that need one
BENCHMARKS = {  # its arguments, and its most seconds
    "evaluate": ("evaluate.py --cuda --models resnet56 --repeats 1", 160),
    "kernels": ("kernels.py --cuda", 60),
    "curvature": ("curvature.py --cuda --model resnet56 --kinds hessian --images 2560 --vectors 1 8 16", 60),
    "training": ("training.py --cuda --nets resnet56:128 vgg9:128 --images 12800 --repeats 1", 90),
    "surface": ("surface.py --cuda --limit 60", 100),
    "cores": ("cores.py --cuda --repeats 1", 140),
}
TESTS, SLOW_TESTS = "tests", "slow_tests"
TEST_SECONDS = 150
SECONDS_TO_REPORT = 10  # of a step that reaches its limit


@dataclass(frozen=True)
class Step:
    """A command, and the most seconds that it may take."""

    name: str
    command: list[str]
    limit: float


@dataclass(frozen=True)
class Outcome:
    """What became of a step: `passed`, `failed`, `stopped` at its limit, or `left out` for lack of time."""

    name: str
    command: str
    status: str
    seconds: float


def main(argv: list[str] | None = None) -> int:
    parser = make_parser()
    args = parser.parse_args(argv)
    steps = [step for step in plan(args.folder) if step.name in args.steps]
    if args.plan:
        for step in steps:
            print(f"{step.name}, at most {step.limit} s: {' '.join(step.command)}")
        return 0
    with sentence(parser):
        if not torch.cuda.is_available():
            raise InputError(
                "PyTorch finds no CUDA device here, so nothing is run", "see the steps with {plan}"
            )
    args.folder.mkdir(parents=True, exist_ok=True)
    outcomes = []
    for outcome in run(steps, args.budget):
        outcomes.append(asdict(outcome))
        report.write(str(args.folder / "on_gpu.json"), {"steps": outcomes})
    print(report.table([{key: row[key] for key in ("name", "status", "seconds")} for row in outcomes]))
    return int(any(row["status"] != "passed" for row in outcomes))


def make_parser() -> Parser:
    parser = Parser(__doc__)
    add = parser.add_argument
    names = [TESTS, *BENCHMARKS, SLOW_TESTS]
    add("folder", type=Path, metavar="RESULTS_FOLDER", help="where the JSON files are written")
    add(
        "--budget", type=positive, default=BUDGET, metavar="SECONDS", help=f"of all steps (default: {BUDGET})"
    )
    add("--steps", nargs="+", choices=names, default=names, metavar="STEP", help=f"of {' '.join(names)}")
    add("--plan", action="store_true", help="print the steps and their limits, and end")
    return parser


def plan(folder: Path) -> list[Step]:
    """Return all steps, in their order."""
    pytest = [sys.executable, "-m", "pytest", "-q", *cuda_tests(), "-m"]
    steps = [Step(TESTS, [*pytest, "not slow and not nightly"], TEST_SECONDS)]
    for name, (line, limit) in BENCHMARKS.items():
        script, *flags = line.split()
        out = str(folder.resolve() / f"{name}.json")
        steps.append(Step(name, [sys.executable, f"bench/{script}", *flags, "--out", out], limit))
    return [*steps, Step(SLOW_TESTS, [*pytest, "slow and not nightly"], TEST_SECONDS)]


def cuda_tests() -> list[str]:
    """Return the files of tests of which some need a GPU."""
    files = sorted((report.REPO / "tests").rglob("test_*.py"))
    return [str(file.relative_to(report.REPO)) for file in files if SKIP_REASON in file.read_text()]


def run(steps: list[Step], budget: float) -> Iterator[Outcome]:
    """Run the steps while the budget lasts, and yield what became of each."""
    stop = time.monotonic() + budget
    for step in steps:
        left = stop - time.monotonic()
        print(f"\n{step.name}: {' '.join(step.command)}", flush=True)
        start = time.monotonic()
        status = status_of(step, min(step.limit, left)) if left >= LEAST else "left out"
        seconds = time.monotonic() - start
        print(f"{step.name}: {status} after {seconds:.0f} s", flush=True)
        yield Outcome(step.name, " ".join(step.command), status, seconds)


def status_of(step: Step, limit: float) -> str:
    process = subprocess.Popen(step.command, cwd=report.REPO)
    try:
        return "failed" if process.wait(limit) else "passed"
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)  # pytest then prints which tests have failed
        with suppress(subprocess.TimeoutExpired):
            process.wait(SECONDS_TO_REPORT)
        return "stopped"
    finally:
        end(process)


if __name__ == "__main__":
    sys.exit(main())
