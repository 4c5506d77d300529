"""Figures of lines: one per quantity, with gaps, bands, marks and shared scales."""

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from losslandscape.core.errors import InputError
from losslandscape.draw import figures
from losslandscape.draw.line_figures import plot_1d, plot_repeats
from losslandscape.files import h5_util
from losslandscape.files.surface import Surface
from tests.draw.surface_files import X, notes, write_bowl, write_line
from tests.helpers import write_surface_file

BOTH_PARTS = ("train_loss", "train_acc", "test_loss", "test_acc")


def curve(fig: Figure, label: str):
    (line,) = (one for one in fig.axes[0].lines if one.get_label() == label)
    return line


# One surface ------------------------------------------------------------------------------------------------


def test_loss_and_accuracy(drawn):
    plot_1d(write_bowl(nx=21, names=BOTH_PARTS), loss_max=4)
    x = np.linspace(-1, 1, 21)
    assert sorted(drawn) == ["s.h5_1d_loss_acc", "s.h5_1d_train_err", "s.h5_1d_train_loss"]
    left, right = drawn["s.h5_1d_loss_acc"].axes
    train, test = (line for line in left.lines if len(line.get_xdata()) == 21)
    assert np.allclose(train.get_ydata(), 0.2 + 8 * x**2)
    assert (train.get_linestyle(), test.get_linestyle()) == ("-", "--")
    assert left.get_ylim() == (0, 4)
    assert left.get_xlim() == (-1, 1)
    assert train.get_color() != right.lines[0].get_color()
    error = drawn["s.h5_1d_train_err"].axes[0].lines[0]
    assert np.allclose(error.get_ydata(), 100 - 100 * np.exp(-(0.2 + 8 * x**2)))


def test_a_figure_for_each_value(drawn):
    own = {"train_reward": -200 + X, "test_reward": -210 + X, "penalty": 0.2 + 0.01 * X**2}
    plot_1d(write_line(train_loss=1 + X**2, train_top5=90.0, **own))
    values = ("penalty", "reward", "top5", "train_loss")
    assert sorted(drawn) == [f"s.h5_1d_{value}" for value in values]
    reward = drawn["s.h5_1d_reward"]
    assert curve(reward, "train reward").get_linestyle() == "-"
    assert curve(reward, "test reward").get_linestyle() == "--"
    low, high = reward.axes[0].get_ylim()
    assert low < -211 and high > -199  # all of it is in sight
    assert reward.axes[0].get_ylabel() == "reward"
    assert drawn["s.h5_1d_top5"].axes[0].get_ylim() == (-2, 102)
    assert "top-5 accuracy (%)" in drawn["s.h5_1d_top5"].axes[0].get_ylabel()
    assert not drawn["s.h5_1d_penalty"].legends  # it would repeat the label of the axis


def test_a_file_without_loss_and_accuracy(drawn):
    plot_1d(write_line(train_energy=X**3))
    assert list(drawn) == ["s.h5_1d_energy"]
    assert np.array_equal(drawn["s.h5_1d_energy"].axes[0].lines[0].get_ydata(), X**3)


def test_log_is_for_losses(drawn):
    losses = {"train_loss": 1 + X**2, "train_regularised_loss": 2 + X**2}
    plot_1d(write_line(train_reward=3 + X, **losses), log=True)
    scales = {stem: fig.axes[0].get_yscale() for stem, fig in drawn.items()}
    assert scales == {
        "s.h5_1d_regularised_loss_log": "log",
        "s.h5_1d_reward": "linear",
        "s.h5_1d_train_loss_log": "log",
    }


def test_a_range_and_a_log_axis(drawn):
    plot_1d(write_line(train_loss=X), log=True, xmin=-0.5, xmax=0.75)
    fig = drawn["s.h5_1d_train_loss_log"]
    assert fig.axes[0].get_xlim() == (-0.5, 0.75)
    assert np.array_equal(np.isnan(fig.axes[0].lines[0].get_ydata()), X <= 0)
    assert "train loss: zero or negative at 5 points, which have no logarithm" in notes(fig)


def test_a_wide_line_is_not_cut_at_1(drawn):
    write_surface_file("s.h5", x=np.linspace(-0.5, 1.5, 5), quantities={"train_loss": np.ones(5)})
    plot_1d("s.h5")
    assert sorted(drawn) == ["s.h5_1d_train_loss"]  # without accuracy, one figure is enough
    assert all(fig.axes[0].get_xlim() == (-0.5, 1.5) for fig in drawn.values())


def test_a_negative_loss_is_all_in_sight(drawn, capsys):
    plot_1d(write_line(train_loss=-3000 + 500 * X**2, test_loss=100 * X**2))
    low, high = drawn["s.h5_1d_train_loss"].axes[0].get_ylim()
    assert low < -3000 and high > 100
    assert "s.h5: some loss is negative, so the axis follows the data." in capsys.readouterr().out


def test_a_gap_in_a_line_and_a_point_alone(drawn, capsys):
    values = np.array([1.0, 2.0, np.nan, 3.0, np.inf, 2.0, 2.0, -1.0, -1.0])
    plot_1d(write_bowl(names=("train_loss",), values=values))
    fig = drawn["s.h5_1d_train_loss"]
    line = fig.axes[0].lines[0]
    assert np.flatnonzero(np.isnan(line.get_ydata())).tolist() == [2, 4, 7, 8]
    (alone,) = (one for one in fig.axes[0].lines if one.get_marker() == "o")
    assert alone.get_xydata().tolist() == [[X[3], 3]]
    assert "2 of 9 points (22 %) not computed yet; 2 points NaN or infinite" in notes(fig)
    assert capsys.readouterr().out.count("not computed yet") == 1


