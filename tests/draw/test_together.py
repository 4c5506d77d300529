"""Several nets in one panel."""

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb

from losslandscape.core.errors import InputError
from losslandscape.draw.figure_details import Details
from losslandscape.draw.line_figures import plot_together
from losslandscape.draw.page_style import Page
from losslandscape.draw.together import COLOURS, STYLES
from tests.draw.drawn_text import text_faults
from tests.draw.surface_files import X, notes, write_bowl, write_line


def curves(axes) -> dict:
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def test_each_net_has_a_colour_and_a_line_of_its_own(drawn):
    for index in range(3):
        write_bowl(f"{index}.h5", values=(1 + index) * X**2)
    plot_together("0.h5", "1.h5", "2.h5", titles=["a", "b", "c"], out="nets")
    assert sorted(drawn) == ["nets_1d_train_err", "nets_1d_train_loss"]
    (axes,) = drawn["nets_1d_train_loss"].axes
    lines = curves(axes)
    assert list(lines) == ["a", "b", "c"]
    assert len({line.get_color() for line in lines.values()}) == 3
    assert len({str(line.get_linestyle()) + str(line._dash_pattern) for line in lines.values()}) == 3
    assert np.allclose(lines["c"].get_ydata(), 3 * X**2)
    assert axes.get_ylabel() == "train loss"


def test_neighbours_differ_in_grey_and_no_pair_of_colour_and_line_comes_twice():
    grey = [to_rgb(colour) @ np.array([0.2126, 0.7152, 0.0722]) for colour in COLOURS]
    assert len(np.unique(np.round(grey, 3))) == len(COLOURS)
    assert max(grey) < 0.7  # all are seen on white
    pairs = {(number % len(COLOURS), number % len(STYLES)) for number in range(35)}
    assert len(pairs) == 35


def test_test_data_has_a_panel_of_its_own(drawn):
    names = ("train_loss", "train_acc", "test_loss", "test_acc")
    write_bowl("a.h5", names=names)
    write_bowl("b.h5", names=("train_loss",))
    plot_together("a.h5", "b.h5")
    panels = drawn["a.h5_together_1d_train_loss"].axes
    assert [axes.get_title() for axes in panels] == ["train", "test"]
    assert [list(curves(axes)) for axes in panels] == [["a.h5", "b.h5"], ["a.h5"]]
    assert panels[0].get_ylim() == panels[1].get_ylim() == (0, 5)


@pytest.mark.parametrize(
    ("band", "ends", "text"),
    [("std", (3 - 1.0, 3 + 1.0), "± 1 standard deviation"), ("range", (2, 4), "lowest to highest")],
)
def test_files_of_one_net_become_a_mean_with_a_band(drawn, band, ends, text):
    for index, height in enumerate((2.0, 3.0, 4.0)):
        write_line(f"{index}.h5", train_loss=height + 0 * X)
    write_line("b.h5", train_loss=1.0)
    plot_together("b.h5", groups=[["0.h5", "1.h5", "2.h5"]], titles=["b", "a"], out="nets", band=band)
    fig = drawn["nets_1d_train_loss"]
    lines = curves(fig.axes[0])
    assert list(lines) == ["b", "a (mean of 3)"]
    assert np.allclose(lines["a (mean of 3)"].get_ydata(), 3)
    (polygon,) = (one for one in fig.axes[0].collections if isinstance(one, PolyCollection))
    heights = polygon.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx(ends)
    assert [one.get_text() for one in fig.legends[0].get_texts()] == ["b", "a (mean of 3)", text]


def test_what_is_missing_is_said_and_marked(drawn):
    write_line("a.h5", train_loss=np.where(X > 0.9, np.nan, X**2))
    write_line("b.h5", train_loss=X**2)
    plot_together("a.h5", "b.h5", titles=["a", "b"], out="nets")
    fig = drawn["nets_1d_train_loss"]
    assert "a: 1 point NaN or infinite" in notes(fig)
    assert "NaN" in [one.get_text() for one in fig.legends[0].get_texts()]


def test_directions_on_different_grids_have_no_mean(drawn):
    write_bowl("a.h5", 9)
    write_bowl("b.h5", 7)
    with pytest.raises(InputError, match="b.h5 and a.h5 have different coordinates"):
        plot_together(groups=[["a.h5", "b.h5"]])


def test_a_barrier_is_for_one_net(drawn):
    with pytest.raises(InputError, match="barrier"):
        plot_together(write_bowl(), details=Details(barrier=True))


@pytest.mark.parametrize("width", [3.25, pytest.param(13.3, marks=pytest.mark.slow)])
def test_texts_at_every_width(drawn, width):
    titles = ["ResNet-56 with shortcuts", "ResNet-56 without shortcuts", "VGG-9", "DenseNet-121"]
    for index in range(4):
        write_bowl(f"{index}.h5", names=("train_loss", "test_loss"), values=(1 + index) * X**2)
    page = Page(width=width, font_size=8 if width < 5 else 18)
    plot_together(*[f"{index}.h5" for index in range(4)], titles=titles, out="nets", page=page)
    assert text_faults(drawn["nets_1d_train_loss"], page) == []
