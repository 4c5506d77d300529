"""What is in this file? `python h5_util.py FILE…` tells it of surfaces, directions and projections, ours or the published program's.

First what the file says (grid, quantities, what made it), then what a careful reader would conclude: how to go on with a surface
that is not complete, whether the nets it was made with are still there, where its values are no numbers.
"""
import os
import platform
import re
import shlex
from collections.abc import Callable
from itertools import groupby
from typing import Any

import numpy as np

import h5_util
from command_line import Parser, sentence
from errors import InputError
from h5_util import Surface
from provenance import Facts, fingerprint_of_arrays, fingerprint_of_file

KINDS = "surface, direction or projection"
OURS = {"measured", "made_with"}  # datasets that the published program does not write
AXIS_OF = {"model_file2": "x direction", "model_file3": "y direction"}  # where a direction file has the fingerprint of the net it points to
MOST_STRETCHES = 4  # of a line without values, told one by one
OBLIQUE = 0.1  # a cosine that random directions of so many weights do not come near
UNCHANGED, CHANGED, GONE, UNREADABLE, UNKNOWN = "unchanged", "another one now", "gone", "cannot be read", "not checked"

Rows = dict[str, str]
Run = dict[str, Any]


def main(argv: list[str] | None = None) -> None:
    parser = Parser("Tell what is in HDF5 files of this program or of the published one, what made them, and how to go on with them.")
    parser.add_argument("files", nargs="+", metavar="FILE", help="surface, direction or projection file")
    refused = []
    for path in parser.parse_args(argv).files:
        try:
            text = report(path)
        except (InputError, OSError) as error:
            refused.append(error)
        else:
            print(f"{text}\n")
    with sentence(parser):
        if refused:
            raise refused[0]


def report(path: str) -> str:
    """What a file holds and what follows from it, as text of several lines. Raises `InputError` if it is none of ours."""
    names = h5_util.names(path, KINDS)
    for mark, describe in DESCRIBE.items():
        if mark in names:
            return "\n".join(_printable(line) for line in describe(path, names))
    raise InputError(f"{path!r} is an HDF5 file, but no {KINDS} file: it has none of {', '.join(map(repr, DESCRIBE))}")


def _printable(line: str) -> str:
    """Texts of a file may hold anything, and a terminal obeys some of it."""
    return "".join(character if character.isprintable() else "?" for character in line)


# Surfaces -----------------------------------------------------------------------------------------------------------------

def _surface(path: str, names: set[str]) -> list[str]:
    surface = h5_util.read_surface(path)
    ours = bool(names & OURS)
    runs = [run for run in surface.runs if isinstance(run, dict)]
    dir_file = _find_directions(surface)
    dir_state = _state_of_directions(dir_file, surface)
    dir_facts = h5_util.read_made_with(dir_file, "direction") if dir_state == UNCHANGED else {}
    nets = _nets(runs, {**dir_facts, **surface.made_with})
    changes = [*_changed_nets(nets, runs), *_changed_directions(dir_file, dir_state)]
    grid = ", ".join(f"{axis} {axis_values[0]:g}:{axis_values[-1]:g}:{len(axis_values)}" for axis, axis_values in _axes(surface).items())
    where = f"{dir_file or surface.dir_file or 'not named'} ({dir_state})"
    return [
        f"{path}: a surface {'on a line' if surface.y is None else 'in a plane'}, {_author(ours)}",
        *_table({"grid": grid, "directions": where, **{name: _quantity(surface, name) for name in surface.names}}),
        *_section("made with", _table({**dir_facts, **surface.made_with})),
        *_section("nets at the last run", _table({flag: f"{file} ({state})" for flag, (file, state) in nets.items()})),
        *_section("runs", _run_lines(runs)),
        *_section("conclusions", [*_progress(surface, runs, ours), *changes, *_holes(surface)]),
    ]


def _author(ours: bool) -> str:
    return "made by this program" if ours else "made by the published program"


def _axes(surface: Surface) -> dict[str, np.ndarray]:
    return {"x": surface.x} if surface.y is None else {"x": surface.x, "y": surface.y}


