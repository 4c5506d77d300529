"""Figures of planes: what is drawn where, on which scale, and what is said about holes."""

import numpy as np
import pytest

from losslandscape.core.errors import InputError
from losslandscape.draw.plane_figures import plot_2d, plot_contour_trajectory
from losslandscape.files import h5_util
from losslandscape.files.projection import Projection
from tests.draw.surface_files import notes, outputs, write_bowl, write_path, write_pca, write_plane
from tests.helpers import write_surface_file

KINDS = ("2dcontour", "2dcontourf", "2dheat", "3dsurface")


def test_axes_are_not_swapped(drawn):
    """One bright point at x = 0.5, y = 0 of a 7 x 3 grid."""
    x, y = np.linspace(-1, 0.5, 7), np.linspace(0, 1, 3)
    values = np.ones((3, 7))
    values[0, 6] = 9
    write_surface_file("s.h5", x=x, y=y, quantities={"train_loss": values})
    plot_2d("s.h5")
    axes = drawn["s.h5_train_loss_2dheat"].axes[0]
    cells = axes.collections[0]
    row, column = np.unravel_index(np.argmax(cells.get_array()), (3, 7))
    corners = cells.get_coordinates()[row : row + 2, column : column + 2].reshape(4, 2)
    assert np.allclose(corners.mean(axis=0), (0.5, 0))
    assert axes.get_xlim() == pytest.approx((-1.125, 0.625))
    assert "x direction" in axes.get_xlabel()
    assert "y direction" in axes.get_ylabel()
    for kind in ("2dcontour", "2dcontourf"):
        lines = drawn[f"s.h5_train_loss_{kind}"].axes[0].collections[0]
        paths = [path for path, level in zip(lines.get_paths(), lines.levels, strict=False) if level > 5]
        high = np.concatenate([path.vertices for path in paths])
        high = high[high.any(axis=1)]  # closing vertices are (0, 0)
        assert high[:, 0].min() > 0.2
        assert high[:, 1].max() < 0.6


def test_contours_lie_where_the_surface_has_their_value(drawn):
    plot_2d(write_bowl(nx=81, ny=61), vmin=0.1, vmax=10, vlevel=0.5)
    lines = drawn["s.h5_train_loss_2dcontour"].axes[0].collections[0]
    assert np.array_equal(lines.levels, np.arange(0.1, 10, 0.5))
    for path, level in zip(lines.get_paths(), lines.levels, strict=True):
        if len(path):
            x, y = path.vertices.T
            assert np.allclose(0.2 + 8 * x**2 + 3 * y**2, level, atol=0.02)


def test_both_contours_have_the_same_levels(drawn):
    plot_2d(write_bowl(nx=9, ny=7), vmin=1, vmax=8, vlevel=0.25)
    names = [f"s.h5_train_loss_{kind}" for kind in ("2dcontour", "2dcontourf")]
    lines, filled = (drawn[name].axes[0].collections[0] for name in names)
    assert np.array_equal(lines.levels, np.arange(1, 8, 0.25))
    assert np.array_equal(lines.levels, filled.levels)
    assert filled.extend == "both"


def test_levels_that_do_not_suit_are_reported(drawn, capsys):
    plot_2d(write_bowl(nx=9, ny=7, values=1e-6 * np.linspace(1, 2, 9)), vlevel=0.5)
    assert capsys.readouterr().out.count("do not suit train_loss") == 1


@pytest.mark.slow
@pytest.mark.parametrize(("low", "high"), [(1e-3, 1e4), (0.05, 40), (1e-30, 1e30)])
def test_the_colour_bar_of_filled_contours_ends_with_them(drawn, low, high):
    plot_2d(write_bowl(nx=9, ny=7, values=np.geomspace(low, high, 9)))
    plane, bar = drawn["s.h5_train_loss_2dcontourf"].axes
    levels = plane.collections[0].levels
    assert bar.get_ylim() == pytest.approx((levels[0], levels[-1]))
    assert len(bar.get_yticks()) >= 3


