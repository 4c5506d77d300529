"""Read and write direction, surface and projection files. No other module opens HDF5.

A file is written under a temporary name and then replaces the old file. So a reader may open the file at any
moment, and the file stays readable even if the program is killed. HDF5's own locks, which fail on some
network disks, are therefore not needed.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from mmap import mmap
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np

from losslandscape.core.errors import InputError
from losslandscape.core.large import is_large
from losslandscape.core.provenance import Facts, require_same
from losslandscape.files import large_arrays
from losslandscape.files.atomic_file import replacing
from losslandscape.files.interpolated import with_interpolated
from losslandscape.files.projection import EXTRAS, PER_CHECKPOINT, Projection
from losslandscape.files.surface import Surface

T = TypeVar("T")

ALIGNMENT = 64  # bytes; the arrays of a large net begin at multiples
MAPPED_TYPES = (np.float32, np.float16, large_arrays.BFLOAT16)
DIRECTION_GROUPS = ("xdirection", "ydirection")
RESERVED = ("dir_file", "xcoordinates", "ycoordinates", "measured", "made_with", "runs")
# Deflate, the common HDF5 filter, compresses at most by this factor. A dataset that claims more is damaged.
MAX_COMPRESSION = 1032
# The errors of h5py when HDF5 detects that a file is damaged.
DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError)


@contextmanager
def _reading(path: str, kind: str) -> Iterator[h5py.File]:
    """Open an HDF5 file to read. If the block finds that the file is damaged, raise `InputError`."""
    if os.path.isdir(path):
        raise InputError(
            f"{path!r} is a folder, where a {kind} file should be", "move it away, or give another name"
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
    except DAMAGE as error:
        raise InputError(f"{path!r} is not an HDF5 file, or is damaged", f"give a {kind} file") from error


@contextmanager
def _replacing(path: str) -> Iterator[h5py.File]:
    """Open a new HDF5 file that replaces `path` when the block ends without an error.

    The file is built in memory and then written as bytes. On a full disk, HDF5's own writing can crash the
    program.
    """
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        yield file
        file.flush()
        content = file.id.get_file_image()
    with replacing(path, lasting=True) as part:
        Path(part).write_bytes(content)


def _array(path: str, data: object) -> np.ndarray:
    """Return the numbers of a dataset.

    Raises:
        InputError: the dataset does not hold numbers, or claims more numbers than the file can hold.
    """
    if not isinstance(data, h5py.Dataset) or data.dtype.kind not in "fiub" or data.shape is None:
        name = getattr(data, "name", "a dataset")
        raise InputError(f"{path!r} is damaged: {name!r} is not an array of numbers")
    if data.nbytes > MAX_COMPRESSION * os.path.getsize(path):
        raise InputError(
            f"{path!r} is damaged: {data.name!r} claims {data.shape} numbers, more than fit into the file"
        )
    return data[()]


def _floats(path: str, data: object) -> np.ndarray:
    return np.asarray(_array(path, data), float)


def _as_bytes(path: str) -> bytes:
    """Return a path in UTF-8; bytes that are no text in the system's encoding stay as they are."""
    return path.encode(errors="surrogateescape")


def _text(file: h5py.File, name: str) -> str:
    """Return the text with this name; empty if the file does not have it."""
    value = file[name][()] if isinstance(file.get(name), h5py.Dataset) else b""
    return value.decode(errors="replace") if isinstance(value, bytes) else ""


def _json(path: str, file: h5py.File, name: str, default: T) -> T:
    """Return a value that is stored as JSON text; the default if the file does not have it."""
    if name not in file:
        return default
    try:
        value = json.loads(_text(file, name))
    except ValueError as error:
        raise InputError(f"{path!r} is damaged: {name!r} is not JSON") from error
    if type(value) is not type(default):
        raise InputError(f"{path!r} is damaged: {name!r} is a {type(value).__name__}")
    return value


def names(path: str, kind: str) -> set[str]:
    """Return the names at the top level of an HDF5 file; `kind` names the kind of the file in messages."""
    with _reading(path, kind) as file:
        return set(file)


