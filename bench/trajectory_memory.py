"""Memory and time of a trajectory of many checkpoints of a large net.

    OMP_NUM_THREADS=1 python bench/trajectory_memory.py                                       10 and 40 checkpoints of ResNet-50, 4 GB of disk; minutes
    OMP_NUM_THREADS=1 python bench/trajectory_memory.py --checkpoints 300 --files 40           300 epochs, as 40 files under several names each; half an hour
    python bench/trajectory_memory.py --checkpoints 4 8 --model resnet20                       seconds

Real runs of `plot_trajectory.py` on synthetic checkpoints, a random walk of the net's weights. The peak is the kernel's own of the process: all
pages that it has in memory at once, those of mapped files and of PyTorch's libraries too. `matrix GiB` is what all checkpoints would take in memory
(float32). Files that were just written are still in the system's memory: a disk adds the time to read each of them about five times.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench import report
from tests.helpers import command

STEP = 0.01  # of the walk from one checkpoint to the next, as a part of the spread of fresh weights
MIB, GIB = 2**20, 2**30


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoints", type=int, nargs="+", default=[10, 40])
    parser.add_argument(
        "--model",
        default="resnet50",
        help="its size is that of a checkpoint; ResNet-50 has 24 million weights (default: resnet50)",
    )
    parser.add_argument(
        "--files",
        type=int,
        default=0,
        help="different files on the disk; further checkpoints are the same ones again (default: all different)",
    )
    parser.add_argument(
        "--folder",
        default=None,
        help="where the checkpoints lie meanwhile (default: the system's folder for temporary files)",
    )
    parser.add_argument("--out", default="", metavar="FILE.json")
    args = parser.parse_args()

    most = max(args.checkpoints)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        values = make_checkpoints(Path(folder), args.model, most, different=min(args.files or most, most))
        rows = []
        for count in args.checkpoints:
            rows.append(
                {
                    "checkpoints": count,
                    "values": values,
                    "matrix GiB": 4 * values * count / GIB,
                    **measure(folder, args.model, count),
                }
            )
            print(rows[-1], flush=True)
    print(report.table(rows))
    if args.out:
        report.write(args.out, {"model": args.model, "different files": args.files or most, "rows": rows})


def make_checkpoints(folder: Path, model: str, count: int, *, different: int) -> int:
    """Write `model_0.t7` and so on; returns how many values each holds."""
    code = (
        "import sys, torch\n"
        "from losslandscape.nets import model_loader\n"
        "folder, model, count = sys.argv[1], sys.argv[2], int(sys.argv[3])\n"
        "torch.manual_seed(0)\n"
        "net = model_loader.build(model)\n"
        "for epoch in range(count):\n"
        "    torch.save({'acc': 0.0, 'epoch': epoch, 'state_dict': net.state_dict()}, f'{folder}/model_{epoch}.t7')\n"
        "    with torch.no_grad():\n"
        f"        [p.add_(torch.randn_like(p), alpha={STEP} * float(p.std()) if p.dim() > 1 else {STEP}) for p in net.parameters()]\n"
        "print(sum(p.numel() for p in net.parameters()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, folder, model, str(different)],
        capture_output=True,
        text=True,
        check=True,
        cwd=report.REPO,
    )
    for epoch in range(different, count):
        os.link(folder / f"model_{epoch % different}.t7", folder / f"model_{epoch}.t7")
    return int(done.stdout)


def measure(folder: str, model: str, count: int) -> dict[str, float]:
    """Peak memory in MiB and minutes of a run over the first `count` checkpoints, to its end."""
    line = command(
        "plot_trajectory.py",
        "--model",
        model,
        "--model_folder",
        folder,
        "--max_epoch",
        count - 1,
        "--ignore",
        "biasbn",
        "--overwrite",
    )
    began = time.monotonic()
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(
            f"a run of {count} checkpoints ended with status {process.returncode}; it said:\n{output}"
        )
    return {"peak MiB": usage.ru_maxrss * 1024 / MIB, "minutes": (time.monotonic() - began) / 60}


if __name__ == "__main__":
    main()
