"""`plot_surface.py --refine`: few points, resumed with and without, and the file says so."""

import numpy as np
import pytest

from losslandscape.cli import h5_util as report
from losslandscape.cli import plot_hessian_eigen, plot_surface
from losslandscape.files import h5_util
from tests.helpers import DIGITS, SMALL_BATCH, folder_with

CENTRE = "resnet20_digits_bs=64/model_6.t7"
LINE = [*DIGITS, "--model_file", CENTRE, "--x=-1:1:33", "--surf_file", "s.h5"]


@pytest.mark.slow
def test_a_line_is_refined_and_then_measured_in_full(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(folder_with(tmp_path, SMALL_BATCH))
    plot_surface.main([*LINE, "--refine", "0.2"])
    refined = h5_util.read_surface("s.h5")
    count = int(np.count_nonzero(refined.measured("train_loss")))
    assert 9 <= count < 33 and f"{count} of 33 points measured" in capsys.readouterr().out
    report.main(["s.h5"])
    assert "every point that --refine needs is computed" in capsys.readouterr().out
    plot_surface.main(LINE)
    full = h5_util.read_surface("s.h5")
    assert full.measured("train_loss").all() and full.made_with == refined.made_with


@pytest.mark.parametrize("tolerance", ["0", "1", "-0.1", "nan", "much"])
def test_a_tolerance_that_is_no_share_is_refused(tolerance, capsys):
    with pytest.raises(SystemExit, match="2"):
        plot_surface.main([f"--refine={tolerance}"])
    assert "above 0 and below 1" in capsys.readouterr().err


def test_eigenvalues_are_not_refined(capsys):
    with pytest.raises(SystemExit, match="2"):
        plot_hessian_eigen.main(["--x=-1:1:33", "--refine", "0.02"])
    assert capsys.readouterr().err.rstrip().endswith("unrecognized arguments: --refine 0.02")
