"""Seconds that each kind of figure takes, as a whole command from its start to the finished file.

    python bench/figures.py --out bench/results/figures.json
    python bench/figures.py --side 401 --repeats 1

The first command takes a minute. The surface is a rough bowl with two quantities. Each command is a new
process with its own imports.
"""

import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench import report
from losslandscape.files import h5_util
from losslandscape.files.surface import Surface

COMMANDS = {
    "plot_2D.py, PDF": ["plot_2D.py", "--surf_file", "s.h5"],
    "plot_2D.py, PDF and PNG": ["plot_2D.py", "--surf_file", "s.h5", "--format", "pdf", "png"],
    "plot_html.py": ["plot_html.py", "--surf_file", "s.h5"],
    "h52vtp.py": ["h52vtp.py", "--surf_file", "s.h5"],
    "h52vtp.py --png": ["h52vtp.py", "--surf_file", "s.h5", "--log", "--png"],
    "h52vtp.py --interp 1000": ["h52vtp.py", "--surf_file", "s.h5", "--interp", "1000", "--log"],
}
ALL_FIGURES = ("plot_2D.py, PDF", "plot_html.py", "h52vtp.py", "h52vtp.py --png")


def main() -> None:
    parser = report.options(__doc__)
    side_help = "points along each side of the surface (default: 51)"
    parser.add_argument("--side", type=int, default=51, help=side_help)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_surface(f"{folder}/s.h5", args.side)
        ways = {name: partial(seconds_of, command, folder) for name, command in COMMANDS.items()}
        seconds = report.interleaved(ways, args.repeats)
    medians = report.medians(seconds)
    medians[f"all of one surface ({', '.join(ALL_FIGURES)})"] = sum(medians[name] for name in ALL_FIGURES)
    rows = [{"figures": name, "s": value} for name, value in medians.items()]
    print(report.table(rows))
    report.write(args.out, {"side": args.side, "rows": rows, "repeats": seconds})


def write_surface(path: str, side: int) -> None:
    ends = np.linspace(-1, 1, side)
    x, y = np.meshgrid(ends, ends)
    roughness = 1 + 0.2 * np.sin(9 * x) * np.cos(7 * y)
    loss = 0.05 + 30 * (x**2 + 0.5 * y**2) * roughness
    quantities = {"train_loss": loss, "train_acc": 100 * np.exp(-loss)}
    h5_util.write_surface(Surface(path, x=ends, y=ends, quantities=quantities))


def seconds_of(command: list[str], folder: str) -> float:
    script, *flags = command
    line = [sys.executable, str(report.REPO / script), *flags]
    start = time.perf_counter()
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return time.perf_counter() - start


if __name__ == "__main__":
    os.environ["MPLBACKEND"] = "agg"
    main()
