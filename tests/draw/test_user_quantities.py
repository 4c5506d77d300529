"""Quantities of any name, scale and sign, Hessian eigenvalues and standard errors, in every figure."""

import contextlib

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from PIL import Image

from losslandscape.cli import h52vtp, plot_1D, plot_2D
from losslandscape.core import quantity
from losslandscape.core.errors import InputError
from losslandscape.draw import eigen_figures, figures, labels, line_figures, vertical_axes
from losslandscape.files import h5_util
from tests.helpers import write_surface_file

X, Y = np.linspace(-1, 1, 9), np.linspace(-0.5, 1, 5)


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")


@contextlib.contextmanager
def caught(monkeypatch):
    """The figures by their stems, instead of files."""
    by_stem = {}
    with monkeypatch.context() as patch:
        patch.setattr(figures, "save", lambda fig, stem, formats, **_: by_stem.update({stem: fig}) or [stem])
        yield by_stem


def line(path="s.h5", **quantities):
    """A file in which every value is a result, -1 too."""
    write_surface_file(
        path,
        x=X,
        quantities={name: np.broadcast_to(values, 9) for name, values in quantities.items()},
        measured=np.ones(9, bool),
    )
    return path


def plane(path="p.h5", **quantities):
    write_surface_file(
        path,
        x=X,
        y=Y,
        quantities={name: np.broadcast_to(values, (5, 9)) for name, values in quantities.items()},
        measured=np.ones((5, 9), bool),
    )
    return path


def curve(axes, label):
    (found,) = (one for one in axes.lines if one.get_label() == label)
    return found


# Names --------------------------------------------------------------------------------------------


def test_names_say_loss_and_percentage():
    assert (
        quantity.is_loss("test_regularised_loss")
        and not quantity.is_loss("train_closs")
        and not quantity.is_loss("train_loss_se")
    )
    assert quantity.is_percentage("test_top5") and not quantity.is_percentage("train_accuracy")
    assert quantity.shown(
        [
            "train_se",
            "zeta",
            "train_loss_diff_se",
            "test_acc",
            "train_loss_se",
            "min_eig_residual",
            "min_eig",
            "train_loss",
        ]
    ) == ["train_loss", "test_acc", "min_eig", "train_se", "zeta"]
    assert [
        labels.label(name) for name in ("train_acc", "test_perplexity", "penalty", "train_own_value")
    ] == ["train accuracy (%)", "test perplexity", "weight decay penalty", "train own value"]


# On a line ----------------------------------------------------------------------------------------


def test_a_figure_for_each_value(monkeypatch):
    line(
        train_loss=1 + X**2,
        train_reward=-200 + X,
        test_reward=-210 + X,
        penalty=0.01 * X**2 + 0.2,
        train_top5=90.0,
    )
    with caught(monkeypatch) as drawn:
        line_figures.plot_1d("s.h5")
    assert sorted(drawn) == [
        f"s.h5_1d_{value}" for value in ("loss_acc", "penalty", "reward", "top5", "train_loss")
    ]
    axes = drawn["s.h5_1d_reward"].axes[0]
    assert (curve(axes, "train reward").get_linestyle(), curve(axes, "test reward").get_linestyle()) == (
        "-",
        "--",
    )
    assert axes.get_ylim()[0] < -211 and axes.get_ylim()[1] > -199  # all of it in sight
    assert axes.get_ylabel() == "reward"
    assert drawn["s.h5_1d_top5"].axes[0].get_ylim() == (-2, 102)
    assert "top-5 accuracy (%)" in drawn["s.h5_1d_top5"].axes[0].get_ylabel()
    assert not drawn["s.h5_1d_penalty"].legends  # its only entry is the label of the axis


def test_a_file_without_loss_and_accuracy(monkeypatch):
    with caught(monkeypatch) as drawn:
        line_figures.plot_1d(line(train_energy=X**3))
    assert list(drawn) == ["s.h5_1d_energy"]
    assert np.array_equal(drawn["s.h5_1d_energy"].axes[0].lines[0].get_ydata(), X**3)


def test_a_perplexity_of_huge_range_has_a_log_axis_and_a_negative_value_never(monkeypatch):
    with caught(monkeypatch) as drawn:
        line_figures.plot_1d(
            line(train_perplexity=np.exp(8 * X**2), train_gain=np.where(X < 0, -1, np.exp(8 * X**2)))
        )
    assert [drawn[f"s.h5_1d_{value}"].axes[0].get_yscale() for value in ("perplexity", "gain")] == [
        "log",
        "linear",
    ]


