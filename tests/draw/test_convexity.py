"""How the smallest eigenvalue compares with the largest."""

import numpy as np
import pytest

from losslandscape.draw.convexity import Convexity, convexity, eigenvalue_ratio
from losslandscape.files.surface import Surface

X = np.linspace(-1, 1, 81)


def line(low, high, measured=None) -> Surface:
    measured = np.ones(81, bool) if measured is None else measured
    quantities = {"min_eig": np.broadcast_to(low, 81), "max_eig": np.broadcast_to(high, 81)}
    return Surface("e.h5", x=X, y=None, quantities=quantities, measured=measured)


def test_centre_median_and_share_of_negative_points():
    low = np.where(np.abs(X) < 0.5, 0.2, -3.0)
    shape = convexity(line(low, 10.0))
    assert shape.centre == pytest.approx(0.02)
    assert shape.median == pytest.approx(0.3)
    assert shape.curved_down == pytest.approx(np.mean(low < 0))


def test_only_known_points_count():
    measured = X < -0.6
    low, high = np.where(measured, -5.0, 1.0), np.where(measured, 10.0, -1.0)
    high[0], high[1] = 0, np.nan
    assert convexity(line(low, high, measured)) == Convexity(None, 0.5, 1.0)
    assert convexity(line(1.0, 0.0)) is None


def test_a_point_that_curves_down_everywhere_is_negative():
    assert (eigenvalue_ratio(line(-8.0, -2.0)) == -4).all()