def _quantity(surface: Surface, name: str) -> str:
    """Range and share of what has been measured of a quantity."""
    values, measured = surface.get(name), surface.measured(name)
    finite, done = np.isfinite(values), int(np.count_nonzero(measured))
    parts = [f"{done} of {_count(measured.size, 'point')} ({100 * done // measured.size} %)"]
    for word, choose in (("lowest", np.nanargmin), ("highest", np.nanargmax)) if finite.any() else ():
        index = int(choose(np.where(finite, values, np.nan)))
        parts.append(f"{word} {values.flat[index]:.6g} at {_place(surface.point(index))}")
    for word, lost in _lost(surface, name).items():
        parts.append(f"{np.count_nonzero(lost)} {word}")
    return ", ".join(parts)


def _place(point: tuple[float, ...]) -> str:
    return " ".join(f"{axis}={coordinate:g}" for axis, coordinate in zip("xy", point, strict=False))


def _lost(surface: Surface, name: str) -> dict[str, np.ndarray]:
    """Where results of a quantity are NaN, and where infinite; only those of the two that there are."""
    values = surface.get(name)
    masks = {"NaN": np.isnan(values) & surface.measured(name), "infinite": np.isinf(values)}
    return {word: mask for word, mask in masks.items() if mask.any()}


def _holes(surface: Surface) -> list[str]:
    """Where values are NaN or infinite; quantities that are so at the same points share a sentence."""
    names_of: dict[tuple[str, bytes], list[str]] = {}
    for name in surface.names:
        for word, mask in _lost(surface, name).items():
            names_of.setdefault((word, mask.tobytes()), []).append(name)
    states = surface.made_with.get("dir_type") == "states"
    hint = "; along --dir_type states the usual cause is a running variance that is negative there" if states else ""
    return [f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} {word} {_region(surface, np.frombuffer(mask, bool).reshape(surface.shape))}"
            f"{hint if word == 'NaN' else ''}" for (word, mask), names in names_of.items()]


def _region(surface: Surface, mask: np.ndarray) -> str:
    """Where a mask is set, in coordinates: on a line the stretches, if they are few; else the box around it, and whether that is full."""
    indices = mask.nonzero()
    stretches = np.split(indices[0], np.flatnonzero(np.diff(indices[0]) > 1) + 1)
    if mask.ndim == 1 and len(stretches) <= MOST_STRETCHES:
        return f"at {' and '.join(_span('x', surface.x, stretch) for stretch in stretches)}"
    sides = zip(_axes(surface).items(), reversed(indices), strict=True)  # the last index of an array runs along x
    text = ", ".join(_span(axis, values, numbers) for (axis, values), numbers in sides)
    box = mask[tuple(slice(numbers.min(), numbers.max() + 1) for numbers in indices)]
    if box.size == 1:
        return f"at {text}"
    return f"at {'every point' if box.all() else f'{np.count_nonzero(mask)} of {box.size} points'} with {text}"


def _span(axis: str, values: np.ndarray, numbers: np.ndarray) -> str:
    first, last = values[numbers.min()], values[numbers.max()]
    return f"{axis}={first:g}" if numbers.min() == numbers.max() else f"{axis} from {first:g} to {last:g}"


def _progress(surface: Surface, runs: list[Run], ours: bool) -> list[str]:
    """Whether all is measured, and if not, how to go on."""
    lines = [f"a run writes it now, or was killed: {surface.path}.running is there"] if os.path.lexists(f"{surface.path}.running") else []
    lines += [] if ours else ["of the published program's marks, -1 (1 for min_eig) is read as not computed; every other value is a result"]
    partly = [name for name in surface.names if not surface.measured(name).all()]
    if surface.names and not partly:
        return [*lines, "every point is computed"]
    left = len(surface.missing(surface.names)) if surface.names else surface.x.size * (1 if surface.y is None else surface.y.size)
    command = _command_to_go_on(runs, [name for name in partly if name.startswith("test_")])
    how = "by this command:" if command else "with the options of plot_surface.py that it was made with"
    lines.append(f"{_count(left, 'point')} still to be computed; go on {how}")
    lines += [f"      {command}"] if command else []
    if re.search(r"\.old\d*$", surface.path):
        lines.append("it was kept aside when a run with --overwrite began anew; rename it before going on with it")
    return lines


