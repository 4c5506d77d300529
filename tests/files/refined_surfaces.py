"""Surfaces that are measured as a run with `refine` measures them, but from known values."""

from collections.abc import Sequence

import numpy as np

from losslandscape.files.interpolated import Refinement
from losslandscape.files.refinement import plan
from losslandscape.files.surface import Surface


def bowl(*shape: int) -> np.ndarray:
    """Return a loss that is logarithmic, smooth, and has a valley that bends."""
    places = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij")
    y = places[-2] if len(shape) > 1 else 0.0
    return 0.01 + 20 * (places[-1] - 0.3 * y**2) ** 2 + 3 * y**2


def unmeasured(loss: np.ndarray, tolerance: float = 0.02, path: str = "s.h5") -> Surface:
    """Return a surface without values, whose run recorded a refinement."""
    axes = [np.linspace(-1, 1, size) for size in loss.shape]
    record = Refinement(tolerance, ["train_loss"]).record()
    y = axes[0] if loss.ndim > 1 else None
    surface = Surface(path, x=axes[-1], y=y, runs=[{"refine": record}])
    surface.add("train_loss")
    return surface


def measure(surface: Surface, loss: np.ndarray, points: Sequence[int]) -> None:
    for point in points:
        surface.set(int(point), {"train_loss": float(loss.flat[point])})


def refined(loss: np.ndarray, tolerance: float = 0.02, path: str = "s.h5") -> Surface:
    """Return a surface with the points that a refinement chooses."""
    surface = unmeasured(loss, tolerance, path)
    while (points := plan(surface, ["train_loss"], tolerance).missing).size:
        measure(surface, loss, points)
    return surface
