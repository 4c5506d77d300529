"""The figures: their file names, what is drawn where, and what a reader is told of what is missing."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import h5py
import numpy as np
import pytest
from PIL import Image

from losslandscape.cli import plot_1D, plot_2D
from losslandscape.core.errors import InputError
from losslandscape.draw import (
    contour_labels,
    drawable,
    figures,
    labels,
    line_figures,
    panels,
    plane_figures,
    trajectory_figures,
)
from losslandscape.draw.contour_levels import choose_scale
from losslandscape.files import h5_util
from tests.helpers import write_surface_file

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    """Each test works in a folder of its own, where no display and no warning is wanted."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")


def surface(
    path="s.h5",
    nx=9,
    ny=None,
    *,
    names=("train_loss", "train_acc"),
    measured=None,
    values=None,
    dir_file="d.h5",
):
    """A bowl with its minimum at the origin, wider in x than in y; `values` replaces it."""
    x = np.linspace(-1, 1, nx) if nx > 1 else np.zeros(1)
    y = None if ny is None else (np.linspace(-0.5, 1, ny) if ny > 1 else np.zeros(1))
    bowl = 0.2 + 8 * x**2 if y is None else 0.2 + 8 * x[None] ** 2 + 3 * y[:, None] ** 2
    loss = bowl if values is None else np.broadcast_to(values, bowl.shape)
    made = {name: 100 * np.exp(-bowl) if name.endswith("acc") else loss for name in names}
    write_surface_file(path, x=x, y=y, quantities=made, measured=measured, dir_file=dir_file)
    return path


def trajectory(path="d.h5_proj_cos.h5", scale=0.9):
    with h5py.File(path, "w") as file:
        file["proj_xcoord"] = scale * np.array([1.0, 0.5, 0.2, 0.0])
        file["proj_ycoord"] = scale * np.array([1.0, 0.2, 0.1, 0.0])
    return path


def pca(path="d.h5"):
    with h5py.File(path, "w") as file:
        file["xdirection/0"] = np.ones(3, np.float32)
        file["explained_variance_ratio_"] = np.array([0.803, 0.1234])
    return path


def made():
    """The files in the test's folder, less the inputs."""
    return sorted(name for name in os.listdir() if not name.endswith(".h5"))


@contextlib.contextmanager
def caught(monkeypatch):
    """The figures by their stems, instead of files, so that a test can look at what is in them, and quickly."""
    figures_by_stem = {}
    with monkeypatch.context() as patch:
        patch.setattr(
            figures, "save", lambda fig, stem, formats, **_: figures_by_stem.update({stem: fig}) or []
        )
        yield figures_by_stem


@pytest.fixture
def saves_nothing(monkeypatch):
    with caught(monkeypatch):
        yield


def texts(fig):
    return " ".join(text.get_text() for text in fig.texts) + " " + (fig.get_supxlabel() or "")


# File names ---------------------------------------------------------------------------------------------------------------


def test_1d_file_names():
    plot_1D.main(["--surf_file", surface()])
    assert made() == ["s.h5_1d_loss_acc.pdf", "s.h5_1d_train_err.pdf", "s.h5_1d_train_loss.pdf"]


def test_1d_file_names_with_log(monkeypatch):
    with caught(monkeypatch) as drawn:
        plot_1D.main(["-f", surface(), "--log"])
    assert sorted(drawn) == ["s.h5_1d_loss_acc_log", "s.h5_1d_train_err", "s.h5_1d_train_loss_log"]


def test_2d_file_names_lie_beside_the_surface():
    os.mkdir("results")
    plot_2D.main(["--surf_file", surface("results/s.h5", 7, 5)])
    expected = [f"s.h5_train_loss_{kind}.pdf" for kind in ("2dcontour", "2dcontourf", "2dheat", "3dsurface")]
    assert sorted(os.listdir("results")) == ["s.h5", *expected]
    assert not made()[1:]


def test_formats():
    plot_1D.main(["-f", surface(names=("train_loss",)), "--format", "png", "svg", "png"])
    assert len(made()) == 4
    assert {Path(name).suffix for name in made()} == {".png", ".svg"}
    assert Path("s.h5_1d_train_loss.png").read_bytes().startswith(b"\x89PNG")


def test_repeats():
    for index in range(2, 5):
        surface(f"run_{index}.h5", names=("train_loss", "train_acc", "test_loss", "test_acc"))
    plot_1D.main(["--prefix", "run", "--idx_min", "2", "--idx_max", "4"])
    assert made() == ["run_1d_loss_err_repeat.pdf"]


def test_trajectory_alone_and_on_a_surface():
    plot_2D.main(["--proj_file", trajectory(), "--dir_file", pca()])
    assert made() == ["d.h5_proj_cos.h5.pdf"]
    plot_2D.main(
        [
            "--proj_file",
            "d.h5_proj_cos.h5",
            "--dir_file",
            "d.h5",
            "--surf_file",
            surface(nx=9, ny=7),
            "--format",
            "png",
        ]
    )
    assert made() == [
        "d.h5_proj_cos.h5.pdf",
        "d.h5_proj_cos.h5.png",
        "d.h5_proj_cos.h5_train_loss_2dcontour_proj.png",
    ]


def test_from_the_command_line():
    surface("line.h5", names=("train_acc",))
    surface("plane.h5", 7, 1)
    for command in (
        ["plot_1D.py", "-f", "line.h5"],
        ["plot_2D.py", "-f", "plane.h5", "--show", "--format", "png"],
    ):
        done = run(*command)
        assert (done.returncode, done.stderr) == (0, "")
        assert "saved" in done.stdout
    assert "no display" in done.stdout


def run(script, *args):
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND")
    }
    command = [sys.executable, ROOT / script, *args]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)


