"""The layout of direction, surface and projection files; the only module that opens HDF5.

A file is written whole under another name and then renamed over the old one, so that whatever ends the program the file on
disk opens, and a reader may look at any moment. That also makes HDF5's own locks needless, which fail on some network disks.
"""

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np

from losslandscape.core.errors import InputError
from losslandscape.core.provenance import Facts, require_same
from losslandscape.files.atomic_file import replacing

T = TypeVar("T")

NOT_MEASURED = {
    "min_eig": 1.0
}  # the published program's mark of a point not computed yet; -1 for every other quantity
UNNAMED = "surface"  # one that has no file
DIRECTION_GROUPS = ("xdirection", "ydirection")
RESERVED = ("dir_file", "xcoordinates", "ycoordinates", "measured", "made_with", "runs")
MOST_COMPRESSION = (
    1032  # of deflate, the filter that HDF5 files commonly have: a dataset that claims to be larger is a lie
)


@contextmanager
def _reading(path: str, kind: str) -> Iterator[h5py.File]:
    if os.path.isdir(path):
        raise InputError(
            f"{path!r} is a folder, where a {kind} file should be; move it away, or give another name"
        )
    if not os.path.isfile(path):
        raise InputError(f"there is no {kind} file {path!r}")
    try:
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except InputError:
        raise
    except PermissionError as error:
        raise InputError(f"{path!r} cannot be read: permission denied") from error
    except (
        OSError,
        RuntimeError,
        KeyError,
        ValueError,
        TypeError,
        MemoryError,
    ) as error:  # whichever of HDF5's own checks a damaged file meets
        raise InputError(f"{path!r} is not an HDF5 file, or is damaged; give a {kind} file") from error


@contextmanager
def _replacing(path: str) -> Iterator[h5py.File]:
    """A new HDF5 file that takes the place of `path` when the block ends well, and leaves no trace when it does not.

    It is made in memory and then written as bytes: where the disk is full, HDF5's own writing can crash the program.
    """
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        yield file
        file.flush()
        content = file.id.get_file_image()
    with replacing(path, lasting=True) as part:
        Path(part).write_bytes(content)


def _array(path: str, data: object) -> np.ndarray:
    """The numbers of a dataset. Raises `InputError` if it holds none, or says to be larger than its file can hold."""
    if not isinstance(data, h5py.Dataset) or data.dtype.kind not in "fiub" or data.shape is None:
        raise InputError(
            f"{path!r} is damaged: {getattr(data, 'name', 'a dataset')!r} is not an array of numbers"
        )
    if data.nbytes > MOST_COMPRESSION * os.path.getsize(path):
        raise InputError(
            f"{path!r} is damaged: {data.name!r} says to hold {data.shape} numbers, more than fit into the file"
        )
    return data[()]


def _text(file: h5py.File, name: str) -> str:
    """A text of the file; empty if there is none of that name."""
    value = file[name][()] if isinstance(file.get(name), h5py.Dataset) else b""
    return value.decode(errors="replace") if isinstance(value, bytes) else ""


def _json(path: str, file: h5py.File, name: str, default: T) -> T:
    """A value that is kept as JSON text, or the default if it is not there."""
    if name not in file:
        return default
    try:
        value = json.loads(_text(file, name))
    except ValueError as error:
        raise InputError(f"{path!r} is damaged: {name!r} is not JSON") from error
    if type(value) is not type(default):
        raise InputError(f"{path!r} is damaged: {name!r} is a {type(value).__name__}")
    return value


# Directions ---------------------------------------------------------------------------------------------------------------


