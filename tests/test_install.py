"""The package works from a wheel, outside the checkout, beside a user's files named as our modules."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import losslandscape
from losslandscape import __main__
from losslandscape.cli.command_line import Parser, sentence
from losslandscape.files import h5_util
from tests.helpers import REPO, mpirun

pytest.importorskip("setuptools", minversion="77", reason="setuptools is too old (requirements-dev.txt)")

SOURCES = ["losslandscape", "requirements", "pyproject.toml", "README.md", "LICENSE"]
NEIGHBOURS = ["losses", "evaluation", "figures", "samples", "options", "errors", "dataloader"]
HEAVY = {"torch", "numpy", "matplotlib", "h5py", "scipy", "mpi4py"}

# Four neighbours are imported at the top, three inside functions, which run later.
MINE = """
import errors, evaluation, losses, samples
import torch
from torch import nn

def net():
    from options import width
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, width()), nn.Tanh(), nn.Linear(width(), 2))

def data():
    import dataloader
    points = torch.linspace(-1, 1, 32).reshape(16, 2)
    return points, (points[:, 0] * dataloader.value > 0).long()

def loss(net, batch):
    import figures
    from losses import value
    mean = nn.functional.cross_entropy(net(batch[0]), batch[1])
    return mean * value, len(batch[0]), {"whose": torch.tensor(float(figures.value + samples.value))}
"""
SCRIPT = """
import losslandscape
import losses, mine

net = mine.net()
surface = losslandscape.loss_surface(net, mine.data(), mine.loss, x=(-1, 1, 3), y=(-1, 1, 3), quiet=True)
figure = losslandscape.plot_2d(surface, out="from_python", formats=["png"])[0]
print(losslandscape.__file__, losses.__file__, surface.get("train_whose").max(), figure)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder with the package installed from a wheel, and nothing else."""
    folder = tmp_path_factory.mktemp("install")
    (folder / "source").mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (REPO / name).is_dir() else shutil.copy
        copy(REPO / name, folder / "source" / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = ["wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", folder, folder / "source"]
    subprocess.run([*pip, *build], check=True)
    [wheel] = folder.glob("losslandscape_toolkit-*.whl")
    install = ["install", "--no-deps", "--no-index", "--target", folder / "site", wheel]
    subprocess.run([*pip, *install], check=True)
    return folder / "site"


@pytest.fixture
def user(tmp_path, monkeypatch, site) -> Path:
    """A user's folder, as the working folder; Python finds the installed package alone."""
    for name in NEIGHBOURS:
        (tmp_path / f"{name}.py").write_text("value = 1\ndef width(): return 4\n")
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "script.py").write_text(SCRIPT)
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def output(*command: object) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_printed(printed: str, site: Path, user: Path) -> None:
    package, neighbour, whose, figure = printed.splitlines()[-1].split()
    assert package == str(site / "losslandscape" / "__init__.py")
    assert neighbour == str(user / "losses.py")
    assert float(whose) == 2
    assert (user / figure).stat().st_size > 0


@pytest.mark.slow
def test_a_script_draws_beside_files_of_our_names(site, user):
    check_printed(output(sys.executable, "script.py"), site, user)


@pytest.mark.slow
def test_a_notebook_draws_beside_files_of_our_names(site, user):
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed (requirements-dev.txt)")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed (requirements-dev.txt)")
    from nbformat import v4

    notebook = v4.new_notebook(cells=[v4.new_code_cell(SCRIPT)])
    resources = {"metadata": {"path": str(user)}}
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()
    outputs = notebook.cells[0].outputs
    printed = "".join(part.text for part in outputs if part.output_type == "stream" and part.name == "stdout")
    check_printed(printed, site, user)


@pytest.mark.slow
def test_the_command_measures_and_records_itself(site, user):
    flags = ["--model", "mine.py:net", "--dataset", "mine.py:data", "--loss_name", "mine.py:loss"]
    flags += ["--x=-1:1:3", "--surf_file", "line.h5", "--plot", "--format", "png"]
    output(*mpirun(2), site / "bin" / "losslandscape", "plot_surface", "--mpi", *flags)
    surface = h5_util.read_surface("line.h5")
    assert surface.get("train_whose").tolist() == [2, 2, 2]
    assert list(user.glob("line.h5*.png"))
    told = output(sys.executable, "-m", "losslandscape", "h5_util", "line.h5")
    assert "losslandscape plot_surface --mpi --model mine.py:net" in told
    assert f"losslandscape {losslandscape.__version__}" in told


def test_the_import_is_light(site, user):
    code = "import sys, losslandscape; print(losslandscape.__file__, *sys.modules)"
    package, *modules = output(sys.executable, "-c", code).split()
    assert package.startswith(str(site))
    assert not HEAVY & set(modules)
    assert (site / "losslandscape" / "py.typed").exists()


def test_every_command_of_the_root_is_a_subcommand(monkeypatch, capsys):
    commands = {path.stem for path in REPO.glob("*.py")} | {"train", "figure"}
    assert set(__main__.COMMANDS) == commands
    for arguments in ([], ["--help"]):
        monkeypatch.setattr(sys, "argv", ["losslandscape", *arguments])
        __main__.main()
        printed = capsys.readouterr().out
        for name, what in __main__.COMMANDS.items():
            assert f"  {name} " in printed and what in printed


def test_a_subcommand_is_named_in_its_messages(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["losslandscape", "plot_1D", "--no_such_flag"])
    with pytest.raises(SystemExit) as end:
        __main__.main()
    assert end.value.code == 2
    assert "losslandscape plot_1D: error: unrecognized arguments" in capsys.readouterr().err


@pytest.mark.parametrize("rank", [0, 1])
def test_the_first_rank_alone_refuses_an_unknown_command(rank, monkeypatch, capsys):
    monkeypatch.setenv("PMI_RANK", str(rank))
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setattr(sys, "argv", ["losslandscape", "plot"])
    with pytest.raises(SystemExit) as end:
        __main__.main()
    assert end.value.code == 2
    printed = capsys.readouterr().err
    assert ("'plot'" in printed) == (rank == 0) and printed.count("\n") == (rank == 0)


def test_a_missing_optional_package_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "vtkmodules", None)
    with pytest.raises(SystemExit), sentence(Parser("")):
        import vtkmodules.util  # noqa: F401
    assert "pip install vtk" in capsys.readouterr().err
