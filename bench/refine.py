"""How many points `--refine` leaves out, and how far the interpolated surface is from the measured one.

    OMP_NUM_THREADS=1 python bench/refine.py --out bench/results/refine.json
    python bench/refine.py --points 17 --nets resnet20

The nets are those of demo/run.sh, with shortcuts and without, on the same digits and directions. The first
command measures each plane with 33x33 points, all of them and with `--refine 0.02`, in half an hour. With
`--folder` a stopped benchmark resumes. The error is a share of the spread of the measured surface, of the
logarithm of the loss where contours are logarithmic.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench import report
from losslandscape.files import h5_util
from losslandscape.files.refinement import Heights
from losslandscape.files.surface import Surface
from tests.helpers import command

RECIPE = "wd=0.0005_mom=0.9_save_epoch"
NETS = {
    "resnet20": f"resnet20_sgd_lr=0.1_bs=64_{RECIPE}=10_noaug/model_10.t7",
    "resnet20_noshort": f"resnet20_noshort_sgd_lr=0.02_bs=64_{RECIPE}=20_noaug/model_20.t7",
}
TRAINED = report.REPO / "demo" / "trained_nets"
DIRECTIONS = "--dir_type weights --xnorm filter --xignore biasbn --ynorm filter --yignore biasbn".split()
QUANTITIES = ("train_loss", "train_acc")

Row = dict[str, object]


def main() -> None:
    parser = report.options(__doc__, repeats=None)
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS))
    parser.add_argument("--points", type=int, default=33, help="along each axis (default: 33)")
    parser.add_argument("--tolerance", type=float, default=0.02, help="of --refine (default: 0.02)")
    parser.add_argument("--folder", help="keep the surfaces here (default: they are not kept)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(args.folder or temporary)
        folder.mkdir(exist_ok=True)
        rows = [row(net, args.points, args.tolerance, folder) for net in args.nets]
    print(report.table(rows))
    if args.out:
        report.write(args.out, {"points": args.points, "tolerance": args.tolerance, "nets": rows})


def row(net: str, points: int, tolerance: float, folder: Path) -> Row:
    """Measure the plane of a net in full and refined; return how they differ."""
    full = measure(net, points, folder / f"{net}_{points}_full.h5")
    refined_file = folder / f"{net}_{points}_refined_{tolerance}.h5"
    refined = measure(net, points, refined_file, "--refine", str(tolerance))
    count = int(refined.measured("train_loss").sum())
    shown = h5_util.as_surface(refined)
    result: Row = {"net": net, "points": full.size, "measured": count, "share": count / full.size}
    for name in QUANTITIES:
        checked = shown.interpolated[name].error
        result |= {f"error of {name}": largest_error(full, shown, name), f"{name}: checked error": checked}
    return result


def measure(net: str, points: int, surf_file: Path, *options: str) -> Surface:
    axes = [f"--{axis}=-0.6:0.6:{points}" for axis in "xy"]
    data = ["--dataset", "digits", "--data_split", "4"]
    files = ["--model", net, "--model_file", str(TRAINED / NETS[net]), "--surf_file", str(surf_file)]
    line = command("plot_surface.py", *data, *files, *axes, *DIRECTIONS, *options)
    subprocess.run(line, check=True, cwd=report.REPO)
    return h5_util.read_surface(str(surf_file))


def largest_error(full: Surface, shown: Surface, name: str) -> float:
    """Return the largest difference of two surfaces as a share of the spread of the first."""
    everywhere = np.ones(full.shape, bool)
    true = Heights.of(full.get(name), name, everywhere)
    values = np.log(shown.get(name)) if true.log else shown.get(name)
    return float(np.nanmax(np.abs(values - true.values)) / true.spread)


if __name__ == "__main__":
    main()
