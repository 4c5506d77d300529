"""Seconds of a surface of ResNet-56 on random images, measured by one command as a user starts it.

    python bench/surface.py --cuda --out bench/results/surface_cuda.json
    python bench/surface.py --points 3 --images 256

The first command measures 51x51 points on 50,000 images of the size of CIFAR-10's, from the start of the
command to its end; the second is a trial on a CPU. With --limit the command is stopped after so many seconds,
and the points that it has measured by then count.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench import report
from bench.processes import end
from losslandscape.files import h5_util
from losslandscape.nets import model_loader
from tests.helpers import command

MODEL = "resnet56"


def main() -> None:
    parser = report.options(__doc__, repeats=None)
    add = parser.add_argument
    add("--points", type=int, default=51, help="on each axis (default: %(default)s)")
    add("--images", type=int, default=50_000, help="(default: %(default)s)")
    add("--precision", default="", help="of plot_surface.py")
    add("--limit", type=float, metavar="SECONDS", help="stop after this time")
    add("--cuda", action="store_true", help="on the GPU")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make_inputs(Path(folder), args.images)
        flags = ["--cuda"] * args.cuda + ["--precision", args.precision] * bool(args.precision)
        seconds, measured = time_surface(Path(folder), args.points, flags, args.limit)
    row = {
        "points": measured,
        "of": args.points**2,
        "images": args.images,
        "precision": args.precision or "default",
        "s": seconds,
        "s/point": seconds / measured if measured else float("nan"),
    }
    print(report.table([row]))
    report.write(args.out, {"model": MODEL, **row})


def make_inputs(folder: Path, images: int) -> None:
    """Write a checkpoint of random weights, and random images."""
    torch.manual_seed(0)
    torch.save({"state_dict": model_loader.build(MODEL).state_dict()}, folder / "model.t7")
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (images, 3, 32, 32), np.uint8)
    np.savez(folder / "images.npz", images=pixels, labels=random.integers(0, 10, images))


def time_surface(folder: Path, points: int, flags: list[str], limit: float | None) -> tuple[float, int]:
    """Return the seconds of the command, and the number of points that it measured."""
    axis = f"-1:1:{points}"
    line = command(
        "plot_surface.py",
        *("--model", MODEL, "--model_file", "model.t7", "--trainloader", "images.npz"),
        *(f"--x={axis}", f"--y={axis}", "--xnorm", "filter", "--xignore", "biasbn"),
        *("--ynorm", "filter", "--yignore", "biasbn", "--surf_file", "surface.h5", *flags),
    )
    start = time.perf_counter()
    process = subprocess.Popen(line, cwd=folder)
    try:
        if process.wait(limit):
            raise SystemExit(f"plot_surface.py ended with status {process.returncode}")
    except subprocess.TimeoutExpired:
        print(f"stopped after {limit:g} s")
    finally:
        end(process)
    seconds = time.perf_counter() - start
    file = folder / "surface.h5"
    measured = int(h5_util.read_surface(str(file)).measured("train_loss").sum()) if file.exists() else 0
    return seconds, measured


if __name__ == "__main__":
    main()
