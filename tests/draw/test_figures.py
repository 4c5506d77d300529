"""Figures as files: whole or absent, the same each time, and without traces in the caller's settings."""

import shutil
from pathlib import Path

import matplotlib
import pytest

from losslandscape.core.errors import InputError
from losslandscape.draw import figures
from losslandscape.draw.line_figures import plot_1d
from losslandscape.draw.page_style import Page, drawn_on
from tests.draw.surface_files import outputs, write_bowl

pytestmark = pytest.mark.usefixtures("inside")


def test_a_figure_is_whole_or_absent(monkeypatch):
    fig = figures.new_figure()
    Path("a.pdf").write_text("the figure before")

    def interrupted(path, **_):
        Path(path).write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(fig, "savefig", interrupted)
    with pytest.raises(KeyboardInterrupt):
        figures.save(fig, "a")
    assert outputs() == ["a.pdf"]
    assert Path("a.pdf").read_text() == "the figure before"


def test_a_figure_that_cannot_be_written_is_named():
    stem = "x" * 260
    with pytest.raises(OSError, match="too long") as error:
        figures.save(figures.new_figure(), stem)
    assert error.value.filename == f"{stem}.pdf"
    assert outputs() == []


def test_formats():
    assert figures.save(figures.new_figure(), "a", ["png", "svg", "png"]) == ["a.png", "a.svg"]
    assert Path("a.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match="no format 'gif'"):
        figures.save(figures.new_figure(), "a", "gif")


@pytest.mark.slow
def test_fonts_are_embedded_and_the_same_figure_is_the_same_file():
    write_bowl(names=("train_acc",))
    contents = []
    for _ in range(2):
        plot_1d("s.h5", formats=("pdf", "png", "svg"))
        contents.append({name: Path(name).read_bytes() for name in outputs()})
    assert contents[0] == contents[1]
    pdf = contents[0]["s.h5_1d_train_err.pdf"]
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf


def test_the_settings_of_the_caller_stay():
    before = dict(matplotlib.rcParams)
    plot_1d(write_bowl(names=("train_acc",)), formats="png")
    assert dict(matplotlib.rcParams) == before


def test_each_saved_figure_is_observed():
    seen = []
    with figures.each_saved(lambda name, fig: seen.append(name)):
        figures.save(figures.new_figure(), "a", "png")
    figures.save(figures.new_figure(), "b", "png")
    assert seen == ["a"]


@pytest.mark.parametrize("name", ["eps", "pgf"])
def test_formats_for_latex_are_the_same_each_time(name):
    if name == "pgf" and not shutil.which("xelatex"):
        pytest.skip("needs LaTeX")
    contents = []
    for _ in range(2):
        fig = figures.new_figure()
        fig.add_subplot().pcolormesh([[1.0, 2.0], [3.0, 4.0]], rasterized=True)
        figures.save(fig, "a", name)
        contents.append({one: Path(one).read_bytes() for one in outputs()})
    assert contents[0] == contents[1]
    assert sorted(contents[0]) == (["a-img0.png", "a.pgf"] if name == "pgf" else ["a.eps"])


def test_pgf_without_latex(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="pgf needs xelatex of LaTeX, which cannot be found here"):
        figures.save(figures.new_figure(), "a", "pgf")
    with pytest.raises(InputError, match="give another format="):
        figures.require_writable_figures("a", ["b"], ["pgf"], advice="")


def test_text_in_svg_stays_text():
    for page, is_text in ((Page(), False), (Page(svg_text=True), True)):
        with drawn_on(page):
            fig = figures.new_figure()
            fig.add_subplot().set_title("a title to edit")
            figures.save(fig, "a", "svg")
        assert ("a title to edit</text>" in Path("a.svg").read_text()) == is_text
