"""How many points `--refine` leaves out, and how far the interpolated surface is from the measured one.

    OMP_NUM_THREADS=1 python bench/refine.py --out bench/results/refine.json
    python bench/refine.py --points 17 --nets resnet20

The nets are those of demo/run.sh, with shortcuts and without, on the same digits and directions. The first
command measures both planes at all 33x33 points, in a quarter of an hour. Then `--refine` 0.01, 0.02 and 0.05
decide on these values which points they would have measured. With `--folder` a stopped benchmark resumes.
An error is a share of the spread of the full surface, of the logarithm of the loss where contours are
logarithmic.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench import report
from losslandscape.files import h5_util
from losslandscape.files.interpolated import Refinement, with_interpolated
from losslandscape.files.refinement import Heights, plan
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
    tolerances = [0.01, 0.02, 0.05]
    parser.add_argument("--tolerances", type=float, nargs="+", default=tolerances, help="of --refine")
    parser.add_argument("--folder", help="keep the surfaces here (default: they are not kept)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(args.folder or temporary)
        folder.mkdir(exist_ok=True)
        surfaces = {net: measure(net, args.points, folder / f"{net}_{args.points}.h5") for net in args.nets}
    rows = [row(net, full, tolerance) for net, full in surfaces.items() for tolerance in args.tolerances]
    print(report.table(rows))
    report.write(args.out, {"points": args.points, "rows": rows})


def row(net: str, full: Surface, tolerance: float) -> Row:
    """Refine a surface from its values, and return how the two differ."""
    refined = refine(full, tolerance)
    count = int(refined.measured("train_loss").sum())
    shown = with_interpolated(refined)
    result: Row = {
        "net": net,
        "TOL": tolerance,
        "points": full.size,
        "measured": count,
        "share": count / full.size,
    }
    for name in QUANTITIES:
        checked = shown.interpolated[name].error
        result |= {f"error of {name}": largest_error(full, shown, name), f"{name}: checked error": checked}
    return result


def measure(net: str, points: int, surf_file: Path) -> Surface:
    axes = [f"--{axis}=-0.6:0.6:{points}" for axis in "xy"]
    data = ["--dataset", "digits", "--data_split", "4"]
    files = ["--model", net, "--model_file", str(TRAINED / NETS[net]), "--surf_file", str(surf_file)]
    subprocess.run(command("plot_surface.py", *data, *files, *axes, *DIRECTIONS), check=True, cwd=report.REPO)
    return h5_util.read_surface(str(surf_file))


def refine(full: Surface, tolerance: float) -> Surface:
    """Return the surface that `--refine` would measure, with the values of the full one."""
    names = list(QUANTITIES)
    surface = Surface("", x=full.x, y=full.y, runs=[{"refine": Refinement(tolerance, names).record()}])
    for name in names:
        surface.add(name)
    values = {name: full.get(name) for name in names}
    while (missing := plan(surface, names, tolerance).missing).size:
        for point in map(int, missing):
            surface.set(point, {name: float(values[name].flat[point]) for name in names})
    return surface


def largest_error(full: Surface, shown: Surface, name: str) -> float:
    """Return the largest difference of two surfaces as a share of the spread of the first."""
    everywhere = np.ones(full.shape, bool)
    true = Heights.of(full.get(name), name, everywhere)
    values = np.log(shown.get(name)) if true.log else shown.get(name)
    return float(np.nanmax(np.abs(values - true.values)) / true.spread)


if __name__ == "__main__":
    main()
