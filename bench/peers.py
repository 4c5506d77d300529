"""Other programs for loss landscapes and curvature beside ours, each in an environment of its own.

    pip install uv
    python bench/peers.py install planes resume curvature times page --folder /tmp/peers \
        --published /tmp/loss-landscape

FOLDER gets an environment and the runs of each peer. --published is a clone of the paper's program,
github.com/tomgoldstein/loss-landscape; without it that program is left out. The steps:

- install: the environments, with the versions of REQUIREMENTS and one version of torch. It replaces what a
  peer asks for; the page says where.
- planes: each peer measures 5x5 points with a user's script in bench/peer_scripts/, once with the net in
  evaluation mode and once in training mode. Five of its points are compared with a plain loop in its plane.
- resume: each peer is killed, and interrupted, at its 13th point, and started again in the same folder.
- times: seconds a point on one thread, in turns. Let nothing else run meanwhile.
- curvature: the largest eigenvalue and the trace of the Hessian. Seconds are the processor's.
- page: the tables of docs/compared.md.

Each step but install and page writes its part of --out.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from argparse import Namespace
from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench import peer_page, report
from bench.peer_planes import compared
from losslandscape.data import dataloader
from losslandscape.nets import model_loader

SCRIPTS = report.REPO / "bench" / "peer_scripts"
CHECKPOINT = report.REPO / "examples" / "resnet20.t7"
COMMON = ("torch==2.14.1", "torchvision==0.29.1", "scikit-learn", "matplotlib")
OVERRIDES = ("torch==2.14.1", "torchvision==0.29.1", "setuptools==80.9.0")
REQUIREMENTS = {
    "ours": ("h5py", "mpi4py", "tqdm", "pillow", "scipy"),
    "published": ("h5py", "seaborn", "scipy"),
    "gradfield": ("gradfield==0.5.0",),
    "landscaper": ("landscaper==1.3.1",),
    "loss_landscape_3d": ("loss-landscape-3d==0.1.3",),
    "loss_landscapes": ("loss-landscapes==3.0.6",),
    "losscape": ("losscape==1.5.10",),
    "pylandscape": ("pylandscape==0.1.3",),
    "pyhessian": ("pyhessian==0.1",),
    "hessian_eigenthings": ("hessian-eigenthings==1.0.0a5",),
    "curvlinops": ("curvlinops-for-pytorch==3.0.1",),
}
PLANES = (
    "ours",
    "published",
    "gradfield",
    "landscaper",
    "landscaper_eigenvectors",
    "loss_landscape_3d",
    "loss_landscape_3d_copied",
    "loss_landscapes",
    "losscape",
    "pylandscape",
)
VARIANTS = ("_copied", "_eigenvectors", "_curvature", "_precise", "_whole")  # ways to use the same peer
COMMANDS = ("ours", "published")  # of one line; they read a checkpoint, so the mode of a net is not theirs
CURVATURE = (
    "ours_precise",
    "ours_curvature",
    "pyhessian",
    "hessian_eigenthings",
    "hessian_eigenthings_whole",
    "curvlinops",
)
PROBLEMS = {"planes": (4, 128), "curvature": (32, 32)}  # parts of the digits, and the batch size
STOP_AT, SIGNALS = 13, {"killed": signal.SIGKILL, "interrupted": signal.SIGINT}
LIMIT = 900  # seconds of a run


def main() -> None:
    args = parse()
    steps = {"planes": planes, "resume": resume, "times": times, "curvature": curvature}
    if not set(args.steps) <= {"install", "page"}:
        make_problems(args.folder)
    for step in args.steps:
        if step == "install":
            install(args)
        elif step == "page":
            peer_page.write(json.loads(Path(args.out).read_text()))
        else:
            save(args.out, step, steps[step](args))


def parse() -> Namespace:
    parser = report.options(__doc__, repeats=3)
    steps = ("install", "planes", "resume", "times", "curvature", "page")
    parser.add_argument("steps", nargs="+", choices=steps)
    parser.add_argument("--folder", type=Path, default=Path("peers"), help="environments and runs")
    parser.add_argument("--published", default="", metavar="FOLDER", help="a clone of the published program")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="only these peers")
    parser.set_defaults(out=str(report.REPO / "bench" / "results" / "peers.json"))
    args = parser.parse_args()
    args.folder = args.folder.resolve()
    return args


def chosen(names: tuple[str, ...], args: Namespace) -> list[str]:
    left_out = set() if args.published else {"published"}
    return [name for name in names if name not in left_out and (not args.only or name in args.only)]


def save(out: str, step: str, rows: Mapping[str, Any]) -> None:
    """Put the rows of a step among those that the file has already."""
    file = Path(out)
    results = json.loads(file.read_text()) if file.exists() else {}
    results.pop("machine", None)
    results[step] = results.get(step, {}) | rows
    results["requirements"] = {name: list(what) for name, what in REQUIREMENTS.items()}
    results["common"], results["overrides"] = list(COMMON), list(OVERRIDES)
    report.write(out, results)


def environment_of(script: str) -> str:
    for variant in VARIANTS:
        script = script.removesuffix(variant)
    return script


def peers(args: Namespace) -> list[str]:
    """Return the chosen peers without the variants of their scripts."""
    return [script for script in chosen(PLANES, args) if not script.endswith(VARIANTS)]


def install(args: Namespace) -> None:
    args.folder.mkdir(parents=True, exist_ok=True)
    overrides = args.folder / "overrides.txt"
    overrides.write_text("\n".join(OVERRIDES) + "\n")
    for name in chosen(tuple(REQUIREMENTS), args):
        where = args.folder / name
        uv = ["uv"] if shutil.which("uv") else [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "-q", "--clear", "--python", sys.executable, str(where)], check=True)
        packages = [*COMMON, *REQUIREMENTS[name], "--override", str(overrides)]
        done = subprocess.run([*uv, "pip", "install", "-q", "--python", str(where), *packages])
        print(f"{name}: {'installed' if done.returncode == 0 else 'cannot be installed'}", flush=True)


def make_problems(folder: Path) -> None:
    """Write what all peers get, the net and the images, to a file for each step."""
    folder.mkdir(parents=True, exist_ok=True)
    net = model_loader.load("resnet20", str(CHECKPOINT)).eval()
    for step, (part, batch_size) in PROBLEMS.items():
        data = dataloader.load("digits", "train", datapath="", data_split=part)
        images = data.batch(slice(0, len(data)))
        given = {"net": net, "images": images, "labels": data.labels, "batch size": batch_size}
        torch.save(given, folder / f"{step}.pt")


def run(
    args: Namespace, probe: str, script: str, *, kind: str, **variables: str
) -> subprocess.CompletedProcess:
    """Run a probe of a peer in its environment and a folder of its own, which stays."""
    where = args.folder / "runs" / f"{script}_{kind}"
    where.mkdir(parents=True, exist_ok=True)
    shutil.copy(CHECKPOINT, where / "net.t7")
    step = "curvature" if probe == "probe_curvature" else "planes"
    every = {
        "PEERS_PROBLEM": str(args.folder / f"{step}.pt"),
        "PEERS_PUBLISHED": str(Path(args.published).resolve()),
        "PYTHONPATH": str(report.REPO),
        "OMP_NUM_THREADS": "1",
        "MPLBACKEND": "agg",
        "PATH": os.environ["PATH"],
    }
    python = args.folder / environment_of(script) / "bin" / "python"
    command = [str(python), str(SCRIPTS / f"{probe}.py"), script]
    return subprocess.run(
        command, cwd=where, env=every | variables, capture_output=True, text=True, timeout=LIMIT
    )


def result_of(args: Namespace, script: str, kind: str) -> dict[str, Any]:
    return torch.load(args.folder / "runs" / f"{script}_{kind}" / "out.pt", weights_only=False)


def fresh(args: Namespace, script: str, kind: str) -> None:
    shutil.rmtree(args.folder / "runs" / f"{script}_{kind}", ignore_errors=True)


def planes(args: Namespace) -> dict[str, Any]:
    problem = torch.load(args.folder / "planes.pt", weights_only=False)
    return {script: plane(args, script, problem) for script in chosen(PLANES, args)}


def plane(args: Namespace, script: str, problem: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"lines": lines_of(script)}
    modes = (
        {"evaluation": {}} if script in COMMANDS else {"evaluation": {}, "training": {"PEERS_TRAINING": "1"}}
    )
    for kind, variables in modes.items():
        fresh(args, script, kind)
        done = run(args, "probe", script, kind=kind, **variables)
        if done.returncode:
            row[kind] = {"failed": done.stderr.strip().splitlines()[-1]}
        else:
            result = result_of(args, script, kind)
            row[kind] = compared(problem, result["plane"]) | left(problem["net"], result)
        print(f"{script}, net in {kind} mode: {row[kind]}", flush=True)
    return row


def left(net: nn.Module, result: Mapping[str, Any]) -> dict[str, bool]:
    """Return what a peer has changed in the net that it was given."""
    statistics, changed = {name for name, _ in net.named_buffers()}, set(result["changed"])
    return {
        "weights changed": bool(changed - statistics),
        "statistics changed": bool(changed & statistics),
        "mode kept": result["mode kept"],
    }


def lines_of(script: str) -> int:
    """Return the lines of a user's script that are neither blank, nor its docstring, nor load the net."""
    if script in COMMANDS:
        return 1
    text = (SCRIPTS / f"use_{script}.py").read_text().split('"""', 2)[2]
    return sum(bool(line.strip()) and not line.startswith("from problem") for line in text.splitlines())


