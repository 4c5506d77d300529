"""Figures that are drawn again while surface files grow."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from losslandscape.core.errors import InputError
from losslandscape.draw import redraw
from losslandscape.files import h5_util
from tests.draw.surface_files import X
from tests.helpers import REPO, write_surface_file

pytestmark = pytest.mark.usefixtures("inside")


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(redraw, "LOOK_SECONDS", 0.05)


def write_points(count: int) -> None:
    """Write s.h5, of whose 9 points so many are measured."""
    measured = np.arange(9) < count
    values = np.where(measured, 1 + X**2, -1)
    write_surface_file("s.h5", x=X, quantities={"train_loss": values}, measured=measured)


def test_it_draws_at_every_change_until_all_points_are_measured():
    counts = iter([3, 6, 9])
    write_points(0)
    missing = []

    def draw():
        missing.append(len(h5_util.read_surface("s.h5").missing(["train_loss"])))
        write_points(next(counts, 9))

    redraw.draw(draw, ["s.h5"], watch=True)
    assert missing == [9, 6, 3, 0]


def test_a_file_that_does_not_exist_yet_is_waited_for(capsys):
    tries = []

    def draw():
        tries.append(1)
        if len(tries) == 1:
            write_points(9)
            raise InputError("there is no surface file 's.h5'")

    redraw.draw(draw, ["s.h5"], watch=True)
    assert len(tries) == 2
    assert "waiting: there is no surface file 's.h5'" in capsys.readouterr().out


def test_a_complete_file_that_cannot_be_drawn_ends_it():
    write_points(9)

    def draw():
        raise InputError("it is 1-D")

    with pytest.raises(InputError, match="1-D"):
        redraw.draw(draw, ["s.h5"], watch=True)


def test_ctrl_c_ends_it(capsys):
    write_points(3)

    def draw():
        raise KeyboardInterrupt

    redraw.draw(draw, ["s.h5"], watch=True)
    assert "watching ended" in capsys.readouterr().out


def test_without_watch_it_draws_once():
    drawn = []
    redraw.draw(lambda: drawn.append(1), ["nowhere.h5"], watch=False)
    assert drawn == [1]


def test_other_files_are_watched_with_the_surfaces():
    write_points(3)
    drawn = []

    def draw():
        drawn.append(1)
        if len(drawn) == 1:
            Path("path.h5").write_text("one checkpoint longer")
        else:
            write_points(9)

    redraw.draw(draw, ["s.h5"], watch=True, others=["path.h5"])
    assert len(drawn) == 3  # at first, after the change of the path, and after that of the surface


def test_other_files_alone_are_watched_until_ctrl_c(capsys):
    Path("path.h5").write_text("1")
    drawn = []

    def draw():
        drawn.append(1)
        if len(drawn) == 2:
            raise KeyboardInterrupt
        Path("path.h5").write_text("12")

    redraw.draw(draw, [], watch=True, others=["path.h5"])
    assert len(drawn) == 2
    assert "watching ended" in capsys.readouterr().out


@pytest.mark.slow
def test_a_process_follows_a_growing_file():
    write_points(4)
    with subprocess.Popen(
        [sys.executable, REPO / "plot_1D.py", "-f", "s.h5", "--watch", "--format", "png"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stdout:
            if "saved s.h5_1d_train_loss.png" in line:
                break
        time.sleep(1.2)
        write_points(9)
        rest = process.communicate(timeout=60)[0]
    assert process.returncode == 0
    assert "saved s.h5_1d_train_loss.png" in rest