def read_made_with(path: str, kind: str) -> Facts:
    """Return the facts of a direction or surface file; empty for a file of the published program."""
    with _reading(path, kind) as file:
        return _json(path, file, "made_with", {})


# Directions -------------------------------------------------------------------------------------------------


def write_directions(
    path: str,
    directions: list[list[np.ndarray]],
    *,
    made_with: Facts | None = None,
    variances: dict[str, np.ndarray] | None = None,
) -> None:
    """Write a direction file.

    Args:
        path: the file.
        directions: one (x) or two (x, y), each a list of arrays, one per tensor of the net. They are written
            as float32, but those of a large net (`core.large`) in their own type.
        made_with: the facts about the directions.
        variances: the results of PCA by name: `explained_variance_ratio_`, `singular_values_`,
            `explained_variance_`.
    """
    arrays = {
        f"{group}/{i}": values
        for group, direction in zip(DIRECTION_GROUPS, directions, strict=False)
        for i, values in enumerate(direction)
    }
    texts = {"made_with": json.dumps(made_with or {}), **(variances or {})}
    if _are_large(directions[0]):
        _write_by_blocks(path, arrays, texts)
        return
    with _replacing(path) as file:
        for name, value in texts.items():
            file[name] = value
        for name, values in arrays.items():
            file.create_dataset(name, data=np.asarray(values, np.float32))


def _write_by_blocks(path: str, arrays: dict[str, np.ndarray], others: dict[str, Any]) -> None:
    """Write a file that need not fit into memory. Arrays of `large_arrays.zeros` take no place.

    HDF5 only lays the file out, because its own writing can crash the program if the disk is full.
    """
    places: dict[int, np.ndarray] = {}
    with replacing(path, lasting=True) as part:
        with h5py.File(part, "w", alignment_threshold=ALIGNMENT, alignment_interval=ALIGNMENT) as file:
            for name, value in others.items():
                file[name] = value
            for name, values in arrays.items():
                if large_arrays.is_one_zero(values):
                    file.create_dataset(name, values.shape, values.dtype)
                elif values.ndim and values.size:
                    data = file.create_dataset(name, values.shape, values.dtype, dcpl=_reserved())
                    places[data.id.get_offset()] = values
                else:
                    file.create_dataset(name, data=values)
        large_arrays.write_at(part, places)


def _are_large(direction: Sequence[np.ndarray | h5py.Dataset]) -> bool:
    """Return whether these are the arrays of a large net, which are kept in their own type."""
    has_own_type = any(values.dtype in (np.float16, large_arrays.BFLOAT16) for values in direction)
    return has_own_type or is_large(sum(values.size for values in direction))


