"""What is in this file? `python h5_util.py FILE…` tells it of surfaces, directions and projections, ours or the published program's.

First what the file says (grid, quantities, what made it), then what a careful reader would conclude.
"""

from collections.abc import Callable

import numpy as np

from losslandscape.cli import surface_report
from losslandscape.cli.command_line import Parser, sentence
from losslandscape.cli.report_text import Rows, author, count, place, section, table
from losslandscape.core.errors import InputError
from losslandscape.files import h5_util
from losslandscape.files.h5_util import Projection

KINDS = "surface, direction or projection"
APART = 0.5  # of the true loss: a loss on the plane that differs by more belongs to another place
OBLIQUE = 0.1  # a cosine that random directions of so many weights do not come near


def main(argv: list[str] | None = None) -> None:
    parser = Parser(
        "Tell what is in HDF5 files of this program or of the published one, what made them, and how to go on with them."
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="surface, direction or projection file")
    args, refused = parser.parse_args(argv), []
    with sentence(parser):
        for path in args.files:
            try:
                text = report(path)
            except (InputError, OSError) as error:
                refused.append(error)
            else:
                print(f"{text}\n")
        if refused:
            raise refused[0]


def report(path: str) -> str:
    """What a file holds and what follows from it, as text of several lines. Raises `InputError` if it is none of ours."""
    names = h5_util.names(path, KINDS)
    for mark, describe in DESCRIBE.items():
        if mark in names:
            return "\n".join(_printable(line) for line in describe(path, names))
    raise InputError(
        f"{path!r} is an HDF5 file, but no {KINDS} file: it has none of {', '.join(map(repr, DESCRIBE))}"
    )


def _printable(line: str) -> str:
    """Texts of a file may hold anything, and a terminal obeys some of it."""
    return "".join(character if character.isprintable() else "?" for character in line)


# Directions ---------------------------------------------------------------------------------------------------------------


def _directions(path: str, names: set[str]) -> list[str]:
    directions = dict(zip("xy", h5_util.read_directions(path), strict=False))
    shares = h5_util.read_explained_variance(path)
    rows = {axis: _size(direction) for axis, direction in directions.items()}
    cosine = _cosine(*directions.values()) if len(directions) == 2 else None
    if cosine is not None:
        rows["cosine of x and y"] = f"{cosine:.6f}"
    if shares is not None:
        rows["explained variance"] = (
            f"{', '.join(f'{100 * share:.2f} %' for share in shares.flat)}; together {100 * shares.sum():.2f} %"
        )
    kind = "a PCA direction file" if shares is not None else "a direction file"
    return [
        f"{path}: {kind} with {'one direction' if len(directions) == 1 else 'two directions'}, {author(names)}",
        *table(rows),
        *section("made with", table(h5_util.read_made_with(path, "direction"))),
        *section("conclusions", [*_odd_directions(directions), *_odd_angle(directions, cosine)]),
    ]


def _size(direction: list[np.ndarray]) -> str:
    zero = sum(not tensor.any() for tensor in direction)
    tensors = f"{count(len(direction), 'tensor')}{f' ({zero} zero)' if zero else ''}"
    return (
        f"{tensors}, {count(sum(tensor.size for tensor in direction), 'value')}, norm {_norm(direction):.6g}"
    )


def _dot(a: list[np.ndarray], b: list[np.ndarray]) -> float:
    with np.errstate(all="ignore"):
        return sum(
            float(np.vdot(np.asarray(one, float), np.asarray(other, float)))
            for one, other in zip(a, b, strict=True)
        )


def _norm(direction: list[np.ndarray]) -> float:
    return _dot(direction, direction) ** 0.5


def _cosine(x: list[np.ndarray], y: list[np.ndarray]) -> float | None:
    """None where there is no angle: of directions of different nets, of zero length, or that are not finite."""
    if [tensor.shape for tensor in x] != [tensor.shape for tensor in y]:
        return None
    lengths = _norm(x) * _norm(y)
    return _dot(x, y) / lengths if lengths > 0 and np.isfinite(lengths) else None


