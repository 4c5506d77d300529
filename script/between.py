"""Draw the figures of docs/between.md on the small nets of this repository.

    python script/between.py --folder between

A stopped run resumes. It takes half an hour on one core; what bench/connect.py has measured in the same
folder is used.
"""

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench import connect
from script.gallery import REPO, save_small

IMAGES = REPO / "docs" / "images"
THIRD = REPO / "tests" / "golden" / "resnet20_digits_bs=64" / "model_6.t7"
NET = "--dataset digits --model resnet20 --model_file {small}"
SURFACE = f"plot_surface.py {NET} --dir_type states --bn recompute --data_split 4 --plot --format png"
COMMANDS = {  # by the name of a figure: its command, and the file that it writes
    "curve": (
        "plot_1D.py --surf_file {out}.h5 {out}_line.h5 --together --title curve 'straight line' --log "
        "--xlabel t --out {out} --format png",
        "{out}_1d_train_loss_log.png",
    ),
    "plane": (
        f"{SURFACE} --dir_file {{out}}_directions.h5 --proj_file {{out}}_proj.h5 --x=-2:12:29 --y=-3:5:17 "
        "--surf_file {out}_plane.h5",
        "{out}_proj.h5_train_loss_2dcontour_proj.png",
    ),
    "three": (
        f"{SURFACE} --model_file2 {{large}} --model_file3 {{third}} --axes orthonormal --x=-22:32:19 "
        "--y=-8:52:21 --net_names 'small batch' 'large batch' 'another training' --surf_file {out}_three.h5",
        "{out}_three.h5_train_loss_2dcontourf.png",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("figures", nargs="*", choices=[*COMMANDS, []], help="the figures (default: all)")
    parser.add_argument("--folder", type=Path, default=Path("between"), help="where all files go")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    out = args.folder / "bezier_0"
    connect.connect("bezier", 0, out, epochs=connect.EPOCHS, points=connect.POINTS)
    links = {"out": out, "small": args.folder / "small.t7", "large": args.folder / "large.t7"}
    links["third"] = args.folder / "third.t7"  # directions lie beside the checkpoints
    for link, file in zip(list(links.values())[1:], (connect.SMALL, connect.LARGE, THIRD), strict=True):
        if not link.exists():
            link.symlink_to(file)
    for name in args.figures or COMMANDS:
        command, made = COMMANDS[name]
        script, *words = [word.format(**links) for word in shlex.split(command)]
        subprocess.run([sys.executable, str(REPO / script), *words], check=True)
        save_small(Path(made.format(**links)), IMAGES / f"between_{name}.png")


if __name__ == "__main__":
    main()