@pytest.mark.slow
def test_one_point(drawn, recwarn):
    plot_1d(write_bowl(nx=1))
    assert len(drawn) == 3
    for fig in drawn.values():
        fig.draw_without_rendering()
    assert not recwarn.list


def test_a_band_of_one_standard_error(drawn):
    error = 0.1 + 0.05 * X**2
    plot_1d(write_line(train_loss=1 + X**2, train_loss_se=error, train_loss_diff_se=0.0))
    for fig in drawn.values():
        (band,) = (one for one in fig.axes[0].collections if isinstance(one, PolyCollection))
        vertices = band.get_paths()[0].vertices
        for x, middle, half in zip(X, 1 + X**2, error, strict=True):
            ends = vertices[np.isclose(vertices[:, 0], x), 1]
            assert (ends.min(), ends.max()) == pytest.approx((middle - half, middle + half))
        assert "± 1 standard error" in [text.get_text() for text in fig.legends[0].get_texts()]


# Several surfaces -------------------------------------------------------------------------------------------


def test_several_curves_on_one_scale(drawn):
    write_bowl("a.h5", 9)
    write_bowl("b.h5", 21, values=100.0)
    plot_1d("a.h5", "b.h5", loss_max=50)
    assert sorted(drawn) == [f"a.h5_compared_1d_{kind}" for kind in ("loss_acc", "train_err", "train_loss")]
    for fig in drawn.values():
        panels = [axes for axes in fig.axes if axes.get_title()]
        assert [axes.get_title() for axes in panels] == ["a.h5", "b.h5"]
        assert panels[0].get_ylim() == panels[1].get_ylim()
    assert len(drawn["a.h5_compared_1d_train_err"].axes) == 2


def test_the_outermost_panel_with_curves_names_an_axis_in_each_row(drawn):
    write_bowl("acc.h5", names=("train_acc",))
    write_bowl("loss.h5", names=("train_loss",))
    write_bowl("both.h5")
    plot_1d("acc.h5", "loss.h5", "both.h5", "loss.h5", titles=["a", "b", "c", "d"])
    fig = drawn["acc.h5_compared_1d_loss_acc"]
    fig.draw_without_rendering()
    left, right = fig.axes[:4], fig.axes[4:]

    def is_named(axes, number):
        ticks = axes.yaxis.get_major_ticks()
        has_numbers = any(getattr(tick, f"label{number}").get_visible() for tick in ticks)
        return axes.yaxis.get_visible() and has_numbers and bool(axes.get_ylabel())

    assert [is_named(axes, 1) for axes in left] == [False, True, True, False]
    assert [is_named(axes, 2) for axes in right] == [True, False, True, False]


def test_a_log_axis_that_panels_share_holds_all_values(drawn, recwarn):
    write_bowl("a.h5", 9)
    write_bowl("b.h5", 9, values=np.geomspace(1e-300, 1e190, 9))
    plot_1d("a.h5", "b.h5", "a.h5", titles=["a", "b", "c"], log=True)
    fig = drawn["a.h5_compared_1d_train_loss_log"]
    fig.draw_without_rendering()
    assert not recwarn.list
    for axes in fig.axes:
        low, high = axes.get_ylim()
        assert 0 < low < 1e-200 and high > 1e190


# Repeats ----------------------------------------------------------------------------------------------------


def test_repeats_have_their_mean_and_spread(drawn, capsys):
    for index, factor in enumerate((1, 2, 6), start=1):
        ramp = factor * np.arange(1.0, 10)
        write_bowl(f"run_{index}.h5", names=("train_loss", "train_acc", "train_energy"), values=ramp)
    plot_repeats("run", idx_max=3, loss_max=99)
    assert sorted(drawn) == ["run_1d_energy_repeat", "run_1d_loss_err_repeat"]
    axes = drawn["run_1d_loss_err_repeat"].axes[0]
    assert any(np.array_equal(line.get_ydata(), 3 * np.arange(1.0, 10)) for line in axes.lines)
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    deviation = np.std([1, 2, 6], ddof=1)  # of a sample, as in the printed table
    assert band.max() == pytest.approx(9 * (3 + deviation))
    assert band.min() == pytest.approx(3 - deviation)
    texts = [text.get_text() for text in drawn["run_1d_loss_err_repeat"].legends[0].get_texts()]
    assert texts == ["train loss, mean", "train error, mean", "± 1 standard deviation"]
    assert "train_energy, 3 surfaces" in capsys.readouterr().out


def test_repeats_on_different_grids_have_no_mean(drawn):
    write_bowl("run_1.h5", 9)
    write_bowl("run_2.h5", 7)
    plot_repeats("run", idx_max=2)
    fig = drawn["run_1d_loss_err_repeat"]
    assert not fig.axes[0].collections
    assert fig.axes[0].get_title() == "2 repeats"


def test_repeats_name_the_commands_of_all_files(inside, monkeypatch):
    made_by = []
    monkeypatch.setattr(figures, "save", lambda *_, **options: made_by.extend(options["made_by"]) or [])
    for index in (1, 2, 3):
        runs = [{"command": f"python plot_surface.py --idx {index}"}]
        surface = Surface(f"run_{index}.h5", x=X, y=None, quantities={"train_acc": X}, runs=runs)
        h5_util.write_surface(surface)
    plot_repeats("run", idx_max=3)
    assert made_by == [f"python plot_surface.py --idx {index}" for index in (1, 2, 3)]


@pytest.mark.parametrize(
    ("numbers", "says"), [((1, 3), "run_2.h5 does not exist"), ((3, 1), "idx_max 1 is less than idx_min 3")]
)
def test_repeats_that_are_missing(inside, numbers, says):
    write_bowl("run_1.h5")
    with pytest.raises(InputError, match=says):
        plot_repeats("run", idx_min=numbers[0], idx_max=numbers[1])
