"""The outermost eigenvalues of a symmetric matrix, by Lanczos with restarts. It uses only products."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from losslandscape.core.errors import InputError
from losslandscape.curvature.krylov import Krylov, SymmetricMatrix
from losslandscape.curvature.progress import product_bar

TOLERANCE = 1e-3  # largest residual, relative to its eigenvalue
# Share of the largest absolute eigenvalue; below this, the tolerance of a residual shrinks no further.
NEAR_ZERO = 1e-2
# Products before an eigenvalue near zero can converge. If most eigenvalues are near 0, as in large nets, a
# random vector is almost an eigenvector, and it takes some products until the true end of the spectrum shows.
FIRST_PRODUCTS = 30
MOST_PRODUCTS = 500
BASIS_SIZE = 80  # vectors; with this many, restarts are rare
BASIS_MEMORY = 2 * 2**30  # bytes


@dataclass(frozen=True)
class Eigen:
    """An eigenvalue and its unit eigenvector.

    Attributes:
        value: NaN if a product was not finite.
        residual: ||A v - value v||. The matrix has an eigenvalue within this distance of `value`.
        converged: whether the residual is within the tolerance.
        vector: (n,); None if a product was not finite.
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
    """Return the lowest eigenvalues of a matrix, ascending, and the highest, descending.

    Thick-restart Lanczos (Wu and Simon, SIAM J. Matrix Anal. Appl. 22, 2000) finds both ends in one Krylov
    space. That space holds a single vector for several equal eigenvalues. So if more than one eigenvalue of
    an end is wanted, the space orthogonal to the known eigenvectors is searched until it holds no
    eigenvalue further out.

    Args:
        smallest, largest: number of eigenvalues of each end.
        tolerance: largest residual of a converged eigenvalue, relative to its absolute value. After
            `FIRST_PRODUCTS` it is at least relative to `NEAR_ZERO` times the largest absolute eigenvalue, and
            then at most `TOLERANCE`.
        most_products: the number of products after which unconverged eigenvalues are returned.
        seed: seed of all random vectors. PyTorch's global generator is not used.

    Returns:
        The eigenvalues of the low end and of the high end. All are NaN if a product is not finite.

    Raises:
        InputError: if the matrix has fewer eigenvalues than wanted, or `most_products` is too small.
    """
    _check_counts(smallest, largest, matrix.dimension, most_products)
    generator = torch.Generator().manual_seed(seed)
    with product_bar("eigenvalues", most_products, shown=show_progress) as bar:
        search = _Search(tolerance, most_products, generator, bar)
        low, high = search.ends(matrix, smallest, largest)
        return search.with_equal_ones(matrix, low, high)


def _check_counts(smallest: int, largest: int, dimension: int, most_products: int) -> None:
    most = max(smallest, largest)
    if most > dimension:
        raise InputError(f"{most} eigenvalues are wanted of a matrix that has {dimension}", "ask for fewer")
    wanted = min(smallest + largest, dimension)
    if most_products < wanted:
        raise InputError(f"{most_products} products cannot give {wanted} eigenvalues", "allow more")


