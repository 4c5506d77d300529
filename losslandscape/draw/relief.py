"""Turns heights over a grid into the lit faces of a 3-D surface, which ends where it is cut."""

from dataclasses import dataclass

import numpy as np
from matplotlib.colors import LightSource

from losslandscape.draw.resampling import resample, whole_cells

MIN_CELLS = 120  # cells along an axis; a coarser grid is resampled, with its points kept
LIGHT = LightSource(azdeg=260, altdeg=45)  # from the left, in front of the surface
DARKEST = 0.65  # share of the colour that is left on a face turned away from the light


@dataclass(frozen=True)
class Relief:
    """The faces of a surface.

    Args:
        faces: corners (n, corners, 3); a face with fewer corners repeats its last one.
        heights: the mean height (n,) of each face, for its colour.
        brightness: the share (n,) of its colour that each face reflects, from `DARKEST` to 1.
    """

    faces: np.ndarray
    heights: np.ndarray
    brightness: np.ndarray


def make_relief(
    x: np.ndarray, y: np.ndarray, heights: np.ndarray, *, top: float, size: np.ndarray, viewer: np.ndarray
) -> Relief:
    """Return the faces of a surface between its grid points, up to the isocontour at `top`.

    Args:
        x, y: ascending coordinates (nx,) and (ny,).
        heights: the heights (ny, nx), NaN where missing. A face needs four known corners.
        top: the height at which the surface ends; infinity for a whole one.
        size: the lengths (3,) of one unit along x, y and height, as the surface is seen.
        viewer: the direction (3,) from the surface to the eye, in the lengths of `size`.
    """
    x, y, heights = refine(x, y, heights)
    points = np.stack([*np.meshgrid(x, y), heights], axis=-1)
    faces = np.stack([points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1]], axis=2)
    known = whole_cells(np.isfinite(heights))
    faces, normals = faces[known], _normals(faces[known] * size)
    faces, kept = _cut(faces, top)
    return Relief(faces, faces[..., 2].mean(axis=1), _brightness(normals[kept], viewer))


def refine(x: np.ndarray, y: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a grid with `MIN_CELLS` cells or more along each axis, and the values on it.

    New points lie on a cubic spline, between the lowest and the highest value. A finer grid stays as it is.
    """
    new_x, new_y = _refined(x), _refined(y)
    if new_x.size == x.size and new_y.size == y.size:
        return x, y, values
    fine = resample(x, y, values, new_x, new_y)
    return new_x, new_y, np.clip(fine, np.nanmin(values), np.nanmax(values))


def _refined(coordinates: np.ndarray) -> np.ndarray:
    cells = coordinates.size - 1
    parts = -(-MIN_CELLS // cells)
    return np.interp(np.arange(cells * parts + 1) / parts, np.arange(cells + 1), coordinates)


def _normals(faces: np.ndarray) -> np.ndarray:
    """Return the unit vectors (n, 3) that stand upright on faces of four corners."""
    normals = np.cross(faces[:, 2] - faces[:, 0], faces[:, 3] - faces[:, 1])
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)


def _brightness(normals: np.ndarray, viewer: np.ndarray) -> np.ndarray:
    """Return how bright faces look: their underside is lit as their upper side would be there."""
    seen = normals * np.where(normals @ viewer < 0, -1, 1)[:, None]
    half_lambert = (1 + seen @ LIGHT.direction) / 2
    return DARKEST + (1 - DARKEST) * half_lambert


def _cut(faces: np.ndarray, top: float) -> tuple[np.ndarray, np.ndarray]:
    """Cut faces along the isocontour at `top`; return what lies below it, and of which faces it is a part."""
    lowest, highest = faces[..., 2].min(axis=1), faces[..., 2].max(axis=1)
    whole, cut = np.flatnonzero(highest <= top), np.flatnonzero((lowest < top) & (highest > top))
    parts = [_below(face, top) for face in faces[cut]]
    corners = max(map(len, parts), default=4)
    padded = [np.pad(part, ((0, corners - len(part)), (0, 0)), mode="edge") for part in parts]
    wholes = np.pad(faces[whole], ((0, 0), (0, corners - 4), (0, 0)), mode="edge")
    return np.concatenate([wholes, *([padded] if padded else [])]), np.concatenate([whole, cut])


def _below(face: np.ndarray, top: float) -> np.ndarray:
    """Return the part of a face (corners, 3) below `top`, by linear interpolation along its edges."""
    corners = []
    for here, after in zip(face, np.roll(face, -1, axis=0), strict=True):
        if here[2] <= top:
            corners.append(here)
        if (here[2] <= top) != (after[2] <= top):
            crossing = here + (after - here) * (top - here[2]) / (after[2] - here[2])
            corners.append(crossing)
    return np.array(corners)
