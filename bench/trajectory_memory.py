"""Memory and time of a trajectory of many checkpoints of a large net.

    OMP_NUM_THREADS=1 python bench/trajectory_memory.py
    OMP_NUM_THREADS=1 python bench/trajectory_memory.py --checkpoints 300 --files 40
    python bench/trajectory_memory.py --checkpoints 4 8 --model resnet20

The first command measures 10 and 40 checkpoints of ResNet-50, with 4 GB of disk, in minutes. The second one
measures 300 epochs, as 40 files with several names each, in half an hour. The third takes seconds.

These are real runs of `plot_trajectory.py` on artificial checkpoints, a random walk of the net's weights. The
peak is what the kernel records for the process: all pages in memory at once, with the pages of mapped files
and of PyTorch's libraries. `matrix GiB` is what all checkpoints would take in memory (float32). Files that
were just written are still in the system's memory; a disk adds the time to read each of them about five
times.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench import report
from tests.helpers import command

STEP = 0.01  # of the walk, as a share of the spread of fresh weights
MIB, GIB = 2**20, 2**30
# In a process of its own, so that this one stays small.
WALK = f"""
import sys, torch
from losslandscape.nets import model_loader
folder, model, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
torch.manual_seed(0)
net = model_loader.build(model)
for epoch in range(count):
    checkpoint = {{"acc": 0.0, "epoch": epoch, "state_dict": net.state_dict()}}
    torch.save(checkpoint, f"{{folder}}/model_{{epoch}}.t7")
    with torch.no_grad():
        for parameter in net.parameters():
            spread = float(parameter.std()) if parameter.dim() > 1 else 1.0
            parameter.add_(torch.randn_like(parameter), alpha={STEP} * spread)
print(sum(parameter.numel() for parameter in net.parameters()))
"""


def main() -> None:
    parser = report.options(__doc__, repeats=None)
    add = parser.add_argument
    add("--checkpoints", type=int, nargs="+", default=[10, 40], help="(default: 10 40)")
    model_help = "a checkpoint has its size: ResNet-50 has 24 million weights (default: resnet50)"
    add("--model", default="resnet50", help=model_help)
    files_help = "different files on the disk; further checkpoints are links to them (default: all different)"
    add("--files", type=int, default=0, help=files_help)
    add("--folder", help="for the checkpoints meanwhile (default: the system's folder for temporary files)")
    args = parser.parse_args()

    most = max(args.checkpoints)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        different = min(args.files or most, most)
        values = make_checkpoints(Path(folder), args.model, most, different=different)
        rows = []
        for count in args.checkpoints:
            size = {"checkpoints": count, "values": values, "matrix GiB": 4 * values * count / GIB}
            rows.append({**size, **measure(folder, args.model, count)})
            print(rows[-1], flush=True)
    print(report.table(rows))
    report.write(args.out, {"model": args.model, "different files": args.files or most, "rows": rows})


def make_checkpoints(folder: Path, model: str, count: int, *, different: int) -> int:
    """Write `model_0.t7` and so on; return the number of values in each file."""
    line = [sys.executable, "-c", WALK, str(folder), model, str(different)]
    done = subprocess.run(line, capture_output=True, text=True, check=True, cwd=report.REPO)
    for epoch in range(different, count):
        os.link(folder / f"model_{epoch % different}.t7", folder / f"model_{epoch}.t7")
    return int(done.stdout)


def measure(folder: str, model: str, count: int) -> dict[str, float]:
    """Return peak memory in MiB and minutes of a run over the first `count` checkpoints, to its end."""
    net = ["--model", model, "--model_folder", folder, "--max_epoch", count - 1]
    line = command("plot_trajectory.py", *net, "--ignore", "biasbn", "--overwrite")
    start = time.monotonic()
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        ended = f"ended with status {process.returncode}"
        raise SystemExit(f"a run of {count} checkpoints {ended}; it printed:\n{output}")
    return {"peak MiB": usage.ru_maxrss * 1024 / MIB, "minutes": (time.monotonic() - start) / 60}


if __name__ == "__main__":
    main()
