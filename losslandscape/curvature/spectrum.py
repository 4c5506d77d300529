"""The whole spectrum of a curvature matrix, estimated from products with random vectors: its trace and its density of eigenvalues.

Each estimate says how far to trust it: the standard error over the random vectors and, for the density, what its last Lanczos steps changed.
"""

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from losslandscape.core.errors import InputError
from losslandscape.curvature.hess_vec_prod import Curvature
from losslandscape.curvature.lanczos import BASIS_MEMORY, Krylov

TOGETHER = 8  # vectors that share a pass over the data: they take about a fifth less time each than one alone
TRACE_TOLERANCE = 0.02
MOST_PROBES = 200
DENSITY_TOLERANCE = 0.1
STEPS = 60
DENSITY_PROBES = 4
WIDTH = 0.003  # of the spectrum's range: deviation of the Gaussian that an eigenvalue is drawn as; about as in Ghorbani et al.
GRID_POINTS = 2000
MARGIN = 5  # deviations of the Gaussian that the grid goes beyond the outermost eigenvalues


@dataclass(frozen=True)
class Trace:
    """An estimated trace, its standard error over `probes` random vectors, and the share of each parameter tensor as (value, standard error).

    The value is NaN if a product was not finite. `converged` says whether the standard error is within the tolerance.
    """

    value: float
    standard_error: float
    probes: int
    converged: bool
    layers: dict[str, tuple[float, float]]


def trace(
    matrix: Curvature,
    *,
    rank: int = 0,
    tolerance: float = TRACE_TOLERANCE,
    most_probes: int = MOST_PROBES,
    seed: int = 0,
    show_progress: bool = False,
) -> Trace:
    """The trace of a symmetric matrix A, and of the diagonal block of each parameter tensor, from products with random signs v.

    With `rank` 0 by Hutchinson (1990): tr A = E[v . A v], and the block of tensor l has E[v_l . (A v)_l]. Else by Hutch++ (Meyer et al.,
    arXiv 2010.09649): Q is an orthonormal basis of A applied to `rank` random vectors, and with w = (1 - Q Q^T) v

        tr A = tr(Q^T A Q) + E[w . A w],

    the first exact; of the products Q Q^T A and w . A w each tensor has its own entries. It pays where few eigenvalues make up most of the trace, and takes 2 `rank` products beforehand. Probes are added
    until the standard error is at most `tolerance` times the trace, or there are `most_probes`.

    Raises `InputError` if `rank` is larger than the matrix, or there are fewer than two probes to tell an error from.
    """
    if not 0 <= rank <= matrix.dimension:
        raise InputError(f"the rank {rank} is not from 0 to {matrix.dimension}, the number of parameters")
    if most_probes < 2:
        raise InputError(f"{most_probes} random vectors tell no standard error; allow at least 2")
    generator = torch.Generator().manual_seed(seed)
    with tqdm(
        total=2 * rank + most_probes,
        desc="trace",
        unit="product",
        disable=not show_progress,
        leave=False,
        mininterval=0.5 if sys.stderr.isatty() else 10,
    ) as bar:
        basis = _range(matrix, rank, generator, bar)
        exact = _exact_part(matrix, basis, bar)
        samples = np.empty((0, len(matrix.sizes)))
        while True:
            probes = _signs(matrix, min(TOGETHER, most_probes - len(samples)), generator)
            probes -= probes @ basis.T @ basis
            samples = np.concatenate([samples, _by_tensor(matrix, probes * matrix(probes))])
            bar.update(len(probes))
            value, error = _mean(samples.sum(1))
            value += exact.sum()
            bar.set_postfix_str(f"{value:.5g} +- {error:.2g}", refresh=False)
            converged = bool(error <= tolerance * abs(value))
            if converged or len(samples) >= most_probes or not math.isfinite(value):
                break
    if not math.isfinite(value):
        value = error = math.nan
    layers = {
        name: (mean + known, spread)
        for name, known, mean, spread in zip(
            matrix.names, exact.tolist(), *(part.tolist() for part in _mean(samples)), strict=True
        )
    }
    return Trace(float(value), float(error), len(samples), converged, layers)


