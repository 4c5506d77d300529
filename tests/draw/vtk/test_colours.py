"""The colours of heights: their map, their ends, and backgrounds."""

import math

import numpy as np
import pytest

from losslandscape.core.errors import InputError
from losslandscape.draw.vtk.colours import background_colour, choose_colours, colour_map
from losslandscape.draw.vtk.look import Look
from losslandscape.draw.vtk.sheet import Sheet

LINE = np.linspace(0, 1, 101)


def sheet(heights):
    heights = np.broadcast_to(heights, (5, 101)).astype(float)
    return Sheet(LINE, np.arange(5.0), heights, {})


def test_the_ends_leave_out_a_hundredth_on_either_side():
    [colours] = choose_colours([sheet(100 * LINE)], ceiling=math.inf)
    assert (colours.low, colours.high) == pytest.approx((1, 99))
    assert (colours.lowest, colours.highest) == (0, 100)


def test_a_spike_does_not_leave_all_else_one_colour():
    heights = np.where(np.arange(101) == 50, 1e6, LINE)
    [colours] = choose_colours([sheet(heights)], ceiling=math.inf)
    assert colours.high < 1.1 and colours.highest == 1e6


def test_the_cut_is_the_upper_end():
    [colours] = choose_colours([sheet(100 * LINE)], ceiling=40)
    assert colours.high == colours.highest == 40


def test_shared_colours_cover_all_surfaces_and_own_ones_each():
    sheets = [sheet(LINE), sheet(10 + 5 * LINE)]
    one, other = choose_colours(sheets, ceiling=math.inf)
    assert one == other and one.low < 0.02 and one.high > 14.9
    one, other = choose_colours(sheets, ceiling=math.inf, own=True)
    assert one.high < 1 < 10 < other.low


@pytest.mark.parametrize("heights", [3.0, 0.0, np.where(LINE == 0.5, 7.0, 3.0)])
def test_equal_heights_have_a_range_of_colours(heights):
    [colours] = choose_colours([sheet(heights)], ceiling=math.inf)
    low, high = colours.ends
    assert low < high and low <= colours.lowest and colours.highest <= high


def test_the_default_map_goes_from_deep_blue_to_red_in_even_steps():
    shades = colour_map("turbo")(np.linspace(0, 1, 256))[:, :3]
    assert shades[0, 2] > 2 * shades[0, :2].max() and shades[0, 2] > 0.6
    assert shades[-1, 0] > 3 * shades[-1, 1:].max() and shades[-1, 0] > 0.75
    assert (np.ptp(shades, axis=1) > 0.45).all()  # saturated everywhere
    steps = np.linalg.norm(np.diff(shades, axis=0), axis=1)
    assert steps.max() < 3 * np.median(steps)


@pytest.mark.parametrize(
    ("name", "colour"), [("white", [1, 1, 1]), ("#ff0000", [1, 0, 0]), ("transparent", None)]
)
def test_backgrounds(name, colour):
    assert np.array_equal(background_colour(name), colour)


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"cmap": "no such map"}, "no colour map 'no such map'; give cmap='turbo'"),
        ({"background": "no colour"}, "'no colour' is no colour; give background='transparent'"),
        ({"elevation": 91.0}, "elevation 91 is out of range; give elevation= from -90 to 90"),
        ({"zoom": 0.0}, "zoom 0 is out of range"),
        ({"height": -1.0}, "height -1 is out of range"),
    ],
)
def test_impossible_looks(values, fault):
    with pytest.raises(InputError, match=fault):
        Look(**values)
