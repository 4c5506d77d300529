"""Pages of lines."""

import numpy as np
import pytest

from losslandscape.draw.web.surface_page import write_surface_page
from tests.draw.web.pages import figure_of, numbers, trace
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
    assert (layout["yaxis"]["type"], layout["updatemenus"][0]["active"]) == ("log", 1)
