"""The mesh of a surface."""

import numpy as np
import pytest

from losslandscape.draw.contour_levels import choose_scale
from losslandscape.draw.mesh import surface_mesh
from losslandscape.files.surface import Surface

X, Y = np.linspace(-1, 1, 9), np.linspace(-1, 1, 7)


def mesh(values: np.ndarray, **options):
    surface = Surface("", x=X, y=Y, quantities={"train_loss": values})
    return surface_mesh(surface, "train_loss", choose_scale([values], **options))


def test_a_mesh_is_the_surface():
    x, y = np.meshgrid(X, Y)
    vertices, colours, triangles = mesh(1 + x**2 + y**2)
    assert (vertices.shape, colours.shape, triangles.shape) == ((63, 3), (63, 3), (2 * 8 * 6, 3))
    np.testing.assert_allclose(vertices[:, 0], x.ravel(), atol=1e-6)
    np.testing.assert_allclose(vertices[:, 1], y.ravel(), atol=1e-6)
    # Heights from 1 to 3 are moved to -1 to 1.
    np.testing.assert_allclose(vertices[:, 2], (x**2 + y**2).ravel() - 1, atol=1e-6)
    for corners in triangles.tolist():
        for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
            assert abs(a // 9 - b // 9) <= 1 and abs(a % 9 - b % 9) <= 1  # neighbours in the grid


def test_heights_are_logarithmic_where_the_scale_is():
    vertices, _, _ = mesh(np.broadcast_to(np.geomspace(1e-2, 1e2, 9), (7, 9)), log=True)
    np.testing.assert_allclose(vertices[:, 2], vertices[:, 0], atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_holes_have_no_triangles(value):
    values = 1 + X[None] + Y[:, None] ** 2
    values[2, 4] = value
    vertices, _, triangles = mesh(values)
    assert len(triangles) == 2 * (8 * 6 - 4)
    assert 2 * 9 + 4 not in triangles
    assert np.isfinite(vertices).all()
