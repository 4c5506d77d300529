"""Marks on lines: minimisers, points without a value, and barriers."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from losslandscape.core.errors import InputError
from losslandscape.draw.figure_details import Details
from losslandscape.draw.line_figures import plot_1d
from losslandscape.draw.line_marks import EDGE, LOW
from tests.draw.surface_files import X, write_bowl, write_line
from tests.helpers import write_surface_file


def marks(fig) -> list[str]:
    fig.draw_without_rendering()
    (top,) = fig.axes[0].child_axes
    return [text.get_text() for text in top.get_xticklabels()]


def write_path(**quantities) -> None:
    x = np.linspace(-0.5, 1.5, 9)
    values = {name: np.broadcast_to(array, 9) for name, array in quantities.items()}
    write_surface_file("s.h5", x=x, quantities=values, measured=np.ones(9, bool))


@pytest.mark.parametrize(
    ("low", "high", "texts"), [(-0.5, 1.5, ["first minimiser", "second minimiser"]), (-1, 1, ["minimiser"])]
)
def test_minimisers_are_marked(drawn, low, high, texts):
    write_surface_file("s.h5", x=np.linspace(low, high, 9), quantities={"train_loss": np.ones(9)})
    plot_1d("s.h5")
    assert marks(drawn["s.h5_1d_train_loss"]) == texts


def test_names_of_the_two_nets(drawn):
    write_path(train_loss=1.0)
    plot_1d("s.h5", details=Details(marks=["batch 128", "batch 8192"]))
    assert marks(drawn["s.h5_1d_train_loss"]) == ["batch 128", "batch 8192"]


def test_more_names_than_nets(drawn):
    with pytest.raises(InputError, match="2 texts of marks, and s.h5 has 1 minimiser"):
        plot_1d(write_bowl(), details=Details(marks=["a", "b"]))


def test_parts_without_a_value_are_hatched(drawn):
    values = np.array([1.0, 2.0, np.nan, np.nan, np.inf, 2.0, 2.0, -1.0, -1.0])
    plot_1d(write_bowl(names=("train_loss",), values=values))
    fig = drawn["s.h5_1d_train_loss"]
    bands = sorted(patch.get_x() for patch in fig.axes[0].patches if patch.get_hatch())
    assert bands == pytest.approx([(X[1] + X[2]) / 2, (X[6] + X[7]) / 2])
    texts = [text.get_text() for text in fig.legends[0].get_texts()]
    assert texts == ["train loss", "NaN", "infinite", "no value"]


def test_nan_and_infinities_have_marks_where_they_lie(drawn):
    plot_1d(write_line(train_loss=np.where(X > 0.9, np.inf, np.where(X < -0.7, np.nan, 5 * X**2))))
    lines = drawn["s.h5_1d_train_loss"].axes[0].lines
    places = {line.get_marker(): line.get_xydata().tolist() for line in lines if line.get_marker() in "x^"}
    assert places == {"x": [[-1, 1 - EDGE], [-0.75, 1 - EDGE]], "^": [[1, 1 - EDGE]]}


def test_a_curve_that_another_completes_is_not_hatched(drawn):
    plot_1d(write_line(train_loss=np.where(X > 0.5, np.nan, X**2), test_loss=X**2))
    assert not [patch for patch in drawn["s.h5_1d_train_loss"].axes[0].patches if patch.get_hatch()]


def test_a_barrier(drawn):
    """The loss is 1 at the first net, 2 at the second, and 4 in the middle: 2.5 above the line."""
    write_path(train_loss=[3, 2, 1, 2, 4, 3, 2, 3, 4], train_acc=50.0)
    plot_1d("s.h5", details=Details(barrier=True))
    fig = drawn["s.h5_1d_train_loss"]
    (text,) = (one for one in fig.axes[0].texts if one.get_text())
    assert text.get_text() == "barrier 2.5"
    assert text.xy == (0.5, 1.5 + LOW * 2.5)
    (chord,) = (line for line in fig.axes[0].lines if line.get_linestyle() == ":")
    assert chord.get_xydata()[[0, -1]].tolist() == [[0, 1], [1, 2]]
    assert to_hex(chord.get_color()) != to_hex(fig.axes[0].lines[0].get_color())
    assert not [one for one in drawn["s.h5_1d_train_err"].axes[0].texts if one.get_text()]


def test_a_line_without_a_barrier(drawn):
    with pytest.raises(InputError, match="s.h5 has no barrier"):
        plot_1d(write_bowl(), details=Details(barrier=True))
    with pytest.raises(InputError, match="acc.h5 has no loss"):
        plot_1d(write_bowl("acc.h5", names=["train_acc"]), details=Details(barrier=True))
