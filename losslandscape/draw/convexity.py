"""Compares the smallest Hessian eigenvalue of a surface with the largest."""

from dataclasses import dataclass

import numpy as np

from losslandscape.draw.drawable import LARGEST
from losslandscape.draw.grid_values import axes_of, nearest_to_centre
from losslandscape.files.surface import Surface

EIGENVALUES = ("min_eig", "max_eig")
# The ratio |min/max| above which a negative eigenvalue counts. In figure 7 of Li et al. 2018, smaller ratios
# cannot be seen.
CURVED_DOWN = 0.1


@dataclass(frozen=True)
class Convexity:
    """Measures of how convex a surface is.

    Args:
        centre: |min/max| at the grid point nearest to the centre; None if that ratio is unknown, or
            the centre lies outside the grid.
        median: the median of |min/max| over the points with a known ratio.
        curved_down: the share of these points at which min is negative and |min| exceeds a tenth of |max|.
    """

    centre: float | None
    median: float
    curved_down: float


def eigenvalue_ratio(surface: Surface) -> np.ndarray:
    """Return min_eig / |max_eig| in the surface's shape; NaN where it is unknown, infinite or too large."""
    with np.errstate(all="ignore"):
        ratio = surface.get("min_eig") / np.abs(surface.get("max_eig"))
    return np.where(np.abs(ratio) < LARGEST, ratio, np.nan)


def convexity(surface: Surface) -> Convexity | None:
    """Return how convex a surface is; None if no point has a known ratio."""
    ratio = eigenvalue_ratio(surface)
    known = ratio[np.isfinite(ratio)]
    if not known.size:
        return None
    nearest = nearest_to_centre(axes_of(surface))
    centre = None if nearest is None or np.isnan(ratio[nearest]) else float(np.abs(ratio[nearest]))
    return Convexity(centre, float(np.median(np.abs(known))), float(np.mean(known < -CURVED_DOWN)))
