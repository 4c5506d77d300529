"""The path and the minimiser lie above the surface, at a distance that does not depend on its slope."""

import numpy as np
import pytest

pytest.importorskip("vtkmodules", reason="the vtk package is not installed")
from losslandscape.draw.vtk import lit_scene, marks
from losslandscape.draw.vtk.marks import Ground
from losslandscape.draw.vtk.polydata import make_polydata
from losslandscape.draw.vtk.sheet import Sheet
from losslandscape.files.projection import Projection
from tests.draw.vtk.shots import drawn, pictures, plane, shot

X = np.linspace(-1, 1, 201)
SLOPE = 4 * X[None] * np.ones((201, 1))
PATH = Projection("p.h5", np.array([-0.8, 0.0, 0.1]), np.array([-0.8, 0.5, 0.0]))


def ground(height=SLOPE, ceiling=np.inf):
    sheet = Sheet(X, X, height, {})
    transform = lit_scene.scaling(make_polydata(sheet), np.nanmin(height), np.nanmax(height), 0.8)
    return Ground(sheet, transform, ceiling)


def test_points_are_lifted_at_right_angles():
    """The slope is 0.8 high over a width of 1."""
    points = ground().above(PATH.x, PATH.y, 0.1)
    normal = np.array([-0.8, 0, 1]) / np.hypot(0.8, 1)
    on_slope = np.column_stack([PATH.x / 2, PATH.y / 2, 0.4 * (PATH.x + 1)])
    assert np.allclose(points, on_slope + 0.1 * normal, atol=1e-6)


def test_a_path_follows_the_surface_between_its_checkpoints():
    wave = np.sin(20 * X[None]) * np.ones((201, 1))
    around = ground(wave)
    x, y = around.along(np.array([-0.9, 0.9]), np.array([0.0, 0.3]))
    assert len(x) > 200 and (x[0], x[-1], y[-1]) == (-0.9, 0.9, 0.3)
    height = around.above(x, y, 0.0)[:, 2]
    assert np.ptp(height) == pytest.approx(0.8, abs=0.01)


def test_outside_in_holes_and_above_the_cut_there_is_no_point():
    height = SLOPE.copy()
    height[90:110, 90:110] = np.nan
    x, y = np.array([1.5, 0.0, 0.9, -0.5]), np.array([0.0, 0.0, 0.0, 0.0])
    has_point = np.isfinite(ground(height, ceiling=2.0).above(x, y, 0.01)).all(axis=1)
    assert has_point.tolist() == [False, False, False, True]


@pytest.mark.parametrize("points", [0, 1, 2])
def test_short_paths(points):
    """One checkpoint, or several at one place, are balls without a tube."""
    x = np.zeros(max(points, 1))
    assert len(marks.path_marks(ground(), x, x)) == 3


@pytest.mark.parametrize("view", ["corner", "top"])
def test_marks_are_pale_with_a_dark_outline_and_seen(inside, renderer, view):
    plane()
    bare = drawn(shot(views=[view], size=(400, 300)))
    marked = drawn(shot(views=[view], size=(400, 300), projection=PATH, look={"minimiser": True}))

    def share(colours, low, high):
        return np.mean((colours > low).all(axis=1) & (colours < high).all(axis=1))

    assert share(marked, 0.6, 252 / 255) > share(bare, 0.6, 252 / 255) + 0.002
    assert share(marked, -1, 0.2) > share(bare, -1, 0.2) + 0.001
    assert not (marked >= 252 / 255).all(axis=1).any()


def test_checkpoints_off_the_surface_are_counted(inside, renderer, capsys):
    plane()
    shot(projection=Projection("p.h5", np.array([3.0, 0.5, 0.0]), np.zeros(3)))
    assert "s.h5: 1 of 3 checkpoints lie off the shown surface: left out." in capsys.readouterr().out


def test_the_first_picture_of_a_process_has_its_marks(inside, renderer):
    """Marks are made into actors only when the OpenGL classes are loaded."""
    plane()
    [one], [other] = (
        pictures(projection=projection, look={"minimiser": True}).values() for projection in (None, PATH)
    )
    assert not np.array_equal(one, other)