def _range(matrix: Curvature, rank: int, generator: torch.Generator, bar: tqdm) -> Tensor:
    """An orthonormal basis (rank, n), or less if the matrix has less, of what the matrix makes of random signs."""
    if not rank:
        return torch.zeros(0, matrix.dimension, dtype=matrix.dtype, device=matrix.device)
    images = torch.cat([_counted(matrix, _signs(matrix, count, generator), bar) for count in _blocks(rank)])
    if not torch.isfinite(images).all():
        return images[:0]  # the probes will say so
    _, lengths, basis = torch.linalg.svd(images, full_matrices=False)
    return basis[lengths > lengths[0] * torch.finfo(lengths.dtype).eps * rank]


def _exact_part(matrix: Curvature, basis: Tensor, bar: tqdm) -> np.ndarray:
    """The share (tensors,) of each tensor in tr(Q^T A Q) = tr(Q Q^T A)."""
    if not len(basis):
        return np.zeros(len(matrix.sizes))
    products = torch.cat([_counted(matrix, part, bar) for part in basis.split(TOGETHER)])
    return _by_tensor(matrix, basis * products).sum(0)


def _counted(matrix: Curvature, vectors: Tensor, bar: tqdm) -> Tensor:
    products = matrix(vectors)
    bar.update(len(vectors))
    return products


def _blocks(count: int, together: int = TOGETHER) -> Iterator[int]:
    """`count` as numbers of vectors that share a pass."""
    return (min(together, count - start) for start in range(0, count, together))


def _signs(matrix: Curvature, count: int, generator: torch.Generator) -> Tensor:
    """Random vectors (count, n) of entries 1 and -1, the same on every device."""
    return (torch.randint(0, 2, (count, matrix.dimension), generator=generator, dtype=torch.int8) * 2 - 1).to(
        matrix.device, matrix.dtype
    )


def _by_tensor(matrix: Curvature, rows: Tensor) -> np.ndarray:
    """Sums (k, tensors) over the entries of each parameter tensor of rows (k, n), in float64."""
    return (
        torch.stack([part.sum(1, dtype=torch.float64) for part in rows.split(matrix.sizes, dim=1)], dim=1)
        .cpu()
        .numpy()
    )