# What cannot be drawn -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("main", "argv", "says"),
    [
        (plot_1D.main, [], "give one of --surf_file and --prefix"),
        (plot_1D.main, ["-f", "nowhere.h5"], "nowhere.h5"),
        (plot_1D.main, ["-f", "text.h5"], "text.h5"),
        (plot_1D.main, ["-f", "plane.h5"], "plane.h5 is 2-D; use plot_2D.py"),
        (plot_1D.main, ["-f", "nothing.h5"], "nothing.h5 has no quantity to draw"),
        (plot_2D.main, ["-f", "bare.h5"], "bare.h5 has no quantity to draw"),
        (
            plot_2D.main,
            ["--proj_file", "d.h5_proj_cos.h5", "-f", "plane.h5", "--surf_name", "all"],
            "choose one with --surf_name",
        ),
        (
            plot_2D.main,
            ["-f", "plane.h5", "--log", "--vmin", "1e-290"],
            "vmin 1e-290 is beyond what figures can show",
        ),
        (plot_2D.main, ["-f", "plane.h5", "--vmin=-1e250"], "vmin -1e+250 is beyond what figures can show"),
        (plot_1D.main, ["-f", "empty.h5"], "11 of 11 points (100 %) not computed yet"),
        (plot_1D.main, ["-f", "zero.h5", "--log"], "leave --log out"),
        (plot_1D.main, ["-f", "line.h5", "--xmin", "1", "--xmax", "0"], "xmin 1 is greater than xmax 0"),
        (
            plot_1D.main,
            ["-f", "line.h5", "--xmin", "5", "--xmax", "6"],
            "nothing lies between xmin 5 and xmax 6: line.h5 goes from -1 to 1",
        ),
        (
            plot_1D.main,
            ["--prefix", "run", "--idx_max", "1", "--xmax=-4", "--xmin=-5"],
            "run_1.h5 goes from -1 to 1",
        ),
        (plot_1D.main, ["--prefix", "run", "--idx_max", "3"], "run_2.h5"),
        (plot_1D.main, ["--prefix", "run", "--idx_min", "3", "--idx_max", "1"], "idx_max 1"),
        (plot_1D.main, ["-f", "line.h5", "--format", "gif"], "gif"),
        (plot_2D.main, [], "give --surf_file, --proj_file, or both"),
        (plot_2D.main, ["-f", "nowhere.h5"], "nowhere.h5"),
        (plot_2D.main, ["-f", "line.h5"], "line.h5 is 1-D; use plot_1D.py"),
        (plot_2D.main, ["-f", "plane.h5", "--surf_name", "test_loss"], "it has train_acc, train_loss"),
        (plot_2D.main, ["-f", "nan.h5"], "12 points NaN or infinite"),
        (plot_2D.main, ["-f", "plane.h5", "--vmin", "3", "--vmax", "2"], "vmin 3 is not less than vmax 2"),
        (
            plot_2D.main,
            ["--proj_file", "d.h5_proj_cos.h5", "-f", "plane.h5", "plane.h5"],
            "drawn on one surface, not on 2",
        ),
        (plot_1D.main, ["-f", "line.h5", "--xmin", "nan"], "'nan' is not a finite number"),
        (plot_1D.main, ["--prefix", "run", "--title", "a"], "--title and --out are for --surf_file"),
        (plot_2D.main, ["-f", "plane.h5", "--zlim", "inf"], "'inf' is not a finite number"),
        (plot_2D.main, ["-f", "plane.h5", "--log", "--vlevel", "2"], "leave out one of --log and --vlevel"),
        (
            plot_2D.main,
            ["-f", "plane.h5", "--proj_file", "d.h5_proj_cos.h5", "--zlim", "3"],
            "--title, --out and --zlim are for surfaces",
        ),
        (plot_2D.main, ["-f", "plane.h5", "--vlevel", "0"], "vlevel 0 is not positive"),
        (plot_2D.main, ["-f", "plane.h5", "--vlevel", "1e-9"], "more than 1000 levels"),
        (plot_2D.main, ["-f", "plane.h5", "--zlim", "-1"], "zlim -1 is below every value"),
        (plot_2D.main, ["--proj_file", "plane.h5"], "not a projection file"),
        (plot_2D.main, ["--proj_file", "d.h5_proj_cos.h5", "-f", "row.h5"], "needs at least 2x2 points"),
        (plot_2D.main, ["--proj_file", "d.h5_proj_cos.h5", "--dir_file", "nowhere.h5"], "nowhere.h5"),
    ],
)
def test_one_sentence_and_status_2(main, argv, says, capsys):
    surface("line.h5", 11)
    surface("run_1.h5", 11)
    surface("plane.h5", 7, 5)
    surface("row.h5", 7, 1)
    surface("nan.h5", 4, 3, values=np.nan)
    surface("zero.h5", 11, values=0.0)
    surface("nothing.h5", 11, names=())
    surface("bare.h5", 5, 4, names=())
    surface("empty.h5", 11, names=("train_loss",), values=-1)
    Path("text.h5").write_text("not HDF5")
    trajectory()
    with pytest.raises(SystemExit) as stopped:
        main(argv)
    assert stopped.value.code == 2
    sentence = capsys.readouterr().err.strip().splitlines()[-1]
    assert "error: " in sentence
    assert says in sentence
    assert made() == [] or "--proj_file" in argv  # the trajectory comes first


def test_nothing_is_drawn_where_a_later_quantity_cannot_be():
    write_surface_file(
        "s.h5",
        x=np.arange(3.0),
        y=np.arange(3.0),
        quantities={"train_loss": np.ones((3, 3)), "energy": np.full((3, 3), -2.0)},
    )
    for options in ({"log": True}, {"zlim": 0.5}):
        with pytest.raises(
            InputError, match="no value is positive|zlim 0.5 is below every value of train_loss"
        ):
            plane_figures.plot_2d("s.h5", name="all", **options)
    assert made() == []