def test_several_surfaces_on_one_scale(drawn):
    write_bowl("a.h5", 9, 7)
    write_bowl("b.h5", 5, 5, values=40.0 + np.arange(5))
    plot_2d("a.h5", "b.h5", titles=["flat", "sharp"], out="both")
    assert sorted(drawn) == [f"both_train_loss_{kind}" for kind in KINDS]
    for fig in drawn.values():
        assert [axes.get_title() for axes in fig.axes] == ["flat", "sharp", ""]
    norms = [axes.collections[0].norm for axes in drawn["both_train_loss_2dheat"].axes[:2]]
    assert norms[0].vmin == norms[1].vmin == 0.2 and norms[0].vmax == norms[1].vmax == 44
    heights = [axes.get_zlim() for axes in drawn["both_train_loss_3dsurface"].axes[:2]]
    assert heights[0] == heights[1]


def test_the_first_quantity_and_all(drawn):
    write_plane(train_energy=-5 + np.linspace(-1, 1, 9), penalty=2.0, train_energy_se=0.1)
    plot_2d("p.h5")
    assert {stem.rpartition("_")[0] for stem in drawn} == {"p.h5_penalty"}
    drawn.clear()
    plot_2d("p.h5", name="all")
    assert {stem.rpartition("_")[0] for stem in drawn} == {"p.h5_penalty", "p.h5_train_energy"}
    norm = drawn["p.h5_train_energy_2dheat"].axes[0].collections[0].norm
    assert (norm.vmin, norm.vmax) == (-6, -4)


@pytest.mark.parametrize(
    ("options", "says"),
    [({"log": True}, "no value is positive"), ({"zlim": 0.5}, "zlim 0.5 is below every value of train_loss")],
)
def test_nothing_is_drawn_where_a_later_quantity_cannot_be(drawn, options, says):
    write_plane(train_loss=1.0, energy=-2.0)
    with pytest.raises(InputError, match=says):
        plot_2d("p.h5", name="all", **options)
    assert not drawn


# Holes ------------------------------------------------------------------------------------------------------


def test_a_partly_computed_surface(drawn, capsys):
    measured = np.zeros((5, 8), bool)
    measured[:3] = True
    values = np.where(measured, 0.2 + np.linspace(0, 8, 8), -1)
    values[0, 0], values[1, 4] = np.nan, np.inf
    plot_2d(write_bowl(nx=8, ny=5, names=("train_loss",), values=values, measured=measured))
    missing = "16 of 40 points (40 %) not computed yet; 2 points NaN or infinite"
    assert missing in capsys.readouterr().out
    assert len(drawn) == 4
    assert all(missing in notes(fig) for fig in drawn.values())
    cells = drawn["s.h5_train_loss_2dheat"].axes[0].collections[0].get_array()
    is_hole = np.ma.getmaskarray(cells).reshape(5, 8)
    assert np.array_equal(is_hole, ~(measured & np.isfinite(values)))
    lines = drawn["s.h5_train_loss_2dcontour"].axes[0].collections[0]
    assert max(path.vertices[:, 1].max() for path in lines.get_paths() if len(path)) <= 0.25  # row 2 of 5


def test_what_has_no_logarithm_is_a_hole(drawn, recwarn):
    plot_2d(write_bowl("s.h5", 9, 7, values=np.linspace(-2.5, 5.5, 9)), log=True)
    assert not recwarn.list
    assert "zero or negative at 21 points" in notes(drawn["s.h5_train_loss_2dcontour"])
    cells = drawn["s.h5_train_loss_2dheat"].axes[0].collections[0].get_array()
    assert np.ma.getmaskarray(cells).sum() == 21