@dataclass
class _Search:
    """The state that several searches share: tolerance, products left, random numbers and progress bar."""

    tolerance: float
    products_left: int
    generator: torch.Generator
    bar: tqdm

    def ends(self, matrix: SymmetricMatrix, smallest: int, largest: int) -> tuple[list[Eigen], list[Eigen]]:
        """Return the eigenvalues of both ends, from one Krylov space."""
        wanted = min(smallest + largest, matrix.dimension)
        space = self._new_space(matrix, wanted)
        first = min(FIRST_PRODUCTS, matrix.dimension)
        while self.products_left:
            if space.count == space.size:
                _restart(space, smallest, largest)
            self.products_left -= 1
            first -= 1
            try:
                space.extend(matrix(space.next))
            except FloatingPointError:
                not_finite = Eigen(math.nan, math.nan, False)
                return [not_finite] * smallest, [not_finite] * largest
            values, coefficients, residuals = space.ritz()
            scale = float(np.abs(values).max())
            converged = residuals <= self.allowed(values, scale if first <= 0 else 0.0)
            missing = _count_missing(converged, smallest, largest, wanted)
            self._show(values, missing, wanted)
            if not missing:
                break
        outermost = np.r_[0:smallest, len(values) - 1 : len(values) - 1 - largest : -1]
        eigens = self.measured(matrix, space.combine(coefficients[:, outermost]), 0.0 if missing else scale)
        return eigens[:smallest], eigens[smallest:]

    def _new_space(self, matrix: SymmetricMatrix, wanted: int) -> Krylov:
        start = torch.randn(matrix.dimension, generator=self.generator, dtype=matrix.dtype).to(matrix.device)
        size = min(BASIS_SIZE, BASIS_MEMORY // start.nbytes)
        return Krylov(start, max(size, 2 * wanted + 8), self.generator)

    def _show(self, values: np.ndarray, missing: int, wanted: int) -> None:
        text = f"from {values[0]:.4g} to {values[-1]:.4g}, {missing} of {wanted} not converged"
        self.bar.update()
        self.bar.set_postfix_str(text, refresh=False)

    def with_equal_ones(
        self, matrix: SymmetricMatrix, low: list[Eigen], high: list[Eigen]
    ) -> tuple[list[Eigen], list[Eigen]]:
        """Search the space orthogonal to the known eigenvectors until it holds no eigenvalue further out."""
        counts = int(len(low) > 1), int(len(high) > 1)  # eigenvalues to search at each end
        while any(counts) and len(low + high) < matrix.dimension and _finite(low + high):
            if self.products_left < sum(counts):
                return _unsure(low), _unsure(high)
            complement = _Complement(matrix, _vectors(low + high), self.generator)
            lower, higher = self.ends(complement, *counts)
            if not all(eigen.converged for eigen in lower + higher):
                return _unsure(low), _unsure(high)
            scale = max(abs(eigen.value) for eigen in low + high)
            others = self.measured(matrix, complement.part_of(_vectors(lower + higher)), scale)
            low, low_changed = self._merged(low, others[: len(lower)], scale, sign=1)
            high, high_changed = self._merged(high, others[len(lower) :], scale, sign=-1)
            counts = int(low_changed), int(high_changed)
        return low, high

    def _merged(
        self, eigens: list[Eigen], others: list[Eigen], scale: float, *, sign: int
    ) -> tuple[list[Eigen], bool]:
        """Replace the innermost eigenvalues by others that lie further out.

        Args:
            sign: 1 at the low end, -1 at the high end.

        Returns:
            As many eigenvalues as before, and whether one was replaced.
        """
        innermost = sign * eigens[-1].value if eigens else 0.0
        limit = innermost - self.allowed(innermost, scale)
        further = [eigen for eigen in others if sign * eigen.value < limit]
        ordered = sorted([*eigens, *further], key=lambda eigen: sign * eigen.value)
        return ordered[: len(eigens)], bool(further)

    def measured(self, matrix: SymmetricMatrix, vectors: Tensor, scale: float) -> list[Eigen]:
        """Return the Rayleigh quotients of vectors (k, n) and their residuals.

        Both are computed from new products, because the Lanczos recurrence ignores its rounding errors.
        """
        vectors = vectors / torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        products = matrix(vectors)
        values = (vectors * products).sum(1)
        residuals = torch.linalg.vector_norm(products - values[:, None] * vectors, dim=1)
        return [
            Eigen(value, residual, bool(residual <= self.allowed(value, scale)), vector)
            for value, residual, vector in zip(values.tolist(), residuals.tolist(), vectors, strict=True)
        ]

    def allowed(self, values: np.ndarray | float, scale: float) -> np.ndarray | float:
        """Return the largest residual of converged eigenvalues.

        Args:
            scale: the largest absolute eigenvalue; 0 before the first products, when none near 0 converges.
        """
        near_zero = min(self.tolerance, TOLERANCE) * NEAR_ZERO * scale
        return np.maximum(self.tolerance * np.abs(values), near_zero)


def _count_missing(converged: np.ndarray, smallest: int, largest: int, wanted: int) -> int:
    """Return the number of wanted eigenvalues that are not in the space yet, or have not converged."""
    if len(converged) < wanted:
        return wanted - len(converged) + int((~converged).sum())
    outermost = np.r_[0:smallest, len(converged) - largest : len(converged)]
    return int((~converged[outermost]).sum())


def _restart(space: Krylov, smallest: int, largest: int) -> None:
    """Keep half of the space, or more if more is wanted; the ends share it like the wanted eigenvalues."""
    kept = max(min(smallest + largest, space.size), space.size // 2)
    low = smallest * kept // (smallest + largest)
    space.restart(np.r_[:low, space.size - (kept - low) : space.size])


class _Complement:
    """A matrix restricted to the space orthogonal to some of its eigenvectors.

    The eigenvectors themselves get an eigenvalue between the other eigenvalues of the matrix, so they are
    never outermost.
    """

    def __init__(self, matrix: SymmetricMatrix, vectors: Tensor, generator: torch.Generator):
        self.dimension, self.dtype, self.device = matrix.dimension, matrix.dtype, matrix.device
        self._matrix = matrix
        self._known = torch.linalg.qr(vectors.T.double())[0].to(matrix.dtype)
        drawn = torch.randn(matrix.dimension, generator=generator, dtype=matrix.dtype).to(matrix.device)
        rest = self.part_of(drawn)
        rest = rest / torch.linalg.vector_norm(rest)
        self._between = rest @ matrix(rest)

    def __call__(self, vectors: Tensor) -> Tensor:
        rest = self.part_of(vectors)
        return self.part_of(self._matrix(rest)) + self._between * (vectors - rest)

    def part_of(self, vectors: Tensor) -> Tensor:
        """Return the part of vectors (n,) or (k, n) that is orthogonal to the known eigenvectors."""
        return vectors - (vectors @ self._known) @ self._known.T


def _vectors(eigens: list[Eigen]) -> Tensor:
    return torch.stack([eigen.vector for eigen in eigens if eigen.vector is not None])


def _finite(eigens: list[Eigen]) -> bool:
    return all(math.isfinite(eigen.value) for eigen in eigens)


def _unsure(eigens: list[Eigen]) -> list[Eigen]:
    """Mark all but the outermost as not converged, because equal eigenvalues may be missing between them."""
    return [replace(eigen, converged=eigen.converged and i == 0) for i, eigen in enumerate(eigens)]
