"""What several tests need: the repository's nets, and the program run as its users run it."""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
GOLDEN = REPO / "tests" / "golden"
CASES = json.loads((GOLDEN / "golden.json").read_text())["cases"]
SMALL_BATCH = GOLDEN / "resnet20_digits_bs=64" / "model_6.t7"
LARGE_BATCH = GOLDEN / "resnet20_digits_bs=512" / "model_40.t7"
DIGITS = ["--dataset", "digits", "--data_split", "32", "--model", "resnet20"]  # 44 images: enough to compare, quick to measure


def mpirun(ranks: int) -> list[str]:
    """The command's beginning for so many ranks; the launcher is the one installed beside this Python, if there is one."""
    beside = Path(sys.executable).with_name("mpirun")
    launcher = str(beside) if beside.exists() else shutil.which("mpirun")
    assert launcher, "mpirun is not installed; pip install mpich"
    return [launcher, "-n", str(ranks)]


def command(script: str, *flags: object, ranks: int = 0) -> list[str]:
    """The command line of a script, under mpirun if `ranks` is given."""
    return [*(mpirun(ranks) if ranks else []), sys.executable, str(REPO / script), *map(str, flags)]


def run(script: str, *flags: object, ranks: int = 0, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    """Run a script to its end, with its output as text."""
    return subprocess.run(command(script, *flags, ranks=ranks), cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True, timeout=300)


def succeed(script: str, *flags: object, ranks: int = 0, cwd: Path) -> str:
    """Run a script that must succeed; return what it printed."""
    done = run(script, *flags, ranks=ranks, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def folder_with(tmp_path: Path, *checkpoints: Path) -> Path:
    """A folder with copies of checkpoints under their own folders' names, to write beside."""
    for checkpoint in checkpoints:
        folder = tmp_path / checkpoint.parent.name
        folder.mkdir(exist_ok=True)
        shutil.copy(checkpoint, folder)
    return tmp_path