def _command_to_go_on(runs: list[Run], test_names: list[str]) -> str:
    """The last command, of those that measure the test set if values of that are missing, without --overwrite; empty if none is known."""
    commands = [(_words(run["command"]), run.get("ranks")) for run in reversed(runs) if isinstance(run.get("command"), str)]
    fitting = [known for known in commands if not test_names or "--test_set" in known[0]] or commands
    if not fitting:
        return ""
    words, ranks = fitting[0]
    launcher = ["mpirun", "-n", str(ranks)] if isinstance(ranks, int) and ranks > 1 else []
    return shlex.join([*launcher, *(word for word in words if word != "--overwrite")])


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # not written by us: a quotation mark is left open
        return command.split()


def _nets(runs: list[Run], facts: Facts) -> dict[str, tuple[str, str]]:
    """The checkpoints of the last run by flag: path, and how the file there compares with the one that the surface was made with."""
    files = runs[-1].get("files") if runs else None
    files = files if isinstance(files, dict) else {}
    expected = {flag: facts.get(axis, "").removeprefix("to ") for flag, axis in AXIS_OF.items() if str(facts.get(axis)).startswith("to ")}
    return {str(flag): (str(file), _state(str(file), facts.get(flag) or expected.get(flag))) for flag, file in files.items()}


def _state(file: str, fingerprint: str | None) -> str:
    if not os.path.isfile(file):
        return GONE
    if not fingerprint:
        return UNKNOWN
    try:
        return UNCHANGED if fingerprint_of_file(file) == fingerprint else CHANGED
    except OSError:
        return UNREADABLE


def _changed_nets(nets: dict[str, tuple[str, str]], runs: list[Run]) -> list[str]:
    host = runs[-1].get("host") if runs else None
    elsewhere = f" (the last run was on {host}, this is {platform.node()})" if host and host != platform.node() else ""
    says = {GONE: f"is not there any more{elsewhere}",
            CHANGED: "is another checkpoint than the one that this was made with: trained anew since, or overwritten; "
                     "a run will not go on with this file",
            UNREADABLE: "cannot be read, so whether it is still the same is not known"}
    return [f"--{flag} {file} {says[state]}" for flag, (file, state) in nets.items() if state in says]


def _find_directions(surface: Surface) -> str:
    """The direction file of a surface, where it was or beside it; empty if it is at neither."""
    beside = os.path.join(os.path.dirname(surface.path), os.path.basename(surface.dir_file))
    return next((path for path in (surface.dir_file, beside) if path and os.path.isfile(path)), "")


def _state_of_directions(dir_file: str, surface: Surface) -> str:
    """How a direction file, as far as the surface has axes, compares with the one that the surface was made with."""
    expected = surface.made_with.get("directions")
    if not dir_file or not expected:
        return UNKNOWN if dir_file else GONE
    try:
        directions = h5_util.read_directions(dir_file)[:len(surface.shape)]
    except InputError:
        return UNREADABLE
    return UNCHANGED if fingerprint_of_arrays(tensor for direction in directions for tensor in direction) == expected else CHANGED


def _changed_directions(dir_file: str, state: str) -> list[str]:
    return [f"{dir_file} holds other directions than those that this was made with"] if state == CHANGED else []


# Directions ---------------------------------------------------------------------------------------------------------------

def _directions(path: str, names: set[str]) -> list[str]:
    directions = dict(zip("xy", h5_util.read_directions(path), strict=False))
    shares = h5_util.read_explained_variance(path)
    rows = {axis: _size(direction) for axis, direction in directions.items()}
    cosine = _cosine(*directions.values()) if len(directions) == 2 else None
    if cosine is not None:
        rows["cosine of x and y"] = f"{cosine:.6f}"
    if shares is not None:
        rows["explained variance"] = f"{', '.join(f'{100 * share:.2f} %' for share in shares.flat)}; together {100 * shares.sum():.2f} %"
    kind = "a PCA direction file" if shares is not None else "a direction file"
    return [
        f"{path}: {kind} with {'one direction' if len(directions) == 1 else 'two directions'}, {_author(bool(names & OURS))}",
        *_table(rows),
        *_section("made with", _table(h5_util.read_made_with(path, "direction"))),
        *_section("conclusions", [*_odd_directions(directions), *_odd_angle(directions, cosine)]),
    ]