@pytest.mark.parametrize("unbuffered", ["1", ""])
def test_a_reader_that_has_gone_ends_it_quietly(unbuffered):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, ROOT / "plot_1D.py", "-f", surface(names=("train_acc",)), "--format", "png"]
    done = subprocess.run(
        command,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        timeout=60,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_an_error_leaves_no_traceback():
    done = run("plot_2D.py", "-f", surface("line.h5"))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("plot_2D.py: error: line.h5 is 1-D; use plot_1D.py")


def test_a_folder_that_cannot_be_written_names_the_figure():
    long = "x" * 240 + ".h5"
    surface("s.h5")
    os.rename("s.h5", long)
    with pytest.raises(OSError, match="too long") as error:
        line_figures.plot_1d(long)
    assert error.value.filename == f"{long}_1d_loss_acc.pdf"
    assert made() == []


# What is drawn where ------------------------------------------------------------------------------------------------------


def test_axes_are_not_swapped(monkeypatch):
    """One bright point at x = 0.5, y = 0 of a 7 x 3 grid."""
    x, y = np.linspace(-1, 0.5, 7), np.linspace(0, 1, 3)
    values = np.ones((3, 7))
    values[0, 6] = 9
    write_surface_file("s.h5", x=x, y=y, quantities={"train_loss": values})
    with caught(monkeypatch) as drawn:
        plane_figures.plot_2d("s.h5")
    axes = drawn["s.h5_train_loss_2dheat"].axes[0]
    mesh = axes.collections[0]
    row, column = np.unravel_index(np.argmax(mesh.get_array()), (3, 7))
    corners = mesh.get_coordinates()[row : row + 2, column : column + 2].reshape(4, 2)
    assert np.allclose(corners.mean(axis=0), (0.5, 0))
    assert axes.get_xlim() == pytest.approx((-1.125, 0.625))
    assert "x direction" in axes.get_xlabel()
    assert "y direction" in axes.get_ylabel()
    for kind in ("2dcontour", "2dcontourf"):
        lines = drawn[f"s.h5_train_loss_{kind}"].axes[0].collections[0]
        above = [
            path.vertices
            for path, level in zip(lines.get_paths(), lines.levels, strict=False)
            if level > 5 and len(path)
        ]
        assert above
        for vertices in above:
            vertices = vertices[vertices.any(axis=1)]  # closing vertices are (0, 0)
            assert vertices[:, 0].min() > 0.2
            assert vertices[:, 1].max() < 0.6


def test_contours_lie_where_the_surface_has_their_value(monkeypatch):
    with caught(monkeypatch) as drawn:
        plane_figures.plot_2d(surface(nx=81, ny=61), vmin=0.1, vmax=10, vlevel=0.5)
    lines = drawn["s.h5_train_loss_2dcontour"].axes[0].collections[0]
    assert np.array_equal(lines.levels, np.arange(0.1, 10, 0.5))
    for path, level in zip(lines.get_paths(), lines.levels, strict=True):
        if len(path):
            x, y = path.vertices.T
            assert np.allclose(0.2 + 8 * x**2 + 3 * y**2, level, atol=0.02)


def test_both_contours_have_the_same_levels(monkeypatch):
    with caught(monkeypatch) as drawn:
        plane_figures.plot_2d(surface(nx=9, ny=7), vmin=1, vmax=8, vlevel=0.25)
    lines, filled = (
        drawn[f"s.h5_train_loss_{kind}"].axes[0].collections[0] for kind in ("2dcontour", "2dcontourf")
    )
    assert np.array_equal(lines.levels, np.arange(1, 8, 0.25))
    assert np.array_equal(lines.levels, filled.levels)
    assert filled.extend == "both"


@pytest.mark.parametrize(("name", "factor"), [("train_acc", 1), ("train_loss", 1e-6), ("train_loss", 1e30)])
def test_levels_fit_the_data_when_the_asked_ones_do_not(name, factor, capsys, recwarn):
    surface(nx=9, ny=7, values=factor * np.linspace(1, 2, 9))
    plane_figures.plot_2d("s.h5", name=name, vlevel=0.5, formats=("png",))
    assert (capsys.readouterr().out.count("do not suit") == 1) == (name == "train_loss")
    assert len(made()) == 4
    assert not recwarn.list
    values = h5_util.read_surface("s.h5").get(name)
    scale = choose_scale([values], is_loss=name == "train_loss")
    assert np.count_nonzero((scale.levels > values.min()) & (scale.levels < values.max())) >= 3
    assert not scale.refitted
    assert choose_scale([values], vmin=0, vmax=100, vlevel=10).refitted == (name == "train_loss")


def test_the_published_levels_when_one_of_them_is_asked_for():
    for asked in ({"vmin": 0.1}, {"vmax": 10}, {"vlevel": 0.5}, {"vmin": 0.1, "vmax": 10, "vlevel": 0.5}):
        assert np.array_equal(choose_scale([np.linspace(0, 30, 50)], **asked).levels, np.arange(0.1, 10, 0.5))


def test_one_scale_for_several_surfaces():
    low, high = np.linspace(0.5, 1, 9), np.linspace(2, 40, 9)
    scale = choose_scale([low, high, np.array([np.nan])])
    assert scale.heights == (0.5, 40)
    assert scale.levels[0] < 5 and scale.levels[-1] > 30
    assert not scale.log


@pytest.mark.parametrize(("low", "high"), [(1e-3, 1e30), (0.01, 2000), (1, 150), (2, 2.2), (1e-30, 1e-28)])
def test_log_levels_are_round_and_of_nearly_equal_ratios(low, high):
    scale = choose_scale([np.array([low, high, -1.0, np.nan])], log=True)
    assert scale.log and scale.heights == (low, high)
    assert len(scale.levels) <= 20 and (len(scale.levels) >= 5 or high / low < 2)
    assert all(float(f"{level:.2g}") == pytest.approx(level, rel=1e-12) for level in scale.levels)
    ratios = np.diff(np.log(scale.levels))
    assert ratios.max() < 2.3 * ratios.min()


def test_log_levels_need_a_positive_value():
    with pytest.raises(InputError, match="no value is positive"):
        choose_scale([np.array([-1.0, 0.0])], log=True)
    with pytest.raises(InputError, match="vmin 0 has no place among log levels"):
        choose_scale([np.array([1.0, 2.0])], vmin=0, log=True)


def test_levels_of_a_huge_range_are_spread_over_it():
    surface(nx=9, ny=7, values=np.geomspace(50, 1e30, 9))
    levels = choose_scale([h5_util.read_surface("s.h5").get("train_loss")]).levels
    assert levels[0] < 1e6
    assert np.allclose(np.diff(np.log(levels), n=2), 0, atol=1e-6)


def overlapping_labels(fig):
    fig.draw_without_rendering()
    boxes = [text.get_window_extent() for axes in fig.axes for text in axes.texts]
    marks = [line.get_window_extent() for axes in fig.axes for line in axes.lines]
    return len(boxes), sum(
        box.overlaps(other) for i, box in enumerate(boxes) for other in [*boxes[:i], *marks]
    )


def test_contour_labels_do_not_collide(monkeypatch):
    """Lines that crowd around a narrow valley: there is no room for the label of each."""
    x = np.linspace(-1, 1, 61)
    values = 0.01 + 2000 * (x[None] ** 2 + 0.02 * x[:, None] ** 2) ** 1.5
    write_surface_file("s.h5", x=x, y=x, quantities={"train_loss": values})
    with caught(monkeypatch) as drawn:
        plane_figures.plot_2d("s.h5")
    labels, collisions = overlapping_labels(drawn["s.h5_train_loss_2dcontour"])
    assert labels >= 3
    assert collisions == 0


def test_a_label_lies_on_no_other_contour(monkeypatch):
    """Contours of a range as huge as that of float64 come together."""
    x, y = np.linspace(-1, 1, 9), np.linspace(-1, 1, 7)
    write_surface_file(
        "s.h5", x=x, y=y, quantities={"train_loss": 10.0 ** (-300 + 249.5 * (x[None] ** 2 + y[:, None] ** 2))}
    )
    write_surface_file("even.h5", x=x, y=y, quantities={"train_loss": 1 + x[None] + 0 * y[:, None]})
    with caught(monkeypatch) as drawn:
        plane_figures.plot_2d("s.h5")
        plane_figures.plot_2d("even.h5")
    crossed = 0
    for stem, enough in (("s.h5", 0), ("even.h5", 6)):
        axes = drawn[f"{stem}_train_loss_2dcontour"].axes[0]
        assert len(axes.texts) >= enough
        pieces = [
            axes.transData.transform(piece)
            for path in axes.collections[0].get_paths()
            for piece in path.to_polygons(closed_only=False)
        ]
        crossed += sum(
            contour_labels.is_crossed(text, axes.transData.transform(text.get_position()), pieces)
            for text in axes.texts
        )
    assert not crossed  # its own contour has a gap there


def test_labels_of_levels_differ():
    for base, step in ((2.3026, 1e-5), (1234.5, 5e-4), (-1e12, 1.0), (0.0, 1e-7), (12000, 50)):
        levels = base + step * np.arange(9)
        texts_of = labels.level_texts(levels)
        assert len(set(texts_of)) == 9
        if "$" not in "".join(texts_of):
            assert np.allclose([float(text) for text in texts_of], levels, rtol=0, atol=step / 10)


def test_numbers_of_heights_are_whole(monkeypatch):
    """matplotlib would write what they have in common over one of them."""
    surface(nx=9, ny=7, values=1234.5 + 1e-3 * np.linspace(0, 1, 9))
    with caught(monkeypatch) as drawn:
        plane_figures.plot_2d("s.h5")
    fig = drawn["s.h5_train_loss_3dsurface"]
    fig.draw_without_rendering()
    axis = fig.axes[0].zaxis
    assert axis.get_offset_text().get_text() == ""
    numbers = [float(text.get_text()) for text in axis.get_ticklabels()]
    assert len(set(numbers)) == len(numbers) > 3
    assert np.allclose(numbers, axis.get_ticklocs(), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("low", "high"), [(1e-3, 1e4), (0.05, 40), (1e-30, 1e30)])
def test_the_bar_of_filled_contours_ends_with_them(monkeypatch, low, high):
    surface(nx=9, ny=7, values=np.geomspace(low, high, 9))
    with caught(monkeypatch) as drawn:
        plane_figures.plot_2d("s.h5")
    plane, bar = drawn["s.h5_train_loss_2dcontourf"].axes
    levels = plane.collections[0].levels
    assert bar.get_ylim() == pytest.approx((levels[0], levels[-1]))
    assert len(bar.get_yticks()) >= 3


def test_labels_of_large_levels_are_powers():
    assert [labels.level_text(value) for value in (0.3, 3000, 1e4, 3e4, 1e-5, -2e6, 0)] == [
        "0.3",
        "3000",
        "$10^{4}$",
        r"$3\times10^{4}$",
        "$10^{-5}$",
        r"$-2\times10^{6}$",
        "0",
    ]


# Several surfaces side by side -----------------------------------------------------------------------------------------------


def test_several_surfaces_on_one_scale(monkeypatch):
    surface("a.h5", 9, 7)
    surface("b.h5", 5, 5, values=40.0 + np.arange(5))
    with caught(monkeypatch) as drawn:
        plot_2D.main(["-f", "a.h5", "b.h5", "--title", "flat", "sharp", "--out", "both"])
    assert sorted(drawn) == [
        f"both_train_loss_{kind}" for kind in ("2dcontour", "2dcontourf", "2dheat", "3dsurface")
    ]
    for fig in drawn.values():
        assert [axes.get_title() for axes in fig.axes] == ["flat", "sharp", ""]
    norms = [axes.collections[0].norm for axes in drawn["both_train_loss_2dheat"].axes[:2]]
    assert norms[0].vmin == norms[1].vmin == 0.2 and norms[0].vmax == norms[1].vmax == 44
    heights = [axes.get_zlim() for axes in drawn["both_train_loss_3dsurface"].axes[:2]]
    assert heights[0] == heights[1]


def test_several_curves_on_one_scale(monkeypatch):
    surface("a.h5", 9)
    surface("b.h5", 21, values=100.0)
    with caught(monkeypatch) as drawn:
        plot_1D.main(["-f", "a.h5", "b.h5", "--loss_max", "50"])
    assert sorted(drawn) == [f"a.h5_compared_1d_{kind}" for kind in ("loss_acc", "train_err", "train_loss")]
    for fig in drawn.values():
        panes = [axes for axes in fig.axes if axes.get_title()]
        assert [axes.get_title() for axes in panes] == ["a.h5", "b.h5"]
        assert panes[0].get_ylim() == panes[1].get_ylim()
    assert len(drawn["a.h5_compared_1d_train_err"].axes) == 2


def test_the_outermost_panel_that_has_an_axis_tells_it(monkeypatch):
    surface("acc.h5", 9, names=("train_acc",))
    surface("loss.h5", 9, names=("train_loss",))
    surface("both.h5", 9)
    with caught(monkeypatch) as drawn:
        plot_1D.main(["-f", "acc.h5", "loss.h5", "both.h5", "loss.h5", "--title", "a", "b", "c", "d"])
    fig = drawn["acc.h5_compared_1d_loss_acc"]
    fig.draw_without_rendering()
    left, right = fig.axes[:4], fig.axes[4:]

    def told(axes, side):
        numbers = any(
            getattr(tick, f"label{1 if side == 'left' else 2}").get_visible()
            for tick in axes.yaxis.get_major_ticks()
        )
        return axes.yaxis.get_visible() and numbers and bool(axes.get_ylabel())

    assert [told(axes, "left") for axes in left] == [False, True, False, False]
    assert [told(axes, "right") for axes in right] == [False, False, True, False]


def test_a_log_axis_that_panels_share_holds_all_of_their_values(monkeypatch, recwarn):
    surface("a.h5", 9)
    surface("b.h5", 9, values=np.geomspace(1e-300, 1e190, 9))
    with caught(monkeypatch) as drawn:
        plot_1D.main(["-f", "a.h5", "b.h5", "a.h5", "--title", "a", "b", "c", "--log"])
    assert not recwarn.list
    for axes in drawn["a.h5_compared_1d_train_loss_log"].axes:
        low, high = axes.get_ylim()
        assert 0 < low < 1e-200 and high > 1e190


def test_files_of_one_name_are_told_apart(monkeypatch, tmp_path, saves_nothing):
    for folder, factor in (("a", 1.0), ("b", 50.0)):
        os.mkdir(folder)
        surface(f"{folder}/s.h5", 5, 5, values=factor * np.arange(1.0, 6))
    plot_2D.main(["-f", "a/s.h5", "b/s.h5", "--out", "two", "--json", "two.json"])
    told = json.loads((tmp_path / "two.json").read_text())["train_loss"]
    assert {title: metrics["lowest"]["value"] for title, metrics in told.items()} == {
        "a/s.h5": 1.0,
        "b/s.h5": 50.0,
    }


@pytest.mark.parametrize(
    ("titles", "says"),
    [(["same", "same"], "two surfaces have the title 'same'"), (["a", r"$\bad$"], "cannot be read")],
)
def test_titles_that_cannot_be(titles, says, capsys):
    surface("a.h5", 5, 5)
    surface("b.h5", 5, 5)
    with pytest.raises(SystemExit):
        plot_2D.main(["-f", "a.h5", "b.h5", "--title", *titles])
    assert says in capsys.readouterr().err


def test_log_levels_between_given_ends_need_no_step(monkeypatch):
    surface("wide.h5", 9, 7, values=np.geomspace(1e-4, 1e4, 9))
    with caught(monkeypatch) as drawn:
        plot_2D.main(["-f", "wide.h5", "--log", "--vmin", "1e-3", "--vmax", "1e3"])
    levels = drawn["wide.h5_train_loss_2dcontourf"].axes[0].collections[0].levels
    assert levels[0] == pytest.approx(1e-3) and levels[-1] == pytest.approx(1e3)


def test_what_has_no_logarithm_is_a_hole_and_said(monkeypatch, recwarn):
    surface("s.h5", 9, 7, values=np.linspace(-2.5, 5.5, 9))
    with caught(monkeypatch) as drawn:
        plane_figures.plot_2d("s.h5", log=True)
    assert not recwarn.list
    assert "zero or negative at 21 points, which have" in texts(drawn["s.h5_train_loss_2dcontour"])
    write_surface_file(
        "s.h5", x=np.arange(3.0), y=np.arange(2.0), quantities={"train_loss": np.arange(6.0).reshape(2, 3)}
    )
    with caught(monkeypatch) as drawn:
        plane_figures.plot_2d("s.h5", log=True)
    assert "zero or negative at 1 point, which has" in texts(drawn["s.h5_train_loss_2dheat"])


@pytest.mark.parametrize("main", [plot_1D.main, plot_2D.main])
def test_a_title_for_each_file_or_none(main, capsys):
    with pytest.raises(SystemExit):
        main(["-f", surface(ny=None if main is plot_1D.main else 5), "s.h5", "--title", "one"])
    assert "1 titles for 2 surface files" in capsys.readouterr().err


def test_minimisers_are_marked(monkeypatch):
    for low, high, marks in ((-0.5, 1.5, ["first minimiser", "second minimiser"]), (-1, 1, ["minimiser"])):
        write_surface_file("s.h5", x=np.linspace(low, high, 9), quantities={"train_loss": np.ones(9)})
        with caught(monkeypatch) as drawn:
            line_figures.plot_1d("s.h5")
        assert [text.get_text() for text in drawn["s.h5_1d_train_loss"].axes[0].texts] == marks


def test_repeats_have_their_mean_and_spread(monkeypatch):
    for index, factor in enumerate((1, 2, 6), start=1):
        surface(f"run_{index}.h5", names=("train_loss",), values=factor * np.arange(1.0, 10))
    with caught(monkeypatch) as drawn:
        line_figures.plot_repeats("run", idx_max=3, loss_max=99)
    axes = drawn["run_1d_loss_err_repeat"].axes[0]
    assert any(np.array_equal(line.get_ydata(), 3 * np.arange(1.0, 10)) for line in axes.lines)
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert band.max() == pytest.approx(9 * (3 + np.std([1, 2, 6])))
    assert band.min() == pytest.approx(3 - np.std([1, 2, 6]))


def test_1d_lines(monkeypatch):
    names = ("train_loss", "train_acc", "test_loss", "test_acc")
    with caught(monkeypatch) as drawn:
        line_figures.plot_1d(surface(nx=21, names=names), loss_max=4)
    x = np.linspace(-1, 1, 21)
    left, right = drawn["s.h5_1d_loss_acc"].axes
    train, test = (line for line in left.lines if len(line.get_xdata()) == 21)
    assert np.allclose(train.get_ydata(), 0.2 + 8 * x**2)
    assert (train.get_linestyle(), test.get_linestyle()) == ("-", "--")
    assert left.get_ylim() == (0, 4)
    assert left.get_xlim() == (-1, 1)
    assert train.get_color() != right.lines[0].get_color()
    error = drawn["s.h5_1d_train_err"].axes[0].lines[0]
    assert np.allclose(error.get_ydata(), 100 - 100 * np.exp(-(0.2 + 8 * x**2)))


def test_1d_range_and_log(monkeypatch):
    values = np.linspace(-1, 1, 9)
    with caught(monkeypatch) as drawn:
        plot_1D.main(["-f", surface(values=values), "--log", "--xmin", "-0.5", "--xmax", "0.75"])
    axes = drawn["s.h5_1d_train_loss_log"].axes[0]
    assert axes.get_yscale() == "log"
    assert axes.get_xlim() == (-0.5, 0.75)
    assert np.array_equal(np.isnan(axes.lines[0].get_ydata()), values <= 0)


def test_a_wide_1d_file_is_not_cut_at_1(monkeypatch):
    write_surface_file("s.h5", x=np.linspace(-0.5, 1.5, 5), quantities={"train_loss": np.ones(5)})
    with caught(monkeypatch) as drawn:
        plot_1D.main(["-f", "s.h5"])
    assert all(fig.axes[0].get_xlim() == (-0.5, 1.5) for fig in drawn.values())
    assert sorted(drawn) == ["s.h5_1d_loss_acc", "s.h5_1d_train_loss"]


def test_zlim_cuts_the_3d_surface(monkeypatch):
    surface(nx=9, ny=7)
    with caught(monkeypatch) as drawn:
        plot_2D.main(["-f", "s.h5", "--zlim", "5"])
    fig = drawn["s.h5_train_loss_3dsurface"]
    assert fig.axes[0].get_zlim() == (0, 5)
    assert "cut off at 5" in texts(fig)


def test_a_3d_surface_keeps_every_point(monkeypatch):
    """matplotlib thins grids of more than 50 points unless told otherwise."""
    with caught(monkeypatch) as drawn:
        plane_figures.plot_2d(surface(nx=61, ny=3))
    fig = drawn["s.h5_train_loss_3dsurface"]
    fig.draw_without_rendering()
    assert len(fig.axes[0].collections[0].get_paths()) == 60 * 2


def test_trajectory_names_its_axes(monkeypatch):
    with caught(monkeypatch) as drawn:
        trajectory_figures.draw(trajectory(), dir_file=pca())
    axes = drawn["d.h5_proj_cos.h5"].axes[0]
    assert "PCA 1: 80.3 %" in axes.get_xlabel()
    assert "PCA 2: 12.3 %" in axes.get_ylabel()
    assert np.allclose(axes.lines[0].get_xydata()[0], (0.9, 0.9))


def test_a_trajectory_that_leaves_the_grid_stays_in_sight(monkeypatch, capsys):
    with caught(monkeypatch) as drawn:
        plane_figures.plot_contour_trajectory(
            surface(nx=9, ny=7, dir_file="other.h5"), proj_file=trajectory(scale=3)
        )
    axes = drawn["d.h5_proj_cos.h5_train_loss_2dcontour_proj"].axes[0]
    assert axes.get_xlim()[1] > 3
    assert axes.get_ylim()[1] > 3
    out = capsys.readouterr().out
    assert "2 of 4 checkpoints lie outside the surface's grid" in out
    assert "made along the directions 'other.h5'" in out


# What is missing ----------------------------------------------------------------------------------------------------------


def test_a_partly_computed_file_says_so(monkeypatch, capsys):
    measured = np.zeros((5, 8), bool)
    measured[:3] = True
    values = np.where(measured, 0.2 + np.linspace(0, 8, 8), -1)
    values[0, 0], values[1, 4] = np.nan, np.inf
    surface(nx=8, ny=5, names=("train_loss",), values=values, measured=measured)
    with caught(monkeypatch) as drawn:
        plane_figures.plot_2d("s.h5")
    says = "16 of 40 points (40 %) not computed yet; 2 points NaN or infinite"
    assert says in capsys.readouterr().out
    assert len(drawn) == 4
    assert all(says in texts(fig) for fig in drawn.values())
    mask = np.ma.getmaskarray(drawn["s.h5_train_loss_2dheat"].axes[0].collections[0].get_array())
    assert np.array_equal(mask.reshape(5, 8), ~(measured & np.isfinite(values)))
    lines = drawn["s.h5_train_loss_2dcontour"].axes[0].collections[0]
    assert max(path.vertices[:, 1].max() for path in lines.get_paths() if len(path)) <= 0.25  # row 2 of 5


def test_results_of_minus_one_and_zero_are_drawn(monkeypatch):
    values = np.array([-1.0, 0.0, 1.0, 2.0, 3.0])
    surface(nx=5, names=("train_loss",), values=values, measured=np.ones(5, bool))
    with caught(monkeypatch) as drawn:
        line_figures.plot_1d("s.h5")
    assert np.array_equal(drawn["s.h5_1d_train_loss"].axes[0].lines[0].get_ydata(), values)


def test_a_gap_in_a_line_and_a_point_alone(monkeypatch, capsys):
    values = np.array([1.0, 2.0, np.nan, 3.0, np.inf, 2.0, 2.0, -1.0, -1.0])
    surface(names=("train_loss",), values=values)
    with caught(monkeypatch) as drawn:
        line_figures.plot_1d("s.h5")
    fig = drawn["s.h5_1d_train_loss"]
    assert np.array_equal(
        np.isnan(fig.axes[0].lines[0].get_ydata()),
        [False, False, True, False, True, False, False, True, True],
    )
    assert fig.axes[0].lines[0].get_markevery() == [3]
    assert "2 of 9 points (22 %) not computed yet; 2 points NaN or infinite" in texts(fig)
    assert capsys.readouterr().out.count("not computed yet") == 1


def test_a_coarse_grid_shows_before_the_fine_one():
    """Every second row and column measured: contours of that grid, not an empty figure."""
    measured = np.zeros((7, 9), bool)
    measured[::2, ::2] = True
    surface(nx=9, ny=7, names=("train_loss",), measured=measured, values=np.where(measured, 2.0, -1))
    data = h5_util.read_surface("s.h5")
    x, y, values = drawable.known_part(data, "train_loss")
    assert np.array_equal(x, data.x[::2])
    assert np.array_equal(y, data.y[::2])
    assert np.array_equal(values, np.full((4, 5), 2.0))


def test_percentages_never_round_to_all_or_none():
    measured = np.ones(1000, bool)
    measured[0] = False
    surface(nx=1000, names=("train_loss",), values=np.where(measured, 2.0, -1), measured=measured)
    data = h5_util.read_surface("s.h5")
    assert drawable.describe_missing(data, "train_loss") == "1 of 1000 points (<1 %) not computed yet"


# Odd grids ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ny", "values"), [(2, None), (3, 0.0), (2, -5.0), (3, 1e30), (3, np.linspace(-1e30, 1e30, 7))]
)
def test_odd_values_end_in_a_figure_without_a_warning(ny, values, recwarn):
    plane_figures.plot_2d(surface(nx=7, ny=ny, values=values), formats=("png",))
    assert len(made()) == 4
    assert not recwarn.list


