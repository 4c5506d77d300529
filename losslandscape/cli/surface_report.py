"""What is in a surface file, and what a careful reader would conclude: how to go on with one that is not complete, whether the nets it was made
with are still there, where its values are no numbers.
"""

import os
import platform
import re
import shlex
from itertools import groupby
from typing import Any

import numpy as np

from losslandscape.cli.report_text import OURS, author, count, place, section, table
from losslandscape.core.errors import InputError
from losslandscape.core.provenance import Facts, fingerprint_of_arrays, fingerprint_of_file
from losslandscape.files import h5_util
from losslandscape.files.h5_util import Surface

AXIS_OF = {
    "model_file2": "x direction",
    "model_file3": "y direction",
}  # where a direction file has the fingerprint of the net it points to
NEEDED = {
    "^test_": "--test_set",
    "_se$": "--errors",
    "^(min|max)_eig": "plot_hessian_eigen",
}  # what of a command measures quantities of such names
NOT_VERSIONS = ("command", "time", "host", "device", "ranks", "files", "check_report")
MOST_STRETCHES = 4  # of a line without values, told one by one
UNCHANGED, CHANGED, GONE, UNREADABLE, UNKNOWN = (
    "unchanged",
    "another one now",
    "gone",
    "cannot be read",
    "not checked",
)

Run = dict[str, Any]


def describe(path: str, names: set[str]) -> list[str]:
    """The report of a surface file that has datasets of these names, line by line."""
    surface = h5_util.read_surface(path)
    ours = bool(names & OURS)
    runs = [run for run in surface.runs if isinstance(run, dict)]
    dir_file = _find_directions(surface)
    dir_state = _state_of_directions(dir_file, surface)
    dir_facts = h5_util.read_made_with(dir_file, "direction") if dir_state == UNCHANGED else {}
    nets = _nets(runs, {**dir_facts, **surface.made_with})
    changes = [*_changed_nets(nets, runs), *_changed_directions(dir_file, dir_state)]
    grid = ", ".join(
        f"{axis} {axis_values[0]:g}:{axis_values[-1]:g}:{len(axis_values)}"
        for axis, axis_values in _axes(surface).items()
    )
    where = f"{dir_file or surface.dir_file or 'not named'} ({dir_state})"
    return [
        f"{path}: a surface {'on a line' if surface.y is None else 'in a plane'}, {author(names)}",
        *table(
            {"grid": grid, "directions": where, **{name: _quantity(surface, name) for name in surface.names}}
        ),
        *section("made with", table({**dir_facts, **surface.made_with})),
        *section(
            "nets at the last run", table({flag: f"{file} ({state})" for flag, (file, state) in nets.items()})
        ),
        *section("runs", _run_lines(runs)),
        *section("checked at the last run that measured", _checked(runs)),
        *section(
            "conclusions",
            [*_progress(surface, runs, ours), *changes, *_holes(surface), *_curved_down(surface)],
        ),
    ]


def _axes(surface: Surface) -> dict[str, np.ndarray]:
    return {"x": surface.x} if surface.y is None else {"x": surface.x, "y": surface.y}


def _quantity(surface: Surface, name: str) -> str:
    """Range and share of what has been measured of a quantity."""
    values, measured = surface.get(name), surface.measured(name)
    finite, done = np.isfinite(values), int(np.count_nonzero(measured))
    parts = [f"{done} of {count(measured.size, 'point')} ({100 * done // measured.size} %)"]
    for word, choose in (("lowest", np.nanargmin), ("highest", np.nanargmax)) if finite.any() else ():
        index = int(choose(np.where(finite, values, np.nan)))
        parts.append(f"{word} {values.flat[index]:.6g} at {place(surface.point(index))}")
    for word, lost in _lost(surface, name).items():
        parts.append(f"{np.count_nonzero(lost)} {word}")
    return ", ".join(parts)


