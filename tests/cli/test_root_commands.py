"""Every Python file at the root is a command, and the first line of its docstring works when it is copied."""

import ast
import shlex
import shutil
import subprocess

import pytest

from tests.helpers import REPO, mpirun

FILES = sorted([*(path.name for path in REPO.glob("*.py")), "cifar10/main.py"])
QUICK = ["plot_1D.py", "net_plotter.py", "h5_util.py", "scheduler.py"]  # the others run in test_all_of_them


def first_line(file: str) -> str:
    return ast.get_docstring(ast.parse((REPO / file).read_text())).splitlines()[0]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of what the commands read, to write beside it."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("examples", "losslandscape", "tests/golden"):
        shutil.copytree(REPO / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "cifar10").mkdir()
    for file in FILES:
        shutil.copy(REPO / file, folder / file)
    return folder


def run_first_line(file: str, folder) -> subprocess.CompletedProcess:
    line = first_line(file).replace("mpirun", shlex.quote(mpirun(1)[0]))
    return subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("file", FILES)
def test_a_root_file_is_a_short_command(file):
    lines = (REPO / file).read_text().splitlines()
    assert len(lines) <= (20 if file == "cifar10/main.py" else 15)
    assert f"python {file}" in first_line(file)


@pytest.mark.slow
@pytest.mark.parametrize("file", QUICK)
def test_the_first_line_works(file, checkout):
    done = run_first_line(file, checkout)
    assert done.returncode == 0, done.stderr


@pytest.mark.nightly
@pytest.mark.parametrize("file", [file for file in FILES if file not in QUICK])
def test_all_of_them(file, checkout):
    done = run_first_line(file, checkout)
    assert done.returncode == 0, done.stderr
