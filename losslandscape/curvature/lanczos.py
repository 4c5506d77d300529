"""Eigenvalues of a symmetric matrix that is known by its products alone: a Krylov space that grows by a product at a time, and Lanczos with restarts."""

import math
import sys
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from losslandscape.core.errors import InputError

TOLERANCE = 1e-3  # relative to an eigenvalue
NEAR_ZERO = (
    1e-2  # of the largest absolute eigenvalue: those below are told apart no finer than one of this size
)
MOST_PRODUCTS = 500
BASIS_SIZE = 80  # vectors: restarts are rare below this
BASIS_MEMORY = 2 * 2**30  # bytes
ROUNDING = 10  # machine epsilons, relative to the matrix: a vector that short is rounding


class SymmetricMatrix(Protocol):
    """A matrix (n, n) of this dimension that gives its products with one vector (n,), or with several (k, n)."""

    dimension: int
    dtype: torch.dtype
    device: torch.device

    def __call__(self, vectors: Tensor) -> Tensor: ...


class Krylov:
    """An orthonormal basis of span(v, A v, A^2 v, …) that grows by a product at a time, and A projected on it.

    Lanczos with full reorthogonalisation, twice as in Daniel et al. (1976): A V = V T + beta v e_m^T. The products come from outside, so
    that several bases can share a pass over the data.

    Args:
        start: (n,), the first vector, of any length but zero.
        size: vectors of the basis at most.
        generator: of the vectors with which the basis goes on where the Krylov space ends.

    Attributes:
        count: of basis vectors whose product is known.
        projected: (size, size) float64, T; zero from row and column `count` on.
    """

    def __init__(self, start: Tensor, size: int, generator: torch.Generator):
        self.size = min(size, len(start))
        self.count = 0
        self._vectors = start.new_empty(self.size + 1, len(start))
        self._vectors[0] = start / torch.linalg.vector_norm(start)
        self.projected = np.zeros((self.size, self.size))
        self._beta, self._scale = 0.0, 0.0
        self._generator = generator

    @property
    def next(self) -> Tensor:
        """The vector (n,) whose product `extend` needs."""
        return self._vectors[self.count]

    def extend(self, product: Tensor) -> None:
        """Take A times `next`. Raises FloatingPointError if it is not finite."""
        if not torch.isfinite(product).all():
            raise FloatingPointError
        m, basis = self.count, self._vectors[: self.count + 1]
        self._scale = max(self._scale, float(torch.linalg.vector_norm(product)))
        parts, rest = self._orthogonal(product, basis)
        self.projected[m, : m + 1] = self.projected[: m + 1, m] = parts
        self._beta = float(torch.linalg.vector_norm(rest))
        self.count += 1
        if (
            self._beta <= ROUNDING * torch.finfo(rest.dtype).eps * self._scale
        ):  # the space ends here: go on with another
            self._beta = 0.0
            if self.count == len(product):
                return
            rest = torch.randn(len(product), generator=self._generator, dtype=product.dtype).to(
                product.device
            )
            _, rest = self._orthogonal(rest / torch.linalg.vector_norm(rest), basis)
        self._vectors[self.count] = rest / torch.linalg.vector_norm(rest)

    @staticmethod
    def _orthogonal(vector: Tensor, basis: Tensor) -> tuple[np.ndarray, Tensor]:
        first = basis @ vector
        vector = vector - first @ basis
        second = basis @ vector
        return (first + second).double().cpu().numpy(), vector - second @ basis

    def ritz(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Eigenvalues (m,) of the projected matrix, its eigenvectors (m, m) in columns, and the residuals (m,) of both in the large matrix."""
        values, vectors = np.linalg.eigh(self.projected[: self.count, : self.count])
        return values, vectors, np.abs(self._beta * vectors[-1])

    def combine(self, coefficients: np.ndarray) -> Tensor:
        """Vectors (k, n) of these coefficients (m, k) in the basis."""
        return (
            torch.as_tensor(coefficients.T, dtype=self._vectors.dtype, device=self._vectors.device)
            @ self._vectors[: self.count]
        )

    def restart(self, keep: np.ndarray) -> None:
        """Keep only these of the Ritz vectors, by index, and the last vector (thick restart: Wu and Simon 2000)."""
        values, vectors, _ = self.ritz()
        last = self._vectors[self.count].clone()
        self._vectors[: len(keep)] = self.combine(vectors[:, keep])
        self.projected[:] = 0
        self.projected[range(len(keep)), range(len(keep))] = values[keep]
        self.count = len(keep)
        self._vectors[self.count] = last


@dataclass(frozen=True)
class Eigen:
    """An eigenvalue, NaN if a product was not finite, with its unit vector (n,) or None.

    `residual` is ||A v - value v||: the matrix has an eigenvalue no farther than that from `value`.
    """

    value: float
    residual: float
    converged: bool
    vector: Tensor | None = None


def eigenvalues(
    matrix: SymmetricMatrix,
    *,
    smallest: int = 1,
    largest: int = 1,
    tolerance: float = TOLERANCE,
    most_products: int = MOST_PRODUCTS,
    seed: int = 0,
    show_progress: bool = False,
) -> tuple[list[Eigen], list[Eigen]]:
    """The `smallest` lowest eigenvalues, ascending, and the `largest` highest, descending, of a symmetric matrix.

    Thick-restart Lanczos (Wu and Simon, SIAM J. Matrix Anal. Appl. 22, 2000), both ends from one Krylov space. An eigenvalue has
    converged when its residual is at most `tolerance` times its absolute value, or times `NEAR_ZERO` of the largest absolute eigenvalue if
    that is more; what has not after `most_products` is returned and says so. If a product is not finite, all values are NaN.

    A Krylov space holds one vector of several equal eigenvalues. Where more than one is wanted of an end, what is orthogonal to those found is therefore
    searched until nothing in it lies further out. Random numbers are drawn from a generator of this `seed`, no others are touched.

    Raises `InputError` if more eigenvalues are wanted than there are, or than products.
    """
    wanted = min(smallest + largest, matrix.dimension)
    if max(smallest, largest) > matrix.dimension:
        raise InputError(
            f"{max(smallest, largest)} eigenvalues are wanted of a matrix that has {matrix.dimension}; ask for fewer"
        )
    if most_products < wanted:
        raise InputError(f"{most_products} products cannot give {wanted} eigenvalues; allow more")
    generator = torch.Generator().manual_seed(seed)
    with tqdm(
        total=most_products,
        desc="eigenvalues",
        unit="product",
        disable=not show_progress,
        leave=False,
        mininterval=0.5 if sys.stderr.isatty() else 10,
    ) as bar:
        low, high, used = _extreme(matrix, smallest, largest, tolerance, most_products, generator, bar)
        again = (int(smallest > 1), int(largest > 1))
        while any(again) and wanted < matrix.dimension and _finite(low + high):
            rest = _Complement(matrix, [eigen.vector for eigen in low + high], generator)
            if most_products - used < sum(again):
                return _unsure(low), _unsure(high)
            lower, higher, more = _extreme(rest, *again, tolerance, most_products - used, generator, bar)
            used += more
            if not _finite(lower + higher) or not all(eigen.converged for eigen in lower + higher):
                return _unsure(low), _unsure(high)
            scale = max(abs(eigen.value) for eigen in low + high)
            others = _measured(
                matrix,
                rest.part_of(torch.stack([eigen.vector for eigen in lower + higher])),
                scale=scale,
                tolerance=tolerance,
            )
            low, more_low = _merged(low, others[: len(lower)], tolerance, scale, sign=1)
            high, more_high = _merged(high, others[len(lower) :], tolerance, scale, sign=-1)
            again = (int(more_low), int(more_high))
    return low, high


def _extreme(
    matrix: SymmetricMatrix,
    smallest: int,
    largest: int,
    tolerance: float,
    most_products: int,
    generator: torch.Generator,
    bar: tqdm,
) -> tuple[list[Eigen], list[Eigen], int]:
    """Those that one Krylov space has, and how many products it took."""
    wanted = min(smallest + largest, matrix.dimension)
    start = torch.randn(matrix.dimension, generator=generator, dtype=matrix.dtype).to(matrix.device)
    space = Krylov(start, max(min(BASIS_SIZE, BASIS_MEMORY // start.nbytes), 2 * wanted + 8), generator)
    for used in range(1, most_products + 1):
        if space.count == space.size:
            kept = max(wanted, space.size // 2)
            low = smallest * kept // (smallest + largest)
            space.restart(np.r_[:low, space.size - (kept - low) : space.size])
        try:
            space.extend(matrix(space.next))
        except FloatingPointError:
            lost = Eigen(math.nan, math.nan, False)
            return [lost] * smallest, [lost] * largest, used
        values, coefficients, residuals = space.ritz()
        scale = float(np.abs(values).max())
        ends = (
            np.r_[0:smallest, len(values) - largest : len(values)]
            if space.count >= wanted
            else np.arange(len(values))
        )
        unsure = (
            int((residuals > _allowed(values, scale, tolerance))[ends].sum())
            + wanted
            - min(space.count, wanted)
        )
        bar.update()
        bar.set_postfix_str(
            f"from {values[0]:.4g} to {values[-1]:.4g}, {unsure} of {wanted} not converged", refresh=False
        )
        if not unsure:
            break
    chosen = np.r_[0:smallest, len(values) - 1 : len(values) - 1 - largest : -1]
    found = _measured(matrix, space.combine(coefficients[:, chosen]), scale=scale, tolerance=tolerance)
    return found[:smallest], found[smallest:], used


class _Complement:
    """What a matrix does to vectors orthogonal to some of its eigenvectors; these it only multiplies by a number from amid its other eigenvalues."""

    def __init__(self, matrix: SymmetricMatrix, vectors: list[Tensor], generator: torch.Generator):
        self.dimension, self.dtype, self.device = matrix.dimension, matrix.dtype, matrix.device
        self._matrix = matrix
        self._known = torch.linalg.qr(torch.stack(vectors, 1).double())[0].to(matrix.dtype)
        some = self.part_of(
            torch.randn(matrix.dimension, generator=generator, dtype=matrix.dtype).to(matrix.device)
        )
        some = some / torch.linalg.vector_norm(some)
        self._amid = some @ matrix(some)

    def __call__(self, vectors: Tensor) -> Tensor:
        rest = self.part_of(vectors)
        return self.part_of(self._matrix(rest)) + self._amid * (vectors - rest)

    def part_of(self, vectors: Tensor) -> Tensor:
        """What of vectors (n,) or (k, n) is orthogonal to those that are known."""
        return vectors - (vectors @ self._known) @ self._known.T


def _merged(
    found: list[Eigen], others: list[Eigen], tolerance: float, scale: float, *, sign: int
) -> tuple[list[Eigen], bool]:
    """As many of both as were found, the outermost first, and whether any of the others is among them. sign: 1 of the lowest, -1 of the highest."""
    last = sign * found[-1].value if found else 0.0
    further = [eigen for eigen in others if sign * eigen.value < last - _allowed(last, scale, tolerance)]
    return sorted([*found, *further], key=lambda eigen: sign * eigen.value)[: len(found)], bool(further)


def _finite(found: list[Eigen]) -> bool:
    return all(math.isfinite(eigen.value) for eigen in found)


def _unsure(found: list[Eigen]) -> list[Eigen]:
    """That there is no further one between these could not be seen, unless there is but one, which is the outermost."""
    return [replace(eigen, converged=eigen.converged and i == 0) for i, eigen in enumerate(found)]


def _allowed(values: np.ndarray | float, scale: float, tolerance: float) -> np.ndarray | float:
    """The residual at which an eigenvalue of a matrix of this scale has converged."""
    return tolerance * np.maximum(np.abs(values), NEAR_ZERO * scale)


def _measured(matrix: SymmetricMatrix, vectors: Tensor, *, scale: float, tolerance: float) -> list[Eigen]:
    """The Rayleigh quotients of vectors (k, n) and their residuals, from products made for the purpose: the recurrence does not see rounding."""
    vectors = vectors / torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    products = matrix(vectors)
    values = (vectors * products).sum(1)
    residuals = torch.linalg.vector_norm(products - values[:, None] * vectors, dim=1)
    return [
        Eigen(value, residual, bool(residual <= _allowed(value, scale, tolerance)), vector)
        for value, residual, vector in zip(values.tolist(), residuals.tolist(), vectors, strict=True)
    ]
