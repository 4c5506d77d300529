"""Ticks, legends and footnotes of 1-D figures."""

import numpy as np
import pytest

from losslandscape.core.errors import InputError
from losslandscape.draw.figure_details import Details
from losslandscape.draw.line_axes import RATIO, LogFormatter, UniformFormatter
from losslandscape.draw.line_figures import plot_1d
from tests.draw.surface_files import X, notes, write_bowl, write_line


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0, 0.5, 1], ["0.0", "0.5", "1.0"]),
        ([-1, 0, 1], ["−1", "0", "1"]),
        ([1000, 1000.002, 1000.004], ["1000.000", "1000.002", "1000.004"]),
        ([0, 1e6, 2e6], ["0", r"$1\times10^{6}$", r"$2\times10^{6}$"]),
        ([0, 5000, 1e5], ["0", r"$5\times10^{3}$", r"$1\times10^{5}$"]),
    ],
)
def test_linear_ticks(values, texts):
    assert UniformFormatter().format_ticks(values) == texts


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0.1, 1, 10], ["0.1", "1", "10"]),
        ([1, 100, 1e5], ["$10^{0}$", "$10^{2}$", "$10^{5}$"]),
        ([3e4, 1e5], [r"$3\times10^{4}$", r"$1\times10^{5}$"]),
    ],
)
def test_log_ticks_never_mix_numbers_and_powers(values, texts):
    assert LogFormatter().format_ticks(values) == texts


def test_texts_of_the_user(drawn):
    write_line(train_loss=np.where(X > 0.9, np.nan, 5 * X**2))
    plot_1d(
        "s.h5", details=Details(xlabel="step", ylabel="cost", footnote="see the text", legend="upper center")
    )
    fig = drawn["s.h5_1d_train_loss"]
    axes = fig.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "cost")
    assert fig.get_supxlabel() == "see the text"
    assert not fig.legends
    assert [text.get_text() for text in axes.get_legend().get_texts()][0] == "train loss"


def test_no_legend_no_footnote_and_no_marks(drawn):
    write_line(train_loss=np.where(X > 0.9, np.nan, 5 * X**2))
    plot_1d("s.h5", details=Details(footnote="", legend="none", centre=False))
    fig = drawn["s.h5_1d_train_loss"]
    assert not fig.legends and not notes(fig).strip()
    assert not fig.axes[0].child_axes and len(fig.axes[0].lines) == 2  # the curve, and a point that is lost


def test_a_place_that_does_not_exist():
    with pytest.raises(InputError, match="legend"):
        Details(legend="upper middle")


def test_a_legend_of_several_rows_makes_the_figure_higher(drawn):
    names = ("train_loss", "train_acc", "test_loss", "test_acc")
    plot_1d(write_bowl(names=names), out="a")
    plot_1d(write_bowl(names=names, values=np.where(X > 0.5, np.nan, 4 * X**2)), out="b")
    figs = [drawn[f"{stem}_1d_loss_acc"] for stem in "ab"]
    assert figs[1].get_figheight() > figs[0].get_figheight()
    for fig in figs:
        fig.draw_without_rendering()
        assert fig.axes[0].bbox.height == pytest.approx(RATIO * fig.axes[0].bbox.width, rel=0.05)
