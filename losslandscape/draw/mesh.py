"""Turns a plane into a triangle mesh in a cube, for viewers of 3-D meshes."""

import numpy as np
from matplotlib import colormaps

from losslandscape.draw.contour_levels import COLOURS, Scale
from losslandscape.draw.drawable import known_part
from losslandscape.files.surface import Surface


def surface_mesh(surface: Surface, name: str, scale: Scale) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a quantity of a plane as a mesh, coloured like the figures of this scale.

    The lowest value of the scale lies on the floor of the cube, and the highest on the ceiling. Heights are
    logarithmic if the scale is. Cells with a corner that has no value are left out.

    Returns:
        Vertices (n, 3) float32 from -1 to 1, their colours (n, 3) uint8, and the vertex indices of the
        triangles, (m, 3) int32.
    """
    x, y, values = known_part(surface, name, log=scale.log)
    heights = _unit_heights(values, scale)
    across, along = np.meshgrid(_to_unit(x), _to_unit(y))
    vertices = 2 * np.stack([across, along, np.nan_to_num(heights)], axis=-1).reshape(-1, 3) - 1
    colours = 255 * colormaps[COLOURS](np.nan_to_num(heights).ravel())[:, :3]
    triangles = _triangles(np.isfinite(heights))
    return vertices.astype(np.float32), colours.astype(np.uint8), triangles.astype(np.int32)


def _unit_heights(values: np.ndarray, scale: Scale) -> np.ndarray:
    """Return heights from 0 to 1, NaN where there is no value."""
    low, high = scale.heights
    if scale.log:
        values, low, high = np.log(values), np.log(low), np.log(high)
    if high > low:
        return np.clip((values - low) / (high - low), 0, 1)
    return np.where(np.isfinite(values), 0.0, np.nan)


def _to_unit(values: np.ndarray) -> np.ndarray:
    extent = np.ptp(values)
    return (values - values.min()) / extent if extent > 0 else np.zeros_like(values)


def _triangles(known: np.ndarray) -> np.ndarray:
    """Return two triangles, as vertex indices, for each cell whose four corners are known."""
    indices = np.arange(known.size).reshape(known.shape)
    corners = indices[:-1, :-1], indices[:-1, 1:], indices[1:, :-1], indices[1:, 1:]
    a, b, c, d = (corner.ravel() for corner in corners)
    known = known.ravel()
    whole = known[a] & known[b] & known[c] & known[d]
    lower = np.stack([a, b, c], axis=1)[whole]
    upper = np.stack([b, d, c], axis=1)[whole]
    return np.concatenate([lower, upper])
