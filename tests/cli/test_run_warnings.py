"""What a run warns about before it measures."""

import re

import numpy as np
import pytest

from losslandscape.cli import plot_surface
from losslandscape.files import h5_util
from tests.helpers import DIGITS, LARGE_BATCH, SMALL_BATCH, folder_with

CENTRE = "resnet20_digits_bs=64/model_6.t7"
OTHER = "resnet20_digits_bs=512/model_40.t7"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(folder_with(tmp_path, SMALL_BATCH, LARGE_BATCH))
    return tmp_path


@pytest.mark.slow
def test_preprocessing_that_differs_is_warned_about(folder, capsys):
    line = [*DIGITS[:3], "8", *DIGITS[4:], "--model_file", CENTRE, "--x=0:0:1"]
    plot_surface.main([*line, "--surf_file", "right.h5"])
    assert "the checkpoint says" not in capsys.readouterr().out
    plot_surface.main([*line, "--mean", "3", "--surf_file", "wrong.h5"])
    pattern = r"warning: the accuracy at the centre is [\d.]+ % .*, and the checkpoint says [\d.]+ %"
    assert re.search(pattern, capsys.readouterr().out)


@pytest.mark.slow
def test_variances_that_become_negative_are_told_before(folder, capsys):
    nets = ["--model_file", CENTRE, "--model_file2", OTHER, "--dir_type", "states"]
    plot_surface.main([*DIGITS, *nets, "--x=-4:4:9", "--surf_file", "s.h5"])
    pattern = r"variance is negative at (\d+) of 9 points, first that of \S+ at \((\S+)\)"
    said = re.search(pattern, capsys.readouterr().out)
    assert said
    surface = h5_util.read_surface("s.h5")
    nan = np.isnan(surface.get("train_loss"))
    assert nan.sum() == int(said[1]) > 0
    assert nan[surface.x == float(said[2])].all()
    assert "--bn recompute" in said.string.partition("negative")[2].splitlines()[0]

    plot_surface.main([*DIGITS, *nets, "--x=-4:4:3", "--bn", "recompute:44", "--surf_file", "again.h5"])
    assert "variance is negative" not in capsys.readouterr().out
    assert np.isfinite(h5_util.read_surface("again.h5").get("train_loss")).all()
