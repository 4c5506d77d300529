"""Smooth contours: through measured values, not beyond those around, and empty where one is missing."""

import numpy as np
import pytest

from losslandscape.draw.smoothing import smooth


def rough(nx: int, ny: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    x, y = np.sort(random.uniform(-1, 1, nx)), np.linspace(-1, 1, ny)
    return x, y, np.exp(3 * random.normal(size=(ny, nx)))


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(("nx", "ny"), [(17, 17), (25, 9), (2, 2), (200, 5)])
def test_no_value_lies_beyond_the_four_measured_ones_around(nx, ny, log):
    x, y, values = rough(nx, ny)
    fine_x, fine_y, fine = smooth(x, y, values, log=log)
    assert fine_x.size > nx and fine_y.size > ny
    corners = np.stack([values[:-1, :-1], values[1:, :-1], values[:-1, 1:], values[1:, 1:]])
    columns = np.clip(np.searchsorted(x, fine_x) - 1, 0, nx - 2)
    rows = np.clip(np.searchsorted(y, fine_y) - 1, 0, ny - 2)
    inner = np.ix_(~np.isin(fine_y, y), ~np.isin(fine_x, x))
    low, high = corners.min(axis=0)[np.ix_(rows, columns)], corners.max(axis=0)[np.ix_(rows, columns)]
    assert (fine[inner] >= low[inner] * (1 - 1e-12)).all()
    assert (fine[inner] <= high[inner] * (1 + 1e-12)).all()


def test_measured_values_stay():
    x, y, values = rough(9, 7)
    fine_x, fine_y, fine = smooth(x, y, values, log=True)
    at = np.ix_(np.searchsorted(fine_y, y), np.searchsorted(fine_x, x))
    assert np.allclose(fine[at], values)


def test_nothing_is_drawn_into_cells_with_a_missing_point():
    x, y, values = rough(9, 7)
    values[2, 4] = np.nan
    fine_x, fine_y, fine = smooth(x, y, values, log=False)
    beside = np.ix_((fine_y > y[1]) & (fine_y < y[3]), (fine_x > x[3]) & (fine_x < x[5]))
    is_missing = np.zeros(fine.shape, bool)
    is_missing[beside] = True
    assert np.array_equal(np.isnan(fine), is_missing)


def test_a_bowl_is_round_at_17_points():
    """Linear interpolation misses a circle by 4 percent of its radius."""
    x = np.linspace(-1, 1, 17)
    fine_x, fine_y, fine = smooth(x, x, x[None] ** 2 + x[:, None] ** 2, log=False)
    exact = fine_x[None] ** 2 + fine_y[:, None] ** 2
    ring = (exact > 0.1) & (exact < 0.9)
    assert np.abs(np.sqrt(fine[ring]) / np.sqrt(exact[ring]) - 1).max() < 0.01