@pytest.mark.slow
def test_a_constant(drawn):
    plot_2d(write_bowl(nx=5, ny=4, values=2.3))
    for kind in ("2dcontour", "2dcontourf", "2dheat"):
        assert "train loss is 2.3 everywhere" in notes(drawn[f"s.h5_train_loss_{kind}"])


def test_one_known_point_is_not_a_constant_everywhere(drawn):
    measured = np.zeros((4, 5), bool)
    measured[1, 2] = True
    values = np.where(measured, 4.6, -1)
    plot_2d(write_bowl(nx=5, ny=4, names=("train_loss",), measured=measured, values=values))
    note = "train loss is 4.6 wherever it is known; hatched: 19 of 20 points"
    assert note in notes(drawn["s.h5_train_loss_2dheat"])


# Odd values and grids ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("inside")
@pytest.mark.parametrize(
    ("values", "log"),
    [
        (0.0, False),
        (-5.0, False),
        (np.linspace(-1e30, 1e30, 7), False),
        (np.geomspace(1e-300, 1e199, 7), False),
        (np.geomspace(1e-320, 1e-290, 7), True),
        (np.linspace(-1e199, 1e199, 7), False),
        (np.geomspace(1e-251, 1e-250, 7), False),
    ],
)
def test_odd_values_are_drawn_without_a_warning(values, log, recwarn):
    plot_2d(write_bowl(nx=7, ny=3, values=values), log=log, formats="png")
    assert outputs() == [f"s.h5_train_loss_{kind}.png" for kind in KINDS]
    assert not recwarn.list


def test_values_on_which_matplotlib_overflows_are_too_large(inside):
    with pytest.raises(InputError, match="21 points too large to draw, 1e.200 or beyond"):
        plot_2d(write_bowl(nx=7, ny=3, values=1e300))


@pytest.mark.parametrize(("nx", "ny"), [(1, 1), (7, 1), (1, 7)])
def test_a_grid_without_cells_gets_its_heat_map(drawn, nx, ny, capsys, recwarn):
    plot_2d(write_bowl(nx=nx, ny=ny))
    drawn["s.h5_train_loss_2dheat"].draw_without_rendering()
    assert len(drawn) == 1
    assert f"needs at least 2x2 points, and this grid is {nx}x{ny}" in capsys.readouterr().out
    assert not recwarn.list


# A path on a surface ----------------------------------------------------------------------------------------


def test_a_path_on_a_surface(drawn, capsys):
    plot_contour_trajectory(write_bowl(nx=9, ny=7), proj_file=write_path(), dir_file=write_pca())
    axes = drawn["d.h5_proj_cos.h5_train_loss_2dcontour_proj"].axes[0]
    assert "PCA 1: 80.3 %" in axes.get_xlabel()
    assert "PCA 2: 12.3 %" in axes.get_ylabel()
    assert np.allclose(axes.lines[0].get_xydata()[0], (0.9, 0.9))
    assert "checkpoints lie outside" not in capsys.readouterr().out


def test_a_path_that_leaves_the_grid_stays_in_sight(drawn, capsys):
    plot_contour_trajectory(write_bowl(nx=9, ny=7, dir_file="other.h5"), proj_file=write_path(scale=3))
    axes = drawn["d.h5_proj_cos.h5_train_loss_2dcontour_proj"].axes[0]
    assert axes.get_xlim()[1] > 3
    assert axes.get_ylim()[1] > 3
    printed = capsys.readouterr().out
    assert "2 of 4 checkpoints lie outside the surface's grid" in printed
    assert "made along the directions 'other.h5'" in printed


def test_a_path_in_another_plane(drawn):
    surface = h5_util.read_surface(write_bowl(nx=9, ny=7))
    surface.made_with = {"directions": "1" * 16}
    path = Projection("p.h5", np.arange(3.0), np.arange(3.0), made_with={"directions": "2" * 16})
    h5_util.write_projection(path)
    with pytest.raises(InputError, match="another directions"):
        plot_contour_trajectory(surface, proj_file="p.h5")
    assert not drawn
