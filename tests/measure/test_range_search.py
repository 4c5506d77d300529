"""The search for a range finds the reach that functions of a known rise need, with few points."""

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from losslandscape.core.errors import InputError
from losslandscape.evaluate.losses import LOSSES
from losslandscape.measure.range_search import FLOORS, REACHES, find_reach

SIDES = [(1.0,), (-1.0,)]


class Counted:
    """A loss of the coordinate that counts how often it is measured."""

    def __init__(self, loss):
        self.loss, self.points = loss, 0

    def __call__(self, point):
        self.points += 1
        return self.loss(point[0])


def powers(low: float, high: float):
    return st.floats(low, high).map(lambda exponent: 10**exponent)


@given(
    steep=powers(-5, 8),
    gentle=powers(-5, 8),
    bottom=powers(-8, 2),
    rise=st.floats(1.1, 1000),
    floor=powers(-3, 0),
)
@settings(max_examples=200)
def test_a_bowl(steep, gentle, bottom, rise, floor):
    """The loss has risen at both ends, and the ends are at most 2.5 times as far away as needed."""
    loss = Counted(lambda x: (steep if x > 0 else gentle) * x * x + bottom)
    reach = find_reach(loss, SIDES, centre=bottom, rise=rise, floor=floor)
    threshold = rise * max(bottom, floor)
    needed = [math.sqrt((threshold - bottom) / slope) for slope in (steep, gentle)]
    risen = [distance for distance in needed if distance <= REACHES[-1]]
    assume(not any(distance == pytest.approx(REACHES[-1]) for distance in needed))  # rounding decides
    assert reach.threshold == threshold and reach.reach in REACHES
    assert reach.flat == 2 - len(risen)
    if risen:
        assert reach.reach >= max(risen) * (1 - 1e-9)
        assert reach.reach <= max(2.5 * max(risen) * (1 + 1e-9), REACHES[0])
    else:
        assert reach.reach == REACHES[-1]
    assert loss.points <= 10


def test_reaches_are_round():
    digits = {f"{reach:.0e}"[0] for reach in REACHES}
    assert digits == {"1", "2", "5"} and len(REACHES) == 16
    assert (REACHES[0], REACHES[-1]) == (0.001, 100.0) and list(REACHES) == sorted(REACHES)


@pytest.mark.parametrize("beyond", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_has_risen(beyond):
    loss = Counted(lambda x: 0.01 if abs(x) < 0.3 else beyond)
    assert find_reach(loss, SIDES, centre=0.01, floor=0.1).reach == 0.5


def test_a_side_without_a_rise_does_not_count():
    flat = find_reach(Counted(lambda x: 2.3), SIDES, centre=2.3)
    assert (flat.reach, flat.flat) == (100, 2)
    assert "on 2 of 2 sides the loss does not rise to 23, up to 100" in flat.reason
    for sign in (1, -1):
        loss = Counted(lambda x, sign=sign: max(sign * x, 0.0))
        half = find_reach(loss, SIDES, centre=0.0, floor=0.1)
        assert (half.reach, half.flat) == (1, 1)
        assert "on 1 of 2 sides" in half.reason


def test_a_needle():
    reach = find_reach(Counted(lambda x: 1e9 * abs(x)), SIDES, centre=0.0, floor=0.1)
    assert reach.reach == 0.001
    assert "the narrowest that is tried" in reach.reason


def test_a_negative_loss_rises_by_as_much_as_a_positive_one():
    reach = find_reach(Counted(lambda x: -2.0 + 30 * x), SIDES[:1], centre=-2.0)
    assert reach.threshold == 16 and reach.reach == 1.0


@pytest.mark.parametrize("centre", [math.nan, math.inf])
def test_a_centre_without_a_loss_is_refused(centre):
    with pytest.raises(InputError, match=f"centre is {centre}.*-1:1:51"):
        find_reach(Counted(abs), SIDES, centre=centre)


def test_every_loss_with_a_scale_of_its_own_has_a_floor():
    in_units_of_the_data = {"regression_mse", "l1"}
    assert set(FLOORS) == set(LOSSES) - in_units_of_the_data
