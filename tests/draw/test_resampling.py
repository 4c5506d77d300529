"""Splines through grids: exact where they can be, and holes that stay holes."""

import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator

from losslandscape.draw.resampling import resample
from losslandscape.draw.vtk.sheet import make_sheet
from losslandscape.files.surface import Surface

X, Y = np.linspace(-1, 1, 7), np.linspace(-0.5, 1, 5)


def bowl(x, y):
    return 0.2 + 8 * x**2 + 3 * y**2 + x * y


def cubic(x, y):
    return 1 + 2 * x - y + x**3 - 2 * x**2 * y + 0.5 * y**3 + x**3 * y**2


def sheet(values, points, *, x=X, y=Y, **options):
    plane = Surface("", x=x, y=y, quantities={"train_loss": values, **options.pop("others", {})})
    return make_sheet(plane, "train_loss", points=points, **options)


def test_interpolation_is_cubic():
    accuracy = 50 + 10 * X[None] * Y[:, None]
    resampled = sheet(cubic(X[None], Y[:, None]), (33, 17), others={"train_acc": accuracy})
    x, y = np.linspace(-1, 1, 33), np.linspace(-0.5, 1, 17)
    assert np.allclose(resampled.x, x) and np.allclose(resampled.y, y)
    assert np.allclose(resampled.height, cubic(x[None], y[:, None]), atol=1e-12)
    assert np.allclose(resampled.values["train_acc"], 50 + 10 * x[None] * y[:, None], atol=1e-12)


@pytest.mark.parametrize("shape", [(2, 2), (2, 5), (3, 4)])
def test_few_points_get_a_lower_degree(shape):
    def bilinear(x, y):
        return 1 + x - 3 * y + x * y

    x, y = np.linspace(0, 1, shape[0]), np.linspace(0, 2, shape[1])
    new_x, new_y = np.linspace(0, 1, 9), np.linspace(0, 2, 9)
    resampled = resample(x, y, bilinear(x[None], y[:, None]), new_x, new_y)
    assert np.allclose(resampled, bilinear(new_x[None], new_y[:, None]), atol=1e-12)


def test_interpolation_goes_through_the_logarithms():
    """Between a valley and a cliff, a spline through the values themselves swings below zero."""
    values = np.where(np.arange(7) > 3, 1e5, 0.01) * np.ones((5, 1))
    height = sheet(values, (61, 61), log=True).height
    assert np.isfinite(height).all()
    assert np.abs(height[0, ::10] - np.log(values[0] + 0.1)).max() < 1e-9


def test_a_hole_stays_a_hole():
    x, y = np.linspace(-1, 1, 25), np.linspace(-0.5, 1, 21)
    values = bowl(x[None], y[:, None])
    values[np.random.default_rng(0).random(values.shape) < 0.1] = np.nan
    new_x, new_y = np.linspace(-1, 1, 97), np.linspace(-0.5, 1, 97)
    resampled = resample(x, y, values, new_x, new_y)
    has_value = np.isfinite(resampled)
    # Linear interpolation is NaN exactly where a corner of the cell is. A little inside the cells, rounding
    # does not matter.
    inside_x, inside_y = np.meshgrid(new_x + 1e-6, new_y + 1e-6)
    linear = RegularGridInterpolator((y, x), values, bounds_error=False)((inside_y, inside_x))
    surely = np.isfinite(linear)
    assert 0.5 < surely.mean() < 1
    assert has_value[surely].all()
    columns, rows = np.searchsorted(new_x, x - 1e-6), np.searchsorted(new_y, y - 1e-6)
    assert not has_value[np.ix_(rows, columns)][np.isnan(values)].any()
    truth = bowl(new_x[None], new_y[:, None])
    assert np.abs(resampled - truth)[has_value].max() < 0.15


def test_a_cliff_above_zmax_does_not_ripple_far():
    values = bowl(X[None], Y[:, None])
    values[2, 3] = 1e30
    height = sheet(values, (61, 61), zmax=5).height
    assert height.max() == 5
    assert height.min() > -4


def test_bounded_heights_stay_between_the_measured_ones():
    values = np.where(np.arange(7) > 3, 100.0, 1.0) * np.ones((5, 1))
    free, bounded = (sheet(values, (61, 61), bounded=bounded).height for bounded in (False, True))
    assert free.min() < 1 and free.max() > 100
    assert bounded.min() == 1 and bounded.max() == 100
