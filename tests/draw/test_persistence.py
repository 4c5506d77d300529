"""Minima are found with the rise on the way out of each, on surfaces whose depths are known."""

import math

import numpy as np
import pytest
from scipy import ndimage

from losslandscape.draw.persistence import depths_of_minima

X, Y = np.meshgrid(np.linspace(-3, 3, 61), np.linspace(-3, 3, 61))


def well(x: float, y: float, depth: float) -> np.ndarray:
    """Return a Gaussian well, which is 0 far away."""
    return -depth * np.exp(-((X - x) ** 2 + (Y - y) ** 2) / 0.1)


def test_wells_that_do_not_touch_have_their_own_depths():
    surface = well(-2, -2, 1) + well(2, -2, 0.5) + well(0, 2, 0.25)
    assert depths_of_minima(surface) == pytest.approx([math.inf, 0.5, 0.25], abs=1e-6)


def test_a_ripple_has_the_depth_of_its_pass():
    line = np.array([5.0, 0.0, 2.0, 1.5, 3.0, 1.0, 4.0])
    assert depths_of_minima(line) == [math.inf, 2.0, 0.5]
    assert depths_of_minima(np.tile(line, (5, 1))) == []  # valleys that go on beyond the edge


def test_a_diagonal_is_a_way_out():
    plane = np.full((5, 5), 9.0)
    plane[1, 1], plane[2, 2], plane[3, 3] = 1.0, 2.0, 0.0
    assert depths_of_minima(plane) == [math.inf, 1.0]


def test_a_plateau_is_one_minimum():
    assert depths_of_minima(np.array([3.0, 1.0, 1.0, 1.0, 2.0])) == [math.inf]
    assert depths_of_minima(np.zeros(5)) in ([], [math.inf])


def test_minima_on_the_edge_do_not_count():
    assert depths_of_minima(np.array([0.0, 2.0, 1.0, 3.0])) == [1.0]
    assert depths_of_minima(np.array([1.0])) == []


def test_unknown_values_leave_the_depths_unknown():
    assert depths_of_minima(np.array([3.0, 1.0, np.nan, 0.0, 2.0])) is None


@pytest.mark.parametrize("seed", range(5))
def test_the_number_of_minima_is_that_of_the_definition(seed):
    """A minimum is deeper than h if no lower point can be reached below its height plus h."""
    values = np.random.default_rng(seed).random((9, 11))
    depths = depths_of_minima(values)
    for h in (0.05, 0.2, 0.5):
        count = 0
        for place in np.ndindex(values.shape):
            regions, _ = ndimage.label(values <= values[place] + h, np.ones((3, 3)))
            inside = 0 < place[0] < 8 and 0 < place[1] < 10
            is_lowest = values[regions == regions[place]].min() == values[place]
            count += inside and is_lowest
        assert sum(depth > h for depth in depths) == count
