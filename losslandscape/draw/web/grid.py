"""The points of a plane that an interactive page shows, and interpolation between them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from losslandscape.core import quantity
from losslandscape.draw.grid_part import complete_part
from losslandscape.files.surface import Place, Surface

ROUNDING = 1e-9  # tolerance for rounding errors in the weights of an interpolation


@dataclass(frozen=True)
class Grid:
    """The part of a plane that is shown.

    Args:
        x: ascending coordinates (nx,).
        y: ascending coordinates (ny,).
        values: arrays (ny, nx) by quantity, NaN where not measured.
        nets: the nets in the plane, if it goes through several.
    """

    x: np.ndarray
    y: np.ndarray
    values: dict[str, np.ndarray]
    nets: Sequence[Place] = ()

    @property
    def shape(self) -> tuple[int, int]:
        return self.y.size, self.x.size

    def holds(self, x: ArrayLike, y: ArrayLike) -> np.ndarray:
        """Return which points of the plane lie within the grid."""
        x, y = np.asarray(x), np.asarray(y)
        return (x >= self.x[0]) & (x <= self.x[-1]) & (y >= self.y[0]) & (y <= self.y[-1])

    def interpolate(self, values: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return values at points of the plane, interpolated linearly in the grid cell around each point.

        Args:
            values: values (ny, nx) on the grid.
            x, y: coordinates (n,) of the points.

        Returns:
            An array (n,), NaN outside the grid and where a corner of the cell has no finite value.
        """
        known = np.isfinite(values)
        known_share = self._linear(known.astype(float), x, y)
        filled = self._linear(np.where(known, values, 0), x, y)
        return np.where(known_share > 1 - ROUNDING, filled, np.nan)

    def _linear(self, values: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        from scipy.interpolate import RegularGridInterpolator  # takes a while to import

        function = RegularGridInterpolator((self.y, self.x), values, bounds_error=False)
        return function(np.stack([y, x], axis=-1))


def shown_grid(surface: Surface, name: str) -> Grid:
    """Return the part of a plane to show for a quantity.

    Rows and columns without any measured point are left out. While a run refines its grid, this is the finest
    grid that the run has completed.
    """
    assert surface.y is not None
    rows, columns = complete_part(surface, name)
    values = {other: surface.get(other)[np.ix_(rows, columns)] for other in quantity.shown(surface.names)}
    return Grid(surface.x[columns], surface.y[rows], values, surface.nets)
