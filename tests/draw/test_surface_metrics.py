"""Numbers of surfaces whose shape is known, against what calculus says about them."""

import math

import numpy as np
import pytest

from losslandscape.core.errors import InputError
from losslandscape.draw import loss_shape
from losslandscape.draw.surface_metrics import Place, Spread, is_interpolation, measure, summarise
from losslandscape.files.surface import Surface

X = np.linspace(-1, 1, 81)


def surface(f, x=X, y=None, *, name="train_loss", measured=None, **fields) -> Surface:
    """Return f on a grid, where every value is a result unless `measured` says otherwise."""
    x, y = np.asarray(x, float), None if y is None else np.asarray(y, float)
    values = f(x) if y is None else f(*np.meshgrid(x, y))
    measured = np.ones(values.shape, bool) if measured is None else measured
    return Surface("s.h5", x=x, y=y, quantities={name: values}, measured=measured, **fields)


def bowl(x, y):
    return 0.5 + 4 * x**2 + 16 * y**2


def test_a_bowl():
    metrics = measure(surface(bowl, y=X), "train_loss")
    assert metrics.centre == Place(0.5, (0, 0)) == metrics.lowest
    assert metrics.highest.value == 20.5 and np.abs(metrics.highest.at).tolist() == [1, 1]
    assert metrics.sharpness == loss_shape.sharpness((X, X), bowl(*np.meshgrid(X, X)))
    assert metrics.flatness["+x"] == pytest.approx(8**-0.5, rel=5e-3)
    assert metrics.flatness["+y"] == pytest.approx(32**-0.5, rel=5e-3)
    assert (metrics.negative_curvature, metrics.local_minima, metrics.barrier) == (0, 1, None)


def test_axes_that_go_down_and_grids_that_are_not_square():
    x, y = np.linspace(-1, 1, 21), np.linspace(-0.5, 0.5, 31)
    up = measure(surface(bowl, x, y), "train_loss")
    down = measure(surface(bowl, x[::-1], y[::-1]), "train_loss")
    assert up.sharpness == pytest.approx(down.sharpness)
    assert up.flatness == pytest.approx(down.flatness)
    assert up.centre == down.centre


def test_nan_counts_as_risen_and_what_is_not_measured_as_unknown():
    cliff = measure(surface(lambda x: np.where(x > 0.3, np.nan, 1.0)), "train_loss")
    assert cliff.flatness["+x"] == pytest.approx(0.3, abs=0.03)
    assert cliff.flatness["-x"] == math.inf
    unknown = measure(surface(lambda x: np.where(x > 0.3, -1.0, 1.0), measured=X <= 0.3), "train_loss")
    assert unknown.flatness == {"+x": None, "-x": math.inf}

    near = np.abs(X) <= 0.04
    assert measure(surface(lambda x: np.where(near, 1.0, np.inf)), "train_loss").sharpness == math.inf
    half_measured = surface(lambda x: np.where(near, 1.0, -1.0), measured=near)
    assert measure(half_measured, "train_loss").sharpness is None


def test_a_net_that_diverged_is_neither_flat_nor_connected():
    lost_end = surface(lambda x: np.where(x > 0.99, np.nan, 1 + x**2), x=np.linspace(-0.5, 1.5, 41))
    assert measure(lost_end, "train_loss").barrier is None
    lost_centre = measure(surface(lambda x: np.where(np.abs(x) < 1e-9, np.nan, 1.0)), "train_loss")
    assert lost_centre.sharpness is lost_centre.flatness is None


def test_a_negative_loss_has_no_relative_numbers():
    metrics = measure(surface(lambda x: -30 + x**2), "train_loss")
    assert metrics.sharpness is metrics.flatness is None
    assert metrics.local_minima == 1 and metrics.lowest.value == -30


def test_accuracy_has_no_sharpness():
    metrics = measure(surface(bowl, y=X, name="train_acc"), "train_acc")
    assert metrics.centre.value == 0.5
    assert metrics.sharpness is metrics.flatness is metrics.local_minima is None


