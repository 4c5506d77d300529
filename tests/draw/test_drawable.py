"""What a figure can show of a surface, and what is said about the rest."""

import numpy as np
import pytest

from losslandscape.draw.drawable import (
    describe_missing,
    describe_no_logarithm,
    finite,
    known_part,
    positive,
    values_of,
)
from losslandscape.files.surface import Surface


def line(values, measured=None) -> Surface:
    return Surface("", x=np.arange(len(values)), y=None, quantities={"train_loss": values}, measured=measured)


def test_what_is_not_finite_or_too_large_is_a_hole():
    holes = np.isnan(finite([1, np.nan, np.inf, -np.inf, 1e250, -1e250, -1e199]))
    assert holes.tolist() == [False, True, True, True, True, True, False]


def test_a_log_scale_has_positive_values_only():
    np.testing.assert_array_equal(
        positive(np.array([-1, 0, 1e-300, 2, np.nan])), [np.nan, np.nan, 1e-200, 2, np.nan]
    )


def test_results_of_minus_one_and_zero_are_drawn():
    values = np.array([-1.0, 0.0, 1.0])
    assert np.array_equal(values_of(line(values, np.ones(3, bool)), "train_loss"), values)


def test_a_coarse_grid_shows_before_the_fine_one():
    """Every second row and column is measured."""
    measured = np.zeros((7, 9), bool)
    measured[::2, ::2] = True
    values = np.where(measured, 2.0, -1)
    surface = Surface(
        "", x=np.arange(9), y=np.arange(7), quantities={"train_loss": values}, measured=measured
    )
    x, y, known = known_part(surface, "train_loss")
    assert np.array_equal(x, surface.x[::2])
    assert np.array_equal(y, surface.y[::2])
    assert np.array_equal(known, np.full((4, 5), 2.0))


def test_descending_and_repeated_coordinates():
    values = np.arange(12.0).reshape(3, 4)
    quantities = {"train_loss": np.vstack([values, values[-1:]])[:, ::-1]}
    surface = Surface("", x=np.arange(4)[::-1], y=np.array([0, 1, 2, 2]), quantities=quantities)
    x, y, known = known_part(surface, "train_loss")
    assert (x.tolist(), y.tolist()) == ([0, 1, 2, 3], [0, 1, 2])
    assert np.array_equal(known, values)


def test_what_is_missing():
    surface = line([1, -1, np.nan, np.inf, 1e250, 3])
    text = "1 of 6 points (17 %) not computed yet; 2 points NaN or infinite; 1 point too large to draw"
    assert describe_missing(surface, "train_loss").startswith(text)
    assert describe_missing(line([1.0, 2.0]), "train_loss") is None


@pytest.mark.parametrize(
    ("missing", "text"), [(1, "1 of 1000 points (<1 %)"), (999, "999 of 1000 points (>99 %)")]
)
def test_percentages_are_never_rounded_to_all_or_none(missing, text):
    values = np.where(np.arange(1000) < missing, -1.0, 2.0)
    assert describe_missing(line(values), "train_loss").startswith(text)


def test_values_without_a_logarithm():
    assert describe_no_logarithm(np.array([-1, 0, 2, np.nan])).startswith(
        "zero or negative at 2 points, which have"
    )
    assert describe_no_logarithm(np.array([0, 2])).startswith("zero or negative at 1 point, which has")
    assert describe_no_logarithm(np.array([1, 2])) is None
