"""Traces and densities against the dense matrices of small nets, and against matrices of known spectrum."""

import math

import numpy as np
import pytest
import torch

from losslandscape.core.errors import InputError
from losslandscape.curvature.hess_vec_prod import KINDS, Curvature
from losslandscape.curvature.spectrum import Trace, smoothed, spectral_density, trace
from tests.curvature.test_hess_vec_prod import Dense, dense, small_data, small_net, with_spectrum


def named(matrix: Dense, sizes: tuple[int, ...]) -> Dense:
    """The matrix as if of parameter tensors of these sizes."""
    matrix.sizes, matrix.names = sizes, tuple(f"tensor{i}" for i in range(len(sizes)))
    return matrix


def block_traces(matrix: torch.Tensor, sizes: tuple[int, ...]) -> list[float]:
    return [float(part.sum()) for part in matrix.diagonal().split(sizes)]


@pytest.mark.parametrize("kind", KINDS)
def test_trace_of_a_net_and_each_layers_part(kind):
    net, data = small_net(), small_data()
    matrix = Curvature(net, data, kind=kind, all_parameters=True, batch_size=12)
    expected = dense(net, data, kind=kind, all_parameters=True)
    found = trace(matrix, tolerance=1e-9, most_probes=48)
    assert found.probes == 48 and not found.converged
    assert list(found.layers) == [name for name, _ in net.named_parameters()]
    check_trace(found, expected, matrix.sizes)


@pytest.mark.parametrize("rank", [0, 1, 5, 20])
def test_trace_and_each_blocks_part(rank):
    sizes = (10, 30, 60)
    matrix = named(with_spectrum(np.r_[np.geomspace(0.1, 10, 60), np.linspace(-2, 0, 40)]), sizes)
    check_trace(trace(matrix, rank=rank, tolerance=1e-9, most_probes=1000), matrix.matrix, sizes)


def check_trace(found: Trace, expected: torch.Tensor, sizes: tuple[int, ...]) -> None:
    assert abs(found.value - float(expected.trace())) < 4 * found.standard_error < float(expected.trace())
    for (value, error), truth in zip(found.layers.values(), block_traces(expected, sizes), strict=True):
        assert abs(value - truth) <= 4 * error + 1e-12
    assert sum(value for value, _ in found.layers.values()) == pytest.approx(found.value)


@pytest.mark.parametrize("kind", KINDS)
def test_hutch_plus_plus_is_exact_where_its_sketch_holds_the_whole_range(kind):
    net, data = small_net(), small_data(6)
    matrix = Curvature(net, data, kind=kind)
    expected = dense(net, data, kind=kind)
    found = trace(matrix, rank=matrix.dimension)
    assert found.converged and found.value == pytest.approx(float(expected.trace()), rel=1e-5)
    for (value, error), truth in zip(
        found.layers.values(), block_traces(expected, matrix.sizes), strict=True
    ):
        assert value == pytest.approx(truth, rel=1e-5) and error < 1e-5 * abs(truth)


def test_hutch_plus_plus_errs_less_for_the_same_products():
    matrix = named(with_spectrum(np.r_[np.zeros(380), np.linspace(1, 100, 20)]), (100, 300))
    plain = trace(matrix, tolerance=1e-12, most_probes=80)
    better = trace(matrix, rank=25, tolerance=1e-12, most_probes=30)
    assert better.standard_error < 0.1 * plain.standard_error
    assert better.value == pytest.approx(1010, abs=4 * better.standard_error + 1e-9)


def test_the_standard_error_is_that_of_many_repetitions():
    matrix = named(with_spectrum(np.linspace(-1, 3, 60)), (60,))
    found = [trace(matrix, tolerance=1e-12, most_probes=16, seed=seed) for seed in range(200)]
    spread = np.std([one.value for one in found])
    assert spread == pytest.approx(np.mean([one.standard_error for one in found]), rel=0.15)
    assert np.mean([one.value for one in found]) == pytest.approx(60, abs=4 * spread / math.sqrt(200))


def test_probes_end_when_the_error_is_small():
    matrix = named(with_spectrum(np.linspace(1, 2, 400)), (400,))
    found = trace(matrix, tolerance=0.02)
    assert found.converged and found.probes < 50 and found.standard_error <= 0.02 * found.value


def test_a_diagonal_matrix_needs_no_luck():
    """Signs square to one, other probes would not: the trace is exact."""
    found = trace(named(Dense(torch.diag(torch.arange(1.0, 7.0))), (2, 4)), most_probes=2)
    assert (found.value, found.standard_error) == (21, 0)
    assert found.layers == {"tensor0": (3, 0), "tensor1": (18, 0)}


@pytest.mark.parametrize("rank", [0, 3])
def test_trace_of_zero_and_of_nan(rank):
    zero = trace(named(Dense(torch.zeros(9, 9)), (9,)), rank=rank)
    assert zero.value == zero.standard_error == 0 and zero.converged
    for value in (math.nan, math.inf):
        lost = trace(named(Dense(torch.full((9, 9), value)), (9,)), rank=rank)
        assert math.isnan(lost.value) and not lost.converged


