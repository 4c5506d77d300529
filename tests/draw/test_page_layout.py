"""Every text of a figure is legible at every width: large enough, whole, and not over another."""

import numpy as np
import pytest

from losslandscape.draw import figures, page_layout
from losslandscape.draw.page_style import Page
from losslandscape.draw.plane_figures import plot_2d, plot_contour_trajectory
from losslandscape.draw.trajectory_figures import plot_trajectory
from tests.draw.drawn_text import text_faults
from tests.draw.surface_files import write_bowl, write_path, write_pca
from tests.helpers import write_surface_file

WIDTHS = (3.25, 5.5, 6.75, 13.3)
LONG = "resnet56_noshort_sgd_lr=0.1_bs=128_wd=0.0005_save_epoch=1.h5"


def pages_and_counts() -> list:
    sizes = {3.25: 8, 5.5: 9, 6.75: 9, 13.3: 20}
    cases = [(width, sizes[width], count) for width in WIDTHS for count in (1, 2, 6)]
    quick = [(3.25, 8, 1), (5.5, 9, 2)]
    return [pytest.param(*case, marks=[] if case in quick else pytest.mark.slow) for case in cases]


@pytest.mark.parametrize(("width", "size", "count"), pages_and_counts())
def test_planes(drawn, width, size, count):
    names = [write_bowl(f"{index}.h5", 9, 7, values=None) for index in range(count)]
    page = Page(width=width, font_size=size, letters=True)
    titles = [f"a surface with the number {index}" for index in range(count)]
    plot_2d(*names, titles=titles, out="s", page=page)
    for kind in ("2dcontour", "2dcontourf", "2dheat"):
        fig = drawn[f"s_train_loss_{kind}"]
        assert text_faults(fig, page) == [], kind
        assert fig.get_figwidth() == width


def test_long_titles_wrap(drawn):
    names = [write_bowl(f"{index}_{LONG}", 5, 5) for index in range(3)]
    page = Page("neurips")
    plot_2d(*names, out="s", page=page)
    fig = drawn["s_train_loss_2dheat"]
    assert text_faults(fig, page) == []
    assert fig.axes[0].get_title().count("\n") >= 2


def test_a_low_plane_makes_a_low_figure():
    fig, (axes,) = figures.new_panels([""], panel=(5, 5), layout="compressed")
    axes.set_aspect("equal")
    axes.set(xlim=(0, 4), ylim=(0, 1))
    page_layout.fit(fig, full_width=True)
    assert fig.get_figheight() < 2


def test_a_file_has_exactly_the_width_of_the_page(inside):
    from PIL import Image

    plot_2d(write_bowl("s.h5", 5, 5), formats="png", page=Page("icml"))
    for kind in ("2dcontour", "2dheat", "3dsurface"):
        assert Image.open(f"s.h5_train_loss_{kind}.png").width == 650  # 3.25 inches at 200 dots per inch


@pytest.mark.parametrize(
    ("width", "size"), [(3.25, 8), (5.5, 9), pytest.param(13.3, 20, marks=pytest.mark.slow)]
)
def test_trajectories(drawn, width, size):
    page = Page(width=width, font_size=size)
    path = {"proj_file": write_path(), "dir_file": write_pca(), "page": page}
    plot_trajectory(**path)
    plot_contour_trajectory(write_bowl(nx=9, ny=7), **path)
    for stem, fig in drawn.items():
        assert text_faults(fig, page) == [], stem


@pytest.mark.parametrize(("x_end", "y_end"), [(1, 0.3), (0.26, 1), (1, 0.02), (0.02, 1)])
def test_long_planes_keep_their_ticks_and_a_bar_as_high_as_the_axes(drawn, x_end, y_end):
    x, y = np.linspace(-x_end, x_end, 40), np.linspace(-y_end, y_end, 5)
    write_surface_file("s.h5", x=x, y=y, quantities={"train_loss": 1 + x[None] ** 2 + y[:, None] ** 2})
    page = Page("icml")
    plot_2d("s.h5", page=page)
    for kind in ("2dcontour", "2dheat"):
        fig = drawn[f"s.h5_train_loss_{kind}"]
        assert text_faults(fig, page) == []
        axes, bar = fig.axes
        assert bar.bbox.height == pytest.approx(axes.bbox.height, rel=0.02)
        assert len(axes.get_xticks()) >= 2 and len(axes.get_yticks()) >= 2


@pytest.mark.parametrize("step", [1e-3, 1e-6])
def test_numbers_of_values_with_an_offset_differ(drawn, step):
    x = np.linspace(-1, 1, 9)
    values = 1000 + step * (x[None] ** 2 + x[:, None] ** 2)
    write_surface_file("s.h5", x=x, y=x, quantities={"train_loss": values})
    page = Page("icml")
    plot_2d("s.h5", page=page)
    for kind in ("2dcontour", "2dcontourf", "2dheat"):
        fig = drawn[f"s.h5_train_loss_{kind}"]
        assert text_faults(fig, page) == []
        numbers = [text.get_text() for text in fig.axes[-1].get_yticklabels()]
        assert len(set(numbers)) == len(numbers) >= 3
        assert fig.axes[-1].yaxis.get_offset_text().get_text() == ""
