"""Traces agree with those of dense matrices, within their standard errors."""

import math

import numpy as np
import pytest
import torch

from losslandscape.core.errors import InputError
from losslandscape.curvature.hess_vec_prod import KINDS, Curvature
from losslandscape.curvature.trace import RANK, Trace, trace
from tests.curvature.matrices import Dense, dense, small_data, small_net, with_spectrum


def check_trace(estimate: Trace, matrix: torch.Tensor, sizes: tuple[int, ...]) -> None:
    """The trace, and that of each block of these sizes, is right within four standard errors."""
    expected = float(matrix.trace())
    assert abs(estimate.value - expected) < 4 * estimate.standard_error < expected
    for (value, error), block in zip(estimate.layers.values(), block_traces(matrix, sizes), strict=True):
        assert abs(value - block) <= 4 * error + 1e-12
    assert sum(value for value, _ in estimate.layers.values()) == pytest.approx(estimate.value)


def block_traces(matrix: torch.Tensor, sizes: tuple[int, ...]) -> list[float]:
    return [float(part.sum()) for part in matrix.diagonal().split(sizes)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_net_and_its_layers(kind):
    net, data = small_net(), small_data()
    matrix = Curvature(net, data, kind=kind, all_parameters=True, batch_size=12)
    estimate = trace(matrix, tolerance=1e-9, most_probes=48)
    assert estimate.probes == 48 and not estimate.converged
    assert list(estimate.layers) == [name for name, _ in net.named_parameters()]
    check_trace(estimate, dense(net, data, kind=kind, all_parameters=True), matrix.sizes)


@pytest.mark.parametrize("rank", [0, 1, 5, 20])
def test_a_known_spectrum_and_its_blocks(rank):
    sizes = (10, 30, 60)
    matrix = with_spectrum(np.r_[np.geomspace(0.1, 10, 60), np.linspace(-2, 0, 40)], sizes)
    check_trace(trace(matrix, rank=rank, tolerance=1e-9, most_probes=1000), matrix.matrix, sizes)


@pytest.mark.parametrize("kind", KINDS)
def test_hutch_plus_plus_is_exact_where_its_sketch_holds_the_whole_range(kind):
    net, data = small_net(), small_data(6)
    matrix = Curvature(net, data, kind=kind)
    expected = dense(net, data, kind=kind)
    estimate = trace(matrix, rank=matrix.dimension)
    assert estimate.converged and estimate.value == pytest.approx(float(expected.trace()), rel=1e-5)
    blocks = block_traces(expected, matrix.sizes)
    for (value, error), block in zip(estimate.layers.values(), blocks, strict=True):
        assert value == pytest.approx(block, rel=1e-5) and error < 1e-5 * abs(block)


def test_hutch_plus_plus_has_a_smaller_error_for_the_same_products():
    matrix = with_spectrum(np.r_[np.zeros(380), np.linspace(1, 100, 20)], (100, 300))
    plain = trace(matrix, rank=0, tolerance=1e-12, most_probes=80)
    better = trace(matrix, rank=25, tolerance=1e-12, most_probes=30)
    assert better.standard_error < 0.1 * plain.standard_error
    assert better.value == pytest.approx(1010, abs=4 * better.standard_error + 1e-9)


def test_the_standard_error_is_the_spread_of_many_repetitions():
    matrix = with_spectrum(np.linspace(-1, 3, 60))
    estimates = [trace(matrix, tolerance=1e-12, most_probes=16, seed=seed) for seed in range(200)]
    values = [estimate.value for estimate in estimates]
    spread = np.std(values)
    assert spread == pytest.approx(np.mean([one.standard_error for one in estimates]), rel=0.15)
    assert np.mean(values) == pytest.approx(60, abs=4 * spread / math.sqrt(200))


def test_hutch_plus_plus_is_the_default_and_has_no_bias():
    matrix = with_spectrum(np.r_[np.linspace(-1, 1, 50), 40, 60, 80])
    default = [trace(matrix, tolerance=1e-12, most_probes=8, seed=seed) for seed in range(200)]
    assert default[0] == trace(matrix, rank=RANK, tolerance=1e-12, most_probes=8)
    values = [estimate.value for estimate in default]
    assert np.mean(values) == pytest.approx(180, abs=4 * np.std(values) / math.sqrt(200))
    errors = [estimate.standard_error for estimate in default]
    assert np.std(values) == pytest.approx(np.mean(errors), rel=0.2)
    plain = trace(matrix, rank=0, tolerance=1e-12, most_probes=2 * RANK + 8)
    assert np.mean(errors) < plain.standard_error / 5


@pytest.mark.parametrize("dimension", [1, 2, RANK - 1, RANK, RANK + 1])
def test_small_matrices(dimension):
    matrix = with_spectrum(np.linspace(-1, 3, dimension))
    estimate = trace(matrix)
    expected = float(matrix.matrix.trace())
    assert estimate.value == pytest.approx(expected, abs=4 * estimate.standard_error + 1e-5)
    assert dimension > RANK or estimate.standard_error == 0


def test_probes_end_when_the_error_is_small():
    estimate = trace(with_spectrum(np.linspace(1, 2, 400)), tolerance=0.02)
    assert estimate.converged and estimate.probes < 50
    assert estimate.standard_error <= 0.02 * estimate.value


def test_a_diagonal_matrix_is_exact():
    """Because signs square to one."""
    estimate = trace(Dense(torch.diag(torch.arange(1.0, 7.0)), (2, 4)), most_probes=2)
    assert (estimate.value, estimate.standard_error) == (21, 0)
    assert estimate.layers == {"tensor0": (3, 0), "tensor1": (18, 0)}


@pytest.mark.parametrize("rank", [0, 3])
def test_zero_and_nan(rank):
    zero = trace(Dense(torch.zeros(9, 9)), rank=rank)
    assert zero.value == zero.standard_error == 0 and zero.converged
    for value in (math.nan, math.inf):
        lost = trace(Dense(torch.full((9, 9), value)), rank=rank)
        assert math.isnan(lost.value) and not lost.converged


def test_only_the_seed_decides_the_random_vectors():
    matrix = with_spectrum(np.linspace(-1, 3, 60))
    state = torch.get_rng_state()
    assert trace(matrix, seed=3).value == trace(matrix, seed=3).value != trace(matrix, seed=4).value
    assert torch.equal(torch.get_rng_state(), state)


def test_bad_input():
    matrix = with_spectrum([1, 2, 3])
    with pytest.raises(InputError, match="rank 4"):
        trace(matrix, rank=4)
    with pytest.raises(InputError, match="1 random vectors"):
        trace(matrix, most_probes=1)