def _lost(surface: Surface, name: str) -> dict[str, np.ndarray]:
    """Where results of a quantity are NaN, and where infinite; only those of the two that there are."""
    values = surface.get(name)
    masks = {"NaN": np.isnan(values) & surface.measured(name), "infinite": np.isinf(values)}
    return {word: mask for word, mask in masks.items() if mask.any()}


def _checked(runs: list[Run]) -> list[str]:
    """The check report of the last run that has one: its facts and warnings."""
    reports = [report for run in runs if isinstance(report := run.get("check_report"), dict)]
    if not reports:
        return []
    lines, warnings = (
        [str(line) for line in found] if isinstance(found := reports[-1].get(word), list) else []
        for word in ("lines", "warnings")
    )
    return [*lines, *(f"warning: {warning}" for warning in warnings)]


def _curved_down(surface: Surface) -> list[str]:
    """Where the Hessian's smallest eigenvalue is negative."""
    if "min_eig" not in surface.names:
        return []
    values = surface.get("min_eig")
    known = values[~np.isnan(values)]
    return (
        [
            f"min_eig is negative at {np.count_nonzero(known < 0)} of {count(known.size, 'point')}: the loss curves down there in some direction"
        ]
        if (known < 0).any()
        else []
    )


def _holes(surface: Surface) -> list[str]:
    """Where values are NaN or infinite; quantities that are so at the same points share a sentence."""
    names_of: dict[tuple[str, bytes], list[str]] = {}
    for name in surface.names:
        for word, mask in _lost(surface, name).items():
            names_of.setdefault((word, mask.tobytes()), []).append(name)
    states = surface.made_with.get("dir_type") == "states"
    hint = (
        "; along --dir_type states the usual cause is a running variance that is negative there"
        if states
        else ""
    )
    return [
        f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} {word} {_region(surface, np.frombuffer(mask, bool).reshape(surface.shape))}"
        f"{hint if word == 'NaN' else ''}"
        for (word, mask), names in names_of.items()
    ]


def _region(surface: Surface, mask: np.ndarray) -> str:
    """Where a mask is set, in coordinates: on a line the stretches, if they are few; else the box around it, and whether that is full."""
    indices = mask.nonzero()
    stretches = np.split(indices[0], np.flatnonzero(np.diff(indices[0]) > 1) + 1)
    if mask.ndim == 1 and len(stretches) <= MOST_STRETCHES:
        return f"at {' and '.join(_span('x', surface.x, stretch) for stretch in stretches)}"
    sides = zip(
        _axes(surface).items(), reversed(indices), strict=True
    )  # the last index of an array runs along x
    text = ", ".join(_span(axis, values, numbers) for (axis, values), numbers in sides)
    box = mask[tuple(slice(numbers.min(), numbers.max() + 1) for numbers in indices)]
    if box.size == 1:
        return f"at {text}"
    return (
        f"at {'every point' if box.all() else f'{np.count_nonzero(mask)} of {box.size} points'} with {text}"
    )


def _span(axis: str, values: np.ndarray, numbers: np.ndarray) -> str:
    first, last = values[numbers.min()], values[numbers.max()]
    return f"{axis}={first:g}" if numbers.min() == numbers.max() else f"{axis} from {first:g} to {last:g}"


def _progress(surface: Surface, runs: list[Run], ours: bool) -> list[str]:
    """Whether all is measured, and if not, how to go on."""
    lines = (
        [f"a run writes it now, or was killed: {surface.path}.running is there"]
        if os.path.lexists(f"{surface.path}.running")
        else []
    )
    lines += (
        []
        if ours
        else [
            "of the published program's marks, -1 (1 for min_eig) is read as not computed; every other value is a result"
        ]
    )
    partly = [name for name in surface.names if not surface.measured(name).all()]
    if surface.names and not partly:
        return [*lines, "every point is computed"]
    left = (
        len(surface.missing(surface.names))
        if surface.names
        else surface.x.size * (1 if surface.y is None else surface.y.size)
    )
    command = _command_to_go_on(runs, partly)
    script = "plot_hessian_eigen.py" if "min_eig" in partly else "plot_surface.py"
    how = "by this command:" if command else f"with the options of {script} that it was made with"
    lines.append(f"{count(left, 'point')} still to be computed; go on {how}")
    lines += [f"      {command}"] if command else []
    if re.search(r"\.old\d*$", surface.path):
        lines.append(
            "it was kept aside when a run with --overwrite began anew; rename it before going on with it"
        )
    return lines