def write_directions(
    path: str,
    directions: list[list[np.ndarray]],
    *,
    made_with: dict[str, str] | None = None,
    variances: dict[str, np.ndarray] | None = None,
) -> None:
    """Write one direction (x) or two (x, y), each a list of float32 arrays, one per tensor of the net, and what they were made with.

    `variances` are what PCA tells of its components: `explained_variance_ratio_`, `singular_values_`, `explained_variance_`.
    """
    with _replacing(path) as file:
        file["made_with"] = json.dumps(made_with or {})
        for name, values in (variances or {}).items():
            file[name] = values
        for group, direction in zip(DIRECTION_GROUPS, directions, strict=False):
            for i, values in enumerate(direction):
                file.create_dataset(f"{group}/{i}", data=np.asarray(values, np.float32))


def read_directions(path: str) -> list[list[np.ndarray]]:
    """The one or two directions of a file, as `write_directions` takes them. Raises `InputError` if it is none."""
    with _reading(path, "direction") as file:
        if DIRECTION_GROUPS[0] not in file:
            raise InputError(f"{path!r} is not a direction file: it has no group 'xdirection'")
        return [_direction(path, file[group]) for group in DIRECTION_GROUPS if group in file]


def names(path: str, kind: str) -> set[str]:
    """What lies at the top of an HDF5 file of ours."""
    with _reading(path, kind) as file:
        return set(file)


def read_made_with(path: str, kind: str) -> dict[str, str]:
    """What a direction or surface file was made with; empty for a file of the published program."""
    with _reading(path, kind) as file:
        return _json(path, file, "made_with", {})


def _direction(path: str, group: h5py.Group) -> list[np.ndarray]:
    names = [str(i) for i in range(len(group))] if isinstance(group, h5py.Group) else []
    if not names or any(not isinstance(group.get(name), h5py.Dataset) for name in names):
        raise InputError(
            f"{path!r} is not a direction file: {group.name} does not hold the datasets 0, 1, 2, …"
        )
    return [np.asarray(_array(path, group[name]), np.float32) for name in names]


# Surfaces -----------------------------------------------------------------------------------------------------------------


