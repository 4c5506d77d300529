"""Sharpness, flatness, curvature, minima and barrier of losses whose shape is known."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from losslandscape.draw import loss_shape

AXIS = np.linspace(-1, 1, 81)
PLANE = np.meshgrid(AXIS, AXIS)


def bowl(x, y):
    return 0.5 + 4 * x**2 + 16 * y**2


@pytest.mark.parametrize("axis", [np.linspace(0, 1, 11), np.linspace(-1e-17, 1, 11)])
def test_flatness_has_no_side_that_the_grid_does_not_have(axis):
    rising = axis**2 / 0.36  # 0.2 is reached at 0.6 times the root of 0.2
    assert loss_shape.flatness((axis,), rising) == {"+x": pytest.approx(0.6 * 0.2**0.5, abs=0.01)}
    assert loss_shape.flatness((axis - 1,), np.zeros(11)) == {"-x": math.inf}
    assert loss_shape.flatness((axis,), np.full(11, np.nan)) == {"+x": None}


def test_flatness_in_half_a_plane():
    upper = AXIS[AXIS >= 0]
    radii = loss_shape.flatness((upper, AXIS), bowl(*np.meshgrid(AXIS, upper)))
    whole = loss_shape.flatness((AXIS, AXIS), bowl(*PLANE))
    assert list(radii) == ["+x", "-x", "+y", "least"]
    assert radii == pytest.approx({name: whole[name] for name in radii}, rel=5e-3)


def test_flatness_of_a_bowl():
    """4 x^2 = 0.5 and 16 y^2 = 0.5: twice the loss of the centre."""
    radii = loss_shape.flatness((AXIS, AXIS), bowl(*PLANE))
    wide, narrow = 8**-0.5, 32**-0.5
    expected = {"+x": wide, "-x": wide, "+y": narrow, "-y": narrow, "least": narrow}
    assert radii == pytest.approx(expected, rel=5e-3)


def test_sharpness_of_a_bowl():
    """The sides of the box are lines of this grid."""
    expected = 100 * (4 * 0.01 + 16 * 0.01) / 1.5
    assert loss_shape.sharpness((AXIS, AXIS), bowl(*PLANE)) == pytest.approx(expected, rel=1e-6)


def test_a_loss_near_zero_has_risen_at_a_fifth():
    """Twice nearly nothing is nearly nothing, so the floor of 0.1 counts."""
    radii = loss_shape.flatness((AXIS,), 1e-6 + AXIS**2)
    assert radii["+x"] == pytest.approx(0.2**0.5, rel=1e-3)


def test_flat_up_to_the_edge():
    flat = np.ones((81, 81))
    assert set(loss_shape.flatness((AXIS, AXIS), flat).values()) == {math.inf}
    assert loss_shape.sharpness((AXIS, AXIS), flat) == 0


def test_points_on_which_a_number_does_not_depend_may_be_missing():
    near = np.where(np.abs(AXIS) <= 0.1 + 1e-9, 1 + AXIS**2, np.nan)
    assert loss_shape.sharpness((AXIS,), near) == pytest.approx(0.5)
    is_zero = np.abs(AXIS) < 1e-9
    cross = np.where(is_zero[:, None] | is_zero[None], bowl(*PLANE), np.nan)
    assert loss_shape.flatness((AXIS, AXIS), cross)["+x"] == pytest.approx(8**-0.5, rel=5e-3)


@pytest.mark.parametrize(
    ("axis", "known"),
    [
        (np.linspace(-1, 1, 21), True),
        (np.linspace(-1, 1, 20), True),  # the centre lies between two points
        (np.linspace(-1, 1, 19), False),  # no point lies in the box beside the centre
        (np.linspace(-1, 1, 3), False),
        (np.linspace(-0.05, 0.05, 11), False),  # the box reaches beyond the grid
    ],
)
def test_the_sharpness_needs_the_box_within_the_grid_and_points_in_it(axis, known):
    assert (loss_shape.sharpness((axis,), 1 + axis**2) is not None) == known


@pytest.mark.parametrize("constant", [2.5, 0.1, 1e-3, 1234.567])
def test_a_constant_rises_nowhere_for_all_its_rounding(constant):
    axis = np.linspace(-1, 1, 51)
    assert loss_shape.sharpness((axis, axis), np.full((51, 51), constant)) == 0
    assert loss_shape.barrier(np.linspace(-0.5, 1.5, 41), np.full(41, constant)) == 0
    assert loss_shape.sharpness((axis, axis), constant * (1 + 1e-9 * axis + 0 * axis[:, None])) > 0


def test_curvature_of_a_bowl_a_saddle_and_a_turned_saddle():
    x, y = PLANE
    assert loss_shape.negative_curvature(bowl(x, y)) == 0
    assert loss_shape.negative_curvature(3 + x**2 - y**2) == 1
    turned = 3 + x * y  # its only second difference is the mixed one
    assert loss_shape.negative_curvature(turned) == 1
    assert loss_shape.local_minima(turned) == 0


def test_half_of_a_sine_curves_down():
    x = np.linspace(0, 1, 2001)
    sine = 2 + np.sin(2 * np.pi * 4 * (x + 1e-3))
    # Near its inflections the curvature is below rounding.
    assert loss_shape.negative_curvature(sine) == pytest.approx(0.5, abs=0.01)
    assert loss_shape.local_minima(sine) == 4


def test_a_plane_has_no_curvature_for_all_its_rounding():
    x = PLANE[0].astype(np.float32)
    tilted = np.float32(2.3) + np.float32(0.1) * x
    assert loss_shape.negative_curvature(tilted.astype(float)) == 0


def test_minima_are_counted_away_from_the_edge():
    x, y = PLANE
    wells = 2 - np.exp(-40 * ((x - 0.5) ** 2 + y**2)) - np.exp(-40 * ((x + 0.5) ** 2 + y**2))
    assert loss_shape.local_minima(wells) == 2
    assert loss_shape.local_minima(bowl(x, y)) == 1
    assert loss_shape.local_minima(3 + AXIS) == 0
    assert loss_shape.local_minima(np.full(81, 2.0)) == 0


@settings(deadline=None, max_examples=30)
@given(height=st.floats(0, 50), first=st.floats(0.1, 5), second=st.floats(0.1, 5))
def test_the_barrier_is_the_height_above_the_line(height, first, second):
    x = np.linspace(-0.5, 1.5, 81)
    hill = np.where((x > 0) & (x < 1), 4 * height * x * (1 - x), 0)
    values = (1 - x) * first + x * second + hill
    assert loss_shape.barrier(x, values) == pytest.approx(height, abs=1e-9)


def test_roughness():
    """For sin(k x) the second difference is -4 sin^2(k h / 2) sin(k x), so the ratio does not depend on x."""
    x = np.linspace(0, 2 * np.pi, 201)[:-1]
    step = x[1] - x[0]
    smooth, rough = (np.sin(k * x) for k in (1, 10))
    assert loss_shape.roughness(smooth) == pytest.approx(4 * np.sin(step / 2) ** 2, rel=0.01)
    assert loss_shape.roughness(rough) == pytest.approx(4 * np.sin(5 * step) ** 2, rel=0.01)
    plane = np.add.outer(rough, rough)
    assert loss_shape.roughness(plane) == pytest.approx(loss_shape.roughness(rough) / np.sqrt(2), rel=0.01)
    assert loss_shape.roughness(1000 + 7 * plane) == pytest.approx(loss_shape.roughness(plane))
    assert loss_shape.roughness(np.full((5, 5), 3.0)) == 0
    assert loss_shape.roughness(np.array([1.0, 2.0])) is None
    assert loss_shape.roughness(np.array([1.0, loss_shape.HIGHER_THAN_ANY, 2.0, 3.0])) is None
