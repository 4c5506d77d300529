"""The mathematics that draws a path in two dimensions: principal components, projection and t-SNE.

The checkpoints are the rows of a matrix (rows, columns) that may be far larger than memory. So the functions
take it in pieces, from left to right: float64 arrays of all rows and some columns. They decompose the Gram
matrix (rows, rows), which is a sum over the pieces.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from losslandscape.core.errors import InputError

METHODS = ("cos", "lstsq")
RANK_TOLERANCE = 1e-12  # eigenvalues below this share of a Gram matrix's largest are rounding errors
# Settings of t-SNE. The perplexity is scikit-learn's default; few checkpoints need a smaller value.
PERPLEXITY = 30
SEED = 0

Pieces = Iterable[np.ndarray]


def centred_gram(pieces: Pieces) -> np.ndarray:
    """Return the inner products (rows, rows) of the rows minus their mean.

    Raises:
        InputError: if the entries are too large, or all rows are equal.
    """
    gram = np.zeros(())
    for piece in pieces:
        centred = piece - piece.mean(axis=0)
        with np.errstate(over="ignore", invalid="ignore"):
            gram = gram + centred @ centred.T
    if not np.isfinite(gram).all():
        fault = "the weights of the checkpoints are too large to be compared"
        raise InputError(fault, "leave out the checkpoints after training diverged")
    if not np.trace(gram) > 0:
        fault = "all checkpoints hold the same weights, so there is no trajectory"
        raise InputError(fault, "give checkpoints of different epochs")
    return gram


@dataclass(frozen=True)
class Principal:
    """The first k principal components, under the names of scikit-learn's PCA.

    Attributes:
        explained_variance, explained_variance_ratio, singular_values: (k,).
        combination: (rows, k); component i is the sum of the centred rows, weighted by column i.
    """

    explained_variance: np.ndarray
    explained_variance_ratio: np.ndarray
    singular_values: np.ndarray
    combination: np.ndarray


def principal(gram: np.ndarray, count: int = 2) -> Principal:
    """Decompose a centred Gram matrix, whose eigenvalues are the squared singular values of the centred rows.

    Raises:
        InputError: if the rows vary in fewer than `count` directions.
    """
    values, vectors = np.linalg.eigh(gram)
    values, vectors = values[::-1][:count], vectors[:, ::-1][:, :count]
    if len(values) < count or values[-1] <= RANK_TOLERANCE * values[0]:
        raise InputError(
            "the checkpoints lie on a line, so there is no second principal component",
            "give checkpoints of more epochs, or leave out one that is far off because training diverged",
        )
    singular_values = np.sqrt(values)
    variance = values / (len(gram) - 1)
    return Principal(variance, values / np.trace(gram), singular_values, vectors / singular_values)


def components(pieces: Pieces, combination: np.ndarray) -> np.ndarray:
    """Return the unit principal components (k, columns), float32, with positive largest entries."""
    parts = [(combination.T @ (piece - piece.mean(axis=0))).astype(np.float32) for piece in pieces]
    axes = np.concatenate(parts, axis=1)
    largest = np.abs(axes).argmax(axis=1)
    axes *= np.sign(axes[np.arange(len(axes)), largest])[:, None]
    return axes


@dataclass(frozen=True)
class Projected:
    """The rows, projected on a plane through the origin.

    Attributes:
        x, y: coordinates (rows,).
        distance: (rows,) distance of a row from the plane, divided by the row's length: 0 in the plane, 1 at
            right angles to it, NaN for a row of zeros.
        shares: (2,) shares of the rows' variance along each direction.
    """

    x: np.ndarray
    y: np.ndarray
    distance: np.ndarray
    shares: np.ndarray


def project(pieces: Pieces, directions: np.ndarray, *, method: str = "cos") -> Projected:
    """Project rows on two directions (2, columns).

    Args:
        pieces: pieces of the rows, from left to right.
        directions: two vectors over the columns.
        method: `cos` gives the length <row, d> / ||d|| along each direction d, as in the published program.
            This fits directions at right angles. `lstsq` gives the multiples of both directions whose sum is
            nearest to the row: coordinates of a surface along directions of any length and angle.

    Raises:
        InputError: if the directions span no plane.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; choose from {', '.join(METHODS)}")
    dots, squares, gram = np.zeros((1, 2)), np.zeros(1), np.zeros((2, 2))
    mean_square, start = 0.0, 0
    for piece in pieces:
        part = directions[:, start : start + piece.shape[1]].astype(np.float64)
        start += piece.shape[1]
        dots = dots + piece @ part.T
        squares = squares + (piece**2).sum(axis=1)
        mean_square += (piece.mean(axis=0) ** 2).sum()
        gram += part @ part.T
    lengths = np.sqrt(np.diag(gram))
    if not np.linalg.det(gram) > RANK_TOLERANCE * np.prod(lengths) ** 2:
        fault = "the two directions are parallel, or one is zero, so they span no plane"
        raise InputError(fault, "give a file with two different directions")
    multiples = np.linalg.solve(gram, dots.T).T
    with np.errstate(invalid="ignore"):
        distance = np.sqrt(np.maximum(squares - (multiples * dots).sum(axis=1), 0) / squares)
    along = dots / lengths
    shares = along.var(axis=0) / (squares.mean() - mean_square)
    x, y = (along if method == "cos" else multiples).T
    return Projected(x, y, distance, shares)


def embed(gram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the coordinates x, y (rows,) by t-SNE. Near rows stay near; large distances mean little."""
    from sklearn.manifold import TSNE  # takes seconds to import

    values, vectors = np.linalg.eigh(gram / np.trace(gram))
    # The coordinates have the distances of the rows, in only as many columns as rows.
    coordinates = vectors * np.sqrt(np.maximum(values, 0))
    perplexity = min(PERPLEXITY, (len(gram) - 1) / 3)
    model = TSNE(2, perplexity=perplexity, init="pca", random_state=SEED)
    x, y = model.fit_transform(coordinates).T.astype(np.float64)
    return x, y