def _size(direction: list[np.ndarray]) -> str:
    zero = sum(not tensor.any() for tensor in direction)
    tensors = f"{_count(len(direction), 'tensor')}{f' ({zero} zero)' if zero else ''}"
    return f"{tensors}, {_count(sum(tensor.size for tensor in direction), 'value')}, norm {_norm(direction):.6g}"


def _dot(a: list[np.ndarray], b: list[np.ndarray]) -> float:
    with np.errstate(all="ignore"):
        return sum(float(np.vdot(np.asarray(one, float), np.asarray(other, float))) for one, other in zip(a, b, strict=True))


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
            lines.append(f"{axis} holds {lost} values that are NaN or infinite, and so does a net that is moved along it")
        elif not any(tensor.any() for tensor in direction):
            lines.append(f"{axis} is zero: nothing moves along it")
    return lines


def _odd_angle(directions: dict[str, list[np.ndarray]], cosine: float | None) -> list[str]:
    if len({tuple(tensor.shape for tensor in direction) for direction in map(tuple, directions.values())}) > 1:
        return ["x and y are of different shapes: they are not for one net"]
    if cosine is None or abs(cosine) < OBLIQUE:
        return []
    if abs(cosine) > 1 - 1e-6:
        return ["x and y are parallel: the plane is a line"]
    return [f"x and y are at an angle of {np.degrees(np.arccos(cosine)):.0f} degrees, which plots draw as 90"]


# Projections --------------------------------------------------------------------------------------------------------------

def _projection(path: str, names: set[str]) -> list[str]:
    x, y = h5_util.read_projection(path)
    lost = int(np.count_nonzero(~np.isfinite(x) | ~np.isfinite(y)))
    return [
        f"{path}: the projection of a trajectory of {_count(x.size, 'checkpoint')}, {_author(bool(names & OURS))}",
        *_table({"x": _extent(x), "y": _extent(y), "first": _place((x[0], y[0])), "last": _place((x[-1], y[-1]))}),
        *_section("made with", _table(h5_util.read_made_with(path, "projection"))),
        *_section("conclusions", [f"{lost} of {x.size} checkpoints have no place: NaN or infinite"] if lost else []),
    ]


def _extent(values: np.ndarray) -> str:
    values = values[np.isfinite(values)]
    return f"from {values.min():g} to {values.max():g}" if values.size else "no finite value"


# Text ---------------------------------------------------------------------------------------------------------------------

def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _table(rows: Rows) -> list[str]:
    width = max(map(len, rows), default=0)
    return [f"  {name:{width}}  {value}" for name, value in rows.items()]


def _section(title: str, lines: list[str]) -> list[str]:
    """Lines under a title; nothing if there are none."""
    return [title, *(line if line.startswith("  ") else f"  - {line}" for line in lines)] if lines else []


def _run_lines(runs: list[Run]) -> list[str]:
    """Command, time, place and versions of each run; runs in a row that differ in time alone share their lines."""
    lines = []
    for (command, circumstances), group in groupby(runs, key=lambda run: (str(run.get("command", "command not known")), _circumstances(run))):
        times = [str(run.get("time", "time not known")) for run in group]
        when = times[0] if len(times) == 1 else f"{len(times)} runs, {times[0]} to {times[-1]}"
        lines += [f"  {command}", f"      {when}{', ' if circumstances else ''}{circumstances}"]
    return lines


def _circumstances(run: Run) -> str:
    """Where a run was and with what: device and host as they are, the rest with its name."""
    bare = [str(run[name]) for name in ("host", "device") if run.get(name)]
    counted = [_count(run["ranks"], "rank")] if run.get("ranks") else []
    return ", ".join([*bare, *counted, *(f"{name} {value}" for name, value in run.items() if name not in NOT_VERSIONS)])


NOT_VERSIONS = ("command", "time", "host", "device", "ranks", "files")
DESCRIBE: dict[str, Callable[[str, set[str]], list[str]]] = {"xcoordinates": _surface, "proj_xcoord": _projection, "xdirection": _directions}
