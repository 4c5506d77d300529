"""Estimates the trace of a curvature matrix and of its diagonal blocks, from products with random vectors."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from losslandscape.core.errors import InputError
from losslandscape.curvature.hess_vec_prod import Curvature
from losslandscape.curvature.probes import TOGETHER, block_sizes, mean_and_error, random_signs
from losslandscape.curvature.progress import product_bar

TRACE_TOLERANCE = 0.02  # largest standard error, relative to the trace
MOST_PROBES = 200
# Of Hutch++, by default. Its 2 r products always pay where a few eigenvalues, fewer than r, are most of the
# trace, as in trained nets of about ten classes (docs/metrics.md). Elsewhere they cost little.
RANK = 16


@dataclass(frozen=True)
class Trace:
    """The estimated trace of a matrix and of its diagonal blocks.

    Attributes:
        value: NaN if a product was not finite.
        standard_error: standard error over the random vectors.
        probes: number of random vectors.
        converged: whether the standard error is within the tolerance.
        layers: (value, standard error) of the diagonal block of each parameter tensor, by name.
    """

    value: float
    standard_error: float
    probes: int
    converged: bool
    layers: dict[str, tuple[float, float]]


def trace(
    matrix: Curvature,
    *,
    rank: int | None = None,
    tolerance: float = TRACE_TOLERANCE,
    most_probes: int = MOST_PROBES,
    seed: int = 0,
    show_progress: bool = False,
) -> Trace:
    """Estimate the trace of a matrix A, and of the diagonal block of each parameter tensor.

    The method is Hutch++ (Meyer et al., arXiv 2010.09649): with Q an orthonormal basis of A applied to r
    vectors of random signs, further such vectors v, and w = (1 - Q Q^T) v,

        tr A = tr(Q^T A Q) + E[w . A w].

    The first term is exact. It costs 2 r products, which pays if few eigenvalues make up most of the trace.
    If r is the dimension, Q holds the unit vectors, and the trace is exact. Rank 0 is the method of
    Hutchinson (1990):

        tr A = E[v . A v], and for the block of tensor l, E[v_l . (A v)_l].

    Args:
        rank: r, from 0 to the dimension; by default `RANK`, or the dimension if it is less.
        tolerance: largest standard error at which the trace has converged, relative to its absolute value.
        most_probes: largest number of random vectors, at least 2.
        seed: seed of the random vectors.

    Raises:
        InputError: if `rank` or `most_probes` is out of range.
    """
    rank = min(RANK, matrix.dimension) if rank is None else rank
    if not 0 <= rank <= matrix.dimension:
        raise InputError(f"the rank {rank} is not from 0 to {matrix.dimension}, the number of parameters")
    if most_probes < 2:
        raise InputError(f"{most_probes} random vectors give no standard error", "allow at least 2")
    generator = torch.Generator().manual_seed(seed)
    with product_bar("trace", 2 * rank + most_probes, shown=show_progress) as bar:
        basis = _range_basis(matrix, rank, generator, bar)
        exact = _exact_part(matrix, basis, bar)
        samples = np.empty((0, len(matrix.sizes)))
        while True:
            probes = random_signs(matrix, min(TOGETHER, most_probes - len(samples)), generator)
            probes -= probes @ basis.T @ basis
            products = _products(matrix, probes, bar)
            samples = np.concatenate([samples, _per_tensor(matrix, probes * products)])
            estimate = _estimate(samples, exact, names=matrix.names, tolerance=tolerance)
            bar.set_postfix_str(f"{estimate.value:.5g} +- {estimate.standard_error:.2g}", refresh=False)
            if estimate.converged or len(samples) >= most_probes or math.isnan(estimate.value):
                return estimate


def _estimate(samples: np.ndarray, exact: np.ndarray, *, names: tuple[str, ...], tolerance: float) -> Trace:
    """Return the trace from the samples (probes, tensors) and the exact part (tensors,)."""
    mean, error = (float(part) for part in mean_and_error(samples.sum(1)))
    value = mean + float(exact.sum())
    converged = error <= tolerance * abs(value)
    if not math.isfinite(value):
        value = error = math.nan
    means, errors = mean_and_error(samples)
    pairs = zip((means + exact).tolist(), errors.tolist(), strict=True)
    layers = dict(zip(names, pairs, strict=True))
    return Trace(value, error, len(samples), converged, layers)


def _range_basis(matrix: Curvature, rank: int, generator: torch.Generator, bar: tqdm) -> Tensor:
    """Return an orthonormal basis (rank or fewer, n) of A times vectors of random signs."""
    if rank in (0, matrix.dimension):
        return torch.eye(rank, matrix.dimension, dtype=matrix.dtype, device=matrix.device)
    blocks = [_products(matrix, random_signs(matrix, count, generator), bar) for count in block_sizes(rank)]
    images = torch.cat(blocks)
    if not torch.isfinite(images).all():
        return images[:0]  # the probes will report it
    _, lengths, basis = torch.linalg.svd(images, full_matrices=False)
    return basis[lengths > lengths[0] * torch.finfo(lengths.dtype).eps * rank]


def _exact_part(matrix: Curvature, basis: Tensor, bar: tqdm) -> np.ndarray:
    """Return each parameter tensor's share (tensors,) of tr(Q^T A Q) = tr(Q Q^T A)."""
    if not len(basis):
        return np.zeros(len(matrix.sizes))
    products = torch.cat([_products(matrix, part, bar) for part in basis.split(TOGETHER)])
    return _per_tensor(matrix, basis * products).sum(0)


def _products(matrix: Curvature, vectors: Tensor, bar: tqdm) -> Tensor:
    products = matrix(vectors)
    bar.update(len(vectors))
    return products


def _per_tensor(matrix: Curvature, rows: Tensor) -> np.ndarray:
    """Return the sums (k, tensors), float64, over the entries of each parameter tensor in rows (k, n)."""
    parts = rows.split(matrix.sizes, dim=1)
    return torch.stack([part.sum(1, dtype=torch.float64) for part in parts], dim=1).cpu().numpy()
