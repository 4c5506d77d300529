"""The command that makes VTP files and pictures, and what it refuses."""

import os

import numpy as np
import pytest

pytest.importorskip("vtkmodules", reason="the vtk package is not installed")
from losslandscape.cli import h52vtp
from tests.draw.vtk.planes import X, bowl, read_vtp, write_plane
from tests.helpers import succeed, write_surface_file


def test_several_files(inside):
    h52vtp.main(["-f", write_plane("a.h5"), write_plane("b.h5", values=2 * bowl()), "a.h5"])
    one, twice = read_vtp("a.h5_train_loss.vtp"), read_vtp("b.h5_train_loss.vtp")
    assert np.array_equal(2 * one.points[:, 2], twice.points[:, 2])
    assert len(os.listdir()) == 4


def test_nothing_but_the_paths_is_printed(inside):
    write_plane()
    out = succeed("h52vtp.py", "-f", "s.h5", "--zmax", "10", "--log", cwd=inside)
    assert out == "saved s.h5_train_loss_zmax=10.0_log.vtp\n"
    assert read_vtp("s.h5_train_loss_zmax=10.0_log.vtp").made_by == [
        "python h52vtp.py -f s.h5 --zmax 10 --log"
    ]


@pytest.mark.parametrize("zmax", ["0", "-1"])
def test_a_height_that_is_not_positive_is_no_cut(inside, zmax):
    write_plane()
    h52vtp.main(["-f", "s.h5", "--zmax", zmax, "--interp", zmax])
    assert sorted(os.listdir()) == ["s.h5", "s.h5_train_loss.vtp"]


@pytest.fixture(scope="module")
def refused_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("refused")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_plane("plane.h5")
        write_plane("row.h5", y=np.zeros(1))
        write_plane("column.h5", x=np.zeros(1))
        write_plane("point.h5", x=np.zeros(1), y=np.zeros(1))
        write_plane("nan.h5", values=np.nan)
        write_plane("negative.h5", values=-bowl())
        write_plane("empty.h5", values=-1.0)
        write_plane("diagonal.h5", x=X[:5], values=np.where(np.eye(5), 1.0, np.nan))
        write_surface_file("line.h5", x=X, quantities={"train_loss": X})
    return folder


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["-f", "nowhere.h5"], "nowhere.h5"),
        (["-f", "line.h5"], "line.h5 is 1-D; use plot_1D.py"),
        (["-f", "row.h5"], "row.h5: train_loss leaves nothing to draw"),
        (["-f", "column.h5"], "column.h5: train_loss leaves nothing to draw"),
        (["-f", "point.h5"], "point.h5: train_loss leaves nothing to draw"),
        (["-f", "nan.h5"], "nan.h5: train_loss leaves nothing to draw"),
        (["-f", "empty.h5"], "empty.h5: train_loss leaves nothing to draw"),
        (["-f", "diagonal.h5", "--interp", "9"], "diagonal.h5: train_loss leaves nothing to draw"),
        (["-f", "negative.h5", "--log"], "negative.h5: train_loss leaves nothing to draw"),
        (["-f", "plane.h5", "row.h5"], "row.h5: train_loss leaves nothing to draw"),
        (["-f", "plane.h5", "--surf_name", "test_loss"], "'test_loss'; it has train_loss"),
        (["-f", "plane.h5", "--zmax", "0.1"], "zmax 0.1 is not above any value"),
        (["-f", "plane.h5", "--interp", "1"], "give --interp from 2"),
        (["-f", "plane.h5", "--interp", "1000000"], "1000000 points along an axis"),
        (["-f", "plane.h5", "--view", "top"], "give --png as well"),
        (["-f", "plane.h5", "--no_bar", "--zoom", "2"], "--zoom and --no_bar are for pictures: give --png"),
        (["-f", "plane.h5", "--png", "--cmap", "rainbowish"], "give --cmap turbo"),
        (["-f", "plane.h5", "--png", "--background", "bluish"], "give --background transparent"),
        (["-f", "plane.h5", "--png", "--elevation", "100"], "give --elevation from -90 to 90"),
        (["-f", "plane.h5", "--png", "--height", "0"], "give --height from"),
        (["-f", "plane.h5", "--png", "--out", "nowhere/x"], "the folder 'nowhere' of 'x' does not exist"),
        (["-f", "plane.h5", "--png", "--proj_file", "nowhere.h5"], "nowhere.h5"),
        (["-f", "plane.h5", "--png", "--size", "800"], "'800' is not a size"),
        (["-f", "plane.h5", "--png", "--view", "below"], "'below'"),
        ([], "--surf_file"),
    ],
)
def test_one_sentence_and_status_2(refused_files, monkeypatch, capsys, flags, expected):
    monkeypatch.chdir(refused_files)
    before = sorted(os.listdir())
    with pytest.raises(SystemExit) as stopped:
        h52vtp.main(flags)
    assert stopped.value.code == 2
    [sentence] = capsys.readouterr().err.strip().splitlines()
    assert expected in sentence
    assert sorted(os.listdir()) == before


def test_a_file_name_that_cannot_be_written_is_named(inside, capsys):
    name = "x" * 240 + ".h5"
    os.rename(write_plane(), name)
    with pytest.raises(SystemExit):
        h52vtp.main(["-f", name])
    assert "h5_train_loss.vtp" in capsys.readouterr().err
    assert os.listdir() == [name]
