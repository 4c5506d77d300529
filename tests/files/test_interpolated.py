"""Figures show interpolated points where a refinement is complete, and nowhere else."""

import numpy as np
import pytest

from losslandscape.files import h5_util
from losslandscape.files.interpolated import with_interpolated
from tests.files.refined_surfaces import bowl, measure, refined, unmeasured


def test_interpolated_points_are_marked_and_lie_within_the_measured_range():
    surface = refined(bowl(33, 33))
    shown = with_interpolated(surface)
    guessed = shown.interpolated["train_loss"]
    assert np.array_equal(guessed.points, ~surface.measured("train_loss"))
    assert 0 < guessed.error < 0.02
    values = shown.get("train_loss")
    assert np.nanmin(surface.get("train_loss")) <= values.min()
    assert values.max() <= np.nanmax(surface.get("train_loss"))
    assert np.isnan(surface.get("train_loss")).any(), "the surface itself was changed"


def test_an_unfinished_refinement_leaves_gaps():
    loss = bowl(33, 33)
    surface = unmeasured(loss)
    measure(surface, loss, np.flatnonzero(refined(loss).measured("train_loss"))[:-1])
    assert with_interpolated(surface) is surface


def test_a_surface_that_was_measured_later_has_no_interpolated_point():
    loss = bowl(33)
    surface = refined(loss)
    measure(surface, loss, surface.missing(["train_loss"])[:3])
    assert np.count_nonzero(with_interpolated(surface).interpolated["train_loss"].points) > 0
    measure(surface, loss, surface.missing(["train_loss"]))
    assert not with_interpolated(surface).interpolated["train_loss"].points.any()


@pytest.mark.parametrize("record", [None, 0.02, {}, {"tolerance": "x", "names": ["train_loss"]}])
def test_a_record_that_is_no_refinement_is_ignored(record):
    surface = refined(bowl(33))
    surface.runs = ["?", {"refine": record}, {"refine": {"tolerance": 0.02, "names": ["other"]}}]
    assert with_interpolated(surface) is surface


def test_a_file_is_read_with_its_gaps_and_shown_without(tmp_path):
    path = str(tmp_path / "s.h5")
    h5_util.write_surface(refined(bowl(33, 33), path=path))
    assert not h5_util.read_surface(path).measured("train_loss").all()
    assert h5_util.as_surface(path).measured("train_loss").all()
    assert (h5_util.read_surface(path).stored("train_loss") == -1).any()
