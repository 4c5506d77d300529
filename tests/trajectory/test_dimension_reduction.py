"""Components and projections agree with SVD, PCA and least squares on the whole matrix, however it is cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from losslandscape.core.errors import InputError
from losslandscape.trajectory import dimension_reduction as reduction


def walk(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    """A random walk that ends at the origin, as checkpoints minus the last one."""
    path = np.random.default_rng(seed).standard_normal((rows, columns)).cumsum(axis=0)
    return path - path[-1]


def pieces(matrix: np.ndarray, width: int = 7):
    return [matrix[:, start : start + width] for start in range(0, matrix.shape[1], width)]


def decompose(matrix: np.ndarray, width: int = 7) -> tuple[reduction.Principal, np.ndarray]:
    principal = reduction.principal(reduction.centred_gram(pieces(matrix, width)))
    return principal, reduction.components(pieces(matrix, width), principal.combination)


@settings(max_examples=30)
@given(
    rows=st.integers(3, 30), columns=st.integers(3, 60), width=st.integers(1, 80), seed=st.integers(0, 10**6)
)
def test_components_equal_the_direct_svd(rows, columns, width, seed):
    matrix = walk(rows, columns, seed)
    principal, components = decompose(matrix, width)
    _, singular, expected = np.linalg.svd(matrix - matrix.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(principal.singular_values, singular[:2], rtol=1e-9)
    shares = singular[:2] ** 2 / (singular**2).sum()
    np.testing.assert_allclose(principal.explained_variance_ratio, shares, rtol=1e-9)
    # Where two singular values are near each other, their directions are not determined.
    gaps = np.abs(np.diff(singular[:3], append=0))[:2] / singular[0]
    for component, direction, gap in zip(components, expected, [gaps[0], min(gaps)], strict=False):
        if gap > 1e-3:
            np.testing.assert_allclose(component * np.sign(component @ direction), direction, atol=1e-5)


def test_the_words_of_scikit_learn():
    matrix = walk(12, 400)
    principal, components = decompose(matrix)
    expected = PCA(2, svd_solver="full").fit(matrix)
    for name in ("explained_variance", "explained_variance_ratio", "singular_values"):
        np.testing.assert_allclose(getattr(principal, name), getattr(expected, f"{name}_"), rtol=1e-10)
    np.testing.assert_allclose(np.abs(components), np.abs(expected.components_), atol=1e-6)
    assert (components[np.arange(2), np.abs(components).argmax(axis=1)] > 0).all()


def test_a_small_second_component_is_not_lost_in_rounding():
    """On a nearly straight path, the smaller entry of the Gram matrix, of squares, is 1e-10 of the larger."""
    time = np.linspace(0, 1, 20)[:, None]
    axes = np.linalg.qr(np.random.default_rng(1).standard_normal((500, 2)))[0].T
    matrix = 1e3 * time * axes[0] + 0.1 * time**2 * axes[1]
    principal, components = decompose(matrix - matrix[-1], 50)
    _, singular, expected = np.linalg.svd(matrix - matrix.mean(axis=0), full_matrices=False)
    assert singular[1] < 1e-4 * singular[0]
    np.testing.assert_allclose(principal.singular_values, singular[:2], rtol=1e-5)
    np.testing.assert_allclose(np.abs(components @ expected[:2].T), np.eye(2), atol=1e-6)


@pytest.mark.parametrize("width", [1, 3, 64, 1000])
def test_projection_does_not_depend_on_the_pieces(width):
    matrix, directions = walk(9, 200), np.random.default_rng(2).standard_normal((2, 200))
    for method in reduction.METHODS:
        whole = reduction.project([matrix], directions, method=method)
        cut = reduction.project(pieces(matrix, width), directions, method=method)
        for name in ("x", "y", "distance", "shares"):
            np.testing.assert_allclose(getattr(cut, name), getattr(whole, name), rtol=1e-9, atol=1e-12)


@settings(max_examples=30)
@given(rows=st.integers(2, 12), columns=st.integers(3, 50), seed=st.integers(0, 10**6), lean=st.floats(0, 3))
def test_projections_and_distances(rows, columns, seed, lean):
    """They follow their definitions, for directions at any angle and of any length."""
    matrix = walk(rows, columns, seed)
    directions = np.random.default_rng(seed + 1).standard_normal((2, columns))
    directions[1] += lean * directions[0]
    cos = reduction.project(pieces(matrix), directions, method="cos")
    lstsq = reduction.project(pieces(matrix), directions, method="lstsq")
    along = matrix @ (directions / np.linalg.norm(directions, axis=1, keepdims=True)).T
    np.testing.assert_allclose(np.stack([cos.x, cos.y], axis=1), along, rtol=1e-7, atol=1e-9)
    multiples, *_ = np.linalg.lstsq(directions.T, matrix.T, rcond=None)
    np.testing.assert_allclose(np.stack([lstsq.x, lstsq.y]), multiples, rtol=1e-5, atol=1e-7)
    off_the_plane = np.linalg.norm(matrix - multiples.T @ directions, axis=1)[:-1]
    distance = off_the_plane / np.linalg.norm(matrix, axis=1)[:-1]
    shares = along.var(axis=0) / matrix.var(axis=0).sum()
    for projected in (cos, lstsq):
        np.testing.assert_allclose(projected.distance[:-1], distance, atol=1e-6)
        assert np.isnan(projected.distance[-1])
        np.testing.assert_allclose(projected.shares, shares, rtol=1e-7, atol=1e-12)


def test_orthogonal_directions_of_length_1_need_no_least_squares():
    matrix = walk(8, 100)
    _, components = decompose(matrix)
    cos = reduction.project(pieces(matrix), components, method="cos")
    lstsq = reduction.project(pieces(matrix), components, method="lstsq")
    np.testing.assert_allclose(cos.x, lstsq.x, atol=1e-5)
    np.testing.assert_allclose(cos.y, lstsq.y, atol=1e-5)


def test_random_directions_capture_no_motion():
    """Of a walk in d dimensions they capture about 1/d each; the principal components capture most."""
    matrix = walk(30, 20_000)
    _, components = decompose(matrix, 5000)
    on_components = reduction.project([matrix], components)
    at_random = reduction.project([matrix], np.random.default_rng(3).standard_normal((2, 20_000)))
    assert on_components.shares.sum() > 0.6
    assert at_random.shares.sum() < 0.01
    assert at_random.distance[:-1].min() > 0.99 > on_components.distance[0]


@pytest.mark.parametrize("count", [3, 4, 40])
def test_tsne_keeps_near_rows_near(count):
    gram = reduction.centred_gram(pieces(walk(count, 50)))
    x, y = reduction.embed(gram)
    assert x.shape == y.shape == (count,)
    assert np.isfinite([x, y]).all()
    if count == 40:  # the ends of the walk are far apart, neighbours are not
        steps = np.hypot(np.diff(x), np.diff(y))
        assert np.median(steps) < 0.3 * np.hypot(x[0] - x[-1], y[0] - y[-1])
    assert np.array_equal(reduction.embed(gram), [x, y])


def test_rows_or_directions_without_a_plane_are_refused():
    line = np.linspace(1, 0, 5)[:, None] * np.arange(10.0)
    with pytest.raises(InputError, match="on a line"):
        reduction.principal(reduction.centred_gram([line]))
    with pytest.raises(InputError, match="the same weights"):
        reduction.centred_gram([np.zeros((5, 10))])
    with pytest.raises(InputError, match="too large"):
        reduction.centred_gram([walk(5, 10) * 1e200])
    for y in (2 * np.arange(10.0), np.zeros(10)):
        with pytest.raises(InputError, match="span no plane"):
            reduction.project([walk(5, 10)], np.stack([np.arange(10.0), y]))
    with pytest.raises(ValueError, match="'tan'"):
        reduction.project([walk(5, 10)], np.eye(2, 10), method="tan")
