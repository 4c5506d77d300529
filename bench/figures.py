"""Seconds that each kind of figure takes, as a whole command from start to finished file.

    python bench/figures.py --out bench/results/figures.json       a 51x51 surface; a minute
    python bench/figures.py --side 401 --repeats 1

The surface is a rough bowl with two quantities. Between the commands of a round lies nothing; each is a new process with its own imports.
"""

import argparse
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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--side", type=int, default=51, help="points along each side of the surface (default: 51)"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", default="", metavar="FILE.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_surface(f"{folder}/s.h5", args.side)
        seconds = report.interleaved(
            {name: partial(seconds_of, command, folder) for name, command in COMMANDS.items()}, args.repeats
        )
    middle = report.medians(seconds)
    rows = [{"figures": name, "s": value} for name, value in middle.items()]
    rows.append(
        {
            "figures": f"all of one surface ({', '.join(ALL_FIGURES)})",
            "s": sum(middle[name] for name in ALL_FIGURES),
        }
    )
    print(report.table(rows))
    if args.out:
        report.write(args.out, {"side": args.side, "rows": rows, "repeats": seconds})


def write_surface(path: str, side: int) -> None:
    x = np.linspace(-1, 1, side)
    bowl = 0.05 + 30 * (x[None] ** 2 + 0.5 * x[:, None] ** 2) * (
        1 + 0.2 * np.sin(9 * x[None]) * np.cos(7 * x[:, None])
    )
    values = {"train_loss": bowl, "train_acc": 100 * np.exp(-bowl)}
    h5_util.write_surface(h5_util.Surface(path, x=x, y=x, quantities=values))


def seconds_of(command: list[str], folder: str) -> float:
    script, *flags = command
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(report.REPO / script), *flags],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return time.perf_counter() - begin


if __name__ == "__main__":
    os.environ["MPLBACKEND"] = "agg"
    main()
