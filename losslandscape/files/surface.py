"""A loss surface in memory: values on a grid, and a mark for each value that has been measured.

`h5_util` reads surfaces from files and writes them.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from losslandscape.core.errors import InputError
from losslandscape.core.provenance import Facts

# The value that marks an unmeasured point in the published program; -1 for quantities not listed here.
NOT_MEASURED = {"min_eig": 1.0}
UNNAMED = "surface"  # the name of a surface without a file, in messages and figures


@dataclass(frozen=True)
class Interpolated:
    """The points of a quantity that are interpolated.

    Args:
        points: a mask of the points.
        error: the largest error of interpolated values at points that were measured as a check, as a share
            of the spread (highest less lowest; of the logarithm, where contours are logarithmic). None
            without a check.
    """

    points: np.ndarray
    error: float | None


class Place(NamedTuple):
    """A net in a plane: its name and its coordinates."""

    name: str
    x: float
    y: float


def places_fact(places: Sequence[Place]) -> Facts:
    """Return the nets in a plane as a fact of its direction file and of its surfaces."""
    return {"nets": json.dumps(places)} if places else {}


def read_places(facts: Facts) -> list[Place]:
    """Return the nets of `places_fact`; empty if there is no such fact, or if it is damaged."""
    try:
        return [Place(str(name), float(x), float(y)) for name, x, y in json.loads(facts.get("nets", "[]"))]
    except (ValueError, TypeError):
        return []


class Surface:
    """A set of named quantities on a line or in a plane.

    A value counts as measured if the boolean array `measured` is true at its point, or if the value differs
    from the published program's mark. So NaN, infinity, 0 and negative values can be results.

    Args:
        path: the file; empty for a surface that is only in memory.
        x: coordinates (nx,).
        y: coordinates (ny,) of a plane; None for a line.
        dir_file: the file of the directions.
        quantities: arrays of shape (nx,) or (ny, nx), where row i is at y[i].
        measured: boolean array of the same shape.
        made_with: facts that must stay the same when a run resumes the file (`provenance.require_same`);
            empty for a file of the published program.
        runs: the record of each run that wrote the file, in order; empty for a file of the published program.

    Attributes:
        interpolated: by quantity, what `interpolate` has filled in; empty unless a figure shows the surface.
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
        self.interpolated: dict[str, Interpolated] = {}
        for name, values in (quantities or {}).items():
            self._values[name] = np.array(values, float).reshape(self.shape)
            self._measured[name] = self._values[name] != _mark(name)
            if measured is not None:
                self._measured[name] |= measured

    @property
    def called(self) -> str:
        """The name of the surface in messages and in the names of figures: the path, or `UNNAMED`."""
        return self.path or UNNAMED

    @property
    def nets(self) -> list[Place]:
        """The nets that lie in the plane; empty where they are not known or all axes lead to one."""
        return read_places(self.made_with)

    @property
    def size(self) -> int:
        """The number of points, measured or not."""
        return math.prod(self.shape)

    @property
    def names(self) -> list[str]:
        return list(self._values)

    def add(self, name: str) -> None:
        """Add a quantity without measured values, unless the surface already has it."""
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
        """Return the values of a quantity as the file stores them, with the mark at unmeasured points."""
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

    def interpolate(self, name: str, values: np.ndarray, error: float | None) -> None:
        """Fill in finite values where a quantity is not measured; they then count as measured.

        Args:
            error: the largest error of such values at checked points, as in `Interpolated`.
        """
        points = ~self._measured[name] & np.isfinite(values)
        self._values[name] = np.where(points, values, self._values[name])
        self._measured[name] = self._measured[name] | points
        self.interpolated[name] = Interpolated(points, error)

    def point(self, index: int) -> tuple[float, ...]:
        """Return the coordinates (alpha,) or (alpha, beta) of the point with this flat C-order index."""
        row, column = divmod(index, len(self.x))
        alpha = float(self.x[column])
        return (alpha,) if self.y is None else (alpha, float(self.y[row]))

    def index(self, coordinates: tuple[float, ...]) -> int | None:
        """Return the flat C-order index of the point with exactly these coordinates, or None."""
        matches = np.flatnonzero((self.points() == coordinates).all(axis=1))
        return int(matches[0]) if len(matches) else None

    def points(self) -> np.ndarray:
        """Return the coordinates (n, dimensions) of all points, in C order."""
        return np.array([self.point(index) for index in range(self.size)])

    def _require(self, name: str) -> None:
        if name not in self._values:
            names = ", ".join(self._values) or "none"
            raise InputError(f"{self.called!r} has no quantity {name!r}; it has {names}")


def _mark(name: str) -> float:
    """Return the value that marks an unmeasured point in the published program."""
    return NOT_MEASURED.get(name, -1.0)