def resume(args: Namespace) -> dict[str, Any]:
    return {script: {kind: resumed(args, script, kind) for kind in SIGNALS} for script in peers(args)}


def resumed(args: Namespace, script: str, kind: str) -> dict[str, Any]:
    """Stop a run at a point, start it again, and count the points that it measures then."""
    fresh(args, script, kind)
    run(args, "probe", script, kind=kind, PEERS_STOP=f"{STOP_AT}:{SIGNALS[kind].value}")
    where = args.folder / "runs" / f"{script}_{kind}"
    row: dict[str, Any] = {"files": sorted(file.name for file in where.iterdir() if file.name != "net.t7")}
    if row["files"]:
        done = run(args, "probe", script, kind=kind)
        if done.returncode:
            row["failed"] = done.stderr.strip().splitlines()[-1]
        else:
            row["points measured then"] = len(result_of(args, script, kind)["ends"])
    print(f"{script}, {kind}: {row}", flush=True)
    return row


def times(args: Namespace) -> dict[str, Any]:
    """Return the median seconds of a point, of all rounds and points but the first."""
    ways = {script: partial(seconds, args, script) for script in peers(args)}
    rounds = report.interleaved(ways, args.repeats)
    return {
        script: {"seconds a point": median(median(points) for points in every), "rounds": every}
        for script, every in rounds.items()
    }


def seconds(args: Namespace, script: str) -> list[float]:
    """Return the seconds of each point but the first."""
    fresh(args, script, "times")
    run(args, "probe", script, kind="times", PEERS_ENDS="6").check_returncode()
    ends = result_of(args, script, "times")["ends"]
    return [after - before for before, after in pairwise(ends)]


def curvature(args: Namespace) -> dict[str, Any]:
    rows = {}
    for script in chosen(CURVATURE, args):
        whole = {"PEERS_WHOLE": "1"} if script.endswith("_whole") else {}
        done = run(args, "probe_curvature", script, kind="curvature", **whole)
        failed = {"failed": done.stderr.strip().splitlines()[-1:]}
        rows[script] = failed if done.returncode else result_of(args, script, "curvature")
        print(f"{script}: {rows[script]}", flush=True)
    return rows


if __name__ == "__main__":
    main()
