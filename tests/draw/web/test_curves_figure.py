"""Pages of lines."""

import numpy as np
import pytest

from losslandscape.draw.web.surface_page import write_surface_page
from tests.draw.web.pages import data_of, figure_of, first_label, numbers, trace
from tests.helpers import write_surface_file

pytestmark = pytest.mark.usefixtures("inside")


def test_a_curve_has_its_values_and_a_logarithm():
    x = np.linspace(-0.5, 1.5, 401)
    loss = np.where(np.abs(x - 1.2) < 0.1, np.nan, 0.01 + x**2 * 20)
    quantities = {"train_loss": loss, "train_acc": 100 - loss}
    write_surface_file("s.h5", x=x, quantities=quantities, dir_file="d.h5")
    page = write_surface_page("s.h5")
    assert page == "s.h5_1d.html"
    traces, layout = figure_of(page)
    assert np.allclose(numbers(trace(traces, "train loss")["y"]), loss, equal_nan=True)
    assert trace(traces, "train accuracy")["yaxis"] == "y2"
    assert (layout["yaxis.type"], first_label(page)) == ("log", "log")


def test_both_ends_of_an_interpolation_are_marked():
    write_surface_file("s.h5", x=np.linspace(-0.5, 1.5, 5), quantities={"train_loss": np.ones(5)})
    traces, _ = figure_of(write_surface_page("s.h5"))
    assert trace(traces, "first minimiser")["x"] == [0, 0]
    assert trace(traces, "second minimiser")["x"] == [1, 1]
    write_surface_file("t.h5", x=np.linspace(-1, 1, 5), quantities={"train_loss": np.ones(5)})
    names = [trace["name"] for trace in figure_of(write_surface_page("t.h5"))[0]]
    assert names == ["train loss", "minimiser (α = 0)"]


def test_a_point_alone_has_a_mark_and_a_dense_curve_has_none():
    loss = np.ones(51)
    loss[[3, 5]] = np.nan
    write_surface_file("s.h5", x=np.linspace(-1, 1, 51), quantities={"train_loss": loss})
    sizes = trace(figure_of(write_surface_page("s.h5"))[0], "train loss")["marker"]["size"]
    assert np.flatnonzero(sizes).tolist() == [4]


def test_lines_side_by_side_have_one_axis_or_their_own():
    for path, height in (("a.h5", 1.0), ("b.h5", 50.0)):
        loss = height * np.linspace(0.5, 1, 5)
        write_surface_file(path, x=np.linspace(-1, 1, 5), quantities={"train_loss": loss})
    assert ranges(write_surface_page(["a.h5", "b.h5"])) == [[0, 51.485], [0, 51.485]]
    assert ranges(write_surface_page(["a.h5", "b.h5"], own_scale=True)) == [[0, 1.015], [0, 50.75]]


def ranges(page):
    panels = data_of(page)["panels"]
    return [pytest.approx(panel["views"][0]["layout"]["yaxis.range"], abs=1) for panel in panels]


def test_the_log_scale_says_what_it_cannot_show():
    loss = np.array([1.0, 0.5, -0.1, 0.5, 1.0])
    write_surface_file("s.h5", x=np.linspace(-1, 1, 5), quantities={"train_loss": loss})
    linear, log = data_of(write_surface_page("s.h5"))["panels"][0]["views"]
    assert linear["notes"] == []
    assert log["notes"] == ["train loss is zero or negative at 1 point, which has no logarithm."]