def test_values_that_matplotlib_overflows_on_are_too_large():
    with pytest.raises(InputError, match="21 points too large to draw, 1e.200 or beyond"):
        plane_figures.plot_2d(surface(nx=7, ny=3, values=1e300))


@pytest.mark.parametrize(
    ("low", "high", "log"),
    [(1e-300, 1e199, False), (1e-320, 1e-290, True), (-1e199, 1e199, False), (1e-251, 1e-250, False)],
)
def test_values_at_the_ends_of_what_a_float_holds_are_drawn(low, high, log, recwarn):
    values = np.geomspace(low, high, 7) if low > 0 else np.linspace(low, high, 7)
    plane_figures.plot_2d(surface(nx=7, ny=3, values=values), log=log, formats=("png",))
    assert len(made()) == 4
    assert not recwarn.list


@pytest.mark.parametrize(("nx", "ny"), [(1, 1), (7, 1), (1, 7)])
def test_a_grid_without_cells_gets_its_heat_map(nx, ny, capsys, recwarn):
    plot_2D.main(["-f", surface(nx=nx, ny=ny)])
    assert made() == ["s.h5_train_loss_2dheat.pdf"]
    assert f"needs at least 2x2 points, and this grid is {nx}x{ny}" in capsys.readouterr().out
    assert not recwarn.list


