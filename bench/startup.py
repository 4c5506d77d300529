"""Seconds from the command to the first measured point, where they go, and where the time of the imports goes.

    OMP_NUM_THREADS=1 python bench/startup.py --out bench/results/startup.json       1 and 4 ranks, 50,000 images; three minutes
    python bench/startup.py --ranks 1 2 --images 2000 --repeats 1                     a shorter look

It makes a folder of small JPEG images and a ResNet-56 checkpoint, and starts `plot_surface.py` on a fiftieth of the images as a user
would. Three lines of its output tell how far it is: `directions`, when everything is loaded and the directions are made; `batch
size`, when the fastest one is found; `first point`, when its result is recorded. Then it is stopped. Every run begins with
its own copy of the checkpoint, so it makes its own directions; images and libraries are in the operating system's cache.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench import report
from bench.memory import end
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
IMPORTS = "import plot_surface, torchvision.datasets"  # the second is what --dataset folder imports


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 4])
    parser.add_argument(
        "--images",
        type=int,
        default=50_000,
        help=f"in the folder, of which one in {SPLIT} is used (default: 50000)",
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", default="", metavar="FILE.json")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        make_images(work / "images", args.images)
        make_checkpoint(work / "model.t7")
        ways = {str(ranks): partial(seconds_of_a_start, work, ranks) for ranks in args.ranks}
        starts = report.interleaved({**ways, "imports": import_seconds}, args.repeats)
    imports = starts.pop("imports")

    rows = [
        {"ranks": int(ranks), **{f"{mark} s": value for mark, value in middle(runs).items()}}
        for ranks, runs in starts.items()
    ]
    own, whole = (middle(run[kind] for run in imports) for kind in ("own", "whole"))
    shown = sorted(whole, key=whole.get, reverse=True)[:SHOWN_PACKAGES]
    packages = [
        {"package": name, "with what it imports s": whole[name], "its own modules s": own[name]}
        for name in shown
    ]
    print(
        f"{report.table(rows)}\n\n{IMPORTS!r} in one process; -X importtime slows it a little:\n{report.table(packages)}"
    )
    if args.out:
        report.write(
            args.out,
            {
                "images": args.images,
                "images_used": args.images // SPLIT,
                "model": MODEL,
                "rows": rows,
                "imports": packages,
                "repeats": starts,
            },
        )


def middle(runs: Iterable[dict[str, float]]) -> dict[str, float]:
    """The median of each value over runs that have the same ones."""
    runs = list(runs)
    return report.medians({name: [run[name] for run in runs] for name in runs[0]})


def make_images(folder: Path, count: int) -> None:
    """`DIR/train/<class>/*.jpg`: smooth random colours."""
    random = np.random.default_rng(0)
    for label in range(CLASSES):
        place = folder / "train" / f"class{label}"
        place.mkdir(parents=True)
        for number in range(label, count, CLASSES):
            image = Image.fromarray(random.integers(0, 256, (4, 4, 3), np.uint8)).resize(
                (SIDE, SIDE), Image.Resampling.BICUBIC
            )
            image.save(place / f"{number:06}.jpg")


def make_checkpoint(path: Path) -> None:
    torch.manual_seed(0)
    torch.save({"state_dict": model_loader.build(MODEL).state_dict()}, path)


def seconds_of_a_start(work: Path, ranks: int) -> dict[str, float]:
    """Start the program anew, and stop it when the first point is recorded; seconds until each mark."""
    with tempfile.TemporaryDirectory(dir=work) as folder:
        checkpoint = shutil.copy(work / "model.t7", folder)
        line = command(
            "plot_surface.py",
            "--dataset",
            "folder",
            "--datapath",
            work / "images",
            "--data_split",
            SPLIT,
            "--model",
            MODEL,
            "--model_file",
            checkpoint,
            "--x=-1:1:51",
            "--xnorm",
            "filter",
            "--xignore",
            "biasbn",
            ranks=ranks if ranks > 1 else 0,
        )
        begin = time.perf_counter()
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
            return seconds_until_marks(process.stdout, begin)
        finally:
            end(process)


def seconds_until_marks(output: Iterable[str], begin: float) -> dict[str, float]:
    found, lines = {}, []
    for line in output:
        lines.append(line)
        found.update(
            {
                name: time.perf_counter() - begin
                for name, text in MARKS.items()
                if text in line and name not in found
            }
        )
        if len(found) == len(MARKS):
            return found
    raise SystemExit(f"the program ended before its first point; it said:\n{''.join(lines)}")


def import_seconds() -> dict[str, dict[str, float]]:
    """Seconds by package outside the standard library: of its `own` modules, and `whole`, with all that it is the first to import."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", IMPORTS],
        cwd=report.REPO,
        capture_output=True,
        text=True,
        check=True,
    )
    own: dict[str, float] = {}
    whole: dict[str, float] = {}
    importers: list[str] = []
    for self_time, total, depth, package in reversed(
        import_lines(done.stderr)
    ):  # an importer's line follows those of what it imports
        del importers[depth:]
        own[package] = own.get(package, 0.0) + self_time
        whole[package] = whole.get(package, 0.0) + (0.0 if package in importers else total)
        importers.append(package)
    return {
        kind: {name: value for name, value in seconds.items() if name not in sys.stdlib_module_names}
        for kind, seconds in (("own", own), ("whole", whole))
    }


def import_lines(text: str) -> list[tuple[float, float, int, str]]:
    """Own seconds, seconds with what it imports, depth and package of every module in the output of -X importtime."""
    found = []
    for line in text.splitlines():
        parts = line.removeprefix("import time:").split("|")
        if len(parts) == 3 and parts[0].strip().isdigit():
            name = parts[2].lstrip()
            found.append(
                (
                    int(parts[0]) / 1e6,
                    int(parts[1]) / 1e6,
                    (len(parts[2]) - len(name) - 1) // 2,
                    name.split(".")[0],
                )
            )
    return found


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main()