class Surface:
    """The values of a surface file: named float64 arrays of shape (nx,), or (ny, nx) with row i at y[i].

    A value is measured if the file's boolean `measured` says so of its point, or if it differs from the mark that the
    published program gives to points not computed yet: NaN, infinity, 0 and negative values are results.

    `made_with` are the facts that must be the same when a run goes on with the file (`provenance.require_same`), `runs` what is known
    of each run that wrote it, in order; both are empty for a file of the published program.
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
        self.path, self.dir_file = path, dir_file
        self.made_with, self.runs = dict(made_with or {}), list(runs or [])
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
    def called(self) -> str:
        """What people are told that it is: its path, or `UNNAMED`, with which the names of its figures begin then too."""
        return self.path or UNNAMED

    @property
    def size(self) -> int:
        """Number of points, measured or not."""
        return math.prod(self.shape)

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

    def points(self) -> np.ndarray:
        """Coordinates (n, dimensions) of all points, in C order."""
        return np.array([self.point(i) for i in range(math.prod(self.shape))])

    def save(self) -> None:
        """Write all of it to `path`, in one step, unless that is empty. Datasets of an earlier file that are not ours are kept."""
        if not self.path:
            return
        with _replacing(self.path) as file:
            if os.path.exists(self.path):
                with h5py.File(self.path, "r", locking=False) as old:
                    for name in set(old) - set(self._values) - set(RESERVED):
                        old.copy(old[name], file, name)
            file["dir_file"] = self.dir_file
            file["made_with"], file["runs"] = json.dumps(self.made_with), json.dumps(self.runs)
            file["xcoordinates"] = self.x
            if self.y is not None:
                file["ycoordinates"] = self.y
            for name, values in self._values.items():
                file[name] = values
            if self._measured:
                file["measured"] = np.logical_and.reduce(list(self._measured.values()))

    def _known(self, name: str) -> str:
        if name not in self._values:
            raise InputError(
                f"{self.called!r} has no quantity {name!r}; it has {', '.join(self._values) or 'none'}"
            )
        return name


def read_surface(path: str) -> Surface:
    """Read a surface file of ours or of the published program. Raises `InputError` if it is none."""
    with _reading(path, "surface") as file:
        if not isinstance(file.get("xcoordinates"), h5py.Dataset):
            raise InputError(f"{path!r} is not a surface file: it has no 'xcoordinates'")
        x = np.asarray(_array(path, file["xcoordinates"]), float)
        y = np.asarray(_array(path, file["ycoordinates"]), float) if "ycoordinates" in file else None
        size = x.size * (1 if y is None else y.size)
        shape = (x.size,) if y is None else (y.size, x.size)
        if x.ndim != 1 or (y is not None and y.ndim != 1) or size == 0:
            raise InputError(f"{path!r} is not a surface file: its coordinates are not lists of numbers")
        # The published program allocated (nx, ny) and filled it in (ny, nx) order: of right size, it reads right in that order.
        quantities = {
            name: np.asarray(_array(path, data), float)
            for name, data in file.items()
            if name not in RESERVED
            and isinstance(data, h5py.Dataset)
            and data.dtype.kind in "fiu"
            and data.shape in (shape, shape[::-1])
        }
        measured = None
        if "measured" in file:
            measured = np.asarray(_array(path, file["measured"]), bool)
            if measured.shape != shape:
                raise InputError(
                    f"{path!r} is damaged: 'measured' has shape {measured.shape} where the grid has {shape}"
                )
        dir_file = _text(file, "dir_file")
        made_with, runs = _json(path, file, "made_with", {}), _json(path, file, "runs", [])
    return Surface(
        path,
        x=x,
        y=y,
        dir_file=dir_file,
        quantities=quantities,
        measured=measured,
        made_with=made_with,
        runs=runs,
    )


def as_surface(surface: str | Surface) -> Surface:
    """The surface of a file, or a surface that is at hand."""
    return surface if isinstance(surface, Surface) else read_surface(surface)


def write_surface_file(
    path: str,
    *,
    x: np.ndarray,
    y: np.ndarray | None = None,
    quantities: dict[str, np.ndarray],
    measured: np.ndarray | None = None,
    dir_file: str = "",
) -> None:
    """Write a surface file from arrays; `measured` tells which points have values, by default those unlike the mark."""
    Surface(path, x=x, y=y, dir_file=dir_file, quantities=quantities, measured=measured).save()


def open_surface(
    path: str,
    *,
    x: np.ndarray,
    y: np.ndarray | None,
    dir_file: str,
    names: list[str],
    made_with: dict[str, str] | None = None,
    anew: bool = False,
) -> Surface:
    """The surface file to go on with, or a new one (`anew`: in any case), with room for the named quantities; nothing is written yet.

    Raises `InputError` if the file has another grid or was made with something else.
    """
    advice = "give another surface file, or --overwrite, or overwrite=True from Python, to begin anew (the old file is kept aside)"
    if os.path.exists(path) and not anew:
        surface = read_surface(path)
        for axis, asked, found in (("x", x, surface.x), ("y", y, surface.y)):
            if (asked is None) != (found is None) or (asked is not None and not np.array_equal(asked, found)):
                raise InputError(
                    f"{path!r} has another grid: its {axis} is {_range(found)}, asked is {_range(asked)}; {advice}"
                )
        if surface.made_with:
            require_same(path, surface.made_with, made_with or {}, advice)
        elif os.path.basename(surface.dir_file) != os.path.basename(dir_file):
            raise InputError(
                f"{path!r} was made along the directions {surface.dir_file!r}, not {dir_file!r}; {advice}"
            )
    else:
        surface = Surface(path, x=x, y=y, dir_file=dir_file)
    surface.made_with = {**surface.made_with, **(made_with or {})}
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
        x, y = (np.asarray(_array(path, file[name]), float) for name in ("proj_xcoord", "proj_ycoord"))
    if x.ndim != 1 or x.shape != y.shape or x.size == 0:
        raise InputError(f"{path!r} is damaged: {x.shape} x coordinates and {y.shape} y coordinates")
    return x, y


@dataclass(frozen=True)
class Projection:
    """The path of a training on a plane: one value a checkpoint of x and y, and of what else the file knows, which that of the published program does not.

    epochs: of the checkpoints. distance: from the plane, as a part of that from the last checkpoint; NaN for the last. lr_drops: epochs whose
    learning rate is below that of the one before. shares (2,): of the variance of the checkpoints, along x and y. true_loss, projected_loss: of each
    checkpoint, and of the net at its place on the plane; NaN where not measured.
    """

    path: str
    x: np.ndarray
    y: np.ndarray
    epochs: np.ndarray | None = None
    distance: np.ndarray | None = None
    lr_drops: np.ndarray | None = None
    shares: np.ndarray | None = None
    true_loss: np.ndarray | None = None
    projected_loss: np.ndarray | None = None
    made_with: dict[str, str] = field(default_factory=dict)


OF_EACH_CHECKPOINT = ("epochs", "distance", "true_loss", "projected_loss")
PROJECTED = (*OF_EACH_CHECKPOINT, "lr_drops", "shares")


def write_projection(projection: Projection) -> None:
    """Write all of it to its `path`, in one step."""
    with _replacing(projection.path) as file:
        file["made_with"] = json.dumps(projection.made_with)
        file["proj_xcoord"], file["proj_ycoord"] = projection.x, projection.y
        for name in PROJECTED:
            if (values := getattr(projection, name)) is not None:
                file[name] = values


def read_whole_projection(path: str) -> Projection:
    """All that a projection file knows. Raises `InputError` if it is none, or does not have a value for each checkpoint."""
    x, y = read_projection(path)
    with _reading(path, "projection") as file:
        more = {name: np.asarray(_array(path, file[name]), float) for name in PROJECTED if name in file}
        made_with = _json(path, file, "made_with", {})
    for name, values in more.items():
        if (
            values.ndim != 1
            or name in OF_EACH_CHECKPOINT
            and values.shape != x.shape
            or name == "shares"
            and values.shape != (2,)
        ):
            raise InputError(
                f"{path!r} is damaged: {name!r} has shape {values.shape} where there are {x.size} checkpoints"
            )
    return Projection(path, x, y, **more, made_with=made_with)


def require_plane_of(surface: Surface, projection: Projection) -> None:
    """Raise `InputError` if the files know that the path is not on the surface: projected on other directions, or from another origin."""
    require_path_on(surface.made_with, projection, surf_file=surface.path, dir_file=surface.dir_file)


def require_path_on(made_with: Facts, projection: Projection, *, surf_file: str, dir_file: str) -> None:
    """`require_plane_of` a surface that was, or will be, made with these facts."""
    if projection.made_with.get("method") == "tsne":
        raise InputError(
            f"{projection.path!r} was made by t-SNE, which has no plane and so no contours; give a projection on the directions of {surf_file!r}"
        )
    asked = {"directions": made_with["directions"]} if "directions" in made_with else {}
    require_same(
        projection.path,
        projection.made_with,
        asked,
        f"give a projection on the directions of {surf_file!r}, {dir_file!r}",
    )
    centre, origin = made_with.get("model_file", ""), projection.made_with.get("origin", "")
    if (
        centre and origin and centre != origin and " " not in centre and "place of the net" not in made_with
    ):  # with spaces, it is no fingerprint of a file
        raise InputError(
            f"the origin of {projection.path!r}, its last checkpoint, is another net than the centre of {surf_file!r}, so that the path would be drawn in the "
            "wrong place; take a surface around the last checkpoint (--model_file), or project up to this one (--max_epoch)"
        )


def read_explained_variance(path: str) -> np.ndarray | None:
    """The share of the variance that each PCA direction of a direction file explains, or None if it was not made by PCA."""
    with _reading(path, "direction") as file:
        name = "explained_variance_ratio_"
        return np.asarray(_array(path, file[name]), float) if name in file else None