def test_log_is_for_losses(monkeypatch):
    with caught(monkeypatch) as drawn:
        line_figures.plot_1d(
            line(train_loss=1 + X**2, train_regularised_loss=2 + X**2, train_reward=3 + X), log=True
        )
    assert sorted(drawn) == [
        "s.h5_1d_loss_acc_log",
        "s.h5_1d_regularised_loss_log",
        "s.h5_1d_reward",
        "s.h5_1d_train_loss_log",
    ]
    assert {stem: fig.axes[0].get_yscale() for stem, fig in drawn.items()} == {
        stem: "log" if stem.endswith("_log") else "linear" for stem in drawn
    }


def test_a_negative_loss_is_all_in_sight(monkeypatch, capsys):
    with caught(monkeypatch) as drawn:
        line_figures.plot_1d(line(train_loss=-3000 + 500 * X**2, test_loss=100 * X**2))
    low, high = drawn["s.h5_1d_train_loss"].axes[0].get_ylim()
    assert low < -3000 and high > 100
    assert "s.h5: some loss is negative, so the axis follows the data." in capsys.readouterr().out


def test_a_log_axis_says_what_it_leaves_out(monkeypatch):
    with caught(monkeypatch) as drawn:
        line_figures.plot_1d(line(train_loss=X), log=True)
    assert (
        "train loss: zero or negative at 5 points, which have no logarithm"
        in drawn["s.h5_1d_train_loss_log"].get_supxlabel()
    )


def test_repeats_of_own_values(monkeypatch, capsys):
    for index in (1, 2):
        line(f"r_{index}.h5", train_energy=index * X**2)
    with caught(monkeypatch) as drawn:
        line_figures.plot_repeats("r", idx_max=2)
    assert list(drawn) == ["r_1d_energy_repeat"]
    assert np.allclose(drawn["r_1d_energy_repeat"].axes[0].lines[2].get_ydata(), 1.5 * X**2)
    assert "train_energy, 2 surfaces" in capsys.readouterr().out


# In a plane ---------------------------------------------------------------------------------------


def test_the_first_quantity_and_all(monkeypatch):
    plane(train_energy=-5 + X, penalty=2 + X, train_energy_se=0.1)
    with caught(monkeypatch) as drawn:
        plot_2D.main(["-f", "p.h5"])
        assert {stem.removeprefix("p.h5_").rpartition("_")[0] for stem in drawn} == {"penalty"}
        plot_2D.main(["-f", "p.h5", "--surf_name", "all"])
    assert {stem.removeprefix("p.h5_").rpartition("_")[0] for stem in drawn} == {"penalty", "train_energy"}
    norm = drawn["p.h5_train_energy_2dheat"].axes[0].collections[0].norm
    assert (norm.vmin, norm.vmax) == (-6, -4)


def test_vtp_of_a_file_without_a_loss(tmp_path):
    h52vtp.main(["-f", plane(train_top5=np.where(X > 0, 100, 0), train_energy=X - 7)])
    assert (tmp_path / "p.h5_train_energy.vtp").exists()


# Standard errors ----------------------------------------------------------------------------------


def test_a_band_of_one_standard_error(monkeypatch):
    error = 0.1 + 0.05 * X**2
    with caught(monkeypatch) as drawn:
        line_figures.plot_1d(line(train_loss=1 + X**2, train_loss_se=error, train_loss_diff_se=0.0))
    assert sorted(drawn) == ["s.h5_1d_loss_acc", "s.h5_1d_train_loss"]
    for fig in drawn.values():
        (band,) = (one for one in fig.axes[0].collections if isinstance(one, PolyCollection))
        vertices = band.get_paths()[0].vertices
        for x, middle, half in zip(X, 1 + X**2, error, strict=True):
            edges = vertices[np.isclose(vertices[:, 0], x), 1]
            assert (edges.min(), edges.max()) == pytest.approx((middle - half, middle + half))
        assert "± 1 standard error" in [text.get_text() for text in fig.legends[0].get_texts()]


# Convexity maps -----------------------------------------------------------------------------------