def _odd_directions(directions: dict[str, list[np.ndarray]]) -> list[str]:
    lines = []
    for axis, direction in directions.items():
        lost = sum(int(np.count_nonzero(~np.isfinite(tensor))) for tensor in direction)
        if lost:
            lines.append(
                f"{axis} holds {lost} values that are NaN or infinite, and so does a net that is moved along it"
            )
        elif not any(tensor.any() for tensor in direction):
            lines.append(f"{axis} is zero: nothing moves along it")
    return lines


def _odd_angle(directions: dict[str, list[np.ndarray]], cosine: float | None) -> list[str]:
    if (
        len({tuple(tensor.shape for tensor in direction) for direction in map(tuple, directions.values())})
        > 1
    ):
        return ["x and y are of different shapes: they are not for one net"]
    if cosine is None or abs(cosine) < OBLIQUE:
        return []
    if abs(cosine) > 1 - 1e-6:
        return ["x and y are parallel: the plane is a line"]
    return [f"x and y are at an angle of {np.degrees(np.arccos(cosine)):.0f} degrees, which plots draw as 90"]


# Projections --------------------------------------------------------------------------------------------------------------


def _projection(path: str, names: set[str]) -> list[str]:
    projection = h5_util.read_projection(path)
    x, y = projection.x, projection.y
    lost = int(np.count_nonzero(~np.isfinite(x) | ~np.isfinite(y)))
    return [
        f"{path}: the projection of a trajectory of {count(x.size, 'checkpoint')}, {author(names)}",
        *table(
            {
                "x": _extent(x),
                "y": _extent(y),
                "first": place((x[0], y[0])),
                "last": place((x[-1], y[-1])),
                **_known_of_checkpoints(projection),
            }
        ),
        *section("made with", table(projection.made_with)),
        *section(
            "conclusions",
            [
                *([f"{lost} of {x.size} checkpoints have no place: NaN or infinite"] if lost else []),
                *_misleading(projection),
            ],
        ),
    ]


def _known_of_checkpoints(projection: Projection) -> Rows:
    rows = {
        "epochs": projection.epochs,
        "distance from the plane": projection.distance,
        "true loss": projection.true_loss,
        "loss on the plane": projection.projected_loss,
    }
    rows = {name: _extent(values) for name, values in rows.items() if values is not None}
    if projection.lr_drops is not None and projection.lr_drops.size:
        rows["learning rate drops"] = (
            f"at {count(projection.lr_drops.size, 'epoch').partition(' ')[2]} {', '.join(f'{epoch:g}' for epoch in projection.lr_drops)}"
        )
    if projection.shares is not None:
        rows["variance along x, y"] = ", ".join(f"{100 * share:.2f} %" for share in projection.shares)
    return rows


def _misleading(projection: Projection) -> list[str]:
    """The checkpoint whose loss differs most from that of its place on the plane, if much."""
    if projection.true_loss is None or projection.projected_loss is None:
        return []
    with np.errstate(all="ignore"):
        apart = np.abs(projection.projected_loss - projection.true_loss) / np.abs(projection.true_loss)
    if not np.isfinite(apart).any() or np.nanmax(np.where(np.isinf(apart), np.nan, apart)) < APART:
        return []
    at = int(np.nanargmax(np.where(np.isinf(apart), np.nan, apart)))
    which = (
        f"of epoch {projection.epochs[at]:g}"
        if projection.epochs is not None
        else f"{at + 1} of {projection.x.size}"
    )
    return [
        f"the checkpoint {which} has loss {projection.true_loss[at]:.4g}, and its place on the plane {projection.projected_loss[at]:.4g}: the path leaves the plane"
    ]


def _extent(values: np.ndarray) -> str:
    values = values[np.isfinite(values)]
    return f"from {values.min():g} to {values.max():g}" if values.size else "no finite value"


DESCRIBE: dict[str, Callable[[str, set[str]], list[str]]] = {
    "xcoordinates": surface_report.describe,
    "proj_xcoord": _projection,
    "xdirection": _directions,
}
