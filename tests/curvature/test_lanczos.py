"""Eigenvalues agree with those of dense matrices, and their residuals are true."""

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import LinearOperator, eigsh

from losslandscape.core.errors import InputError
from losslandscape.curvature import lanczos
from losslandscape.curvature.hess_vec_prod import Curvature
from losslandscape.curvature.lanczos import eigenvalues
from tests.curvature.matrices import Dense, dense, small_data, small_net, with_spectrum


@pytest.mark.parametrize("basis_size", [30, 80])  # with many restarts, and with few
@pytest.mark.parametrize(("smallest", "largest"), [(3, 5), (0, 4), (2, 0)])
def test_several_eigenvalues_with_their_vectors(smallest, largest, basis_size, monkeypatch):
    monkeypatch.setattr(lanczos, "BASIS_SIZE", basis_size)
    net, data = small_net(), small_data()
    expected, vectors = torch.linalg.eigh(dense(net, data))
    matrix = Curvature(net, data)
    low, high = eigenvalues(matrix, smallest=smallest, largest=largest, tolerance=1e-6, most_products=600)
    assert [len(low), len(high)] == [smallest, largest]
    order = [*range(smallest), *range(len(expected) - 1, len(expected) - 1 - largest, -1)]
    for eigen, i in zip(low + high, order, strict=True):
        assert eigen.converged
        assert eigen.value == pytest.approx(float(expected[i]), rel=1e-5, abs=1e-7)
        assert abs(float(eigen.vector @ vectors[:, i])) == pytest.approx(1, abs=1e-4)


def test_both_ends_together_take_fewer_products_than_eigsh_one_after_the_other():
    matrix = with_spectrum(np.r_[np.linspace(-1, 1, 380), -6, -3, np.geomspace(3, 100, 18)])
    (low,), (high,) = eigenvalues(matrix, tolerance=1e-3)
    ours, matrix.products = matrix.products, 0

    def product(vector):
        return matrix(torch.from_numpy(vector.ravel())).numpy()

    operator = LinearOperator((400, 400), matvec=product, dtype=float)
    ends = [eigsh(operator, 1, which=which, tol=1e-3, return_eigenvectors=False)[0] for which in ("SA", "LA")]
    assert [low.value, high.value] == pytest.approx([-6, 100], rel=1e-4)
    assert ends == pytest.approx([-6, 100], rel=1e-4)
    assert ours < matrix.products


def test_a_small_negative_end_beside_a_large_positive_one():
    """A tolerance relative to the largest eigenvalue alone is met near zero before the true end appears."""
    values = np.r_[np.linspace(-0.01, 0.01, 900), -0.3, 20, 40, 60, 80, 100]
    (low,), (high,) = eigenvalues(with_spectrum(values, dtype=torch.float32))
    assert low.converged and low.value == pytest.approx(-0.3, rel=1e-3)
    assert high.converged and high.value == pytest.approx(100, rel=1e-4)


class DiagonalMatrix:
    def __init__(self, diagonal):
        self._diagonal = diagonal
        self.dimension, self.dtype, self.device = len(diagonal), diagonal.dtype, diagonal.device

    def __call__(self, vectors):
        return vectors * self._diagonal


@pytest.mark.parametrize("tolerance", [1e-3, 0.3])
@pytest.mark.parametrize(("others", "lowest"), [([100.0, 50.0, 20.0], -5.0), ([1e5], -100.0)])
def test_the_null_space_is_not_taken_for_an_end(others, lowest, tolerance):
    """As in nets: a few eigenvalues matter, and a random vector is almost an eigenvector of 0."""
    diagonal = torch.zeros(200_000)
    diagonal[: len(others) + 1] = torch.tensor([*others, lowest])
    [low], [high] = eigenvalues(DiagonalMatrix(diagonal), tolerance=tolerance)
    assert low.converged and high.converged
    assert low.value == pytest.approx(lowest, rel=tolerance)
    assert high.value == pytest.approx(others[0], rel=tolerance)


