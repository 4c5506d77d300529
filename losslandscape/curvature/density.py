"""Estimates the density of a curvature matrix's eigenvalues from products with random vectors.

The estimate has two errors: the standard error over the random vectors, and the change of the density
over the last Lanczos steps.
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

DENSITY_TOLERANCE = 0.1  # largest value of both integrated errors of a converged density
STEPS = 60
DENSITY_PROBES = 4
# Standard deviation of the Gaussians, as a share of the spectrum's range; about as in Ghorbani et al.
WIDTH = 0.003
GRID_POINTS = 2000
MARGIN = 5  # from the outermost nodes to the grid's ends, in standard deviations of the Gaussian


@dataclass(frozen=True)
class Density:
    """An estimated density of eigenvalues on a grid, which integrates to 1.

    All values are NaN if a product was not finite.

    Attributes:
        grid, density: (points,) eigenvalues, and the density there.
        standard_error: (points,) standard error of the density over the random vectors.
        nodes, weights: (probes, steps) quadrature rule of each probe. A probe's weights sum to 1. The
            density is the mean over the probes of the smoothed rules.
        width: standard deviation of the Gaussian that smooths the rules.
        sampling_error: integral of the standard error.
        step_error: integral of the density's absolute change over the last quarter of the Lanczos steps.
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
    """Estimate the density of a matrix's eigenvalues by stochastic Lanczos quadrature.

        phi(t) = mean over v of sum_i (y_i[0])^2 g((t - theta_i) / width)

    for random unit vectors v, with theta_i and y_i the eigenvalues and eigenvectors of the projected
    matrix after `steps` Lanczos steps from v, and g the Gaussian (Lin, Saad and Yang, arXiv 1308.5467;
    Ghorbani, Krishnan and Xiao, arXiv 1901.10159). Reorthogonalisation is full.

    Args:
        steps: number of Lanczos steps, at least 1.
        probes: number of random vectors, at least 2.
        width: standard deviation of the Gaussian (default: `WIDTH` times the range of the theta_i, or times
            their magnitude if they are all equal).
        points: number of points of the grid.
        tolerance: largest value of both integrated errors at which the density has converged.
        seed: seed of the random vectors.

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
        return _not_finite(points, probes, steps)
    rules = [_quadrature(projected) for projected in projections]
    nodes = np.stack([rule_nodes for rule_nodes, _ in rules])
    weights = np.stack([rule_weights for _, rule_weights in rules])
    low, high = nodes.min(), nodes.max()
    width = width or WIDTH * (high - low) or WIDTH * abs(high) or WIDTH
    grid = np.linspace(low - MARGIN * width, high + MARGIN * width, points)
    density, error = mean_and_error(_densities(projections, grid, steps=steps, width=width))
    of_fewer_steps = _densities(projections, grid, steps=steps - steps // 4, width=width)
    change = np.abs(density - np.mean(of_fewer_steps, axis=0))
    sampling_error = float(np.trapezoid(error, grid))
    step_error = float(np.trapezoid(change, grid))
    converged = max(sampling_error, step_error) <= tolerance
    return Density(grid, density, error, nodes, weights, float(width), sampling_error, step_error, converged)


def smoothed(grid: np.ndarray, nodes: np.ndarray, weights: np.ndarray, *, width: float) -> np.ndarray:
    """Return the density (points,) of Gaussians with these weights (m,), centred at `nodes` (m,)."""
    distance = (np.asarray(grid)[:, None] - nodes) / width
    return np.exp(-0.5 * distance**2) @ weights / (width * math.sqrt(2 * math.pi))


def _densities(projections: list[np.ndarray], grid: np.ndarray, *, steps: int, width: float) -> np.ndarray:
    """Return the density (probes, points) of each probe after `steps` Lanczos steps."""
    rules = [_quadrature(projected[:steps, :steps]) for projected in projections]
    return np.stack([smoothed(grid, nodes, weights, width=width) for nodes, weights in rules])


def _not_finite(points: int, probes: int, steps: int) -> Density:
    on_grid, per_probe = np.full(points, np.nan), np.full((probes, steps), np.nan)
    return Density(on_grid, on_grid, on_grid, per_probe, per_probe, math.nan, math.nan, math.nan, False)


def _projections(
    matrix: SymmetricMatrix, steps: int, probes: int, seed: int, show_progress: bool
) -> list[np.ndarray]:
    """Return the projection (steps, steps) of the matrix on the Krylov space of each probe.

    Several spaces share a pass over the data, as many as `BASIS_MEMORY` has room for.
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
    """Return the nodes (m,) and weights (m,) of the Gaussian quadrature rule of a projected matrix (m, m)."""
    nodes, vectors = np.linalg.eigh(projected)
    return nodes, vectors[0] ** 2
