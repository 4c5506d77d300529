"""Reads the paths of one training, or of several in one plane."""

from collections.abc import Sequence

import numpy as np

from losslandscape.core.errors import InputError
from losslandscape.core.provenance import require_same
from losslandscape.draw.drawable import finite
from losslandscape.files import h5_util
from losslandscape.files.projection import Projection
from losslandscape.files.training_order import differing_parts

# The colours of the paths. None is that of the marks where the learning rate falls.
COLOURS = ("tab:red", "tab:blue", "tab:green", "tab:purple", "tab:brown", "tab:pink", "black", "tab:cyan")


def listed(proj_file: str | Sequence[str]) -> list[str]:
    """Return projection files as a list, empty without one."""
    return [proj_file] * bool(proj_file) if isinstance(proj_file, str) else list(proj_file)


def stem(proj_file: str | Sequence[str]) -> str:
    """Return the beginning of the names of figures of projection files."""
    files = listed(proj_file)
    return files[0] if len(files) == 1 else f"{files[0]}_compared"


def read_projection(proj_file: str) -> Projection:
    """Read a projection; raise `InputError` if a coordinate is NaN or infinite."""
    projection = h5_util.read_projection(proj_file)
    lost = np.isnan(finite([projection.x, projection.y])).any(axis=0)
    if lost.any():
        count = f"{np.count_nonzero(lost)} of {lost.size} checkpoints"
        raise InputError(f"{proj_file}: {count} have no place, NaN or infinite", "project the training again")
    return projection


def read_paths(proj_file: str | Sequence[str]) -> list[Projection]:
    """Read the paths of several trainings, as `read_projection`, and check that they lie in one plane.

    Raises:
        InputError: a coordinate is not finite, or paths do not fit together (`require_together`).
    """
    paths = list(map(read_projection, listed(proj_file)))
    require_together(paths)
    return paths


def require_together(paths: Sequence[Projection]) -> None:
    """Raise `InputError` if the facts of paths show different planes, or there are too many to tell apart."""
    if len(paths) > len(COLOURS):
        raise InputError(
            f"{len(paths)} paths are more than there are colours", f"give up to {len(COLOURS)} {{proj_file}}"
        )
    advice = "give projections that one run of plot_trajectory.py wrote"
    has_plane = all(path.made_with.get("method") != "tsne" for path in paths)
    compared = ("directions", "origin") if has_plane else ("method", "checkpoints")
    for path in paths[1:]:
        facts = {fact: value for fact, value in paths[0].made_with.items() if fact in compared}
        require_same(path.path, path.made_with, facts, advice)


def names(paths: Sequence[Projection]) -> list[str]:
    """Return a different name for each path: that of its training, or else of its file."""
    given = [path.name for path in paths]
    return (
        given
        if all(given) and len(set(given)) == len(given)
        else differing_parts([path.path for path in paths])
    )


def titles(paths: Sequence[Projection]) -> list[str]:
    """Return the title of each moment: all epochs of the paths, or numbers of checkpoints without epochs.

    Raises:
        InputError: the numbers of some paths are epochs, and of others steps or unknown.
    """
    moments = _moments(paths)
    if paths[0].epochs is None:
        return [f"checkpoint {i:.10g} of {moments.size}" for i in moments]
    return [f"{paths[0].unit} {epoch:.10g}" for epoch in moments]


def progress(paths: Sequence[Projection]) -> list[np.ndarray]:
    """Return for each path where it is at each moment: 0 at its first checkpoint, 1 at the next, …"""
    if len(paths) == 1:
        return [np.arange(paths[0].x.size)]
    moments = _moments(paths)
    return [np.interp(moments, _numbers(path), np.arange(path.x.size)) for path in paths]


def _moments(paths: Sequence[Projection]) -> np.ndarray:
    first = paths[0]
    if len(paths) == 1:
        return _numbers(first)
    for path in paths[1:]:
        if (path.unit, path.epochs is None) != (first.unit, first.epochs is None):
            fault = f"the checkpoints of {first.path!r} and {path.path!r} are not counted in the same unit"
            raise InputError(fault, "give paths that both have epochs, or both steps")
    return np.unique(np.concatenate([_numbers(path) for path in paths]))


def _numbers(path: Projection) -> np.ndarray:
    return np.arange(1, path.x.size + 1) if path.epochs is None else path.epochs
