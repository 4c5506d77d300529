"""What several tests need: the repository's nets, and the program run as its users run it."""

import contextlib
import importlib
import io
import json
import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from losslandscape.core import user_code
from losslandscape.files import h5_util
from losslandscape.files.surface import Surface

REPO = Path(__file__).resolve().parent.parent
GOLDEN = REPO / "tests" / "golden"
CASES = json.loads((GOLDEN / "golden.json").read_text())["cases"]
SMALL_BATCH = GOLDEN / "resnet20_digits_bs=64" / "model_6.t7"
LARGE_BATCH = GOLDEN / "resnet20_digits_bs=512" / "model_40.t7"
COMMANDS = {  # by file of the repository, the module of the package that it runs
    **{f"{path.stem}.py": path.stem for path in REPO.glob("*.py")},
    "cifar10/main.py": "train",
}
DIGITS = [
    "--dataset",
    "digits",
    "--data_split",
    "32",
    "--model",
    "resnet20",
]  # 44 images: enough to compare, quick to measure


def mpirun(ranks: int) -> list[str]:
    """The beginning of a command for so many ranks, with the launcher beside this Python if there is one."""
    beside = Path(sys.executable).with_name("mpirun")
    launcher = str(beside) if beside.exists() else shutil.which("mpirun")
    assert launcher, "mpirun is not installed; pip install mpich"
    return [launcher, "-n", str(ranks)]


def command(script: str, *flags: object, ranks: int = 0) -> list[str]:
    """The command line of a script, under mpirun if `ranks` is given."""
    return [*(mpirun(ranks) if ranks else []), sys.executable, str(REPO / script), *map(str, flags)]


def run(
    script: str,
    *flags: object,
    ranks: int = 0,
    cwd: Path,
    env: dict[str, str] | None = None,
    own_process: bool = False,
) -> subprocess.CompletedProcess:
    """Run a command of the repository to its end, with its output as text.

    Without ranks and environment it runs in this process, through `main(argv)`: that saves the seconds of
    the imports. `own_process` starts a process all the same.
    """
    if ranks or env or own_process or script not in COMMANDS:
        environment = {**os.environ, **(env or {})}
        return subprocess.run(
            command(script, *flags, ranks=ranks),
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
    return run_here(script, [str(flag) for flag in flags], cwd)


def run_here(script: str, argv: list[str], cwd: Path) -> subprocess.CompletedProcess:
    """What `python SCRIPT ARGV…` does, in this process. It forgets the user's modules at the end."""
    module = importlib.import_module(f"losslandscape.cli.{COMMANDS[script]}")
    before = sys.argv, os.getcwd()
    out, err, status = io.StringIO(), io.StringIO(), 0
    os.chdir(cwd)
    sys.argv = [script, *argv]
    try:
        with user_modules_forgotten(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                module.main(argv)
            except SystemExit as end:
                status = end.code or 0
            except BaseException:
                traceback.print_exc()
                status = 1
    finally:
        sys.argv, folder = before
        os.chdir(folder)
    return subprocess.CompletedProcess([script, *argv], status, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def user_modules_forgotten() -> Iterator[None]:
    """After the block, modules of the user that it imported are not imported."""
    path, modules = list(sys.path), set(sys.modules)
    try:
        yield
    finally:
        if sys.path != path:  # as `user_code` leaves it
            sys.path[:] = path
            user_code.forget()
            for name in set(sys.modules) - modules:
                if is_of_user(sys.modules[name]):
                    del sys.modules[name]


def is_of_user(module: ModuleType) -> bool:
    """Whether a module comes from a file that is neither ours nor an installed package's."""
    file = getattr(module, "__file__", None) or ""
    return os.path.isabs(file) and not file.startswith((str(REPO), sys.prefix, sys.base_prefix))


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


def write_surface_file(
    path: str | Path, *, x, y=None, quantities: dict, measured=None, dir_file: str = ""
) -> None:
    """Write a surface file from arrays; `measured` says which points have values."""
    h5_util.write_surface(
        Surface(str(path), x=x, y=y, dir_file=dir_file, quantities=quantities, measured=measured)
    )
