"""Every text of a figure is legible at every width: large enough, whole, and not over another."""

import pytest

from losslandscape.draw import figures, page_layout
from losslandscape.draw.page_style import Page
from losslandscape.draw.plane_figures import plot_2d
from tests.draw.drawn_text import text_faults
from tests.draw.surface_files import write_bowl

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
