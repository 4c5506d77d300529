"""Pages: the sizes of papers, rows that wrap, and whose settings win."""

import matplotlib
import pytest

from losslandscape.core.errors import InputError
from losslandscape.draw import figures, type_settings
from losslandscape.draw.page_style import PAPERS, Page, drawn_on
from losslandscape.draw.plane_figures import plot_2d
from tests.draw.surface_files import write_bowl


def size_of_text(key: str = "font.size") -> float:
    with type_settings.rc_context():
        return matplotlib.rcParams[key]


@pytest.mark.parametrize(
    ("paper", "one", "several"),
    [
        ("icml", 3.25, 6.75),
        ("cvpr", 3.25, 6.875),
        ("ieee", 3.5, 7.16),
        ("neurips", 5.5, 5.5),
        ("nature", 3.504, 7.205),
    ],
)
def test_papers_have_their_widths(paper, one, several):
    page = Page(paper)
    assert page.width_for(1) == pytest.approx(one, abs=1e-3)
    assert page.width_for(2) == pytest.approx(several, abs=1e-3)
    with drawn_on(page):
        assert figures.new_figure().get_figwidth() == pytest.approx(one, abs=1e-3)
        assert 6 <= size_of_text("xtick.labelsize") <= size_of_text() == PAPERS[paper].size


def test_options_override_the_paper():
    with drawn_on(Page("icml", width=4, font_size=7, font="sans-serif")):
        assert figures.new_figure().get_size_inches() == pytest.approx((4, 3))
        assert size_of_text() == 7
        assert size_of_text("font.family") == ["sans-serif"]


def test_without_a_page_the_look_is_the_published_one():
    assert figures.new_figure().get_size_inches() == pytest.approx((6.4, 4.8))
    assert size_of_text() == 13
    assert size_of_text("axes.labelsize") == pytest.approx(14)


def test_no_type_is_smaller_than_six_points():
    with drawn_on(Page(font_size=6)), type_settings.rc_context():
        assert all(matplotlib.rcParams[key] >= 6 for key in type_settings.SIZES)
        assert type_settings.text_size(0.5) == 6


def test_the_settings_of_the_user_win_over_ours():
    with matplotlib.rc_context({"font.size": 9, "axes.linewidth": 2.5, "figure.figsize": (3, 2)}):
        assert size_of_text() == 9
        assert size_of_text("axes.titlesize") == pytest.approx(9)
        assert size_of_text("axes.linewidth") == 2.5
        assert figures.new_figure().get_figwidth() == 3
        with drawn_on(Page("neurips")):
            assert size_of_text() == 9
            assert figures.new_figure().get_figwidth() == 5.5


def test_a_style_sheet_wins_over_the_paper(inside):
    (inside / "mine.mplstyle").write_text("font.size: 11\naxes.edgecolor: red\n")
    with drawn_on(Page("icml", style=["mine.mplstyle"])):
        assert size_of_text() == 11
        assert size_of_text("axes.edgecolor") == "red"
    with drawn_on(Page("icml", style=["mine.mplstyle"], font_size=7)):
        assert size_of_text() == 7


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"paper": "aaai"}, "no paper 'aaai'"),
        ({"width": 0.5}, "cannot be 0.5 inches wide"),
        ({"font_size": 5}, "5 points cannot be read"),
        ({"columns": 0}, "give 1 or more"),
    ],
)
def test_impossible_pages(options, says):
    with pytest.raises(InputError, match=says):
        Page(**options)


@pytest.mark.parametrize(
    ("options", "says"),
    [({"style": ["no"]}, "no style sheet 'no'"), ({"font": "No Such"}, "no font 'No Such'")],
)
def test_what_is_not_installed(options, says):
    with pytest.raises(InputError, match=says):
        type_settings.require_possible(Page(**options))


def test_without_latex_one_sentence(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="latex and dvipng of LaTeX cannot be found"):
        Page(latex=True)


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (3, 3), (4, 2), (5, 3), (6, 3), (7, 3)])
def test_panels_stand_in_rows(count, columns):
    fig, panels = figures.new_panels([""] * count, panel=(4, 3))
    assert len(panels) == len(fig.axes) == count
    assert panels[0].get_subplotspec().get_gridspec().ncols == columns
    assert fig.get_figwidth() == 4 * columns


def test_rows_fit_the_width():
    assert Page("icml").columns_for(6, width=6.75, font_size=8) == 3
    assert Page("icml").columns_for(6, width=3.25, font_size=8) == 1
    assert Page(columns=2).columns_for(6, width=3.25, font_size=8) == 2
    with pytest.raises(InputError, match="at most 2 columns="):
        Page(columns=5).columns_for(6, width=3.25, font_size=8)


def test_letters(drawn):
    write_bowl("a.h5", 5, 5), write_bowl("b.h5", 5, 5)
    plot_2d("a.h5", "b.h5", titles=["one", "two"], out="both", page=Page("neurips"))
    fig = drawn["both_train_loss_2dheat"]
    assert [axes.get_title() for axes in fig.axes[:2]] == ["(a) one", "(b) two"]
    plot_2d("a.h5", page=Page("neurips"))
    assert drawn["a.h5_train_loss_2dheat"].axes[0].get_title() == ""
