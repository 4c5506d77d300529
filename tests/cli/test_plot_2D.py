"""plot_2D.py: names of figures, and what it refuses."""

import json
import os

import numpy as np
import pytest

from losslandscape.cli import plot_2D
from tests.draw.surface_files import outputs, write_bowl, write_path, write_pca
from tests.helpers import run

pytestmark = pytest.mark.usefixtures("inside")

KINDS = ("2dcontour", "2dcontourf", "2dheat", "3dsurface")


@pytest.mark.slow
def test_figures_lie_beside_the_surface():
    os.mkdir("results")
    plot_2D.main(["--surf_file", write_bowl("results/s.h5", 7, 5)])
    figures = [f"s.h5_train_loss_{kind}.pdf" for kind in KINDS]
    assert sorted(os.listdir("results")) == ["s.h5", *figures]
    assert outputs() == ["results"]


@pytest.mark.slow
def test_a_path_alone_and_on_a_surface():
    path = ["--proj_file", write_path(), "--dir_file", write_pca(), "--format", "png"]
    plot_2D.main(path)
    assert outputs() == ["d.h5_proj_cos.h5.png"]
    plot_2D.main([*path, "--surf_file", write_bowl(nx=9, ny=7)])
    assert outputs() == ["d.h5_proj_cos.h5.png", "d.h5_proj_cos.h5_train_loss_2dcontour_proj.png"]


def test_options_reach_the_figures(drawn):
    levels = ["--log", "--vmin", "1e-3", "--vmax", "1e3"]
    write_bowl("wide.h5", 9, 7, values=np.geomspace(1e-4, 1e4, 9))
    plot_2D.main(["-f", "wide.h5", *levels, "--zlim", "5"])
    levels = drawn["wide.h5_train_loss_2dcontourf"].axes[0].collections[0].levels
    assert levels[0] == pytest.approx(1e-3) and levels[-1] == pytest.approx(1e3)
    assert drawn["wide.h5_train_loss_3dsurface"].axes[0].get_zlim()[1] == 5


def test_files_of_one_name_have_different_titles(drawn, inside):
    for folder, factor in (("a", 1.0), ("b", 50.0)):
        os.mkdir(folder)
        write_bowl(f"{folder}/s.h5", 5, 5, values=factor * np.arange(1.0, 6))
    plot_2D.main(["-f", "a/s.h5", "b/s.h5", "--out", "two", "--json", "two.json"])
    metrics = json.loads((inside / "two.json").read_text())["train_loss"]
    lowest = {title: one["lowest"]["value"] for title, one in metrics.items()}
    assert lowest == {"a/s.h5": 1.0, "b/s.h5": 50.0}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "give --surf_file, --proj_file, or both"),
        (["-f", "nowhere.h5"], "nowhere.h5"),
        (["-f", "line.h5"], "line.h5 is 1-D; use plot_1D.py"),
        (["-f", "bare.h5"], "bare.h5 has no quantity to draw"),
        (["-f", "plane.h5", "--surf_name", "test_loss"], "it has train_acc, train_loss"),
        (["-f", "nan.h5"], "12 points NaN or infinite"),
        (["-f", "plane.h5", "--vmin", "3", "--vmax", "2"], "vmin 3 is not less than vmax 2"),
        (["-f", "plane.h5", "--log", "--vlevel", "2"], "leave out one of --log and --vlevel"),
        (["-f", "plane.h5", "--zlim", "-1"], "zlim -1 is below every value"),
        (["-f", "plane.h5", "--zlim", "inf"], "'inf' is not a finite number"),
        (["-f", "plane.h5", "plane.h5", "--title", "a", r"$\bad$"], "cannot be read"),
        (["--proj_file", "plane.h5"], "not a projection file"),
        (["--proj_file", "path.h5", "-f", "plane.h5", "plane.h5"], "drawn on one surface, not on 2"),
        (["--proj_file", "path.h5", "-f", "plane.h5", "--zlim", "3"], "--title and --zlim"),
        (["--proj_file", "path.h5", "-f", "plane.h5", "--surf_name", "all"], "choose one with --surf_name"),
        (["--proj_file", "path.h5", "-f", "row.h5"], "needs at least 2x2 points"),
        (["--proj_file", "path.h5", "--dir_file", "nowhere.h5"], "nowhere.h5"),
    ],
)
def test_one_sentence_and_status_2(argv, says, inside):
    write_bowl("line.h5")
    write_bowl("plane.h5", 7, 5)
    write_bowl("row.h5", 7, 1)
    write_bowl("nan.h5", 4, 3, values=np.nan)
    write_bowl("bare.h5", 5, 4, names=())
    write_path("path.h5")
    done = run("plot_2D.py", *argv, cwd=inside)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    sentence = done.stderr.splitlines()[-1]
    assert "error: " in sentence
    assert says in sentence
    assert outputs() == [] or "--proj_file" in argv  # the path is drawn before the surface


def test_a_complete_file_that_cannot_be_drawn_ends_the_watching(inside):
    done = run("plot_2D.py", "-f", write_bowl(), "--watch", cwd=inside)
    assert done.returncode == 2
    assert "1-D" in done.stderr


def test_the_page_and_the_details_reach_the_figures(drawn):
    details = [
        "--footnote",
        "none",
        "--xlabel",
        "a",
        "--cmap",
        "magma",
        "--no_centre",
        "--lines",
        "--zoom",
        "0.2",
    ]
    page = ["--paper", "icml", "--font_size", "7"]
    for name in ("1.h5", "2.h5"):
        write_bowl(name, 9, 7)
    plot_2D.main(["-f", "1.h5", "2.h5", "--out", "both", *page, *details])
    fig = drawn["both_train_loss_2dcontourf"]
    assert fig.get_figwidth() == 6.75
    axes = fig.axes[0]
    assert axes.get_title() == "(a) 1.h5"
    assert axes.xaxis.label.get_text() == "a"
    assert axes.xaxis.label.get_fontsize() == pytest.approx(7 * 14 / 13)
    assert axes.collections[0].get_cmap().name == "magma"
    assert len(axes.child_axes) == 1
    assert fig.get_supxlabel() == ""


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--paper", "aaai"], "invalid choice: 'aaai'"),
        (["--width", "0.1"], "cannot be 0.1 inches wide; give 1.5 to 60 (--width)"),
        (["--font_size", "3"], "3 points cannot be read"),
        (["--style", "none.mplstyle"], "no style sheet 'none.mplstyle'"),
        (["--font", "No Such"], "no font 'No Such'"),
        (["--cmap", "nice"], "no colour map 'nice'"),
        (["--zoom", "1:2"], "'1:2' is not half a width"),
        (["--zoom", "0"], "the part 0 has no size"),
        (["--zoom", "5:6:5:6"], "outside plane.h5"),
        (["--columns", "5", "--width", "3"], "do not fit beside each other in 3 inches"),
    ],
)
def test_options_of_the_page_that_cannot_be(argv, says, capsys):
    files = [write_bowl(f"plane{index}.h5", 5, 5) for index in ("", 1, 2, 3, 4)]
    chosen = files if "--columns" in argv else files[:1]
    with pytest.raises(SystemExit) as stop:
        plot_2D.main(["-f", *chosen, *argv])
    assert stop.value.code == 2
    assert says in capsys.readouterr().err
