"""Levels: those asked for, and those that fit the data."""

import numpy as np
import pytest

from losslandscape.core.errors import InputError
from losslandscape.draw.contour_levels import choose_scale, complete_levels


@pytest.mark.parametrize(
    "asked", [{"vmin": 0.1}, {"vmax": 10}, {"vlevel": 0.5}, {"vmin": 0.1, "vmax": 10, "vlevel": 0.5}]
)
def test_levels_that_are_not_given_are_the_published_ones(asked):
    scale = choose_scale([np.linspace(0, 30, 50)], **asked)
    assert np.array_equal(scale.levels, np.arange(0.1, 10, 0.5))


@pytest.mark.parametrize(("factor", "is_loss"), [(1, False), (1e-6, True), (1e30, True)])
def test_levels_fit_the_data(factor, is_loss):
    values = factor * np.linspace(1, 2, 9)
    scale = choose_scale([values], is_loss=is_loss)
    assert np.count_nonzero((scale.levels > values.min()) & (scale.levels < values.max())) >= 3
    assert not scale.refitted


def test_given_levels_that_do_not_suit_are_replaced():
    given = {"vmin": 0, "vmax": 100, "vlevel": 10}
    fitting = choose_scale([np.linspace(5, 90, 9)], **given)
    replaced = choose_scale([np.linspace(1, 2, 9)], **given)
    assert not fitting.refitted and np.array_equal(fitting.levels, np.arange(0, 100, 10))
    assert replaced.refitted and replaced.levels.max() < 2


def test_one_scale_for_several_surfaces():
    low, high = np.linspace(0.5, 1, 9), np.linspace(2, 40, 9)
    scale = choose_scale([low, high, np.array([np.nan])])
    assert scale.heights == (0.5, 40)
    assert scale.levels[0] < 5 and scale.levels[-1] > 30
    assert not scale.log


def test_a_constant_has_no_levels():
    scale = choose_scale([np.full(9, 2.3)])
    assert not scale.levels.size and scale.heights == (2.3, 2.3)


@pytest.mark.parametrize(("low", "high"), [(1e-3, 1e30), (0.01, 2000), (1, 150), (2, 2.2), (1e-30, 1e-28)])
def test_log_levels_are_round_and_have_nearly_equal_ratios(low, high):
    scale = choose_scale([np.array([low, high, -1.0, np.nan])], log=True)
    assert scale.log and scale.heights == (low, high)
    assert len(scale.levels) <= 20 and (len(scale.levels) >= 5 or high / low < 2)
    assert all(float(f"{level:.2g}") == pytest.approx(level, rel=1e-12) for level in scale.levels)
    ratios = np.diff(np.log(scale.levels))
    assert ratios.max() < 2.3 * ratios.min()


def test_a_loss_of_huge_range_gets_log_levels_spread_over_it():
    levels = choose_scale([np.geomspace(50, 1e30, 9)]).levels
    assert levels[0] < 1e6
    assert np.allclose(np.diff(np.log(levels), n=2), 0, atol=1e-6)


def test_log_levels_lie_between_given_ends():
    levels = choose_scale([np.geomspace(1e-4, 1e4, 9)], log=True, vmin=1e-3, vmax=1e3).levels
    assert levels[0] == pytest.approx(1e-3) and levels[-1] == pytest.approx(1e3)


def test_log_levels_need_a_positive_value():
    with pytest.raises(InputError, match="no value is positive"):
        choose_scale([np.array([-1.0, 0.0])], log=True)


@pytest.mark.parametrize(
    ("levels", "log", "says"),
    [
        ((3, 2, None), False, "vmin 3 is not less than vmax 2"),
        ((None, None, 0), False, "vlevel 0 is not positive"),
        ((None, None, 1e-9), False, "more than 1000 levels"),
        ((-1e250, None, None), False, "vmin -1e.250 is beyond what figures can show"),
        ((1e-290, None, None), True, "vmin 1e-290 is beyond what figures can show"),
        ((0, None, None), True, "vmin 0 has no place among log levels"),
        ((None, None, 2), True, "leave out one of log= and vlevel="),
    ],
)
def test_impossible_levels(levels, log, says):
    with pytest.raises(InputError, match=says):
        complete_levels(*levels, log=log)
