"""The density of a curvature matrix's eigenvalues, estimated from products with random vectors.

The estimate comes with two errors: the standard error over the random vectors, and the change by the
last Lanczos steps.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from losslandscape.core.errors import InputError
from losslandscape.curvature.krylov import Krylov, SymmetricMatrix
from losslandscape.curvature.lanczos import BASIS_MEMORY
from losslandscape.curvature.probes import TOGETHER, block_sizes, mean_and_error, random_signs
from losslandscape.curvature.progress import product_bar

DENSITY_TOLERANCE = 0.1  # of both integrated errors
STEPS = 60
DENSITY_PROBES = 4
WIDTH = 0.003  # of the spectrum's range: deviation of an eigenvalue's Gaussian, about as in Ghorbani et al.
GRID_POINTS = 2000
MARGIN = 5  # deviations of the Gaussian: how far the grid extends beyond the outermost eigenvalues


@dataclass(frozen=True)
class Density:
    """An estimated density of eigenvalues on a grid, which integrates to 1.

    All is NaN if a product was not finite.

    Attributes:
        grid, density: (points,).
        standard_error: (points,), of the density over the random vectors.
        nodes, weights: (probes, steps), the point masses that are smoothed; the weights of a probe add
            up to 1.
        width: deviation of the Gaussian that smooths.
        sampling_error: the integral of the standard error.
        step_error: the integral of the change that the last quarter of the Lanczos steps made, in
            absolute value.
        converged: whether both errors are within the tolerance.
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
    matrix: SymmetricMatrix,
    *,
    steps: int = STEPS,
    probes: int = DENSITY_PROBES,
    width: float | None = None,
    points: int = GRID_POINTS,
    tolerance: float = DENSITY_TOLERANCE,
    seed: int = 0,
    show_progress: bool = False,
) -> Density:
    """The density of a matrix's eigenvalues, by stochastic Lanczos quadrature.

        phi(t) = mean over v of sum_i (y_i[0])^2 g((t - theta_i) / width)

    for random unit vectors v, with theta_i and y_i the eigenvalues and eigenvectors of the projected
    matrix after `steps` Lanczos steps from v, and g the Gaussian (Lin, Saad and Yang, arXiv 1308.5467;
    Ghorbani, Krishnan and Xiao, arXiv 1901.10159). Reorthogonalisation is full.

    Args:
        steps: Lanczos steps, at least 1.
        probes: random vectors, at least 2.
        width: deviation of the Gaussian (default: `WIDTH` of the range of the theta_i).
        points: of the grid.
        tolerance: of both integrated errors.
        seed: of the random vectors.

    Raises:
        InputError: if there are too few probes or steps.
    """
    if probes < 2 or steps < 1:
        fault = f"{probes} random vectors and {steps} Lanczos steps are too few"
        raise InputError(fault, "give at least 2 and 1")
    steps = min(steps, matrix.dimension)
    try:
        projections = _projections(matrix, steps, probes, seed, show_progress)
    except FloatingPointError:
        return _lost(points, probes, steps)
    rules = [_quadrature(projected) for projected in projections]
    nodes, weights = (np.stack(parts) for parts in zip(*rules, strict=True))
    low, high = nodes.min(), nodes.max()
    width = width or WIDTH * (high - low) or WIDTH * abs(high) or WIDTH
    grid = np.linspace(low - MARGIN * width, high + MARGIN * width, points)
    density, error = mean_and_error(np.stack([smoothed(grid, *rule, width=width) for rule in rules]))

    fewer = steps - steps // 4
    shorter_rules = [_quadrature(projected[:fewer, :fewer]) for projected in projections]
    shorter = np.mean([smoothed(grid, *rule, width=width) for rule in shorter_rules], axis=0)
    sampling_error = float(np.trapezoid(error, grid))
    step_error = float(np.trapezoid(np.abs(density - shorter), grid))
    converged = max(sampling_error, step_error) <= tolerance
    return Density(grid, density, error, nodes, weights, float(width), sampling_error, step_error, converged)


def smoothed(grid: np.ndarray, nodes: np.ndarray, weights: np.ndarray, *, width: float) -> np.ndarray:
    """The density (points,) on a grid of masses `weights` (m,) at `nodes` (m,), each one a Gaussian."""
    distance = (np.asarray(grid)[:, None] - nodes) / width
    return np.exp(-0.5 * distance**2) @ weights / (width * math.sqrt(2 * math.pi))


def _lost(points: int, probes: int, steps: int) -> Density:
    on_grid, per_probe = np.full(points, np.nan), np.full((probes, steps), np.nan)
    return Density(on_grid, on_grid, on_grid, per_probe, per_probe, math.nan, math.nan, math.nan, False)


def _projections(
    matrix: SymmetricMatrix, steps: int, probes: int, seed: int, show_progress: bool
) -> list[np.ndarray]:
    """The matrix projected (steps, steps) on the Krylov space of each probe.

    As many spaces share a pass over the data as `BASIS_MEMORY` has room for.
    """
    generator = torch.Generator().manual_seed(seed)
    space_bytes = steps * matrix.dimension * matrix.dtype.itemsize
    together = max(1, min(TOGETHER, BASIS_MEMORY // space_bytes))
    projections = []
    with product_bar("density", steps * probes, shown=show_progress) as bar:
        for count in block_sizes(probes, together):
            starts = random_signs(matrix, count, generator)
            spaces = [Krylov(start, steps, generator) for start in starts]
            for _ in range(steps):
                products = matrix(torch.stack([space.next for space in spaces]))
                for space, product in zip(spaces, products, strict=True):
                    space.extend(product)
                bar.update(count)
            projections += [space.projected for space in spaces]
    return projections


def _quadrature(projected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nodes (m,) and weights (m,) of the Gaussian quadrature rule of a projected matrix (m, m)."""
    nodes, vectors = np.linalg.eigh(projected)
    return nodes, vectors[0] ** 2
