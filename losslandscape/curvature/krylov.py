"""The Krylov space of a symmetric matrix, and the projection of the matrix on it.

The space grows by one product at a time. The caller computes the products, so that several spaces can share a
pass over the data.
"""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

# A vector is a rounding error if its length is below this many machine epsilons times the largest product.
ROUNDING = 10


class SymmetricMatrix(Protocol):
    """A symmetric matrix (n, n) that computes its products with a vector (n,) or with k vectors (k, n)."""

    dimension: int
    dtype: torch.dtype
    device: torch.device

    def __call__(self, vectors: Tensor) -> Tensor: ...


class Krylov:
    """An orthonormal basis V of span(v, A v, A^2 v, …), and the projection T = V^T A V of the matrix A.

    The Lanczos recurrence is A V = V T + beta v e_m^T. Each product is orthogonalised twice against the
    whole basis (Daniel et al. 1976).

    Args:
        start: the first vector (n,), of any length except zero.
        size: the largest number of basis vectors.
        generator: draws a new vector where the Krylov space ends before the basis is full.

    Attributes:
        count: number of basis vectors whose products have been added.
        projected: T (size, size), float64; zero from row and column `count` on.
    """

    def __init__(self, start: Tensor, size: int, generator: torch.Generator):
        self.size = min(size, len(start))
        self.count = 0
        self.projected = np.zeros((self.size, self.size))
        self._vectors = start.new_empty(self.size + 1, len(start))
        self._vectors[0] = _unit(start)
        self._beta, self._scale = 0.0, 0.0
        self._generator = generator

    @property
    def next(self) -> Tensor:
        """The vector (n,) whose product `extend` needs."""
        return self._vectors[self.count]

    def extend(self, product: Tensor) -> None:
        """Add the product (n,) of A and `next` to the space. Raise FloatingPointError if it is not finite."""
        if not torch.isfinite(product).all():
            raise FloatingPointError
        m, basis = self.count, self._vectors[: self.count + 1]
        self._scale = max(self._scale, _length(product))
        coefficients, rest = _orthogonalise(product, basis)
        self.projected[m, : m + 1] = self.projected[: m + 1, m] = coefficients
        self._beta = _length(rest)
        self.count += 1
        if self._beta <= ROUNDING * torch.finfo(rest.dtype).eps * self._scale:  # the Krylov space ends here
            self._beta = 0.0
            if self.count == len(product):
                return
            rest = self._random_orthogonal(basis)
        self._vectors[self.count] = _unit(rest)

    def _random_orthogonal(self, basis: Tensor) -> Tensor:
        drawn = torch.randn(basis.shape[1], generator=self._generator, dtype=basis.dtype).to(basis.device)
        _, rest = _orthogonalise(_unit(drawn), basis)
        return rest

    def ritz(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return Ritz values (m,), ascending, their coefficients (m, m) in columns, and residuals (m,)."""
        values, vectors = np.linalg.eigh(self.projected[: self.count, : self.count])
        return values, vectors, np.abs(self._beta * vectors[-1])

    def combine(self, coefficients: np.ndarray) -> Tensor:
        """Return the vectors (k, n) with these coefficients (m, k) in the basis."""
        basis = self._vectors[: self.count]
        return torch.as_tensor(coefficients.T, dtype=basis.dtype, device=basis.device) @ basis

    def restart(self, keep: np.ndarray) -> None:
        """Keep the Ritz vectors with these indices and the last vector (thick restart: Wu and Simon 2000)."""
        values, vectors, _ = self.ritz()
        last = self._vectors[self.count].clone()
        self._vectors[: len(keep)] = self.combine(vectors[:, keep])
        self.projected[:] = 0
        self.projected[range(len(keep)), range(len(keep))] = values[keep]
        self.count = len(keep)
        self._vectors[self.count] = last


def _orthogonalise(vector: Tensor, basis: Tensor) -> tuple[np.ndarray, Tensor]:
    """Return the coefficients (m,) of a vector (n,) in an orthonormal basis (m, n), and the rest (n,)."""
    first = basis @ vector
    vector = vector - first @ basis
    second = basis @ vector
    return (first + second).double().cpu().numpy(), vector - second @ basis


def _length(vector: Tensor) -> float:
    return float(torch.linalg.vector_norm(vector))


def _unit(vector: Tensor) -> Tensor:
    return vector / torch.linalg.vector_norm(vector)
