"""Which scale a vertical axis gets."""

from dataclasses import replace

import numpy as np
import pytest

from losslandscape.core.errors import InputError
from losslandscape.draw.vertical_axes import (
    VerticalAxis,
    accuracy_axis,
    fitted,
    loss_axis,
    other_values,
    value_axis,
)
from losslandscape.files.surface import Surface

X = np.linspace(-1, 1, 9)


def line(**quantities) -> Surface:
    values = {name: np.broadcast_to(array, 9) for name, array in quantities.items()}
    return Surface("", x=X, y=None, quantities=values, measured=np.ones(9, bool))


def test_a_huge_range_is_logarithmic_unless_a_value_is_negative():
    wide = np.exp(8 * X**2)
    surface = line(train_perplexity=wide, train_gain=np.where(X < 0, -1, wide), train_cost=1 + X**2)
    scales = {value: value_axis([surface], value).log for value in other_values([surface])}
    assert scales == {"perplexity": True, "gain": False, "cost": False}


def test_an_axis_without_values_is_linear():
    axis = value_axis([line(train_energy=np.nan)], "energy")
    assert axis == VerticalAxis(("train_energy",), "energy")


@pytest.mark.parametrize(
    ("losses", "limits"),
    [
        (1 + X**2, (0, 5)),  # uses exactly a fifth
        (np.where(X > 0, 1e9, 2.0), (0, 5)),
        (2.3, (0, 5)),  # a constant has no range to fit
        (0.3 * X**2, (0, 0.315)),  # zero is near
        (2 + 0.1 * X, (1.89, 2.11)),
        (7 + X, (5.9, 8.1)),
        (X, (-1.1, 1.1)),
        (np.nan, (0, 5)),
        (700.0, None),
    ],
)
def test_the_limits_of_a_loss(losses, limits):
    axis = loss_axis([line(train_loss=losses)])
    assert axis.limits == (None if limits is None else pytest.approx(limits))
    assert not axis.log


def test_the_wanted_top_of_the_loss_stays():
    assert loss_axis([line(train_loss=0.1 * X**2)], loss_max=5).limits == (0, 5)
    assert loss_axis([line(train_loss=7 + X)], loss_max=5).limits == pytest.approx((5.9, 8.1))


def test_losses_far_above_the_published_axis_get_a_log_scale():
    axis = loss_axis([line(train_loss=10 ** (2 + 8 * np.abs(X)))])
    assert axis.log
    assert axis.limits[0] < 100 and axis.limits[1] > 1e10


def test_only_the_visible_part_counts():
    axis = loss_axis([line(train_loss=100 * X**2)], x_range=(-0.1, 0.1))
    assert axis.limits == (0, 5)  # only the centre is in sight
    axis = loss_axis([line(train_loss=0.1 + 100 * X**4)], x_range=(-0.3, 0.3))
    assert axis.limits == pytest.approx((0, 0.1 + 100 * 0.25**4 * 1.05))


def test_a_band_of_standard_errors_is_in_sight():
    axis = loss_axis([line(train_loss=0.5 + 0.01 * X, train_loss_se=0.2)])
    assert axis.limits[0] < 0.29 and axis.limits[1] > 0.71


@pytest.mark.parametrize(
    ("accuracies", "limits"),
    [
        (100 * X**2, (-2, 102)),
        (10.0, (-2, 102)),
        (99 + X, (97.9, 100.1)),
        (np.where(X > 0.9, 130, 50 + X), (-2, 102)),
    ],
)
def test_the_limits_of_an_accuracy(accuracies, limits):
    assert accuracy_axis([line(train_acc=accuracies)]).limits == pytest.approx(limits)


def test_a_log_axis_needs_a_positive_loss():
    with pytest.raises(InputError, match="no loss is positive"):
        loss_axis([line(train_loss=0.0)], loss_max=5, log=True)


def test_errors_are_what_accuracy_lacks():
    surface = line(train_acc=90.0)
    assert accuracy_axis([surface], error=True).values(surface, "train_acc").tolist() == [10.0] * 9


def test_values_beyond_the_limits_are_reported():
    surface = line(train_acc=np.where(X > 0.9, 130, 50))
    (text,) = accuracy_axis([surface], error=True).describe_hidden(surface)
    assert "1 point beyond the axis (values from 50 to 130)" in text
    axis = VerticalAxis(("ratio",), "ratio", limits=(0, 1))
    assert not axis.describe_hidden(line(ratio=7.0))
    assert replace(axis, is_cut=True).describe_hidden(line(ratio=7.0))


def test_fitted_log_limits_have_a_margin_of_their_ratio():
    assert fitted(np.array([1.0, 100.0]), log=True) == pytest.approx((10**-0.1, 10**2.1))


def test_an_axis_that_would_hold_two_points_is_fitted():
    losses = 0.2 + 1e6 * (1 - np.abs(X))  # between two nets far apart
    axis = loss_axis([line(train_loss=losses)])
    assert axis.log and axis.limits[1] > 1e6
