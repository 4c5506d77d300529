"""Where the commands write: directions in a new file, and names that are checked before all measuring."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from losslandscape.core.errors import InputError
from losslandscape.files import h5_util
from losslandscape.files.writable import require_writable
from losslandscape.nets import model_loader
from tests.cli.own_net import OWN
from tests.helpers import run, succeed

LINE = ["plot_surface.py", *OWN, "--x=-1:1:3", "--xnorm", "filter"]
LONGEST = 255  # bytes of a name, on the file systems of Linux and macOS


def refused(*command, cwd: Path) -> str:
    """The one sentence of a command that refuses, and that has written nothing."""
    before = sorted(os.listdir(cwd))
    done = run(*command, cwd=cwd)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stdout + done.stderr
    assert sorted(os.listdir(cwd)) == before and "to measure" not in done.stdout
    return done.stderr.strip().splitlines()[-1]


def losses(path: Path) -> np.ndarray:
    return h5_util.read_surface(str(path)).get("train_loss")


def save_checkpoint(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    torch.save(model_loader.load("mine.py:net").state_dict(), path)


def test_new_directions_are_made_in_the_given_file(own):
    succeed(*LINE, "--surf_file", "usual.h5", cwd=own)
    made = succeed(*LINE, "--dir_file", "new.h5", cwd=own)
    assert "--dir_file new.h5 does not exist; new directions are made there" in made
    (surface,) = own.glob("new.h5_*.h5")  # named after the direction file
    np.testing.assert_array_equal(losses(surface), losses(own / "usual.h5"))
    again = succeed(*LINE, "--dir_file", "new.h5", cwd=own)
    assert "0 of 3 points" in again and "does not exist" not in again


def test_an_existing_direction_file_is_used_without_a_comparison(own):
    succeed(*LINE, "--dir_file", "new.h5", cwd=own)
    other = succeed(*LINE, "--xnorm", "layer", "--dir_file", "new.h5", cwd=own)
    assert "0 of 3 points" in other


def test_eigenvectors_are_made_in_a_new_file_and_resumed(own):
    flags = [*OWN, "--x=-1:1:3", "--xdir", "hessian"]
    succeed("plot_surface.py", *flags, "--surf_file", "usual.h5", cwd=own)
    succeed("plot_surface.py", *flags, "--dir_file", "new.h5", cwd=own)
    (surface,) = own.glob("new.h5_*.h5")
    np.testing.assert_array_equal(losses(surface), losses(own / "usual.h5"))
    assert "0 of 3 points" in succeed("plot_surface.py", *flags, "--dir_file", "new.h5", cwd=own)
    succeed(*LINE, "--dir_file", "random.h5", cwd=own)
    both = refused("plot_surface.py", *flags, "--dir_file", "random.h5", cwd=own)
    assert "--xdir hessian is one of two directions" in both and "--dir_file" in both


def test_gradients_are_made_in_a_new_file_and_resumed(own):
    flags = [*OWN, "--x=-1:1:3", "--y=-1:1:2", "--xdir", "gradient", "--ydir", "sam"]
    printed = succeed("plot_surface.py", *flags, "--dir_file", "new.h5", cwd=own)
    assert "gradient of length" in printed and "another --idx" not in printed
    assert "0 of 6 points" in succeed("plot_surface.py", *flags, "--dir_file", "new.h5", cwd=own)
    both = refused("plot_surface.py", *OWN, "--x=-1:1:3", "--xdir", "sam", "--dir_file", "new.h5", cwd=own)
    assert "--xdir sam is one of two directions" in both


def test_other_commands_make_a_new_direction_file_too(own):
    save_checkpoint(own / "m.pt")
    flags = ["--model", OWN[-1], "--model_file", "m.pt"]
    printed = succeed("net_plotter.py", *flags, "--dir_file", "new.h5", cwd=own)
    assert "new directions are made there" in printed
    assert "new.h5: a direction file with one direction" in printed
    printed = succeed("plot_hessian_eigen.py", *OWN, "--x=-1:1:3", "--dir_file", "other.h5", cwd=own)
    assert "new directions are made there" in printed and list(own.glob("other.h5_*.h5"))
    assert "none.h5 does not exist" in refused("net_plotter.py", "--dir_file", "none.h5", cwd=own)


def test_a_series_takes_its_directions_from_a_new_file(own):
    for epoch in (1, 2):
        save_checkpoint(own / "run" / f"m_{epoch}.pt")
    succeed(*LINE, "--model_file", "run/m_*.pt", "--dir_file", "new.h5", cwd=own)
    assert len(h5_util.read_directions("new.h5")) == 1
    assert len(list((own / "run").glob("*.h5"))) == 2


@pytest.fixture
def read_only(own, monkeypatch):
    """A folder that may not be written to, also for root: `os.access` says so."""
    save_checkpoint(own / "locked" / "m.pt")
    real, folder = os.access, str(own / "locked")
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != folder and real(path, mode))
    return own


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        (LINE, "--dir_file"),
        ([*LINE, "--surf_file", "s.h5"], "--dir_file"),
        ([*LINE, "--dir_file", "d.h5", "--surf_file", "locked/s.h5"], "--surf_file"),
        (["net_plotter.py", "--model", OWN[-1]], "--dir_file"),
        (["hessian.py", *OWN], "--out"),
        (["hessian.py", *OWN, "--only", "trace", "--json", "locked/x.json"], "give another name"),
    ],
)
def test_a_folder_that_is_read_only(read_only, command, advice):
    sentence = refused(*command, "--model_file", "locked/m.pt", cwd=read_only)
    assert "cannot be written to" in sentence and advice in sentence


def test_a_read_only_checkpoint_is_measured_with_dir_file(read_only):
    succeed(*LINE, "--model_file", "locked/m.pt", "--dir_file", "d.h5", cwd=read_only)
    assert os.listdir(read_only / "locked") == ["m.pt"] and list(read_only.glob("d.h5_*.h5"))
    flags = ["--only", "density", "--steps", "4", "--out", "figure", "--model_file", "locked/m.pt"]
    succeed("hessian.py", *OWN, *flags, cwd=read_only)
    assert (read_only / "figure_hessian_density.pdf").exists()


def name_of(length: int) -> str:
    return "s" * (length - 3) + ".h5"


@pytest.mark.parametrize("shape", ["line", "plane", "eigen line"])
def test_figure_names_fit_before_the_surface_is_measured(own, shape):
    """The longest figure's name has just room, and one byte more is refused."""
    command = ["plot_hessian_eigen.py" if shape == "eigen line" else "plot_surface.py", *OWN, "--x=-1:1:2"]
    command += ["--y=-1:1:2", "--vmin", "0.1", "--vmax", "9"] if shape == "plane" else []
    ending = {
        "line": "_1d_train_loss.pdf",
        "plane": "_train_loss_2dcontourf.pdf",
        "eigen line": "_1d_eig_abs_ratio.pdf",
    }[shape]
    fits = name_of(LONGEST - len(ending))
    sentence = refused(*command, "--plot", "--surf_file", "s" + fits, "--dir_file", "d.h5", cwd=own)
    assert f"{LONGEST + 1} bytes" in sentence and "--surf_file" in sentence
    succeed(*command, "--plot", "--surf_file", fits, "--dir_file", "d.h5", cwd=own)
    assert (own / (fits + ending)).exists()
    files = ["--surf_file", fits, "--dir_file", "d.h5"]
    assert "--out" in refused(*command, "--plot", *files, "--out", "s" + fits, cwd=own)
    succeed(*command, "--plot", *files, "--out", "figure", cwd=own)
    assert (own / f"figure{ending}").exists()