def test_one_point_of_a_line(recwarn):
    plot_1D.main(["-f", surface(nx=1)])
    assert len(made()) == 3
    assert not recwarn.list


def test_a_constant_surface_says_its_value(monkeypatch):
    with caught(monkeypatch) as drawn:
        plane_figures.plot_2d(surface(nx=5, ny=4, values=2.3))
    for kind in ("2dcontour", "2dcontourf", "2dheat"):
        assert "train loss is 2.3 everywhere" in texts(drawn[f"s.h5_train_loss_{kind}"])


def test_a_surface_with_one_point_is_not_constant_everywhere(monkeypatch):
    measured = np.zeros((4, 5), bool)
    measured[1, 2] = True
    with caught(monkeypatch) as drawn:
        plane_figures.plot_2d(
            surface(nx=5, ny=4, names=("train_loss",), measured=measured, values=np.where(measured, 4.6, -1))
        )
    assert "train loss is 4.6 wherever it is known; 19 of 20 points" in texts(drawn["s.h5_train_loss_2dheat"])


def test_edges():
    assert np.allclose(panels.edges(np.array([0, 1, 3])), [-0.5, 0.5, 2, 4])
    assert np.allclose(panels.edges(np.array([2])), [1.5, 2.5])


# Saving -------------------------------------------------------------------------------------------------------------------