def test_moments_of_the_density_are_those_of_the_dense_eigenvalues():
    """Lanczos quadrature is exact for powers of the matrix under each probe, and probes average to the trace: a check of the weights."""
    net, data = small_net(), small_data()
    eigenvalues = torch.linalg.eigvalsh(dense(net, data)).numpy()
    found = spectral_density(Curvature(net, data, batch_size=12), steps=30, probes=16)
    np.testing.assert_allclose(found.weights.sum(1), 1, rtol=1e-12)
    for power in (1, 2, 3):
        each = (found.weights * found.nodes**power).sum(1)
        truth = (eigenvalues**power).mean()
        assert abs(each.mean() - truth) < 4 * each.std(ddof=1) / 4
    assert found.nodes.max() == pytest.approx(eigenvalues[-1], rel=1e-6)
    assert found.nodes.min() == pytest.approx(eigenvalues[0], rel=1e-6, abs=1e-8)
    assert np.trapezoid(found.density, found.grid) == pytest.approx(1, abs=1e-4)


def test_the_density_is_that_of_the_dense_eigenvalues():
    values = np.r_[np.random.default_rng(0).normal(0, 1, 360), np.full(30, 8.0), np.linspace(14, 15, 10)]
    found = spectral_density(with_spectrum(values), probes=40, steps=60, width=0.3)
    truth = smoothed(found.grid, values, np.full(400, 1 / 400), width=0.3)
    assert found.converged
    assert np.trapezoid(np.abs(found.density - truth), found.grid) < 2 * found.sampling_error < 0.1
    assert np.mean(np.abs(found.density - truth) < 3 * found.standard_error + 1e-4) > 0.95


def test_weights_are_the_squared_first_components():
    """Of one probe: known without Lanczos, as the squared components of the probe along the eigenvectors."""
    generator = torch.Generator().manual_seed(7)
    basis, _ = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64))
    values = torch.tensor([-2.0, -1, 0.5, 1, 3, 10], dtype=torch.float64)
    matrix = Dense((basis * values) @ basis.T)
    starts = []
    matrix_product = matrix.__class__.__call__

    class Recorded(Dense):
        def __call__(self, vectors):
            starts.append(vectors.clone())
            return matrix_product(self, vectors)

    found = spectral_density(Recorded(matrix.matrix), steps=6, probes=2)
    for start, nodes, weights in zip(starts[0], found.nodes, found.weights, strict=True):
        np.testing.assert_allclose(nodes, values, atol=1e-9)
        np.testing.assert_allclose(weights, (start @ basis).numpy() ** 2, atol=1e-9)
    assert found.step_error > 0


def test_more_steps_than_dimensions_and_equal_eigenvalues():
    found = spectral_density(with_spectrum([1, 1, 1, 5, 5]), steps=60, probes=2)
    assert found.nodes.shape == (2, 5)
    near_five = np.abs(found.nodes - 5) < 1e-6
    assert ((np.abs(found.nodes - 1) < 1e-6) | near_five).all()
    np.testing.assert_allclose(found.weights.sum(1), 1)


def test_probes_in_groups_are_probes_together(monkeypatch):
    matrix = with_spectrum(np.linspace(-1, 1, 50))
    together = spectral_density(matrix, steps=10, probes=5)
    monkeypatch.setattr("spectrum.BASIS_MEMORY", 2 * 10 * 50 * 8)
    np.testing.assert_allclose(spectral_density(matrix, steps=10, probes=5).nodes, together.nodes, atol=1e-9)


def test_density_of_zero_and_of_nan():
    zero = spectral_density(Dense(torch.zeros(9, 9)), probes=2)
    assert zero.converged and (zero.nodes == 0).all()
    assert np.trapezoid(zero.density, zero.grid) == pytest.approx(1, abs=1e-4)
    lost = spectral_density(Dense(torch.full((9, 9), math.nan)), probes=2)
    assert np.isnan(lost.density).all() and np.isnan(lost.nodes).all() and not lost.converged


def test_the_random_vectors_are_the_seeds_alone():
    matrix = named(with_spectrum(np.linspace(-1, 3, 60)), (60,))
    state = torch.get_rng_state()
    assert trace(matrix, seed=3).value == trace(matrix, seed=3).value != trace(matrix, seed=4).value
    assert torch.equal(torch.get_rng_state(), state)


def test_bad_input():
    matrix = named(with_spectrum([1, 2, 3]), (3,))
    with pytest.raises(InputError, match="rank 4"):
        trace(matrix, rank=4)
    with pytest.raises(InputError, match="1 random vectors"):
        trace(matrix, most_probes=1)
    with pytest.raises(InputError, match="1 random vectors"):
        spectral_density(matrix, probes=1)
