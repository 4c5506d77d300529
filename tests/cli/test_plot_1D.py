"""plot_1D.py: names of figures, and what it refuses."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from losslandscape.cli import plot_1D
from tests.draw.surface_files import outputs, write_bowl
from tests.helpers import REPO, run, succeed

pytestmark = pytest.mark.usefixtures("inside")


def test_figures_and_their_names():
    plot_1D.main(["--surf_file", write_bowl(), "--format", "png"])
    assert outputs() == ["s.h5_1d_loss_acc.png", "s.h5_1d_train_err.png", "s.h5_1d_train_loss.png"]


def test_options_reach_the_figures(drawn):
    write_bowl("a.h5")
    write_bowl("b.h5")
    plot_1D.main(["-f", "a.h5", "b.h5", "--title", "one", "two", "--out", "both", "--log", "--xmax", "0.5"])
    assert sorted(drawn) == ["both_1d_loss_acc_log", "both_1d_train_err", "both_1d_train_loss_log"]
    panels = drawn["both_1d_train_err"].axes
    assert [(axes.get_title(), axes.get_xlim()) for axes in panels] == [
        ("one", (-1, 0.5)),
        ("two", (-1, 0.5)),
    ]


def test_several_nets_in_one_panel(drawn):
    for name in ("a", "b1", "b2", "c1", "c2"):
        write_bowl(f"{name}.h5", names=["train_loss"])
    argv = "-f a.h5 --group b1.h5 b2.h5 --group c1.h5 c2.h5 --title A B C --band range --out nets".split()
    plot_1D.main([*argv, "--legend", "upper center", "--xlabel", "step"])
    (axes,) = drawn["nets_1d_train_loss"].axes
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["A", "B (mean of 2)", "C (mean of 2)", "lowest to highest"]
    assert axes.get_xlabel() == "step"


def test_together_without_titles(drawn):
    plot_1D.main(["-f", write_bowl("a.h5"), write_bowl("b.h5"), "--together", "--marks", "none"])
    assert sorted(drawn) == ["a.h5_together_1d_train_err", "a.h5_together_1d_train_loss"]


def test_repeats(drawn):
    for index in range(2, 5):
        write_bowl(f"run_{index}.h5", names=("train_loss", "train_acc", "test_loss", "test_acc"))
    plot_1D.main(["--prefix", "run", "--idx_min", "2", "--idx_max", "4"])
    assert list(drawn) == ["run_1d_loss_err_repeat"]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "give one of --surf_file and --prefix"),
        (["-f", "nowhere.h5"], "nowhere.h5"),
        (["-f", "text.h5"], "text.h5"),
        (["-f", "plane.h5"], "plane.h5 is 2-D; use plot_2D.py"),
        (["-f", "nothing.h5"], "nothing.h5 has no quantity to draw"),
        (["-f", "empty.h5"], "9 of 9 points (100 %) not computed yet"),
        (["-f", "zero.h5", "--log"], "leave --log out"),
        (["-f", "line.h5", "--xmin", "1", "--xmax", "0"], "xmin 1 is greater than xmax 0"),
        (["-f", "line.h5", "--xmin", "5", "--xmax", "6"], "line.h5 goes from -1 to 1"),
        (["-f", "line.h5", "--xmin", "nan"], "'nan' is not a finite number"),
        (["-f", "line.h5", "--format", "gif"], "gif"),
        (
            ["-f", "line.h5", "line.h5", "--title", "one"],
            "1 titles for 2 surface files; give one for each (--title)",
        ),
        (["--prefix", "run", "--idx_max", "1", "--xmax=-4", "--xmin=-5"], "run_1.h5 goes from -1 to 1"),
        (["--prefix", "run", "--idx_max", "3"], "run_2.h5 does not exist"),
        (["--prefix", "run", "--idx_min", "3", "--idx_max", "1"], "idx_max 1"),
        (["-f", "line.h5", "--barrier"], "line.h5 has no barrier"),
        (["-f", "line.h5", "--together", "--barrier"], "leave --barrier or --together out"),
        (["-f", "line.h5", "--marks", "a", "b"], "give one text (--marks)"),
        (["-f", "line.h5", "--legend", "nowhere"], "nowhere"),
        (["--group", "line.h5", "short.h5"], "give files of one grid to each --group"),
        (["--prefix", "run", "--title", "a"], "--title and --together are for --surf_file"),
    ],
)
def test_one_sentence_and_status_2(argv, says, inside):
    write_bowl("line.h5")
    write_bowl("run_1.h5")
    write_bowl("short.h5", 7)
    write_bowl("plane.h5", 7, 5)
    write_bowl("zero.h5", values=0.0)
    write_bowl("nothing.h5", names=())
    write_bowl("empty.h5", names=("train_loss",), values=-1)
    Path("text.h5").write_text("not HDF5")
    done = run("plot_1D.py", *argv, cwd=inside)
    assert done.returncode == 2
    sentence = done.stderr.splitlines()[-1]
    assert sentence.startswith("plot_1D.py: error: ") or "error: " in sentence
    assert says in sentence
    assert outputs() == []


def test_without_tensorboard_there_is_no_log(inside):
    succeed("plot_1D.py", "-f", write_bowl(names=("train_acc",)), "--format", "png", cwd=inside)
    assert not [path for path in inside.iterdir() if path.is_dir()]


@pytest.mark.slow
def test_show_without_a_display(inside):
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND")
    }
    write_bowl(names=("train_acc",), values=np.ones(9))
    done = subprocess.run(
        [sys.executable, REPO / "plot_1D.py", "-f", "s.h5", "--show", "--format", "png"],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "saved s.h5_1d_train_err.png" in done.stdout
    assert "no display" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", ["1", ""])
def test_a_reader_that_has_gone_ends_it_quietly(unbuffered):
    reading, writing = os.pipe()
    os.close(reading)
    write_bowl(names=("train_acc",))
    done = subprocess.run(
        [sys.executable, REPO / "plot_1D.py", "-f", "s.h5", "--format", "png"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        timeout=60,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")
