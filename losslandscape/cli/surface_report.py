"""Reports what a surface file holds, how to resume it, and where its values are NaN or infinite."""

import os
import re

import numpy as np

from losslandscape.cli import surface_origin, surface_runs
from losslandscape.cli.file_report import OURS, FileReport, author, count, place
from losslandscape.files import h5_util
from losslandscape.files.surface import Surface

MAX_INTERVALS = 4  # of NaN or infinite values on a line; if there are more, only their common extent is given


def describe(path: str, names: set[str]) -> FileReport:
    """Return the report on a surface file; `names` are the names of its HDF5 datasets."""
    surface = h5_util.read_surface(path)
    runs = [run for run in surface.runs if isinstance(run, dict)]
    last = runs[-1] if runs else {}
    dir_file, dir_state = surface_origin.find_directions(surface)
    made_with = dict(surface.made_with)
    if dir_state == surface_origin.UNCHANGED:  # else the file may describe other directions
        made_with = {**h5_util.read_made_with(dir_file, "direction"), **made_with}
    nets = surface_origin.nets(last, made_with)
    return FileReport(
        f"{path}: a surface {'on a line' if surface.y is None else 'in a plane'}, {author(names)}",
        {
            "grid": _grid(surface),
            "directions": f"{dir_file or surface.dir_file or 'not named'} ({dir_state})",
            **{name: _quantity(surface, name) for name in surface.names},
        },
        {
            "made with": made_with,
            "nets at the last run": {flag: f"{file} ({state})" for flag, (file, state) in nets.items()},
            "runs": surface_runs.lines(runs),
            "checked at the last run that measured": surface_runs.checks(runs),
            "conclusions": [
                *_lock(surface),
                *_marks(names),
                *_progress(surface, runs),
                *surface_origin.changed_nets(nets, last),
                *surface_origin.changed_directions(dir_file, dir_state),
                *_holes(surface),
                *_negative_curvature(surface),
            ],
        },
    )


def _axes(surface: Surface) -> dict[str, np.ndarray]:
    return {"x": surface.x} if surface.y is None else {"x": surface.x, "y": surface.y}


def _grid(surface: Surface) -> str:
    axes = _axes(surface).items()
    return ", ".join(f"{axis} {values[0]:g}:{values[-1]:g}:{len(values)}" for axis, values in axes)


def _quantity(surface: Surface, name: str) -> str:
    """Return the share of points measured, the lowest and highest value, and how many are not finite."""
    values, measured = surface.get(name), surface.measured(name)
    done = int(np.count_nonzero(measured))
    parts = [f"{done} of {count(measured.size, 'point')} ({100 * done // measured.size} %)"]
    finite = np.where(np.isfinite(values), values, np.nan)
    if not np.isnan(finite).all():
        for word, index in (("lowest", np.nanargmin(finite)), ("highest", np.nanargmax(finite))):
            parts.append(f"{word} {values.flat[index]:.6g} at {place(surface.point(int(index)))}")
    parts += [f"{np.count_nonzero(mask)} {word}" for word, mask in _not_finite(surface, name).items()]
    return ", ".join(parts)


def _not_finite(surface: Surface, name: str) -> dict[str, np.ndarray]:
    """Return a mask of the NaN results and one of the infinite results, without those that are all false."""
    values = surface.get(name)
    masks = {"NaN": np.isnan(values) & surface.measured(name), "infinite": np.isinf(values)}
    return {word: mask for word, mask in masks.items() if mask.any()}


# Conclusions ------------------------------------------------------------------------------------------------


def _lock(surface: Surface) -> list[str]:
    lock_file = f"{surface.path}.running"
    if not os.path.lexists(lock_file):
        return []
    return [f"a run is writing this file now, or was killed: its lock file {lock_file} exists"]


def _marks(names: set[str]) -> list[str]:
    """Return a sentence on how the published program marks values that are not computed."""
    if names & OURS:
        return []
    return [
        "the published program writes -1 (1 for min_eig) where a value is not computed; "
        "every other value counts as a result"
    ]


def _progress(surface: Surface, runs: list[surface_runs.Run]) -> list[str]:
    """Return the number of missing points and how to resume, or that every point is computed."""
    names = surface.names
    incomplete = [name for name in names if not surface.measured(name).all()]
    if names and not incomplete:
        return ["every point is computed"]
    left = len(surface.missing(names)) if names else surface.size
    if set(incomplete) <= set(h5_util.as_surface(surface).interpolated) and names:
        return [
            f"every point that --refine needs is computed, and figures interpolate the other {left}; "
            "the same command without --refine computes them"
        ]
    command = surface_runs.command_to_resume(runs, incomplete)
    script = "plot_hessian_eigen.py" if "min_eig" in incomplete else "plot_surface.py"
    how = "with this command:" if command else f"by running {script} with the same options as before"
    lines = [f"{count(left, 'point')} still to be computed; resume {how}"]
    if command:
        lines.append(f"      {command}")
    if re.search(r"\.old\d*$", surface.path):
        lines.append(
            "this file was kept aside when a run with --overwrite began a new one; rename it to resume it"
        )
    return lines


def _holes(surface: Surface) -> list[str]:
    """Return sentences on where values are NaN or infinite; quantities with equal masks share a sentence."""
    names_by_mask: dict[tuple[str, bytes], list[str]] = {}
    for name in surface.names:
        for word, mask in _not_finite(surface, name).items():
            names_by_mask.setdefault((word, mask.tobytes()), []).append(name)
    states = surface.made_with.get("dir_type") == "states"
    lines = []
    for (word, content), names in names_by_mask.items():
        mask = np.frombuffer(content, bool).reshape(surface.shape)
        verb = "is" if len(names) == 1 else "are"
        line = f"{' and '.join(names)} {verb} {word} {_region(surface, mask)}"
        if states and word == "NaN":
            line += "; along --dir_type states the usual cause is a running variance that is negative there"
        lines.append(line)
    return lines


def _region(surface: Surface, mask: np.ndarray) -> str:
    """Return in words where a mask is true: the intervals of a line if they are few, else a bounding box."""
    indices = mask.nonzero()
    if mask.ndim == 1:
        intervals = np.split(indices[0], np.flatnonzero(np.diff(indices[0]) > 1) + 1)
        if len(intervals) <= MAX_INTERVALS:
            return f"at {' and '.join(_span('x', surface.x, interval) for interval in intervals)}"
    along = dict(zip(_axes(surface), reversed(indices), strict=True))  # the last index runs along x
    sides = ", ".join(_span(axis, values, along[axis]) for axis, values in _axes(surface).items())
    box = mask[tuple(slice(along_axis.min(), along_axis.max() + 1) for along_axis in indices)]
    if box.size == 1:
        return f"at {sides}"
    share = "every point" if box.all() else f"{np.count_nonzero(mask)} of {box.size} points"
    return f"at {share} with {sides}"


def _span(axis: str, values: np.ndarray, indices: np.ndarray) -> str:
    first, last = values[indices.min()], values[indices.max()]
    return f"{axis}={first:g}" if indices.min() == indices.max() else f"{axis} from {first:g} to {last:g}"


def _negative_curvature(surface: Surface) -> list[str]:
    """Return a sentence if the Hessian's smallest eigenvalue is negative somewhere."""
    if "min_eig" not in surface.names:
        return []
    values = surface.get("min_eig")
    known = values[~np.isnan(values)]
    negative = np.count_nonzero(known < 0)
    if not negative:
        return []
    points = count(known.size, "point")
    return [f"min_eig is negative at {negative} of {points}: the loss curves down there in some direction"]
