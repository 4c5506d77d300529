"""plot_surface.py --over inputs: files, figures, ranks, and options that do not go with it."""

import numpy as np
import pytest

from losslandscape.cli import plot_surface
from losslandscape.files import h5_util
from tests.cli.own_net import OWN
from tests.helpers import SMALL_BATCH, succeed

LINE = [*OWN, "--over", "inputs", "--xdir", "sign", "--x=-0.2:0.2:5"]


def test_files_are_named_after_the_options(own):
    succeed("plot_surface.py", *LINE, "--plot", "--format", "png", cwd=own)
    stem = "mine.py_net_inputs_xdir=sign.h5"
    assert {path.name for path in own.glob("*.h5")} == {stem, f"{stem}_[-0.2,0.2,5].h5"}
    assert list(own.glob(f"{stem}_*.png"))
    plane = ["--xdir", "sample:3", "--ydir", "random", "--y=0:1:2", "--sample", "5", "--idx", "2"]
    succeed("plot_surface.py", *LINE, *plane, "--plot", "--format", "png", cwd=own)
    assert (
        own / "mine.py_net_inputs_xdir=sample3_ydir=random_idx=2_sample=5.h5_[-0.2,0.2,5]x[0.0,1.0,2].h5"
    ).exists()


def test_axes_say_what_moves(own, drawn):
    plot_surface.main([*LINE, "--plot"])
    plot_surface.main([*LINE, "--plot", "--ydir", "random", "--y=0:1:2"])
    line, *planes = drawn.values()
    assert line.axes[0].get_xlabel() == r"$\alpha$: input along the gradient's sign"
    texts = [(axes.get_xlabel(), axes.get_ylabel()) for fig in planes for axes in fig.axes]
    assert (r"$\alpha$: input along the gradient's sign", r"$\beta$: input along random signs") in texts


def test_a_run_resumes_and_the_direction_file_may_have_another_name(own):
    first = succeed("plot_surface.py", *LINE, "--surf_file", "s.h5", cwd=own)
    assert "moves: the inputs; the net stays as it is" in first
    assert "0 of 5 points" in succeed("plot_surface.py", *LINE, "--surf_file", "s.h5", cwd=own)
    succeed("plot_surface.py", *LINE, "--dir_file", "d.h5", cwd=own)
    (named,) = own.glob("d.h5_*.h5")
    np.testing.assert_array_equal(
        *(h5_util.read_surface(str(path)).get("train_loss") for path in (named, "s.h5"))
    )


def test_a_range_is_found(own):
    printed = succeed("plot_surface.py", *LINE[:-1], "--x", "auto:5", cwd=own)
    assert "range of x" in printed


@pytest.mark.slow
def test_two_ranks_measure_what_one_does(own):
    values = []
    for ranks in (0, 2):
        succeed("plot_surface.py", *LINE, "--surf_file", f"{ranks}.h5", "--overwrite", ranks=ranks, cwd=own)
        values.append(h5_util.read_surface(str(own / f"{ranks}.h5")).get("train_loss"))
    np.testing.assert_array_equal(*values)


@pytest.mark.slow
def test_the_golden_net_on_digits(tmp_path):
    flags = ["--data_split", "40", "--test_set", "--over", "inputs", "--xdir", "sign", "--x=0:0.1:2"]
    place = ["--model", "resnet20", "--model_file", str(SMALL_BATCH), "--dir_file", "d.h5"]
    succeed("plot_surface.py", "--dataset", "digits", *place, *flags, "--surf_file", "s.h5", cwd=tmp_path)
    found = h5_util.read_surface(str(tmp_path / "s.h5"))
    for part in ("train", "test"):
        here, there = found.get(f"{part}_loss")
        assert there > 5 * here


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--xdir", "hessian"], "--xdir hessian does not go with --over inputs"),
        (["--xnorm", "filter"], "--xnorm filter does not go with --over inputs"),
        (["--dir_type", "states"], "--dir_type states does not go with --over inputs"),
        (["--params", "0"], "--params 0 does not go with --over inputs"),
        (["--model_file2", "m.t7"], "--model_file2 m.t7 does not go with --over inputs"),
        (["--over", "weights"], "--xdir sign does not go with --over weights"),
        (["--over", "weights", "--xdir", "random", "--sample", "0"], "--sample 0 does not go with --over"),
        (["--xdir", "sample:x"], "there is no direction 'sample:x'; choose one of random, sign, gradient"),
        (["--sample", "40"], "sample 40 is not among the 40 of the train data"),
        (["--ydir", "sign"], "give --y too"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(own, flags, words, capsys):
    with pytest.raises(SystemExit) as ended:
        plot_surface.main([*LINE, *flags])
    assert ended.value.code == 2 and words in capsys.readouterr().err
    assert not list(own.glob("*.h5"))