def _reserved() -> h5py.h5p.PropDCID:
    """Return the properties of a dataset in one piece that gets its place at once."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    return properties


def read_directions(path: str) -> list[list[np.ndarray]]:
    """Return the one or two directions of a file, as `write_directions` takes them.

    The arrays of a large net (`core.large`) lie in the file, which is mapped into memory.

    Raises:
        InputError: the file is not a direction file, or is damaged.
    """
    with _reading(path, "direction") as file:
        if DIRECTION_GROUPS[0] not in file:
            raise InputError(f"{path!r} is not a direction file: it has no group 'xdirection'")
        datasets = [_datasets(path, file[group]) for group in DIRECTION_GROUPS if group in file]
        if _are_large(datasets[0]):
            memory = large_arrays.mapped(path)
            return [[_mapped_array(path, memory, data) for data in direction] for direction in datasets]
        return [[np.asarray(_array(path, data), np.float32) for data in direction] for direction in datasets]


def _datasets(path: str, group: h5py.Group) -> list[h5py.Dataset]:
    numbers = [str(i) for i in range(len(group))] if isinstance(group, h5py.Group) else []
    if not numbers or any(not isinstance(group.get(number), h5py.Dataset) for number in numbers):
        raise InputError(
            f"{path!r} is not a direction file: {group.name} does not hold the datasets 0, 1, 2, …"
        )
    return [group[number] for number in numbers]


def _mapped_array(path: str, memory: mmap, data: h5py.Dataset) -> np.ndarray:
    """Return the numbers of a dataset, from the mapped file if they lie there in one piece."""
    if data.dtype not in MAPPED_TYPES:
        return np.asarray(_array(path, data), np.float32)
    place = data.id.get_offset()
    if place is not None:
        return large_arrays.array_at(memory, place, data.dtype, data.shape)
    if data.id.get_storage_size() == 0:
        return large_arrays.zeros(data.dtype, data.shape)
    return _array(path, data)


def read_explained_variance(path: str) -> np.ndarray | None:
    """Return the share of the variance that each PCA direction explains; None if the file is not from PCA."""
    with _reading(path, "direction") as file:
        name = "explained_variance_ratio_"
        return _floats(path, file[name]) if name in file else None


# Surfaces ---------------------------------------------------------------------------------------------------


def write_surface(surface: Surface) -> None:
    """Write a surface to its path in one step. Datasets that other programs added to the file are kept."""
    with _replacing(surface.path) as file:
        if os.path.exists(surface.path):
            ours = {*surface.names, *RESERVED}
            with h5py.File(surface.path, "r", locking=False) as old:
                for name in set(old) - ours:
                    old.copy(old[name], file, name)
        file.create_dataset("dir_file", data=_as_bytes(surface.dir_file), dtype=h5py.string_dtype())
        file["made_with"] = json.dumps(surface.made_with)
        file["runs"] = json.dumps(surface.runs)
        file["xcoordinates"] = surface.x
        if surface.y is not None:
            file["ycoordinates"] = surface.y
        for name in surface.names:
            file[name] = surface.stored(name)
        if surface.names:
            measured = [surface.measured(name) for name in surface.names]
            file["measured"] = np.logical_and.reduce(measured)


def read_surface(path: str) -> Surface:
    """Read a surface file of this program or of the published one.

    Raises:
        InputError: the file is not a surface file, or is damaged.
    """
    with _reading(path, "surface") as file:
        if not isinstance(file.get("xcoordinates"), h5py.Dataset):
            raise InputError(f"{path!r} is not a surface file: it has no 'xcoordinates'")
        x = _floats(path, file["xcoordinates"])
        y = _floats(path, file["ycoordinates"]) if "ycoordinates" in file else None
        axes = [x] if y is None else [y, x]
        if any(axis.ndim != 1 or axis.size == 0 for axis in axes):
            raise InputError(f"{path!r} is not a surface file: its coordinates are not lists of numbers")
        shape = tuple(axis.size for axis in axes)
        return Surface(
            path,
            x=x,
            y=y,
            dir_file=_text(file, "dir_file"),
            quantities=_quantities(path, file, shape),
            measured=_measured(path, file, shape),
            made_with=_json(path, file, "made_with", {}),
            runs=_json(path, file, "runs", []),
        )


def _quantities(path: str, file: h5py.File, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Return the quantities by name: the arrays with the shape of the grid, or with the reversed shape.

    The published program allocated an array (nx, ny) and filled it in the order of (ny, nx). So its values
    are right if they are read as (ny, nx).
    """
    quantities = {}
    for name, data in file.items():
        if name in RESERVED or not isinstance(data, h5py.Dataset):
            continue
        if data.dtype.kind in "fiu" and data.shape in (shape, shape[::-1]):
            quantities[name] = _floats(path, data)
    return quantities


def _measured(path: str, file: h5py.File, shape: tuple[int, ...]) -> np.ndarray | None:
    if "measured" not in file:
        return None
    measured = np.asarray(_array(path, file["measured"]), bool)
    if measured.shape != shape:
        raise InputError(
            f"{path!r} is damaged: 'measured' has shape {measured.shape} where the grid has {shape}"
        )
    return measured