def test_a_figure_is_whole_or_absent(monkeypatch):
    fig = figures.new_figure()
    Path("a.pdf").write_text("the figure before")

    def interrupted(path, **_):
        Path(path).write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(fig, "savefig", interrupted)
    with pytest.raises(KeyboardInterrupt):
        figures.save(fig, "a")
    assert made() == ["a.pdf"]
    assert Path("a.pdf").read_text() == "the figure before"


def test_fonts_are_embedded_and_the_same_figure_is_the_same_file():
    surface(names=("train_loss",))
    contents = []
    for _ in range(2):
        line_figures.plot_1d("s.h5", formats=("pdf", "svg"))
        contents.append([Path(name).read_bytes() for name in made()])
    assert contents[0] == contents[1]
    assert b"/FontFile2" in contents[0][0]
    assert b"/Type3" not in contents[0][0]


MEASURED_BY, MEASURED_BEFORE = (
    "python plot_surface.py --model_file 'é my.t7'",
    "python plot_surface.py --overwrite",
)


def run_surface(path="s.h5", nx=5, ny=None, *, last=MEASURED_BY):
    """A surface whose file knows its runs."""
    made_surface = h5_util.read_surface(surface(path, nx, ny, names=("train_loss",)))
    made_surface.runs = [{"command": MEASURED_BEFORE}, {"command": last}]
    h5_util.write_surface(made_surface)
    return path


