"""Reads from a surface file the range that an earlier run found.

A search with another number of ranks, or on another machine, may round a loss differently and so find another
range. A run that is resumed, or started again with another number of points, should keep its range.
"""

from collections.abc import Iterable
from contextlib import suppress

from losslandscape.core.errors import InputError
from losslandscape.core.provenance import Facts
from losslandscape.files import h5_util
from losslandscape.files.file_names import Axis
from losslandscape.files.surface import Surface
from losslandscape.measure.auto_range import Auto, unknown_axes, with_ranges


def find_earlier(
    axes: dict[str, Axis | Auto], question: str, *, made_with: Facts, paths: Iterable[str]
) -> tuple[dict[str, Axis], list[str]] | None:
    """Return the ranges of the first surface file that the same search made in the same landscape.

    Args:
        axes: the x axis, and in two dimensions the y axis.
        question: the text by which `auto_range.question` describes the search.
        made_with: the facts of the present net, directions, loss and data.
        paths: the surface files to read. Files that cannot be read are ignored.

    Returns:
        The axes, and a line of text for each range; None if no file has the same facts and the same search.
    """
    for path in paths:
        with suppress(InputError, OSError):
            surface = h5_util.read_surface(path)
            if _answers(surface, question, made_with):
                return _ranges_of(axes, surface, path)
    return None


def _answers(surface: Surface, question: str, made_with: Facts) -> bool:
    """Return whether a run made this search in a landscape with the same facts."""
    if not surface.made_with:
        return False
    if any(made_with.get(name, value) != value for name, value in surface.made_with.items()):
        return False
    return any(run.get("range") == question for run in surface.runs if isinstance(run, dict))


def _ranges_of(
    axes: dict[str, Axis | Auto], surface: Surface, path: str
) -> tuple[dict[str, Axis], list[str]]:
    ranges: dict[str, Axis] = {}
    reasons = []
    for name, axis in unknown_axes(axes).items():
        coordinates = surface.x if name == "x" else surface.y
        assert coordinates is not None  # the question names the axes, so the surface has them
        low, high = float(coordinates[0]), float(coordinates[-1])
        ranges[name] = (low, high, axis.number)
        reasons.append(f"range of {name}: {low:g}:{high:g}, as in {path}")
    return with_ranges(axes, ranges), reasons
