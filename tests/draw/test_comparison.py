"""Titles of surfaces side by side, and the names of their figures."""

import numpy as np
import pytest

from losslandscape.core.errors import InputError
from losslandscape.draw.comparison import Comparison
from losslandscape.files.surface import Surface


def surfaces(*paths: str) -> list[Surface]:
    return [Surface(path, x=np.arange(3), y=None) for path in paths]


@pytest.mark.parametrize(
    ("paths", "titles", "stem"),
    [
        (["a/s.h5"], [""], "a/s.h5"),
        (["a/s.h5", "b/t.h5"], ["s.h5", "t.h5"], "a/s.h5_compared"),
        (["a/s.h5", "b/s.h5"], ["a/s.h5", "b/s.h5"], "a/s.h5_compared"),
        (["a_$1.h5", "b.h5"], [r"a_\$1.h5", "b.h5"], "a_$1.h5_compared"),
        (["\udcc3\udca9.h5", "\udcff.h5"], ["é.h5", "\ufffd.h5"], "\udcc3\udca9.h5_compared"),
        ([""], [""], "surface"),
    ],
)
def test_titles_and_names_that_are_not_given(paths, titles, stem):
    shown = Comparison.of(surfaces(*paths))
    assert (list(shown.titles), shown.stem) == (titles, stem)


def test_given_titles_and_name():
    shown = Comparison.of(surfaces("a.h5", "b.h5"), titles=["$x^2$", "b"], out="figures/both")
    assert (shown.titles, shown.stem) == (["$x^2$", "b"], "figures/both")


@pytest.mark.parametrize(
    ("titles", "says"),
    [
        (["one"], "1 titles for 2 surface files"),
        (["same", "same"], "two surfaces have the title 'same'"),
        (["a", r"$\bad$"], "cannot be read"),
    ],
)
def test_titles_that_cannot_be(titles, says):
    with pytest.raises(InputError, match=says):
        Comparison.of(surfaces("a.h5", "b.h5"), titles=titles)