def description(path):
    """Title and the commands in a figure's metadata."""
    if path.endswith(".png"):
        text = Image.open(path).text
        return text["Title"], text.get("Description", "").splitlines()
    if path.endswith(".svg"):
        text_of = ElementTree.parse(
            path
        ).findtext  # the first of its name: matplotlib's own title follows the figure's
        return text_of(".//{*}title"), (text_of(".//{*}description") or "").splitlines()
    raw = Path(path).read_bytes()
    return pdf_text(raw, b"Title"), pdf_text(raw, b"Subject").splitlines()


def pdf_text(raw, key):
    """A text of a PDF's information: in brackets, with escapes and a mark if it is UTF-16."""
    if b"/" + key + b" (" not in raw:
        return ""
    rest = raw.split(b"/" + key + b" (", 1)[1]
    text, position = b"", 0
    while rest[position : position + 1] != b")":
        if rest[position : position + 1] == b"\\":
            position += 1
            text += {b"n": b"\n", b"r": b"\r"}.get(
                rest[position : position + 1], rest[position : position + 1]
            )
        else:
            text += rest[position : position + 1]
        position += 1
    return text.decode("utf-16") if text.startswith(b"\xfe\xff") else text.decode("latin-1")


@pytest.mark.parametrize("suffix", ["pdf", "png", "svg"])
def test_a_figure_tells_the_commands_that_made_it(suffix):
    for drawing, stem, argv in (
        (
            plot_1D,
            f"{run_surface('line.h5')}_1d_train_loss",
            ["-f", "line.h5", "--loss_max", "7", "--format", suffix],
        ),
        (
            plot_2D,
            f"{run_surface('plane.h5', 5, 1)}_train_loss_2dheat",
            ["-f", "plane.h5", "--format", suffix],
        ),
        (plot_2D, trajectory(), ["--proj_file", "d.h5_proj_cos.h5", "--format", suffix]),
    ):
        drawing.main(argv)
        own = " ".join(["python", f"{drawing.__name__.split('.')[-1]}.py", *argv])
        assert description(f"{stem}.{suffix}") == (stem, [own] if "proj" in stem else [MEASURED_BY, own])


