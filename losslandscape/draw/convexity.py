"""How the smallest Hessian eigenvalue of a surface compares with the largest."""

from dataclasses import dataclass

import numpy as np

from losslandscape.draw.drawable import LARGEST
from losslandscape.draw.grid_values import axes_of, nearest_to_centre
from losslandscape.files.surface import Surface

EIGENVALUES = ("min_eig", "max_eig")
# How large a negative eigenvalue must be, relative to the largest one, to count. In figure 7 of Li et al.
# 2018, smaller ones cannot be seen.
CURVED_DOWN = 0.1


@dataclass(frozen=True)
class Convexity:
    """How convex a surface is.

    Args:
        centre: |min/max| at the grid point nearest to the centre; None if it is unknown.
        median: of |min/max|.
        curved_down: share of the points at which min is negative, and larger than a tenth of max.
    """

    centre: float | None
    median: float
    curved_down: float


def eigenvalue_ratio(surface: Surface) -> np.ndarray:
    """Return min_eig / |max_eig|, of the surface's shape; NaN where it is unknown or not finite."""
    with np.errstate(all="ignore"):
        ratio = surface.get("min_eig") / np.abs(surface.get("max_eig"))
    return np.where(np.abs(ratio) < LARGEST, ratio, np.nan)


def convexity(surface: Surface) -> Convexity | None:
    """Return how convex a surface is; None if the ratio is known at no point."""
    ratio = eigenvalue_ratio(surface)
    known = ratio[np.isfinite(ratio)]
    if not known.size:
        return None
    nearest = nearest_to_centre(axes_of(surface))
    centre = None if nearest is None or np.isnan(ratio[nearest]) else float(np.abs(ratio[nearest]))
    return Convexity(centre, float(np.median(np.abs(known))), float(np.mean(known < -CURVED_DOWN)))