def _command_to_go_on(runs: list[Run], partly: list[str]) -> str:
    """The last command, of those that measure the quantities that are there in part, without --overwrite; empty if none is known."""
    commands = [
        (_words(run["command"]), run.get("ranks"))
        for run in reversed(runs)
        if isinstance(run.get("command"), str)
    ]
    needed = {word for name in partly for mark, word in NEEDED.items() if re.search(mark, name)}
    fitting = [known for known in commands if needed <= set(map(_stem, known[0]))] or commands
    if not fitting:
        return ""
    words, ranks = fitting[0]
    launcher = ["mpirun", "-n", str(ranks)] if isinstance(ranks, int) and ranks > 1 else []
    return shlex.join([*launcher, *(word for word in words if word != "--overwrite")])


def _stem(word: str) -> str:
    """A script's name without folder and ending; an option as it is."""
    return os.path.basename(word).removesuffix(".py")


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # not written by us: a quotation mark is left open
        return command.split()


def _nets(runs: list[Run], facts: Facts) -> dict[str, tuple[str, str]]:
    """The checkpoints of the last run by flag: path, and how the file there compares with the one that the surface was made with."""
    files = runs[-1].get("files") if runs else None
    files = files if isinstance(files, dict) else {}
    expected = {
        flag: facts.get(axis, "").removeprefix("to ")
        for flag, axis in AXIS_OF.items()
        if str(facts.get(axis)).startswith("to ")
    }
    return {
        str(flag): (str(file), _state(str(file), facts.get(flag) or expected.get(flag)))
        for flag, file in files.items()
    }


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
    elsewhere = (
        f" (the last run was on {host}, this is {platform.node()})"
        if host and host != platform.node()
        else ""
    )
    says = {
        GONE: f"is not there any more{elsewhere}",
        CHANGED: "is another checkpoint than the one that this was made with: trained anew since, or overwritten; "
        "a run will not go on with this file",
        UNREADABLE: "cannot be read, so whether it is still the same is not known",
    }
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
        directions = h5_util.read_directions(dir_file)[: len(surface.shape)]
    except InputError:
        return UNREADABLE
    return (
        UNCHANGED
        if fingerprint_of_arrays(tensor for direction in directions for tensor in direction) == expected
        else CHANGED
    )


def _changed_directions(dir_file: str, state: str) -> list[str]:
    return (
        [f"{dir_file} holds other directions than those that this was made with"] if state == CHANGED else []
    )


def _run_lines(runs: list[Run]) -> list[str]:
    """Command, time, place and versions of each run; runs in a row that differ in time alone share their lines."""
    lines = []
    for (command, circumstances), group in groupby(
        runs, key=lambda run: (str(run.get("command", "command not known")), _circumstances(run))
    ):
        times = [str(run.get("time", "time not known")) for run in group]
        when = times[0] if len(times) == 1 else f"{len(times)} runs, {times[0]} to {times[-1]}"
        lines += [f"  {command}", f"      {when}{', ' if circumstances else ''}{circumstances}"]
    return lines


def _circumstances(run: Run) -> str:
    """Where a run was and with what: device and host as they are, the rest with its name."""
    bare = [str(run[name]) for name in ("host", "device") if run.get(name)]
    counted = [count(run["ranks"], "rank")] if run.get("ranks") else []
    return ", ".join(
        [*bare, *counted, *(f"{name} {value}" for name, value in run.items() if name not in NOT_VERSIONS)]
    )
