"""What a training looks like from afar: principal components of its checkpoints, their projection on a plane, t-SNE.

The checkpoints are the rows of a matrix (checkpoints, weights) that may be far larger than memory, so it comes in pieces: float64 arrays of
all rows and some columns, from left to right. What is decomposed is the Gram matrix (checkpoints, checkpoints), a sum over the pieces.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from losslandscape.core.errors import InputError

METHODS = ("cos", "lstsq")
RANK_TOLERANCE = 1e-12  # of the largest eigenvalue of a Gram matrix: below it is rounding
PERPLEXITY = 30  # of t-SNE, scikit-learn's default, for as many checkpoints as that needs
SEED = 0  # of t-SNE

Pieces = Iterable[np.ndarray]


def centred_gram(pieces: Pieces) -> np.ndarray:
    """The inner products (rows, rows) of the rows less their mean.

    Raises:
        InputError: where the rows are too large for numbers, or all the same.
    """
    gram = 0.0
    for piece in pieces:
        centred = piece - piece.mean(axis=0)
        with np.errstate(over="ignore", invalid="ignore"):
            gram = gram + centred @ centred.T
    if not np.isfinite(gram).all():
        raise InputError(
            "the weights of the checkpoints are too large to be compared; leave out those in which training had diverged"
        )
    if not np.trace(gram) > 0:
        raise InputError(
            "all checkpoints hold the same weights: there is no trajectory; give checkpoints of different epochs"
        )
    return gram


@dataclass(frozen=True)
class Principal:
    """The first principal components, as scikit-learn's PCA has them; each is the centred rows' sum with its column of `combination` (rows, k)."""

    explained_variance: np.ndarray
    explained_variance_ratio: np.ndarray
    singular_values: np.ndarray
    combination: np.ndarray


def principal(gram: np.ndarray, count: int = 2) -> Principal:
    """Decompose a centred Gram matrix: its eigenvalues are the squared singular values of the centred rows.

    Raises:
        InputError: where the rows have fewer than `count` directions among them.
    """
    values, vectors = np.linalg.eigh(gram)
    values, vectors = values[::-1][:count], vectors[:, ::-1][:, :count]
    if len(values) < count or values[-1] <= RANK_TOLERANCE * values[0]:
        raise InputError(
            "the checkpoints lie on a line, and have no second principal component; give checkpoints of more epochs, or, if training diverged, leave out "
            "the one beside which the others cannot be told apart"
        )
    singular = np.sqrt(values)
    return Principal(values / (len(gram) - 1), values / np.trace(gram), singular, vectors / singular)


def components(pieces: Pieces, combination: np.ndarray) -> np.ndarray:
    """The principal components (k, columns), float32, each of length 1 and with its largest entry positive."""
    parts = []
    for piece in pieces:
        parts.append((combination.T @ (piece - piece.mean(axis=0))).astype(np.float32))
    found = np.concatenate(parts, axis=1)
    largest = np.abs(found).argmax(axis=1)
    found *= np.sign(found[np.arange(len(found)), largest])[:, None]
    return found


@dataclass(frozen=True)
class Projected:
    """The rows seen from a plane through the origin.

    x, y: coordinates (rows,). distance: of each row from the plane, as a part of its length, from 0 (in the plane) to 1; NaN for a row of
    zeros. shares (2,): of the variance of the rows, along each direction.
    """

    x: np.ndarray
    y: np.ndarray
    distance: np.ndarray
    shares: np.ndarray


def project(pieces: Pieces, directions: np.ndarray, *, method: str = "cos") -> Projected:
    """Project rows on two directions (2, columns).

    `cos`: <row, d> / ||d|| for each, a length along it, right where they are at right angles. `lstsq`: the multiples of both that come nearest to
    the row, whatever their lengths and angle; what a surface along them has as its coordinates.

    Raises:
        InputError: where the directions span no plane.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; choose from {', '.join(METHODS)}")
    dots, squares, angles, of_the_mean, start = 0.0, 0.0, np.zeros((2, 2)), 0.0, 0
    for piece in pieces:
        part = directions[:, start : start + piece.shape[1]].astype(np.float64)
        start += piece.shape[1]
        dots = dots + piece @ part.T
        squares = squares + (piece**2).sum(axis=1)
        of_the_mean += (piece.mean(axis=0) ** 2).sum()
        angles += part @ part.T
    lengths = np.sqrt(np.diag(angles))
    if not np.linalg.det(angles) > RANK_TOLERANCE * np.prod(lengths) ** 2:
        raise InputError(
            "the two directions are parallel, or one is zero: they span no plane; give a file with two different directions"
        )
    multiples = np.linalg.solve(angles, dots.T).T
    with np.errstate(invalid="ignore"):
        distance = np.sqrt(np.maximum(squares - (multiples * dots).sum(axis=1), 0) / squares)
    along = dots / lengths
    shares = along.var(axis=0) / (squares.mean() - of_the_mean)
    x, y = (along if method == "cos" else multiples).T
    return Projected(x, y, distance, shares)


def embed(gram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places (x, y) of the rows by t-SNE: near rows come near each other; there is no plane, and far distances mean little."""
    from sklearn.manifold import TSNE  # takes seconds to import

    values, vectors = np.linalg.eigh(gram / np.trace(gram))
    coordinates = vectors * np.sqrt(
        np.maximum(values, 0)
    )  # the same distances as between the rows, in as many columns as rows
    perplexity = min(PERPLEXITY, (len(gram) - 1) / 3)
    return tuple(
        TSNE(2, perplexity=perplexity, init="pca", random_state=SEED)
        .fit_transform(coordinates)
        .T.astype(np.float64)
    )
