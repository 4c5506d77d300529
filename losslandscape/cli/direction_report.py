"""Reports what a direction file holds, and whether its directions span a plane."""

import numpy as np

from losslandscape.cli.file_report import FileReport, Rows, author, count, percent
from losslandscape.core.angle import OBLIQUE
from losslandscape.files import h5_util
from losslandscape.files.large_arrays import numbers

MIN_PARALLEL_COSINE = 1 - 1e-6

Direction = list[np.ndarray]


def describe(path: str, names: set[str]) -> FileReport:
    """Return the report on a direction file; `names` are the names of its HDF5 datasets."""
    stored = h5_util.read_directions(path)
    directions = {axis: list(map(numbers, part)) for axis, part in zip("xy", stored, strict=False)}
    shares = h5_util.read_explained_variance(path)
    cosine = _cosine(*directions.values()) if len(directions) == 2 else None
    kind = "a direction file" if shares is None else "a PCA direction file"
    number = "one direction" if len(directions) == 1 else "two directions"
    return FileReport(
        f"{path}: {kind} with {number}, {author(names)}",
        _facts(directions, cosine, shares),
        {
            "made with": h5_util.read_made_with(path, "direction"),
            "conclusions": [*_faults(directions), *_angle(directions, cosine)],
        },
    )


def _facts(directions: dict[str, Direction], cosine: float | None, shares: np.ndarray | None) -> Rows:
    rows = {axis: _summary(direction) for axis, direction in directions.items()}
    if cosine is not None:
        rows["cosine of x and y"] = f"{cosine:.6f}"
    if shares is not None:
        rows["explained variance"] = f"{percent(shares.ravel())}; together {percent([shares.sum()])}"
    return rows


def _summary(direction: Direction) -> str:
    tensors = count(len(direction), "tensor")
    zero = sum(not tensor.any() for tensor in direction)
    if zero:
        tensors += f" ({zero} zero)"
    values = count(sum(tensor.size for tensor in direction), "value")
    return f"{tensors}, {values}, norm {_norm(direction):.6g}"


def _dot(a: Direction, b: Direction) -> float:
    total = 0.0
    with np.errstate(all="ignore"):
        for one, other in zip(a, b, strict=True):
            total += float(np.vdot(one.astype(float), other.astype(float)))
    return total


def _norm(direction: Direction) -> float:
    return _dot(direction, direction) ** 0.5


def _cosine(x: Direction, y: Direction) -> float | None:
    """Return the cosine of the angle; None if the shapes differ, or a norm is zero or not finite."""
    if _shapes(x) != _shapes(y):
        return None
    lengths = _norm(x) * _norm(y)
    return _dot(x, y) / lengths if lengths > 0 and np.isfinite(lengths) else None


def _shapes(direction: Direction) -> list[tuple[int, ...]]:
    return [tensor.shape for tensor in direction]


def _faults(directions: dict[str, Direction]) -> list[str]:
    """Return a sentence for each direction that is zero or holds NaN or infinity."""
    lines = []
    for axis, direction in directions.items():
        bad = sum(int(np.count_nonzero(~np.isfinite(tensor))) for tensor in direction)
        if bad:
            lines.append(
                f"{axis} holds {bad} values that are NaN or infinite; so does every net that moves along it"
            )
        elif not any(tensor.any() for tensor in direction):
            lines.append(f"{axis} is zero: nothing moves along it")
    return lines


def _angle(directions: dict[str, Direction], cosine: float | None) -> list[str]:
    """Return a sentence if x and y have different shapes, or are clearly not at a right angle."""
    x, *others = map(_shapes, directions.values())
    if any(shapes != x for shapes in others):
        return ["x and y are of different shapes: they are not for one net"]
    if cosine is None or abs(cosine) < OBLIQUE:
        return []
    if abs(cosine) > MIN_PARALLEL_COSINE:
        return ["x and y are parallel: the plane is a line"]
    return [f"x and y are at an angle of {np.degrees(np.arccos(cosine)):.0f} degrees, which plots draw as 90"]
