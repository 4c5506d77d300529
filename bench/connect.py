"""The barrier between two nets, along the line and along curves; by default between two nets of the demo.

    OMP_NUM_THREADS=1 python bench/connect.py --out bench/results/connect.json --folder connect
    python bench/connect.py --curves bezier --epochs 3 --points 11
    python bench/connect.py --model vgg9 --model_file A.t7 --model_file2 B.t7 --lr 0.02 --seeds 0 --points 11

The first command takes half an hour on one core. For other nets, give all options of connect.py that name
nets, data and training. With `--folder` a stopped benchmark resumes. Errors are upper bounds on the standard
error of a barrier, over the samples (`draw.loss_shape.barrier_error`).
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench import report
from losslandscape.draw.loss_shape import barrier, barrier_error
from losslandscape.files import h5_util
from losslandscape.files.surface import Surface
from tests.helpers import command

TRAINED = report.REPO / "demo" / "trained_nets"
RECIPE = "wd=0.0005_mom=0.9_save_epoch"
SMALL = TRAINED / f"resnet20_sgd_lr=0.1_bs=64_{RECIPE}=10_noaug" / "model_10.t7"
LARGE = TRAINED / f"resnet20_sgd_lr=0.1_bs=512_{RECIPE}=40_noaug" / "model_40.t7"
NETS = ["--dataset", "digits", "--model", "resnet20", "--model_file", SMALL, "--model_file2", LARGE]
DEMO = [*NETS, "--lr", "0.05", "--batch_size", "64", "--weight_decay", "0.0005"]
EPOCHS, POINTS = 30, 61
CURVES = {"bezier": 1, "chain": 1, "chain of 3 bends": 3}

Row = dict[str, object]


def main(argv: Sequence[str] | None = None) -> None:
    parser = report.options(__doc__, repeats=None)
    parser.add_argument("--curves", nargs="+", choices=CURVES, default=list(CURVES))
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="of the trainings")
    parser.add_argument("--points", type=int, default=POINTS, help="along line and curve (default: 61)")
    parser.add_argument("--folder", help="keep the files here (default: they are not kept)")
    args, others = parser.parse_known_args(argv)
    flags = others or DEMO
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(args.folder or temporary)
        folder.mkdir(exist_ok=True)
        for name in args.curves:
            for seed in args.seeds:
                stem = folder / f"{name.replace(' ', '_')}_{seed}"
                connect(name, seed, stem, epochs=args.epochs, points=args.points, flags=flags)
                if not rows:
                    rows.append({"between": "line", "seed": "", **barriers(f"{stem}_line.h5")})
                rows.append({"between": name, "seed": seed, **barriers(f"{stem}.h5")})
    print(report.table(rows))
    nets = {"options": " ".join(others)} if others else {}
    report.write(args.out, {**nets, "epochs": args.epochs, "points": args.points, "rows": rows})


def connect(
    name: str, seed: int, stem: Path, *, epochs: int, points: int, flags: Sequence[object] = DEMO
) -> None:
    """Train a curve, and measure along it, unless that is done; `flags` give nets, data and training."""
    curve = ["--curve", name.split()[0], "--bends", CURVES[name], "--epochs", epochs, "--seed", seed]
    measuring = ["--points", points, "--errors", "--out", stem]
    subprocess.run(command("connect.py", *flags, *curve, *measuring), check=True, stdout=subprocess.DEVNULL)


def barriers(file: str) -> Row:
    """Return the barrier of each part of the data with its error, and the least accuracy on the way."""
    surface, row = h5_util.as_surface(file), {}
    for part in ("train", "test"):
        row[f"{part} barrier"] = with_error(surface, f"{part}_loss")
        row[f"least {part} accuracy"] = f"{surface.get(f'{part}_acc').min():.2f} %"
    return row


def with_error(surface: Surface, name: str) -> str:
    """Return the barrier of a loss with its standard error."""
    height = barrier(surface.x, surface.get(name))
    if height == 0:  # no point lies above the straight line between the ends
        return "0"
    error = barrier_error(surface.x, surface.get(name), surface.get(f"{name}_diff_se"))
    return f"{height:.4f} ± {error:.4f}"


if __name__ == "__main__":
    main()
