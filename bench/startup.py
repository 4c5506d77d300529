"""Seconds from the command to the first measured point, and where the time of the imports goes.

    OMP_NUM_THREADS=1 python bench/startup.py --out bench/results/startup.json
    python bench/startup.py --ranks 1 2 --images 2000 --repeats 1

The first command measures 1 and 4 ranks with 50,000 images, in three minutes; the second is a shorter look.
The benchmark makes a folder of small JPEG images and a ResNet-56 checkpoint, and starts `plot_surface.py` on
a fiftieth of the images, as a user would. Three lines of its output mark its progress: `directions`, when
everything is loaded and the directions are made; `batch size`, when the fastest batch size is found; `first
point`, when its result is recorded. Then it is stopped. Every run has its own copy of the checkpoint, so it
makes its own directions. Images and libraries are in the operating system's cache.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench import report
from bench.processes import end
from losslandscape.nets import model_loader
from tests.helpers import command

MODEL = "resnet56"
CLASSES, SIDE, SPLIT = 10, 32, 50
MARKS = {
    "directions": "directions:",
    "batch size": " batch norms folded",
    "first point": "the first point took",
}
SHOWN_PACKAGES = 8
# The second package is what --dataset folder imports.
IMPORTS = "import losslandscape.cli.plot_surface, torchvision.datasets"

Seconds = dict[str, float]


def main() -> None:
    parser = report.options(__doc__)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 4])
    images_help = f"in the folder, of which one in {SPLIT} is used (default: 50000)"
    parser.add_argument("--images", type=int, default=50_000, help=images_help)
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        make_images(work / "images", args.images)
        make_checkpoint(work / "model.t7")
        ways = {str(ranks): partial(seconds_of_a_start, work, ranks) for ranks in args.ranks}
        starts = report.interleaved(ways, args.repeats)
        imports = [import_seconds() for _ in range(args.repeats)]

    rows = start_rows(starts)
    packages = package_rows(imports)
    print(f"{report.table(rows)}\n\n{IMPORTS!r} in one process; -X importtime slows it a little:")
    print(report.table(packages))
    results = {
        "images": args.images,
        "images_used": args.images // SPLIT,
        "model": MODEL,
        "rows": rows,
        "imports": packages,
        "repeats": starts,
    }
    report.write(args.out, results)


def start_rows(starts: dict[str, list[Seconds]]) -> list[dict[str, object]]:
    rows = []
    for ranks, runs in starts.items():
        marks = {f"{mark} s": value for mark, value in median_of_runs(runs).items()}
        rows.append({"ranks": int(ranks), **marks})
    return rows


def package_rows(imports: list[tuple[Seconds, Seconds]]) -> list[dict[str, object]]:
    own = median_of_runs([run_own for run_own, _ in imports])
    whole = median_of_runs([run_whole for _, run_whole in imports])
    slowest = sorted(whole, key=whole.__getitem__, reverse=True)[:SHOWN_PACKAGES]
    return [
        {"package": name, "with what it imports s": whole[name], "its own modules s": own[name]}
        for name in slowest
    ]


def median_of_runs(runs: list[Seconds]) -> Seconds:
    """Return the median of each value over runs that all have it."""
    return report.medians({name: [run[name] for run in runs] for name in runs[0]})


def make_images(folder: Path, count: int) -> None:
    """Write `DIR/train/<class>/*.jpg`: smooth random colours."""
    random = np.random.default_rng(0)
    for label in range(CLASSES):
        place = folder / "train" / f"class{label}"
        place.mkdir(parents=True)
        for number in range(label, count, CLASSES):
            colours = Image.fromarray(random.integers(0, 256, (4, 4, 3), np.uint8))
            image = colours.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            image.save(place / f"{number:06}.jpg")


def make_checkpoint(path: Path) -> None:
    torch.manual_seed(0)
    torch.save({"state_dict": model_loader.build(MODEL).state_dict()}, path)


def seconds_of_a_start(work: Path, ranks: int) -> Seconds:
    """Start the program, and stop it when the first point is recorded; return the seconds until each mark."""
    with tempfile.TemporaryDirectory(dir=work) as folder:
        data = ["--dataset", "folder", "--datapath", work / "images", "--data_split", SPLIT]
        net = ["--model", MODEL, "--model_file", shutil.copy(work / "model.t7", folder)]
        axis = ["--x=-1:1:51", "--xnorm", "filter", "--xignore", "biasbn"]
        line = command("plot_surface.py", *data, *net, *axis, ranks=ranks if ranks > 1 else 0)
        start = time.perf_counter()
        process = subprocess.Popen(
            line,
            cwd=folder,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            return seconds_until_marks(process.stdout, start)
        finally:
            end(process)


def seconds_until_marks(output: Iterable[str], start: float) -> Seconds:
    seconds: Seconds = {}
    lines = []
    for line in output:
        lines.append(line)
        for name, text in MARKS.items():
            if text in line:
                seconds.setdefault(name, time.perf_counter() - start)
        if len(seconds) == len(MARKS):
            return seconds
    raise SystemExit(f"the program ended before its first point; it printed:\n{''.join(lines)}")


def import_seconds() -> tuple[Seconds, Seconds]:
    """Return the import seconds of each package, without the standard library.

    Returns:
        The seconds of the package's own modules, and the seconds with all modules that it imports first.
    """
    line = [sys.executable, "-X", "importtime", "-c", IMPORTS]
    done = subprocess.run(line, cwd=report.REPO, capture_output=True, text=True, check=True)
    own: Seconds = {}
    whole: Seconds = {}
    importers: list[str] = []
    # The line of a module follows those of the modules that it imports.
    for self_time, total, depth, package in reversed(list(import_lines(done.stderr))):
        del importers[depth:]
        own[package] = own.get(package, 0.0) + self_time
        whole[package] = whole.get(package, 0.0) + (0.0 if package in importers else total)
        importers.append(package)
    return _without_standard_library(own), _without_standard_library(whole)


def _without_standard_library(seconds: Seconds) -> Seconds:
    return {name: value for name, value in seconds.items() if name not in sys.stdlib_module_names}


def import_lines(text: str) -> Iterator[tuple[float, float, int, str]]:
    """Yield the own seconds, total seconds, depth and package of each module in -X importtime output."""
    for line in text.splitlines():
        parts = line.removeprefix("import time:").split("|")
        if len(parts) != 3 or not parts[0].strip().isdigit():
            continue
        name = parts[2].lstrip()
        depth = (len(parts[2]) - len(name) - 1) // 2
        yield int(parts[0]) / 1e6, int(parts[1]) / 1e6, depth, name.split(".")[0]


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main()
