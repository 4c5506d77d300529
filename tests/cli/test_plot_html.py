"""The command that makes a page, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest

from losslandscape.cli import plot_html
from tests.draw.web.pages import data_of, first_label, write_path, write_plane
from tests.helpers import succeed, write_surface_file


def test_a_page_is_saved(inside):
    write_plane()
    out = succeed("plot_html.py", "--surf_file", "s.h5", "--surf_name", "test_acc", cwd=inside)
    assert out == "saved s.h5_3dsurface.html\n"
    assert first_label("s.h5_3dsurface.html") == "test accuracy (%)"


def test_several_surfaces_are_in_one_page(inside):
    write_plane("a.h5")
    write_plane("b.h5", values=7.0)
    out = succeed("plot_html.py", "-f", "a.h5", "b.h5", "--title", "with", "without", cwd=inside)
    assert out == "saved a.h5_compared_3dsurface.html\n"
    assert [panel["title"] for panel in data_of("a.h5_compared_3dsurface.html")["panels"]] == [
        "with",
        "without",
    ]
    succeed("plot_html.py", "-f", "a.h5", "b.h5", "--own_scale", "--out", "both", cwd=inside)
    assert "each on its own scale" in Path("both_3dsurface.html").read_text()


@pytest.fixture(scope="module")
def refused_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("refused")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_plane()
        write_plane("point.h5", 1, 1)
        write_plane("row.h5", 9, 1)
        write_plane("nan.h5", values=np.nan, names=["train_loss"])
        write_plane("large.h5", values=1e250, names=["train_loss"])
        write_line("large_line.h5", np.full(3, 1e250))
        write_line("one.h5", np.ones(1))
        write_line("line.h5", np.ones(3))
        write_path([0], [0])
    return folder


def write_line(path, loss):
    write_surface_file(path, x=np.arange(float(loss.size)), quantities={"train_loss": loss})


@pytest.mark.parametrize(
    ("file", "arguments", "expected"),
    [
        ("s.h5", ("s.h5", "--title", "one"), "1 titles for 2 surface files; give one for each (--title)"),
        ("s.h5", ("line.h5",), "one of s.h5 and line.h5 is 1-D"),
        ("s.h5", ("s.h5", "--proj_file", "d.h5_proj_cos.h5"), "give one --surf_file with --proj_file"),
        ("s.h5", ("s.h5",) * 12, "13 surfaces are too many"),
        ("nowhere.h5", (), "nowhere.h5"),
        ("point.h5", (), "at least 2x2 points"),
        ("row.h5", (), "at least 2x2 points"),
        ("nan.h5", (), "63 points NaN or infinite"),
        ("one.h5", (), "at least 2 points"),
        ("large.h5", (), "63 points too large to draw"),
        ("large_line.h5", (), "train_loss: 3 points too large to draw"),
        ("line.h5", ("--proj_file", "d.h5_proj_cos.h5"), "line.h5 is 1-D"),
        ("s.h5", ("--surf_name", "max_eig"), "'max_eig'"),
        ("s.h5", ("--proj_file", "s.h5"), "not a projection file"),
    ],
)
def test_one_sentence_and_status_2(refused_files, monkeypatch, capsys, file, arguments, expected):
    monkeypatch.chdir(refused_files)
    with pytest.raises(SystemExit) as stopped:
        plot_html.main(["-f", file, *arguments])
    assert stopped.value.code == 2
    assert expected in capsys.readouterr().err
    assert not list(Path().glob("*.html"))
