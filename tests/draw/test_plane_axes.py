"""The axes of planes: hatched where a value is missing, and an inset that enlarges a part."""

import numpy as np
import pytest
from matplotlib.patches import PathPatch

from losslandscape.core.errors import InputError
from losslandscape.draw.figure_details import Details
from losslandscape.draw.plane_axes import edges
from losslandscape.draw.plane_figures import plot_2d, plot_contour_trajectory
from tests.draw.surface_files import notes, write_bowl, write_path


def hatched_area(axes) -> float:
    """The area that is hatched, in units of the axes."""
    area = 0.0
    for patch in axes.patches:
        if isinstance(patch, PathPatch) and patch.get_hatch():
            for corners in patch.get_path().to_polygons():
                area += np.ptp(corners[:, 0]) * np.ptp(corners[:, 1])
    return area


def write_with_holes() -> str:
    measured = np.ones((5, 9), bool)
    measured[4] = False  # a row at the edge
    values = 0.2 + np.linspace(0, 8, 9) + np.zeros((5, 9))
    values[1, 3] = np.nan
    return write_bowl(
        nx=9, ny=5, names=("train_loss",), values=np.where(measured, values, -1), measured=measured
    )


@pytest.mark.parametrize(("kind", "cells"), [("2dcontour", 8 + 4), ("2dcontourf", 8 + 4), ("2dheat", 9 + 1)])
def test_missing_points_are_hatched(drawn, kind, cells):
    """Between points, a point is a corner of four cells; in a heat map it is one cell."""
    plot_2d(write_with_holes())
    fig = drawn[f"s.h5_train_loss_{kind}"]
    assert hatched_area(fig.axes[0]) == pytest.approx(cells * 0.25 * 0.375)
    assert "hatched: 9 of 45 points (20 %) not computed yet; 1 point NaN" in notes(fig)


def test_missing_points_are_hatched_below_a_path(drawn):
    plot_contour_trajectory(write_with_holes(), proj_file=write_path())
    fig = drawn["d.h5_proj_cos.h5_train_loss_2dcontour_proj"]
    assert hatched_area(fig.axes[0]) == pytest.approx(12 * 0.25 * 0.375)


def test_a_whole_surface_has_no_hatching(drawn):
    plot_2d(write_bowl(nx=9, ny=5))
    assert all(hatched_area(fig.axes[0]) == 0 for stem, fig in drawn.items() if "3d" not in stem)


@pytest.mark.parametrize("zoom", [(0.25,), (-0.25, 0.25, -0.25, 0.25)])
def test_an_inset_enlarges_a_part(drawn, zoom):
    plot_2d(write_bowl(nx=9, ny=7), details=Details(zoom=zoom))
    for kind in ("2dcontour", "2dcontourf", "2dheat"):
        fig = drawn[f"s.h5_train_loss_{kind}"]
        (inset,) = fig.axes[0].child_axes
        assert inset.get_xlim() == pytest.approx((-0.25, 0.25))
        assert inset.get_ylim() == pytest.approx((-0.25, 0.25))
        assert len(inset.collections) == len(fig.axes[0].collections)
        fig.draw_without_rendering()
        assert inset.bbox.width == pytest.approx(inset.bbox.height, rel=0.02)  # a square stays one
        assert "inset: " in notes(fig)


def test_an_inset_of_nothing(inside):
    with pytest.raises(InputError, match="outside s.h5; give another zoom="):
        plot_2d(write_bowl(nx=9, ny=7), details=Details(zoom=(3, 4, 3, 4)))


def test_edges():
    assert np.allclose(edges(np.array([0, 1, 3])), [-0.5, 0.5, 2, 4])
    assert np.allclose(edges(np.array([2])), [1.5, 2.5])
