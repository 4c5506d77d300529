"""The layout of direction, surface and projection files; the only module that opens HDF5.

A file is written whole under another name and then renamed over the old one, so that whatever ends the program the file on
disk opens, and a reader may look at any moment. That also makes HDF5's own locks needless, which fail on some network disks.
"""
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from errors import InputError

NOT_MEASURED = {"min_eig": 1.0}  # the published program's mark of a point not computed yet; -1 for every other quantity
DIRECTION_GROUPS = ("xdirection", "ydirection")
RESERVED = ("dir_file", "xcoordinates", "ycoordinates", "measured")


@contextmanager
def _reading(path: str, kind: str) -> Iterator[h5py.File]:
    if not os.path.isfile(path):
        raise InputError(f"there is no {kind} file {path!r}")
    try:
        file = h5py.File(path, "r", locking=False)
    except OSError as error:
        raise InputError(f"{path!r} is not an HDF5 file, or is damaged; give a {kind} file") from error
    with file:
        yield file


@contextmanager
def _replacing(path: str) -> Iterator[h5py.File]:
    """A new HDF5 file that takes the place of `path` when the block ends well, and leaves no trace when it does not."""
    folder = os.path.dirname(path) or "."
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".", suffix=".h5.part")
    os.close(handle)
    try:
        with h5py.File(temporary, "w", locking=False) as file:
            yield file
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


# Directions ---------------------------------------------------------------------------------------------------------------

def write_directions(path: str, directions: list[list[np.ndarray]]) -> None:
    """Write one direction (x) or two (x, y), each a list of float32 arrays, one per tensor of the net."""
    with _replacing(path) as file:
        for group, direction in zip(DIRECTION_GROUPS, directions, strict=False):
            for i, values in enumerate(direction):
                file.create_dataset(f"{group}/{i}", data=np.asarray(values, np.float32))


def read_directions(path: str) -> list[list[np.ndarray]]:
    """The one or two directions of a file, as `write_directions` takes them. Raises `InputError` if it is none."""
    with _reading(path, "direction") as file:
        if DIRECTION_GROUPS[0] not in file:
            raise InputError(f"{path!r} is not a direction file: it has no group 'xdirection'")
        return [_direction(path, file[group]) for group in DIRECTION_GROUPS if group in file]


def _direction(path: str, group: h5py.Group) -> list[np.ndarray]:
    names = [str(i) for i in range(len(group))] if isinstance(group, h5py.Group) else []
    if not names or any(not isinstance(group.get(name), h5py.Dataset) for name in names):
        raise InputError(f"{path!r} is not a direction file: {group.name} does not hold the datasets 0, 1, 2, …")
    return [np.asarray(group[name], np.float32) for name in names]


# Surfaces -----------------------------------------------------------------------------------------------------------------

class Surface:
    """The values of a surface file: named float64 arrays of shape (nx,), or (ny, nx) with row i at y[i].

    A value is measured if the file's boolean `measured` says so of its point, or if it differs from the mark that the
    published program gives to points not computed yet: NaN, infinity, 0 and negative values are results.
    """

    def __init__(self, path: str, *, x: np.ndarray, y: np.ndarray | None, dir_file: str = "",
                 quantities: dict[str, np.ndarray] | None = None, measured: np.ndarray | None = None):
        self.path, self.dir_file = path, dir_file
        self.x, self.y = np.asarray(x, float), None if y is None else np.asarray(y, float)
        self.shape = (len(self.x),) if y is None else (len(self.y), len(self.x))
        self._values: dict[str, np.ndarray] = {}
        self._measured: dict[str, np.ndarray] = {}
        for name, values in (quantities or {}).items():
            values = np.array(values, float).reshape(self.shape)
            self._values[name] = values
            self._measured[name] = values != NOT_MEASURED.get(name, -1.0)
            if measured is not None:
                self._measured[name] |= measured

    @property
    def names(self) -> list[str]:
        return list(self._values)

    def add(self, name: str) -> None:
        """Make room for a quantity, unless it is there."""
        if name not in self._values:
            self._values[name] = np.full(self.shape, NOT_MEASURED.get(name, -1.0))
            self._measured[name] = np.zeros(self.shape, bool)

    def measured(self, name: str) -> np.ndarray:
        """Boolean array of the grid's shape: where the quantity has been measured."""
        return self._measured[self._known(name)].copy()

    def get(self, name: str) -> np.ndarray:
        """Values of a quantity, NaN where not measured. Raises `InputError`, naming those there are, for another name."""
        return np.where(self._measured[self._known(name)], self._values[name], np.nan)

    def missing(self, names: list[str]) -> np.ndarray:
        """Flat C-order indices of the points at which any of the quantities has not been measured."""
        return np.flatnonzero(~np.logical_and.reduce([self._measured[name] for name in names]))

    def set(self, index: int, values: dict[str, float]) -> None:
        """Put the values measured at a point, given by its flat C-order index."""
        for name, value in values.items():
            self._values[name].flat[index] = value
            self._measured[name].flat[index] = True

    def point(self, index: int) -> tuple[float, ...]:
        """Coordinates (alpha,) or (alpha, beta) of a point, given by its flat C-order index."""
        row, column = divmod(index, len(self.x))
        return (float(self.x[column]),) if self.y is None else (float(self.x[column]), float(self.y[row]))

    def save(self) -> None:
        """Write all of it to `path`, in one step. Datasets of an earlier file that are not ours are kept."""
        with _replacing(self.path) as file:
            if os.path.exists(self.path):
                with h5py.File(self.path, "r", locking=False) as old:
                    for name in set(old) - set(self._values) - set(RESERVED):
                        old.copy(old[name], file, name)
            file["dir_file"] = self.dir_file
            file["xcoordinates"] = self.x
            if self.y is not None:
                file["ycoordinates"] = self.y
            for name, values in self._values.items():
                file[name] = values
            if self._measured:
                file["measured"] = np.logical_and.reduce(list(self._measured.values()))

    def _known(self, name: str) -> str:
        if name not in self._values:
            raise InputError(f"{self.path!r} has no quantity {name!r}; it has {', '.join(self._values) or 'none'}")
        return name