def as_surface(surface: str | Surface) -> Surface:
    """Return the surface of a file, or the given surface, to be shown.

    Points that a run with `refine` left unmeasured are interpolated.
    """
    return with_interpolated(surface if isinstance(surface, Surface) else read_surface(surface))


def open_surface(
    path: str,
    *,
    x: np.ndarray,
    y: np.ndarray | None,
    dir_file: str,
    names: list[str],
    made_with: Facts | None = None,
    overwrite: bool = False,
) -> Surface:
    """Return the surface of a file to resume, or a new surface, with room for the named quantities.

    Nothing is written.

    Args:
        path: the file. If it does not exist, the surface is new.
        x, y: the coordinates of the grid, as for `Surface`.
        dir_file: the file of the directions.
        names: the quantities to measure.
        made_with: the facts of this run, which must not differ from the facts of the file.
        overwrite: whether to ignore the file and return a new surface.

    Raises:
        InputError: the file cannot be read, or its grid, facts or directions differ.
    """
    if os.path.exists(path) and not overwrite:
        surface = read_surface(path)
        _require_resumable(surface, x=x, y=y, dir_file=dir_file, made_with=made_with or {})
    else:
        surface = Surface(path, x=x, y=y, dir_file=dir_file)
    surface.made_with.update(made_with or {})
    for name in names:
        surface.add(name)
    return surface


def _require_resumable(
    surface: Surface, *, x: np.ndarray, y: np.ndarray | None, dir_file: str, made_with: Facts
) -> None:
    advice = "give another {surf_file}, or {overwrite:True} to start again (the old file is kept aside)"
    for axis, wanted, stored in (("x", x, surface.x), ("y", y, surface.y)):
        if not _are_equal(wanted, stored):
            raise InputError(
                f"{surface.path!r} has another grid: its {axis} is {_range(stored)}, not {_range(wanted)}",
                advice,
            )
    if surface.made_with:
        require_same(surface.path, surface.made_with, made_with, advice)
    elif os.path.basename(surface.dir_file) != os.path.basename(dir_file):
        raise InputError(
            f"{surface.path!r} was made along the directions {surface.dir_file!r}, not {dir_file!r}", advice
        )


def _are_equal(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    if a is None or b is None:
        return a is b
    return np.array_equal(a, b)


def _range(coordinates: np.ndarray | None) -> str:
    if coordinates is None:
        return "none"
    return f"{coordinates[0]}:{coordinates[-1]}:{len(coordinates)}"


# Projections ------------------------------------------------------------------------------------------------


def write_projection(projection: Projection) -> None:
    """Write a projection to its path in one step."""
    with _replacing(projection.path) as file:
        file["made_with"] = json.dumps(projection.made_with)
        file["proj_xcoord"] = projection.x
        file["proj_ycoord"] = projection.y
        for name, values in projection.extras().items():
            file[name] = values


def read_projection(path: str) -> Projection:
    """Read a projection file of this program or of the published one.

    Raises:
        InputError: the file is not a projection file, is damaged, or does not hold one value per checkpoint.
    """
    with _reading(path, "projection") as file:
        if "proj_xcoord" not in file or "proj_ycoord" not in file:
            raise InputError(f"{path!r} is not a projection file: it has no 'proj_xcoord' and 'proj_ycoord'")
        x = _floats(path, file["proj_xcoord"])
        y = _floats(path, file["proj_ycoord"])
        extras = {name: _floats(path, file[name]) for name in EXTRAS if name in file}
        made_with: Facts = _json(path, file, "made_with", {})
    if x.ndim != 1 or x.shape != y.shape or x.size == 0:
        raise InputError(f"{path!r} is damaged: {x.shape} x coordinates and {y.shape} y coordinates")
    shapes = {**dict.fromkeys(PER_CHECKPOINT, x.shape), "shares": (2,)}
    for name, values in extras.items():
        if values.ndim != 1 or values.shape != shapes.get(name, values.shape):
            raise InputError(
                f"{path!r} is damaged: {name!r} has shape {values.shape} where there are {x.size} checkpoints"
            )
    return Projection(path, x, y, **extras, made_with=made_with)
