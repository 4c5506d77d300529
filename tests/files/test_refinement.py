"""A refinement measures few points of a smooth surface, all of a rough one, and always the same."""

import numpy as np
import pytest

from losslandscape.files.interpolated import with_interpolated
from losslandscape.files.lattices import first_stride, on_lattice
from losslandscape.files.refinement import plan
from tests.files.refined_surfaces import bowl, measure, refined, unmeasured


def share(surface) -> float:
    return float(surface.measured("train_loss").mean())


@pytest.mark.parametrize("shape", [(33, 33), (20, 45), (50, 50), (51,), (64,)])
def test_a_smooth_surface_needs_few_points_and_keeps_the_tolerance(shape):
    loss = bowl(*shape)
    surface = refined(loss)
    assert share(surface) < 0.5
    heights = np.log(loss), np.log(with_interpolated(surface).get("train_loss"))
    assert np.abs(heights[0] - heights[1]).max() < 0.02 * np.ptp(heights[0])


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (6, 6), (2,)])
def test_a_small_grid_is_measured_in_full(shape):
    assert share(refined(np.ones(shape))) == 1


@pytest.mark.parametrize("shape", [(33, 33), (40,), (3, 33)])
def test_a_surface_that_does_not_interpolate_is_measured_in_full(shape):
    noise = np.random.default_rng(0).random(shape)
    assert share(refined(noise)) > 0.97


def test_a_constant_surface_is_measured_on_the_first_lattice_and_at_the_checks():
    measured = refined(np.full((33, 33), 2.3)).measured("train_loss")
    first = on_lattice((33, 33), first_stride((33, 33)))
    assert measured[first].all() and np.count_nonzero(measured & ~first) == 6 + 25


def test_points_around_results_that_are_not_finite_are_measured():
    loss = bowl(33, 33)
    loss[:9, :9], loss[20, 20] = np.nan, np.inf
    surface = refined(loss)
    measured = surface.measured("train_loss")
    assert measured[:10, :10].all() and measured[19:22, 19:22].all() and share(surface) < 0.9
    shown = with_interpolated(surface)
    assert np.isnan(shown.get("train_loss")[:9, :9]).all()
    assert np.isfinite(shown.get("train_loss")[10:20, 10:20]).all()


def test_a_point_counts_only_if_every_quantity_is_measured():
    loss = bowl(33)
    surface = refined(loss)
    surface.add("test_loss")
    assert plan(surface, ["train_loss", "test_loss"], 0.02).missing.tolist() == list(range(0, 33, 4))


def test_the_points_do_not_depend_on_when_a_run_was_stopped_or_on_other_points():
    loss, rng = bowl(33, 20) + 0.1 * np.sin(np.arange(20)), np.random.default_rng(0)
    wanted = refined(loss).measured("train_loss")
    assert 0.2 < wanted.mean() < 0.9
    surface = unmeasured(loss)
    others = rng.choice(loss.size, 100, replace=False)
    measure(surface, loss, others)
    while (points := plan(surface, ["train_loss"], 0.02).missing).size:
        measure(surface, loss, rng.permutation(points)[: 1 + points.size // 2])
    found = surface.measured("train_loss")
    found.flat[others] = wanted.flat[others]
    assert np.array_equal(found, wanted)


def test_a_loss_that_proves_to_be_logarithmic_on_the_finest_lattice_is_refined_as_such():
    loss = 1 + np.linspace(0, 1, 65)
    loss[29:36] = 1e-4
    surface = refined(loss)
    measured = surface.measured("train_loss")
    assert measured[26:39].all() and share(surface) < 1
    log = np.log(with_interpolated(surface).get("train_loss"))
    assert np.abs(log - np.log(loss)).max() < 0.02 * np.ptp(np.log(loss))