def test_names_that_are_too_long(own):
    long = own / "checkpoints" / ("m" * 240)
    save_checkpoint(long)
    file = ["--model_file", str(long)]
    assert "--dir_file" in refused(*LINE, *file, cwd=own)
    assert "--surf_file" in refused(*LINE, *file, "--dir_file", name_of(LONGEST - 20), cwd=own)
    assert "--out" in refused("hessian.py", *OWN, *file, cwd=own)
    sentence = refused("hessian.py", *OWN, "--json", "j" * 260, cwd=own)
    assert "--json" in sentence and "260 bytes, and 255" in sentence
    succeed(*LINE, *file, "--dir_file", "d.h5", cwd=own)


def test_a_series_is_checked_before_its_first_surface_is_measured(read_only):
    """Its surfaces lie beside the checkpoints."""
    for epoch in (1, 2):
        save_checkpoint(read_only / "locked" / f"m_{epoch}.pt")
    series = [*LINE, "--model_file", "locked/m_*.pt", "--dir_file", "d.h5"]
    assert "--surf_file" in refused(*series, cwd=read_only)
    succeed(*series, "--surf_file", "film", cwd=read_only)
    assert len(list(read_only.glob("film_*.h5"))) == 2


def test_require_writable(tmp_path):
    require_writable(str(tmp_path / "fits"), "give another name")
    require_writable(str(tmp_path / ("é" * 127)), "give another name")  # of two bytes
    deep = tmp_path / "/".join(["d" * 99] * 39)
    deep.mkdir(parents=True)
    for path, word in (
        (deep / ("s" * 250), "its path has"),
        (tmp_path / ("é" * 128), "its name has 256 bytes, and 255"),
        (tmp_path / "nowhere" / "file", "does not exist; make it, or give another name"),
    ):
        with pytest.raises(InputError) as raised:
            require_writable(str(path), "give another name")
        assert word in str(raised.value)
