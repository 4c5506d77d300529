"""The slider over the checkpoints of a training."""

from pathlib import Path

import numpy as np
import pytest

from losslandscape.draw.web import trajectory
from losslandscape.draw.web.surface_page import write_surface_page
from tests.draw.web.pages import data_of, figure_of, numbers, steps_of, trace, write_path, write_plane

pytestmark = pytest.mark.usefixtures("inside")

EPOCHS = np.array([0, 3, 10, 30])
X = [0.9, 0.5, 0.2, 0]


def test_a_slider_selects_a_checkpoint():
    path = write_path(X, [0.9, 0.5, 0.1, 0], epochs=EPOCHS)
    page = write_surface_page(write_plane(nx=41, ny=31), proj_file=path)
    traces, _ = figure_of(page)
    slider = data_of(page)["steps"]
    assert slider["labels"] == [f"epoch {epoch}" for epoch in EPOCHS]
    assert slider["active"] == 3
    line, dots = trace(traces, "trajectory"), trace(traces, "checkpoints")
    times = numbers(line["line"]["color"][: len(line["x"]) // 2])
    assert np.allclose(np.interp(times, range(4), X), numbers(line["x"])[: times.size], atol=1e-3)
    assert trace(traces, "shown checkpoint")["x"] == [0, 0]
    for now, step in enumerate(steps_of(page)):
        changed = {traces[index]["name"]: change for index, change in step.items()}
        assert list(changed) == ["trajectory", "checkpoints", "shown checkpoint"]
        assert changed["shown checkpoint"]["x"] == [X[now]] * 2
        assert_past_until(now, changed["trajectory"]["line.colorscale"], line["line"]["cmax"])
        assert_past_until(now, changed["checkpoints"]["marker.colorscale"], dots["marker"]["cmax"])


def assert_past_until(now, colour_scale, cmax):
    past = [place for place, colour in colour_scale if colour == trajectory.COLOURS[0][0]]
    assert now <= max(past) * cmax < now + 0.1


def test_there_is_no_slider_without_a_trajectory():
    page = write_surface_page(write_plane(names=["train_loss"]))
    assert data_of(page)["steps"] is None
    assert 'type="range"' not in Path(page).read_text()
