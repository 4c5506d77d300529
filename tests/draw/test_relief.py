"""The faces of a 3-D surface: smooth, cut at their isocontour, and lit."""

import numpy as np
import pytest

from losslandscape.draw.relief import DARKEST, MIN_CELLS, make_relief, refine

X, Y = np.linspace(-1, 1, 21), np.linspace(-1, 1, 11)
VIEWER = np.array([0.5, -0.9, 0.6])
BOWL = X**2 + Y[:, None] ** 2


def relief_of(values: np.ndarray, x=X, y=Y, top=np.inf):
    return make_relief(x, y, values, top=top, size=np.array([0.5, 0.5, 0.3]), viewer=VIEWER)


def test_a_surface_ends_at_its_isocontour():
    faces = relief_of(BOWL, top=0.5).faces
    assert faces[..., 2].max() == pytest.approx(0.5)
    rim = faces[np.isclose(faces[..., 2], 0.5)]
    assert len(rim) > 100
    np.testing.assert_allclose(np.hypot(rim[:, 0], rim[:, 1]), np.sqrt(0.5), atol=1e-3)  # round, not in steps


def test_a_surface_without_a_cut_covers_its_plane():
    faces = relief_of(BOWL).faces
    assert len(faces) == MIN_CELLS**2
    sides = np.ptp(faces[..., :2], axis=1)
    assert np.prod(sides, axis=1).sum() == pytest.approx(4)


def test_holes_stay_open():
    values = BOWL.copy()
    values[5, 10] = np.nan
    faces = relief_of(values).faces
    middles = faces[..., :2].mean(axis=1)
    assert not ((np.abs(middles[:, 0]) < 0.1) & (np.abs(middles[:, 1]) < 0.2)).any()
    assert len(faces) == MIN_CELLS**2 * (1 - 4 / (20 * 10))


def test_small_ripples_stay():
    """A finer grid than the figure's is drawn point by point, a coarser one through its points."""
    x = np.linspace(0, 1, 200)
    ripples = np.broadcast_to(1e-2 * (np.arange(200) % 2), (3, 200))
    assert len(relief_of(ripples, x, np.arange(3.0)).faces) == 199 * MIN_CELLS
    new_x, new_y, fine = refine(X, Y, BOWL)
    assert np.isin(np.round(X, 9), np.round(new_x, 9)).all()
    np.testing.assert_allclose(fine[:: MIN_CELLS // 10, :: MIN_CELLS // 20], BOWL, atol=1e-12)
    cliff = np.where(X > 0, 1e6, 0) * np.ones((11, 1))
    assert (refine(X, Y, cliff)[2].min(), refine(X, Y, cliff)[2].max()) == (0, 1e6)


def test_light():
    bright = relief_of(BOWL).brightness
    assert DARKEST <= bright.min() < bright.max() <= 1
    assert np.ptp(bright) > 0.1
    assert np.ptp(relief_of(0 * BOWL).brightness) < 1e-12


def test_uneven_steps():
    x = np.array([0.0, 0.1, 1.0])
    new_x, _, fine = refine(x, Y, np.broadcast_to(x, (11, 3)))
    np.testing.assert_allclose(fine[0], new_x, atol=1e-9)
