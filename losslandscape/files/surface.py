"""A loss surface in memory: values on a grid, and a mark for each value that has been measured.

`h5_util` reads surfaces from files and writes them.
"""

import math
from typing import Any

import numpy as np

from losslandscape.core.errors import InputError

# The published program's mark of a point that is not computed yet; it is -1 for every other quantity.
NOT_MEASURED = {"min_eig": 1.0}
UNNAMED = "surface"  # what messages and figures call a surface without a file


class Surface:
    """Named quantities on a line or in a plane.

    A value is measured if the boolean array `measured` is true at its point, or if it differs from the mark
    of the published program. So NaN, infinity, 0 and negative values are results.

    Args:
        path: the file; empty for a surface that is only in memory.
        x: coordinates (nx,).
        y: coordinates (ny,) of a plane; None for a line.
        dir_file: the file of its directions.
        quantities: arrays of shape (nx,) or (ny, nx), where row i is at y[i].
        measured: boolean array of that shape.
        made_with: facts that must stay the same when a run resumes the file (`provenance.require_same`);
            empty for a file of the published program.
        runs: a record of each run that wrote the file, in order; empty likewise.
    """

    def __init__(
        self,
        path: str,
        *,
        x: np.ndarray,
        y: np.ndarray | None,
        dir_file: str = "",
        quantities: dict[str, np.ndarray] | None = None,
        measured: np.ndarray | None = None,
        made_with: dict[str, str] | None = None,
        runs: list[dict[str, Any]] | None = None,
    ):
        self.path = path
        self.dir_file = dir_file
        self.made_with = dict(made_with or {})
        self.runs = list(runs or [])
        self.x = np.asarray(x, float)
        self.y = None if y is None else np.asarray(y, float)
        self.shape = (len(self.x),) if self.y is None else (len(self.y), len(self.x))
        self._values: dict[str, np.ndarray] = {}
        self._measured: dict[str, np.ndarray] = {}
        for name, values in (quantities or {}).items():
            self._values[name] = np.array(values, float).reshape(self.shape)
            self._measured[name] = self._values[name] != _mark(name)
            if measured is not None:
                self._measured[name] |= measured

    @property
    def called(self) -> str:
        """The path, or `UNNAMED`: its name in messages and in the names of figures."""
        return self.path or UNNAMED

    @property
    def size(self) -> int:
        """Number of points, measured or not."""
        return math.prod(self.shape)

    @property
    def names(self) -> list[str]:
        return list(self._values)

    def add(self, name: str) -> None:
        """Make room for a quantity, unless the surface has it."""
        if name not in self._values:
            self._values[name] = np.full(self.shape, _mark(name))
            self._measured[name] = np.zeros(self.shape, bool)

    def measured(self, name: str) -> np.ndarray:
        """Return a boolean array of the grid's shape: True where the quantity has been measured."""
        self._require(name)
        return self._measured[name].copy()

    def get(self, name: str) -> np.ndarray:
        """Return the values of a quantity, NaN where not measured.

        Raises:
            InputError: the surface does not have this quantity.
        """
        self._require(name)
        return np.where(self._measured[name], self._values[name], np.nan)

    def stored(self, name: str) -> np.ndarray:
        """Return the values of a quantity as the file holds them: with the mark where not measured."""
        self._require(name)
        return self._values[name].copy()

    def missing(self, names: list[str]) -> np.ndarray:
        """Return the flat C-order indices of the points at which any of the quantities is not measured."""
        complete = np.logical_and.reduce([self._measured[name] for name in names])
        return np.flatnonzero(~complete)

    def set(self, index: int, values: dict[str, float]) -> None:
        """Set the values measured at the point with this flat C-order index."""
        for name, value in values.items():
            self._values[name].flat[index] = value
            self._measured[name].flat[index] = True

    def point(self, index: int) -> tuple[float, ...]:
        """Return the coordinates (alpha,) or (alpha, beta) of the point with this flat C-order index."""
        row, column = divmod(index, len(self.x))
        alpha = float(self.x[column])
        return (alpha,) if self.y is None else (alpha, float(self.y[row]))

    def points(self) -> np.ndarray:
        """Return the coordinates (n, dimensions) of all points, in C order."""
        return np.array([self.point(index) for index in range(self.size)])

    def _require(self, name: str) -> None:
        if name not in self._values:
            names = ", ".join(self._values) or "none"
            raise InputError(f"{self.called!r} has no quantity {name!r}; it has {names}")


def _mark(name: str) -> float:
    """Return the published program's value for a point that is not measured."""
    return NOT_MEASURED.get(name, -1.0)