def read_surface(path: str) -> Surface:
    """Read a surface file of ours or of the published program. Raises `InputError` if it is none."""
    with _reading(path, "surface") as file:
        if not isinstance(file.get("xcoordinates"), h5py.Dataset):
            raise InputError(f"{path!r} is not a surface file: it has no 'xcoordinates'")
        x = np.asarray(file["xcoordinates"], float)
        y = np.asarray(file["ycoordinates"], float) if "ycoordinates" in file else None
        size = x.size * (1 if y is None else y.size)
        shape = (x.size,) if y is None else (y.size, x.size)
        if x.ndim != 1 or (y is not None and y.ndim != 1) or size == 0:
            raise InputError(f"{path!r} is not a surface file: its coordinates are not lists of numbers")
        # The published program allocated (nx, ny) and filled it in (ny, nx) order: of right size, it reads right in that order.
        quantities = {name: np.asarray(data, float) for name, data in file.items()
                      if name not in RESERVED and isinstance(data, h5py.Dataset) and data.dtype.kind in "fiu"
                      and data.shape in (shape, shape[::-1])}
        measured = None
        if "measured" in file:
            measured = np.asarray(file["measured"], bool)
            if measured.shape != shape:
                raise InputError(f"{path!r} is damaged: 'measured' has shape {measured.shape} where the grid has {shape}")
        dir_file = file["dir_file"][()] if "dir_file" in file else b""
    dir_file = dir_file.decode() if isinstance(dir_file, bytes) else str(dir_file)
    return Surface(path, x=x, y=y, dir_file=dir_file, quantities=quantities, measured=measured)


def write_surface_file(path: str, *, x: np.ndarray, y: np.ndarray | None = None, quantities: dict[str, np.ndarray],
                       measured: np.ndarray | None = None, dir_file: str = "") -> None:
    """Write a surface file from arrays; `measured` tells which points have values, by default those unlike the mark."""
    Surface(path, x=x, y=y, dir_file=dir_file, quantities=quantities, measured=measured).save()


def open_surface(path: str, *, x: np.ndarray, y: np.ndarray | None, dir_file: str, names: list[str]) -> Surface:
    """The surface file to go on with, or a new one, with room for the named quantities; nothing is written yet.

    Raises `InputError` if the file has another grid or was made along another direction file.
    """
    if os.path.exists(path):
        surface = read_surface(path)
        for axis, asked, found in (("x", x, surface.x), ("y", y, surface.y)):
            if (asked is None) != (found is None) or (asked is not None and not np.array_equal(asked, found)):
                raise InputError(f"{path!r} has another grid: its {axis} is {_range(found)}, asked is {_range(asked)}; "
                                 "give another --surf_file, or the same --x and --y")
        if os.path.basename(surface.dir_file) != os.path.basename(dir_file):
            raise InputError(f"{path!r} was made along the directions {surface.dir_file!r}, not {dir_file!r}; give another --surf_file")
    else:
        surface = Surface(path, x=x, y=y, dir_file=dir_file)
    for name in names:
        surface.add(name)
    return surface


def _range(coordinates: np.ndarray | None) -> str:
    if coordinates is None:
        return "none"
    return f"{coordinates[0]}:{coordinates[-1]}:{len(coordinates)}"


# Projections --------------------------------------------------------------------------------------------------------------

def read_projection(path: str) -> tuple[np.ndarray, np.ndarray]:
    """x and y coordinates of a projected trajectory, one of each a checkpoint."""
    with _reading(path, "projection") as file:
        if "proj_xcoord" not in file or "proj_ycoord" not in file:
            raise InputError(f"{path!r} is not a projection file: it has no 'proj_xcoord' and 'proj_ycoord'")
        x, y = np.asarray(file["proj_xcoord"], float), np.asarray(file["proj_ycoord"], float)
    if x.ndim != 1 or x.shape != y.shape or x.size == 0:
        raise InputError(f"{path!r} is damaged: {x.shape} x coordinates and {y.shape} y coordinates")
    return x, y


def read_explained_variance(path: str) -> np.ndarray | None:
    """The share of the variance that each PCA direction of a direction file explains, or None if it was not made by PCA."""
    with _reading(path, "direction") as file:
        name = "explained_variance_ratio_"
        return np.asarray(file[name], float) if name in file else None