def test_an_unknown_quantity():
    with pytest.raises(InputError, match="no quantity 'test_loss'"):
        measure(surface(bowl, y=X), "test_loss")


@pytest.mark.parametrize(
    ("low", "high", "files", "known"),
    [
        (-0.5, 1.5, None, True),
        (-1, 1, None, False),
        (-0.5, 1.5, {"model_file": "a"}, False),
        (-1, 1, {"model_file": "a", "model_file2": "b"}, True),
    ],
)
def test_only_an_interpolation_has_a_barrier(low, high, files, known):
    """Without runs, as in a file of the published program, the range of the line decides."""
    runs = [{"files": files}] if files else []
    line = surface(lambda x: 1 + np.exp(-(((x - 0.5) / 0.2) ** 2)), np.linspace(low, high, 41), runs=runs)
    assert is_interpolation(line) == known
    assert (measure(line, "train_loss").barrier is not None) == known


# Standard errors and spread ---------------------------------------------------------------------------------


def sampled_line(samples: int = 400) -> tuple[Surface, np.ndarray]:
    """Return an interpolation with a barrier, with standard errors, and its losses per sample."""
    rng = np.random.default_rng(0)
    x = np.linspace(-0.5, 1.5, 21)
    level, height = rng.gamma(2, 1, (samples, 1)), rng.gamma(1, 1, (samples, 1))
    hill = np.exp(-(((x - 0.5) / 0.2) ** 2))
    losses = level + height * hill + 0.3 * rng.normal(size=(samples, 1)) * x**2
    differences = losses - losses[:, [5]]  # from the centre
    quantities = {
        "train_loss": losses.mean(axis=0),
        "train_loss_se": losses.std(axis=0, ddof=1) / samples**0.5,
        "train_loss_diff_se": differences.std(axis=0, ddof=1) / samples**0.5,
    }
    return Surface("s.h5", x=x, y=None, quantities=quantities, measured=np.ones(21, bool)), losses


def test_standard_errors_stand_beside_the_numbers():
    line, losses = sampled_line()
    metrics = measure(line, "train_loss")
    errors = losses.std(axis=0, ddof=1) / 20
    assert metrics.centre.se == pytest.approx(errors[5])
    assert metrics.highest.se == pytest.approx(errors[losses.mean(axis=0).argmax()])
    assert measure(line, "train_loss_se").centre.se is None


def test_the_error_of_a_barrier_is_at_least_that_of_a_bootstrap():
    line, losses = sampled_line()
    rng = np.random.default_rng(1)
    barriers = []
    for _ in range(300):
        sample = losses[rng.integers(0, len(losses), len(losses))]
        barriers.append(loss_shape.barrier(line.x, sample.mean(axis=0)))
    error = measure(line, "train_loss").barrier_se
    assert np.std(barriers) < error * 1.1
    assert error < 2 * np.std(barriers)


def test_mean_and_spread_over_planes():
    factors = (1.0, 2.0, 6.0)
    planes = [surface(lambda x, y, c=c: 0.5 + c * x**2 + 2 * c * y**2, y=X) for c in factors]
    spreads = summarise(planes, "train_loss")
    heights = [0.5 + 3 * c for c in factors]
    mean, deviation = pytest.approx(np.mean(heights)), pytest.approx(np.std(heights, ddof=1))
    assert spreads["highest"] == Spread(3, mean, deviation, 3.5, 18.5)
    radii = [(0.5 / c) ** 0.5 for c in factors]
    assert spreads["flatness radius +x"].mean == pytest.approx(np.mean(radii), rel=5e-3)


def test_a_number_that_is_infinite_in_one_surface_has_no_mean():
    lines = [surface(lambda x: 0.5 + x**2), surface(lambda x: 0.5 + 0 * x)]
    spread = summarise(lines, "train_loss")["flatness radius +x"]
    assert spread.mean is spread.std is None
    assert spread.greatest == math.inf
