"""Densities agree with the eigenvalues of dense matrices, within their errors."""

import math

import numpy as np
import pytest
import torch

from losslandscape.core.errors import InputError
from losslandscape.curvature import density
from losslandscape.curvature.density import smoothed, spectral_density
from losslandscape.curvature.hess_vec_prod import Curvature
from tests.curvature.matrices import Dense, dense, small_data, small_net, with_spectrum


@pytest.mark.slow
def test_moments():
    """Lanczos quadrature is exact for powers of the matrix, and probes average to the trace."""
    net, data = small_net(), small_data()
    eigenvalues = torch.linalg.eigvalsh(dense(net, data)).numpy()
    estimate = spectral_density(Curvature(net, data, batch_size=12), steps=30, probes=16)
    np.testing.assert_allclose(estimate.weights.sum(1), 1, rtol=1e-12)
    for power in (1, 2, 3):
        moments = (estimate.weights * estimate.nodes**power).sum(1)
        expected = (eigenvalues**power).mean()
        assert abs(moments.mean() - expected) < 4 * moments.std(ddof=1) / 4
    assert estimate.nodes.max() == pytest.approx(eigenvalues[-1], rel=1e-6)
    assert estimate.nodes.min() == pytest.approx(eigenvalues[0], rel=1e-6, abs=1e-8)
    assert np.trapezoid(estimate.density, estimate.grid) == pytest.approx(1, abs=1e-4)


def test_a_known_spectrum():
    values = np.r_[np.random.default_rng(0).normal(0, 1, 360), np.full(30, 8.0), np.linspace(14, 15, 10)]
    estimate = spectral_density(with_spectrum(values), probes=40, steps=60, width=0.3)
    expected = smoothed(estimate.grid, values, np.full(400, 1 / 400), width=0.3)
    error = np.abs(estimate.density - expected)
    assert estimate.converged
    assert np.trapezoid(error, estimate.grid) < 2 * estimate.sampling_error < 0.1
    assert np.mean(error < 3 * estimate.standard_error + 1e-4) > 0.95


def test_weights_are_the_squared_components_of_the_probe_along_the_eigenvectors():
    generator = torch.Generator().manual_seed(7)
    basis, _ = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64))
    values = torch.tensor([-2.0, -1, 0.5, 1, 3, 10], dtype=torch.float64)
    vectors = []

    class Recorded(Dense):
        def __call__(self, rows):
            vectors.append(rows.clone())
            return super().__call__(rows)

    estimate = spectral_density(Recorded((basis * values) @ basis.T), steps=6, probes=2)
    for start, nodes, weights in zip(vectors[0], estimate.nodes, estimate.weights, strict=True):
        np.testing.assert_allclose(nodes, values, atol=1e-9)
        np.testing.assert_allclose(weights, (start @ basis).numpy() ** 2, atol=1e-9)
    assert estimate.step_error > 0


def test_more_steps_than_dimensions_and_equal_eigenvalues():
    estimate = spectral_density(with_spectrum([1, 1, 1, 5, 5]), steps=60, probes=2)
    assert estimate.nodes.shape == (2, 5)
    near_one, near_five = (np.abs(estimate.nodes - value) < 1e-6 for value in (1, 5))
    assert (near_one | near_five).all()
    np.testing.assert_allclose(estimate.weights.sum(1), 1)


def test_probes_in_groups_are_probes_together(monkeypatch):
    matrix = with_spectrum(np.linspace(-1, 1, 50))
    together = spectral_density(matrix, steps=10, probes=5)
    monkeypatch.setattr(density, "BASIS_MEMORY", 2 * 10 * 50 * 8)
    in_groups = spectral_density(matrix, steps=10, probes=5)
    np.testing.assert_allclose(in_groups.nodes, together.nodes, atol=1e-9)


def test_zero_and_nan():
    zero = spectral_density(Dense(torch.zeros(9, 9)), probes=2)
    assert zero.converged and (zero.nodes == 0).all()
    assert np.trapezoid(zero.density, zero.grid) == pytest.approx(1, abs=1e-4)
    lost = spectral_density(Dense(torch.full((9, 9), math.nan)), probes=2)
    assert np.isnan(lost.density).all() and np.isnan(lost.nodes).all() and not lost.converged


def test_bad_input():
    with pytest.raises(InputError, match="1 random vectors"):
        spectral_density(with_spectrum([1, 2, 3]), probes=1)
