"""Principal components and projections agree with NumPy's SVD, scikit-learn's PCA and least squares on the whole matrix, however it is cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from losslandscape.core.errors import InputError
from losslandscape.trajectory import projection


def walk(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    """A random walk that ends at the origin, as checkpoints less the last one."""
    path = np.random.default_rng(seed).standard_normal((rows, columns)).cumsum(axis=0)
    return path - path[-1]


def pieces(matrix: np.ndarray, width: int = 7):
    return [matrix[:, start : start + width] for start in range(0, matrix.shape[1], width)]


def decompose(matrix: np.ndarray, width: int = 7) -> tuple[projection.Principal, np.ndarray]:
    found = projection.principal(projection.centred_gram(pieces(matrix, width)))
    return found, projection.components(pieces(matrix, width), found.combination)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(3, 30), columns=st.integers(3, 60), width=st.integers(1, 80), seed=st.integers(0, 10**6)
)
def test_components_are_those_of_the_direct_svd(rows, columns, width, seed):
    matrix = walk(rows, columns, seed)
    found, components = decompose(matrix, width)
    _, singular, expected = np.linalg.svd(matrix - matrix.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(found.singular_values, singular[:2], rtol=1e-9)
    np.testing.assert_allclose(
        found.explained_variance_ratio, singular[:2] ** 2 / (singular**2).sum(), rtol=1e-9
    )
    gaps = (
        np.abs(np.diff(singular[:3], append=0))[:2] / singular[0]
    )  # where two singular values are near, their directions are not determined
    for component, direction, gap in zip(components, expected, [gaps[0], min(gaps)], strict=False):
        if gap > 1e-3:
            np.testing.assert_allclose(component * np.sign(component @ direction), direction, atol=1e-5)


def test_what_scikit_learn_calls_them():
    matrix = walk(12, 400)
    found, components = decompose(matrix)
    expected = PCA(2, svd_solver="full").fit(matrix)
    for name in ("explained_variance", "explained_variance_ratio", "singular_values"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, f"{name}_"), rtol=1e-10)
    np.testing.assert_allclose(np.abs(components), np.abs(expected.components_), atol=1e-6)
    assert (components[np.arange(2), np.abs(components).argmax(axis=1)] > 0).all()


def test_a_small_second_component_is_not_lost_in_rounding():
    """Checkpoints on a curve that is nearly straight: the Gram matrix holds squares, and the smaller is 1e-10 of the larger here."""
    time = np.linspace(0, 1, 20)[:, None]
    axes = np.linalg.qr(np.random.default_rng(1).standard_normal((500, 2)))[0].T
    matrix = 1e3 * time * axes[0] + 0.1 * time**2 * axes[1]
    found, components = decompose(matrix - matrix[-1], 50)
    _, singular, expected = np.linalg.svd(matrix - matrix.mean(axis=0), full_matrices=False)
    assert singular[1] < 1e-4 * singular[0]
    np.testing.assert_allclose(found.singular_values, singular[:2], rtol=1e-5)
    np.testing.assert_allclose(np.abs(components @ expected[:2].T), np.eye(2), atol=1e-6)


@pytest.mark.parametrize("width", [1, 3, 64, 1000])
def test_projection_does_not_depend_on_the_pieces(width):
    matrix, directions = walk(9, 200), np.random.default_rng(2).standard_normal((2, 200))
    for method in projection.METHODS:
        whole, found = (
            projection.project(parts, directions, method=method)
            for parts in ([matrix], pieces(matrix, width))
        )
        for name in ("x", "y", "distance", "shares"):
            np.testing.assert_allclose(getattr(found, name), getattr(whole, name), rtol=1e-9, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(2, 12), columns=st.integers(3, 50), seed=st.integers(0, 10**6), lean=st.floats(0, 3))
def test_projections_and_distances(rows, columns, seed, lean):
    """Against the definitions, of directions at any angle and of any length."""
    matrix = walk(rows, columns, seed)
    directions = np.random.default_rng(seed + 1).standard_normal((2, columns))
    directions[1] += lean * directions[0]
    cos, lstsq = (
        projection.project(pieces(matrix), directions, method=method) for method in projection.METHODS
    )
    along = matrix @ (directions / np.linalg.norm(directions, axis=1, keepdims=True)).T
    np.testing.assert_allclose(np.stack([cos.x, cos.y], axis=1), along, rtol=1e-7, atol=1e-9)
    multiples, *_ = np.linalg.lstsq(directions.T, matrix.T, rcond=None)
    np.testing.assert_allclose(np.stack([lstsq.x, lstsq.y]), multiples, rtol=1e-5, atol=1e-7)
    off = np.linalg.norm(matrix - multiples.T @ directions, axis=1)[:-1] / np.linalg.norm(matrix, axis=1)[:-1]
    for found in (cos, lstsq):
        np.testing.assert_allclose(found.distance[:-1], off, atol=1e-6)
        assert np.isnan(found.distance[-1])
        np.testing.assert_allclose(
            found.shares, along.var(axis=0) / matrix.var(axis=0).sum(), rtol=1e-7, atol=1e-12
        )


def test_orthogonal_directions_of_length_1_need_no_least_squares():
    matrix = walk(8, 100)
    _, components = decompose(matrix)
    cos, lstsq = (
        projection.project(pieces(matrix), components, method=method) for method in projection.METHODS
    )
    np.testing.assert_allclose(cos.x, lstsq.x, atol=1e-5)
    np.testing.assert_allclose(cos.y, lstsq.y, atol=1e-5)


def test_random_directions_capture_no_motion():
    """Of a walk in d dimensions they see about 1/d each, where the principal components see most."""
    matrix = walk(30, 20_000)
    _, components = decompose(matrix, 5000)
    seen = projection.project([matrix], components)
    by_chance = projection.project([matrix], np.random.default_rng(3).standard_normal((2, 20_000)))
    assert seen.shares.sum() > 0.6
    assert by_chance.shares.sum() < 0.01
    assert by_chance.distance[:-1].min() > 0.99 > seen.distance[0]


@pytest.mark.parametrize("count", [3, 4, 40])
def test_tsne_keeps_near_rows_near(count):
    matrix = walk(count, 50)
    gram = projection.centred_gram(pieces(matrix))
    x, y = projection.embed(gram)
    assert x.shape == y.shape == (count,)
    assert np.isfinite([x, y]).all()
    if count == 40:  # the ends of the walk are far apart, neighbours are not
        steps = np.hypot(np.diff(x), np.diff(y))
        assert np.median(steps) < 0.3 * np.hypot(x[0] - x[-1], y[0] - y[-1])
    assert np.array_equal(projection.embed(gram), [x, y])


def test_what_has_no_plane_is_refused():
    line = np.linspace(1, 0, 5)[:, None] * np.arange(10.0)
    with pytest.raises(InputError, match="lie on a line"):
        projection.principal(projection.centred_gram([line]))
    with pytest.raises(InputError, match="the same weights"):
        projection.centred_gram([np.zeros((5, 10))])
    with pytest.raises(InputError, match="too large"):
        projection.centred_gram([walk(5, 10) * 1e200])
    for y in (2 * np.arange(10.0), np.zeros(10)):
        with pytest.raises(InputError, match="span no plane"):
            projection.project([walk(5, 10)], np.stack([np.arange(10.0), y]))
    with pytest.raises(ValueError, match="unknown method 'tan'"):
        projection.project([walk(5, 10)], np.eye(2, 10), method="tan")
