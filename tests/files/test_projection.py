"""A path is drawn only on a surface of its own directions and origin."""

import numpy as np
import pytest

from losslandscape.core.errors import InputError
from losslandscape.files.projection import Projection
from losslandscape.files.surface import Surface


def path(**made_with: str) -> Projection:
    return Projection("p.h5", np.arange(3.0), np.arange(3.0), made_with=made_with)


def surface(**made_with: str) -> Surface:
    return Surface("s.h5", x=np.arange(3.0), y=np.arange(3.0), dir_file="d.h5", made_with=made_with)


@pytest.mark.parametrize(
    ("projection", "onto", "says"),
    [
        (path(method="tsne"), surface(), "'p.h5' was made by t-SNE"),
        (path(directions="aa"), surface(directions="bb"), "'p.h5' was made with another directions"),
        (path(origin="aa"), surface(model_file="bb"), "the origin of 'p.h5'.*centre of 's.h5'"),
    ],
)
def test_a_path_on_another_plane_is_refused(projection, onto, says):
    with pytest.raises(InputError, match=says):
        projection.require_on(onto)


@pytest.mark.parametrize(
    ("projection", "onto"),
    [
        (path(), surface(directions="aa", model_file="bb")),
        (path(directions="aa", origin="bb"), surface()),
        (path(directions="aa", origin="bb"), surface(directions="aa", model_file="bb")),
        (path(origin="aa"), surface(model_file="random weights of seed 123")),
        (path(origin="aa"), surface(model_file="bb", **{"place of the net": "0.5 0.0"})),
    ],
)
def test_a_path_that_may_be_on_the_plane_is_taken(projection, onto):
    projection.require_on(onto)


def test_extras_are_what_is_known():
    projection = Projection("p.h5", np.arange(2.0), np.arange(2.0), epochs=np.arange(2))
    assert list(projection.extras()) == ["epochs"]
