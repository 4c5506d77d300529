"""Which scale a vertical axis gets."""

import numpy as np
import pytest

from losslandscape.core.errors import InputError
from losslandscape.draw.vertical_axes import VerticalAxis, error_axis, loss_axis, other_values, value_axis
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
    ("losses", "limits"), [(1 + X**2, (0, 5)), (7 + X, None), (X, None), (np.where(X > 0, 1e9, 2.0), (0, 5))]
)
def test_the_limits_of_a_loss(losses, limits):
    assert loss_axis([line(train_loss=losses)], loss_max=5, log=False).limits == limits


def test_a_log_axis_needs_a_positive_loss():
    with pytest.raises(InputError, match="no loss is positive"):
        loss_axis([line(train_loss=0.0)], loss_max=5, log=True)


def test_errors_are_what_accuracy_lacks():
    surface = line(train_acc=90.0)
    assert error_axis([surface]).values(surface, "train_acc").tolist() == [10.0] * 9


def test_values_beyond_the_limits_are_reported():
    surface = line(train_acc=np.where(X > 0.9, 130, 50))
    (text,) = error_axis([surface]).describe_hidden(line(train_acc=np.where(X > 0.9, 130, 50)))
    assert "1 point beyond the axis (values from 50 to 130)" in text