def test_eigenvalue_ratios_on_a_line(monkeypatch):
    line(min_eig=np.array([-8, -4, -1, 1, 2, 1, -1, np.nan, -30.0]), max_eig=np.full(9, 10.0))
    with caught(monkeypatch) as drawn:
        assert sorted(eigen_figures.plot_eigenvalues("s.h5")) == [
            "s.h5_1d_eig_abs_ratio",
            "s.h5_1d_eig_ratio",
        ]
    signed, size = (drawn[f"s.h5_1d_{name}"].axes[0] for name in ("eig_ratio", "eig_abs_ratio"))
    expected = np.array([-0.8, -0.4, -0.1, 0.1, 0.2, 0.1, -0.1, np.nan, -3])
    np.testing.assert_allclose(signed.lines[0].get_ydata(), expected)
    np.testing.assert_allclose(size.lines[0].get_ydata(), np.abs(expected))
    assert (signed.get_ylim(), size.get_ylim()) == (
        (-1.02, 1.02),
        (-0.02, 1.02),
    )  # a ratio of 1 is not hidden by the frame
    assert "1 point beyond the axis (values from 0.1 to 3)" in drawn["s.h5_1d_eig_abs_ratio"].get_supxlabel()


def test_eigenvalue_ratios_in_a_plane(monkeypatch):
    low = -np.linspace(0.1, 4, 45).reshape(5, 9)
    measured = np.ones((5, 9), bool)
    measured[4, 8] = False
    write_surface_file(
        "p.h5",
        x=X,
        y=Y,
        quantities={"min_eig": np.where(measured, low, 1), "max_eig": np.where(measured, 10, -1)},
        measured=measured,
    )
    with caught(monkeypatch) as drawn:
        eigen_figures.plot_eigenvalues("p.h5")
    assert sorted(drawn) == [f"p.h5_min_eig_max_eig_{name}_heat_sns" for name in ("abs_ratio", "ratio")]
    for name, ends in (("abs_ratio", (0, 0.5)), ("ratio", (-0.5, 0.5))):
        mesh = drawn[f"p.h5_min_eig_max_eig_{name}_heat_sns"].axes[0].collections[0]
        values = mesh.get_array().reshape(5, 9)
        assert np.array_equal(np.ma.getmaskarray(values), ~measured)
        np.testing.assert_allclose(
            values[measured], (np.abs(low) if name == "abs_ratio" else low)[measured] / 10
        )
        assert (mesh.norm.vmin, mesh.norm.vmax) == ends


def test_several_maps_have_one_scale(monkeypatch):
    plane("a.h5", min_eig=-0.1, max_eig=10)
    plane("b.h5", min_eig=-8, max_eig=10)
    with caught(monkeypatch) as drawn:
        eigen_figures.plot_eigenvalues("a.h5", "b.h5", titles=["a", "b"], out="both")
    panes = drawn["both_min_eig_max_eig_abs_ratio_heat_sns"].axes[:2]
    assert [(axes.get_title(), axes.collections[0].norm.vmax) for axes in panes] == [("a", 1), ("b", 1)]


def test_the_plot_scripts_draw_the_ratio_too(monkeypatch, capsys):
    with caught(monkeypatch) as drawn:
        plot_1D.main(["-f", line(min_eig=-X, max_eig=4 + X)])
        plot_2D.main(["-f", plane(min_eig=-X, max_eig=4 + X)])
    assert {f"s.h5_1d_{name}" for name in ("min_eig", "max_eig", "eig_ratio", "eig_abs_ratio")} | {
        "p.h5_min_eig_max_eig_ratio_heat_sns"
    } <= drawn.keys()
    assert capsys.readouterr().out.count("|ratio| in the median") == 2


def test_a_map_is_saved_with_its_holes(recwarn):
    values = np.where(X > 0.5, np.nan, -X)
    eigen_figures.plot_eigenvalues(plane(min_eig=values, max_eig=4.0), formats=("png",))
    with Image.open("p.h5_min_eig_max_eig_ratio_heat_sns.png") as image:
        assert image.width > 500
    assert not recwarn.list


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (["loss.h5"], "loss.h5 has no min_eig and max_eig; it has train_loss"),
        (["zero.h5"], "no finite ratio of eigenvalues to draw .max_eig: zero"),
        (["good.h5", "p.h5"], "good.h5 is 1-D and others are not"),
    ],
)
def test_files_without_a_ratio_are_refused(files, says):
    line("loss.h5", train_loss=1.0)
    line("zero.h5", min_eig=-1.0, max_eig=0.0)
    line("good.h5", min_eig=-1.0, max_eig=2.0)
    plane("p.h5", min_eig=-1.0, max_eig=2.0)
    with pytest.raises(InputError, match=says):
        eigen_figures.plot_eigenvalues(*files)


def test_a_side_of_no_values_is_linear():
    surface = h5_util.read_surface(line(train_energy=np.nan))
    assert vertical_axes.value_axis([surface], "energy") == vertical_axes.VerticalAxis(
        ("train_energy",), "energy"
    )