def test_repeats_tell_each_command_once():
    for index in (1, 2, 3):
        run_surface(f"run_{index}.h5", last=f"python plot_surface.py --idx {min(index, 2)}")
    plot_1D.main(["--prefix", "run", "--idx_max", "3", "--format", "png"])
    commands = [
        "python plot_surface.py --idx 1",
        "python plot_surface.py --idx 2",
        "python plot_1D.py --prefix run --idx_max 3 --format png",
    ]
    assert description("run_1d_loss_err_repeat.png")[1] == commands


def test_a_figure_drawn_from_python_tells_no_command_line_but_the_surfaces():
    plot_1D.main(["-f", run_surface(), "--format", "png"])
    line_figures.plot_1d("s.h5", formats=("png",))
    assert description("s.h5_1d_loss_acc.png")[1] == [MEASURED_BY]
    line_figures.plot_1d(surface(names=("train_loss",)), formats=("pdf", "png", "svg"))
    assert {tuple(description(name)[1]) for name in made()} == {()}


def test_commands_of_any_characters_do_not_break_a_figure():
    run_surface(last="python \x00\x1b\udcff(\\) <&>")
    line_figures.plot_1d("s.h5", formats=("pdf", "png", "svg"))
    assert {description(f"s.h5_1d_loss_acc.{suffix}")[1][0] for suffix in ("pdf", "png", "svg")} == {
        "python ???(\\) <&>"
    }


def test_the_same_command_draws_the_same_bytes():
    contents = []
    for _ in range(2):
        plot_1D.main(["-f", run_surface(), "--format", "pdf", "png", "svg"])
        contents.append([Path(name).read_bytes() for name in made()])
    assert contents[0] == contents[1]


def test_the_callers_style_is_untouched():
    import matplotlib

    before = dict(matplotlib.rcParams)
    line_figures.plot_1d(surface(names=("train_acc",)), formats=("png",))
    assert dict(matplotlib.rcParams) == before