def _mean(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over the first axis and its standard error."""
    with np.errstate(invalid="ignore"):  # infinities are results
        return samples.mean(0), samples.std(0, ddof=1) / math.sqrt(len(samples))


@dataclass(frozen=True)
class Density:
    """The estimated density of eigenvalues on a grid (points,), per eigenvalue: it integrates to 1.

    Attributes:
        standard_error: (points,), of the density over the random vectors.
        nodes, weights: (probes, steps), what the density is smoothed from; the weights of a probe add up to 1.
        width: deviation of the Gaussian that smoothes.
        sampling_error: the standard error integrated over the grid.
        step_error: integral of the absolute difference to the density with a quarter of the Lanczos steps fewer.
        converged: whether both are within the tolerance. Everything is NaN if a product was not finite.
    """

    grid: np.ndarray
    density: np.ndarray
    standard_error: np.ndarray
    nodes: np.ndarray
    weights: np.ndarray
    width: float
    sampling_error: float
    step_error: float
    converged: bool


def spectral_density(
    matrix: Curvature,
    *,
    steps: int = STEPS,
    probes: int = DENSITY_PROBES,
    width: float | None = None,
    points: int = GRID_POINTS,
    tolerance: float = DENSITY_TOLERANCE,
    seed: int = 0,
    show_progress: bool = False,
) -> Density:
    """The density of a symmetric matrix's eigenvalues, by stochastic Lanczos quadrature.

    For random unit vectors v with Ritz values theta_i after `steps` Lanczos steps, and y_i the eigenvectors of the projected matrix,

        phi(t) = mean over v of sum_i (y_i[0])^2 g((t - theta_i) / width)

    with g the Gaussian (Lin, Saad and Yang, arXiv 1308.5467; Ghorbani, Krishnan and Xiao, arXiv 1901.10159). Reorthogonalisation is full.

    Args:
        width: deviation of the Gaussian (default: `WIDTH` of the range of the Ritz values).
        tolerance: of the integrated errors.

    Raises `InputError` if there are fewer than two probes to tell an error from, or no steps.
    """
    if probes < 2 or steps < 1:
        raise InputError(
            f"{probes} random vectors and {steps} Lanczos steps are too few; give at least 2 and 1"
        )
    steps = min(steps, matrix.dimension)
    try:
        projections = _projections(matrix, steps, probes, seed, show_progress)
    except FloatingPointError:
        lost, none = np.full(points, np.nan), np.full((probes, steps), np.nan)
        return Density(lost, lost, lost, none, none, math.nan, math.nan, math.nan, False)
    nodes, weights = (np.stack(parts) for parts in zip(*map(_rule, projections), strict=True))
    low, high = nodes.min(), nodes.max()
    width = width or WIDTH * (high - low) or WIDTH * abs(high) or WIDTH
    grid = np.linspace(low - MARGIN * width, high + MARGIN * width, points)
    each = np.stack([smoothed(grid, *rule, width=width) for rule in zip(nodes, weights, strict=True)])
    fewer = steps - steps // 4
    shorter = np.mean(
        [smoothed(grid, *_rule(projected[:fewer, :fewer]), width=width) for projected in projections], axis=0
    )
    density, error = _mean(each)
    sampling_error, step_error = (
        float(np.trapezoid(error, grid)),
        float(np.trapezoid(np.abs(density - shorter), grid)),
    )
    return Density(
        grid,
        density,
        error,
        nodes,
        weights,
        float(width),
        sampling_error,
        step_error,
        max(sampling_error, step_error) <= tolerance,
    )


def smoothed(grid: np.ndarray, nodes: np.ndarray, weights: np.ndarray, *, width: float) -> np.ndarray:
    """Density (points,) at `grid` of point masses `weights` (m,) at `nodes` (m,), each a Gaussian of deviation `width`."""
    distance = (np.asarray(grid)[:, None] - nodes) / width
    return np.exp(-0.5 * distance**2) @ weights / (width * math.sqrt(2 * math.pi))


def _projections(
    matrix: Curvature, steps: int, probes: int, seed: int, show_progress: bool
) -> list[np.ndarray]:
    """The matrix projected (steps, steps) on the Krylov space of each probe; as many share a pass as `BASIS_MEMORY` has room for."""
    generator = torch.Generator().manual_seed(seed)
    together = max(1, min(TOGETHER, BASIS_MEMORY // (steps * matrix.dimension * matrix.dtype.itemsize)))
    found = []
    with tqdm(
        total=steps * probes,
        desc="density",
        unit="product",
        disable=not show_progress,
        leave=False,
        mininterval=0.5 if sys.stderr.isatty() else 10,
    ) as bar:
        for count in _blocks(probes, together):
            spaces = [Krylov(start, steps, generator) for start in _signs(matrix, count, generator)]
            for _ in range(steps):
                for space, product in zip(
                    spaces, matrix(torch.stack([space.next for space in spaces])), strict=True
                ):
                    space.extend(product)
                bar.update(count)
            found += [space.projected for space in spaces]
    return found


def _rule(projected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nodes (m,) and weights (m,) of the Gaussian quadrature that a projected matrix (m, m) stands for."""
    nodes, vectors = np.linalg.eigh(projected)
    return nodes, vectors[0] ** 2
