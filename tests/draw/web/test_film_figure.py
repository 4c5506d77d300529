"""The slider over the checkpoints of a training."""

import numpy as np
import pytest

from losslandscape.draw.web import film_figure, trajectory
from losslandscape.draw.web.surface_page import write_surface_page
from tests.draw.web.pages import figure_of, frames_of, numbers, trace, write_path, write_plane

pytestmark = pytest.mark.usefixtures("inside")

EPOCHS = np.array([0, 3, 10, 30])
X = [0.9, 0.5, 0.2, 0]


def test_a_slider_selects_a_checkpoint():
    path = write_path(X, [0.9, 0.5, 0.1, 0], epochs=EPOCHS)
    page = write_surface_page(write_plane(nx=41, ny=31), proj_file=path)
    traces, layout = figure_of(page)
    slider = layout["sliders"][0]
    assert [step["label"] for step in slider["steps"]] == [f"epoch {epoch}" for epoch in EPOCHS]
    assert slider["active"] == 3
    line, dots = trace(traces, "trajectory"), trace(traces, "checkpoints")
    times = numbers(line["line"]["color"][: len(line["x"]) // 2])
    assert np.allclose(np.interp(times, range(4), X), numbers(line["x"])[: times.size], atol=1e-3)
    for now, frame in enumerate(frames_of(page)):
        line_change, dots_change = frame["data"]
        assert [traces[index]["name"] for index in frame["traces"]] == ["trajectory", "checkpoints"]
        assert dots_change["marker"]["size"] == [*sizes(now), film_figure.SIZE, *sizes(now)]
        assert_past_until(now, line_change["line"]["colorscale"], line["line"]["cmax"])
        assert_past_until(now, dots_change["marker"]["colorscale"], dots["marker"]["cmax"])


def assert_past_until(now, colour_scale, cmax):
    past = [place for place, colour in colour_scale if colour == trajectory.COLOUR]
    assert now <= max(past) * cmax < now + 0.1


def sizes(now):
    return [film_figure.SIZE_NOW if i == now else film_figure.SIZE for i in range(len(X))]


def test_there_is_no_slider_without_a_trajectory():
    _, layout = figure_of(write_surface_page(write_plane(names=["train_loss"])))
    assert "sliders" not in layout