def test_eigenvalues_that_have_not_converged_are_marked():
    matrix = with_spectrum(np.linspace(-1, 1, 500))
    (low,), (high,) = eigenvalues(matrix, most_products=10)
    assert not low.converged and not high.converged
    for eigen in (low, high):
        residual = torch.linalg.vector_norm(matrix(eigen.vector) - eigen.value * eigen.vector)
        assert eigen.residual == pytest.approx(float(residual))
        assert eigen.residual > 1e-3


@pytest.mark.parametrize("most_products", [29, 30, 31, 32, 60])
def test_values_are_within_the_spectrum_wherever_the_products_end(most_products, monkeypatch):
    monkeypatch.setattr(lanczos, "BASIS_SIZE", 30)
    matrix = with_spectrum(np.linspace(-1, 1, 500))
    (low,), (high,) = eigenvalues(matrix, most_products=most_products)
    assert -1 - 1e-12 < low.value < -0.95 and 0.95 < high.value < 1 + 1e-12


def test_the_same_seed_gives_the_same_numbers_and_another_nearly_the_same():
    matrix = with_spectrum(np.linspace(-1, 1, 300) ** 3)
    first, second, other = (eigenvalues(matrix, seed=seed)[1][0] for seed in (0, 0, 1))
    assert first.value == second.value and torch.equal(first.vector, second.vector)
    assert other.value != first.value and other.value == pytest.approx(first.value, rel=1e-4)


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_all_eigenvalues_from_both_ends(dimension):
    values = np.arange(1.0, dimension + 1)
    low, high = eigenvalues(with_spectrum(values), smallest=dimension, largest=dimension, tolerance=1e-9)
    assert [eigen.value for eigen in low] == pytest.approx(values)
    assert [eigen.value for eigen in high] == pytest.approx(values[::-1])


def test_a_matrix_of_zeros():
    (low,), high = eigenvalues(Dense(torch.zeros(50, 50)), largest=3)
    assert all(eigen.value == eigen.residual == 0 and eigen.converged for eigen in [low, *high])


def test_bad_input():
    matrix = with_spectrum([1, 2, 3, 4])
    with pytest.raises(InputError, match="5 eigenvalues .* has 4"):
        eigenvalues(matrix, largest=5)
    with pytest.raises(InputError, match="3 products"):
        eigenvalues(matrix, largest=3, most_products=3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("values", "smallest", "largest"),
    [
        ([81.0] * 3 + [float(i) for i in range(60)], 1, 4),
        ([0.0] * 20 + [float(i) for i in range(1, 40)], 3, 2),
        ([1.0] * 50, 2, 2),
        ([0.0] * 50, 2, 2),
        ([5.0, 1.0, 1.0], 2, 1),
        ([-1.0] * 10 + [-2.0] * 10 + [-3.0], 2, 3),
        ([1e-3] * 5 + [1.0] * 2 + [100.0], 2, 5),
        ([7.0, 7.0, 1.0], 0, 2),
    ],
)
def test_equal_eigenvalues_are_repeated(values, smallest, largest, dtype):
    matrix = with_spectrum(values, dtype=dtype)
    low, high = eigenvalues(matrix, smallest=smallest, largest=largest, tolerance=1e-4)
    atol = 1e-4 * max(map(abs, values))
    assert [eigen.value for eigen in low] == pytest.approx(sorted(values)[:smallest], abs=atol)
    assert [eigen.value for eigen in high] == pytest.approx(sorted(values)[::-1][:largest], abs=atol)
    assert all(eigen.converged for eigen in low + high)
    vectors = torch.stack([eigen.vector for eigen in high]).double()
    identity = torch.eye(largest, dtype=torch.float64)
    torch.testing.assert_close(vectors @ vectors.T, identity, rtol=0, atol=1e-3)


def test_a_search_for_equal_eigenvalues_without_products_left_is_reported():
    matrix = with_spectrum([float(i) for i in range(60)])
    low, high = eigenvalues(matrix, smallest=1, largest=3, tolerance=1e-2, most_products=36)
    assert [eigen.converged for eigen in low + high] == [True, True, False, False]
