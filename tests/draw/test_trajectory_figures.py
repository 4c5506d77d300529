"""Figures of a path: epochs, drops of the learning rate, and losses."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from losslandscape.core.errors import InputError
from losslandscape.draw import trajectory_figures, trajectory_path
from losslandscape.draw.page_style import Page, drawn_on
from losslandscape.draw.plane_figures import plot_contour_trajectory
from losslandscape.files import h5_util
from losslandscape.files.projection import Projection
from tests.draw.drawn_text import text_faults
from tests.draw.surface_files import words
from tests.helpers import write_surface_file

SIZES = {3.25: 8, 5.5: 9, 6.75: 9, 13.3: 18}
PAGES = [
    pytest.param(Page(width=width, font_size=size), marks=[] if width == 3.25 else pytest.mark.slow)
    for width, size in SIZES.items()
]


@pytest.fixture
def draw(drawn):
    """A function that draws a path and returns the figure."""

    def draw(path: Projection) -> Figure:
        h5_util.write_projection(path)
        trajectory_figures.draw(path.path)
        return drawn[path.path]

    return draw


def test_drops_lie_on_the_path_at_the_end_of_the_epoch_before(draw):
    x = np.array([8.0, 4, 2, 0])
    epochs, drops = np.array([0, 10, 20, 30]), np.array([0, 6, 21, 31, 99])
    fig = draw(Projection("p.h5", x, x**2, epochs=epochs, lr_drops=drops))
    assert len(fig.axes) == 1
    marks = [line for line in fig.axes[0].lines if line.get_label() == "learning rate falls"]
    np.testing.assert_allclose(marks[0].get_xydata(), [[6, 40], [2, 4]])


def test_a_projection_of_the_published_program(draw):
    """It has coordinates and nothing else."""
    fig = draw(Projection("p.h5", np.array([1.0, 0.5, 0]), np.array([0.2, 0.4, 0])))
    assert len(fig.axes) == 1
    assert "epoch" not in " ".join(words(fig))


def test_epochs_of_a_long_training_do_not_collide(draw):
    turn = np.linspace(0, 20, 301)
    x, y = (20 - turn) * np.cos(turn), (20 - turn) * np.sin(turn)
    fig = draw(Projection("p.h5", x, y, epochs=np.arange(301)))
    fig.draw_without_rendering()
    labels = fig.axes[0].texts
    boxes = [text.get_window_extent() for text in labels]
    assert 4 < len(boxes) <= 2 + trajectory_path.MAX_INTERVALS
    assert {"epoch 0", "300"} <= {text.get_text() for text in labels}
    assert not any(box.overlaps(other) for i, box in enumerate(boxes) for other in boxes[:i])


def test_losses_that_are_not_numbers(drawn):
    path = Projection(
        "p.h5",
        np.arange(4.0),
        np.arange(4.0),
        distance=np.zeros(4),
        true_loss=np.array([np.nan, 3, 2, 1]),
        projected_loss=np.array([1, np.inf, 2.1, 1]),
    )
    h5_util.write_projection(path)
    trajectory_figures.draw_losses("p.h5")
    assert "2 of 4 checkpoints have a loss that is NaN or infinite" in words(drawn["p.h5_losses"])


def test_a_projection_without_losses(inside):
    h5_util.write_projection(Projection("q.h5", np.arange(4.0), np.arange(4.0)))
    with pytest.raises(InputError, match="losses"):
        trajectory_figures.draw_losses("q.h5")


def curl(path: str) -> Projection:
    """A path that turns around the origin, with all that a projection may know."""
    left = np.linspace(1, 0, 31)
    return Projection(
        path,
        12 * left**1.5 * np.cos(2.2 * left),
        7 * left * np.sin(3 * left),
        epochs=np.arange(31),
        distance=np.where(left > 0, 0.5, np.nan),
        lr_drops=np.array([11, 21]),
        shares=np.array([0.803, 0.1234]),
        true_loss=10.0 ** (4 * left - 3),
        projected_loss=10.0 ** (5 * left - 3),
    )


@pytest.mark.parametrize("page", PAGES)
def test_texts_at_every_width(drawn, page):
    h5_util.write_projection(curl("p.h5"))
    trajectory_figures.plot_trajectory("p.h5", page=page)
    with drawn_on(page):
        trajectory_figures.draw_losses("p.h5")
    assert len(drawn["p.h5"].axes) == 2
    assert "80 % of the variance" in drawn["p.h5"].axes[0].get_xlabel().replace("\n", " ")
    for stem, fig in drawn.items():
        assert text_faults(fig, page) == [], stem


@pytest.mark.parametrize("page", PAGES)
def test_epochs_leave_the_labels_of_contours_free(drawn, page):
    h5_util.write_projection(curl("p.h5"))
    x = np.linspace(-14, 14, 41)
    write_surface_file("s.h5", x=x, y=x, quantities={"train_loss": 0.1 + 0.05 * (x**2 + 2 * x[:, None] ** 2)})
    plot_contour_trajectory("s.h5", proj_file="p.h5", page=page)
    (fig,) = drawn.values()
    epochs = [text for text in fig.axes[0].texts if to_hex(text.get_color()) == trajectory_path.EPOCH_COLOUR]
    assert "epoch 0" in {text.get_text() for text in epochs} and len(epochs) >= 4
    assert len(fig.axes[0].texts) >= len(epochs) + 3  # levels
    assert text_faults(fig, page) == []


def test_checkpoints_without_epochs_count_from_one():
    """As in the table of plot_trajectory.py and in the titles of films."""
    path = Projection("p.h5", x=np.zeros(3), y=np.zeros(3))
    np.testing.assert_array_equal(trajectory_figures._epochs(path), [1, 2, 3])
