"""Figures as files: whole or absent, the same each time, and without traces in the caller's settings."""

from pathlib import Path

import matplotlib
import pytest

from losslandscape.core.errors import InputError
from losslandscape.draw import figures
from losslandscape.draw.line_figures import plot_1d
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
