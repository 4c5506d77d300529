"""Convexity maps: the ratio of the smallest to the largest Hessian eigenvalue."""

import numpy as np
import pytest

from losslandscape.core.errors import InputError
from losslandscape.draw.eigen_figures import plot_eigenvalues
from losslandscape.draw.line_figures import plot_1d
from losslandscape.draw.plane_figures import plot_2d
from tests.draw.surface_files import X, Y, notes, outputs, write_line, write_plane
from tests.helpers import write_surface_file


def test_ratios_on_a_line(drawn):
    write_line(min_eig=np.array([-8, -4, -1, 1, 2, 1, -1, np.nan, -30.0]), max_eig=10.0)
    assert sorted(plot_eigenvalues("s.h5")) == ["s.h5_1d_eig_abs_ratio", "s.h5_1d_eig_ratio"]
    signed, size = drawn["s.h5_1d_eig_ratio"], drawn["s.h5_1d_eig_abs_ratio"]
    expected = np.array([-0.8, -0.4, -0.1, 0.1, 0.2, 0.1, -0.1, np.nan, -3])
    np.testing.assert_allclose(signed.axes[0].lines[0].get_ydata(), expected)
    np.testing.assert_allclose(size.axes[0].lines[0].get_ydata(), np.abs(expected))
    # With a margin: the frame would hide a ratio of 1.
    assert signed.axes[0].get_ylim() == (-1.02, 1.02)
    assert size.axes[0].get_ylim() == (-0.02, 1.02)
    assert "1 point beyond the axis (values from 0.1 to 3)" in notes(size)


def test_ratios_in_a_plane(drawn):
    low = -np.linspace(0.1, 4, 45).reshape(5, 9)
    measured = np.ones((5, 9), bool)
    measured[4, 8] = False
    quantities = {"min_eig": np.where(measured, low, 1), "max_eig": np.where(measured, 10, -1)}
    write_surface_file("p.h5", x=X, y=Y, quantities=quantities, measured=measured)
    plot_eigenvalues("p.h5")
    assert sorted(drawn) == [f"p.h5_min_eig_max_eig_{name}_heat_sns" for name in ("abs_ratio", "ratio")]
    for name, expected, ends in (("abs_ratio", np.abs(low) / 10, (0, 0.5)), ("ratio", low / 10, (-0.5, 0.5))):
        cells = drawn[f"p.h5_min_eig_max_eig_{name}_heat_sns"].axes[0].collections[0]
        values = cells.get_array().reshape(5, 9)
        assert np.array_equal(np.ma.getmaskarray(values), ~measured)
        np.testing.assert_allclose(values[measured], expected[measured])
        assert (cells.norm.vmin, cells.norm.vmax) == ends


@pytest.mark.slow
def test_several_maps_have_one_scale(drawn):
    write_plane("a.h5", min_eig=-0.1, max_eig=10)
    write_plane("b.h5", min_eig=-8, max_eig=10)
    plot_eigenvalues("a.h5", "b.h5", titles=["a", "b"], out="both")
    panels = drawn["both_min_eig_max_eig_abs_ratio_heat_sns"].axes[:2]
    assert [(axes.get_title(), axes.collections[0].norm.vmax) for axes in panels] == [("a", 1), ("b", 1)]


def test_plots_of_surfaces_include_the_ratio(drawn, capsys):
    plot_1d(write_line(min_eig=-X, max_eig=4 + X))
    plot_2d(write_plane(min_eig=-X, max_eig=4 + X))
    names = ("min_eig", "max_eig", "eig_ratio", "eig_abs_ratio")
    assert {*(f"s.h5_1d_{name}" for name in names), "p.h5_min_eig_max_eig_ratio_heat_sns"} <= drawn.keys()
    assert capsys.readouterr().out.count("|ratio| in the median") == 2


def test_a_map_with_holes_is_saved_without_a_warning(inside, recwarn):
    plot_eigenvalues(write_plane(min_eig=np.where(X > 0.5, np.nan, -X), max_eig=4.0), formats="png")
    assert len(outputs()) == 2
    assert not recwarn.list


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (["loss.h5"], "loss.h5 has no min_eig and max_eig; it has train_loss"),
        (["zero.h5"], "no finite ratio of eigenvalues to draw .max_eig: zero"),
        (["good.h5", "p.h5"], "good.h5 is 1-D and others are not"),
    ],
)
def test_files_without_a_ratio_are_refused(drawn, files, says):
    write_line("loss.h5", train_loss=1.0)
    write_line("zero.h5", min_eig=-1.0, max_eig=0.0)
    write_line("good.h5", min_eig=-1.0, max_eig=2.0)
    write_plane("p.h5", min_eig=-1.0, max_eig=2.0)
    with pytest.raises(InputError, match=says):
        plot_eigenvalues(*files)
    assert not drawn
