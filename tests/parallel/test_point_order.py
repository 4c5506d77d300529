"""The order of points: each once, and the whole grid early."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from losslandscape.parallel.point_order import ordered


@given(st.lists(st.integers(1, 70), min_size=1, max_size=2), st.data())
def test_coarse_order_has_every_point_once(shape, data):
    size = 1
    for length in shape:
        size *= length
    missing = sorted(data.draw(st.sets(st.integers(0, size - 1), max_size=50)))
    assert sorted(ordered(missing, tuple(shape), "coarse")) == missing
    assert ordered(missing, tuple(shape), "row") == missing


def test_coarse_order_spans_the_grid_early():
    """After 1/16 of the points, no gap between measured rows or columns exceeds 8 of 51."""
    first = ordered(range(51 * 51), (51, 51), "coarse")[: 51 * 51 // 16]
    for lines in ({point // 51 for point in first}, {point % 51 for point in first}):
        ends = sorted(lines)
        assert ends[0] == 0 and ends[-1] == 50
        assert max(b - a for a, b in zip(ends, ends[1:], strict=False)) <= 8


def test_an_unknown_order_is_refused():
    with pytest.raises(ValueError, match="diagonal"):
        ordered([0], (1,), "diagonal")
