"""Curves in panels: runs that are not complete, and texts at every width."""

import numpy as np
import pytest

from losslandscape.draw.eigen_figures import plot_eigenvalues
from losslandscape.draw.figure_details import Details
from losslandscape.draw.line_figures import plot_1d, plot_repeats
from losslandscape.draw.page_style import Page
from tests.draw.drawn_text import text_faults
from tests.draw.surface_files import write_bowl, write_line
from tests.helpers import write_surface_file

BOTH_PARTS = ("train_loss", "train_acc", "test_loss", "test_acc")
SIZES = {3.25: 8, 5.5: 9, 6.75: 9, 13.3: 18}
PAGES = [
    pytest.param(Page(width=width, font_size=size), marks=[] if width == 3.25 else pytest.mark.slow)
    for width, size in SIZES.items()
]


def test_a_run_from_coarse_to_fine_is_drawn_on_its_coarse_grid(drawn):
    measured = np.arange(17) % 4 == 0
    measured[[2, 6]] = True  # the next lattice has begun
    write_bowl(nx=17, names=["train_loss"], values=np.where(measured, 3.0, -1), measured=measured)
    plot_1d("s.h5")
    axes = drawn["s.h5_1d_train_loss"].axes[0]
    assert np.allclose(axes.lines[0].get_xdata(), np.linspace(-1, 1, 17)[measured])
    assert not [patch for patch in axes.patches if patch.get_hatch()]


def test_a_run_that_lacks_a_part_has_a_hatched_gap(drawn):
    measured = np.ones(17, bool)
    measured[5:10] = False
    write_bowl(nx=17, names=["train_loss"], values=np.where(measured, 3.0, -1), measured=measured)
    plot_1d("s.h5")
    axes = drawn["s.h5_1d_train_loss"].axes[0]
    assert np.isnan(axes.lines[0].get_ydata()).sum() == 5
    assert len([patch for patch in axes.patches if patch.get_hatch()]) == 1


@pytest.mark.parametrize("page", PAGES)
def test_texts_of_one_net(drawn, page):
    x = np.linspace(-1, 2, 13)
    losses = np.where(x > 1.7, np.nan, x**2 * (1 - x) ** 2)
    runs = {name: losses if name.endswith("loss") else 90 * np.exp(-losses) for name in BOTH_PARTS}
    write_surface_file("s.h5", x=x, quantities=runs)
    plot_1d("s.h5", page=page, details=Details(barrier=True))
    for stem, fig in drawn.items():
        assert text_faults(fig, page) == [], stem


@pytest.mark.parametrize("page", PAGES)
def test_texts_of_panels(drawn, page):
    x = np.linspace(-1, 2, 13)
    for index in range(3):
        quantities = {"train_loss": 1000 + 0.001 * index * x**2, "train_acc": 99 + 0.1 * x}
        write_surface_file(f"{index}.h5", x=x, quantities=quantities)
    titles = [f"ResNet-{index} without its shortcut connections" for index in (20, 56, 110)]
    plot_1d("0.h5", "1.h5", "2.h5", titles=titles, out="s", page=page)
    fig = drawn["s_1d_loss_acc"]
    assert text_faults(fig, page) == []
    assert fig.axes[0].bbox.height > 0.5 * fig.axes[0].bbox.width


@pytest.mark.parametrize("page", PAGES)
def test_texts_of_repeats_and_eigenvalues(drawn, page):
    for index in (1, 2):
        write_bowl(f"run_{index}.h5", names=BOTH_PARTS)
    plot_repeats("run", idx_max=2, page=page)
    plot_eigenvalues(write_line(min_eig=np.linspace(-1, 1, 9), max_eig=50.0), page=page)
    assert len(drawn) == 3
    for stem, fig in drawn.items():
        assert text_faults(fig, page) == [], stem


@pytest.mark.slow
def test_a_wide_range_has_legible_ticks_at_every_width(drawn):
    write_line(train_loss=10.0 ** np.linspace(-6, 6, 9))
    for page in (Page(width=width, font_size=size) for width, size in SIZES.items()):
        plot_1d("s.h5", log=True, page=page)
        fig = drawn["s.h5_1d_train_loss_log"]
        assert text_faults(fig, page) == []
        ticks = [text.get_text() for text in fig.axes[0].get_yticklabels()]
        assert len(ticks) >= 3 and all("10^{" in text for text in ticks)
