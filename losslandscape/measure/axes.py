"""The axes of a surface: ranges from the user, a path, an earlier run or a search (`auto`)."""

import glob

import numpy as np

from losslandscape.files.file_names import WHOLE_RANGE, Axis
from losslandscape.measure import auto_range
from losslandscape.measure.auto_range import Auto
from losslandscape.measure.earlier_range import find_earlier
from losslandscape.measure.grid import Measure
from losslandscape.measure.landscape import Landscape
from losslandscape.measure.run import Run
from losslandscape.nets.net_state import unchanged_state


def find_axes(
    landscape: Landscape,
    requested: dict[str, Axis | Auto | None],
    measure: Measure,
    run: Run,
    *,
    rise: float,
    surf_file: str = "",
    path: np.ndarray | None = None,
    path_name: str = "the path",
) -> dict[str, Axis]:
    """Find the ranges of all axes, and return the axes on every rank.

    If a range is searched for, the record of the run stores the search as text.

    Args:
        landscape: the landscape to measure.
        requested: for each axis, a range, `Auto` to search for one, or None. None stands for the range of the
            path, or without a path for the published range.
        measure: measures the `train_loss` at each point of the search.
        run: the ranks and settings of the run; a search is added to its record.
        rise: a range ends where the loss is this many times the loss at the centre.
        surf_file: the surface file that may hold the range of an earlier, equal search. If it is empty, all
            surface files of the directions are searched.
        path: (2, n) coordinates, such as those of a trajectory, which axes without a requested range cover.
        path_name: what they are, for messages.
    """
    axes, path_reasons = _along_path(requested, path, path_name)
    axes, net_reasons = auto_range.between_nets(axes, landscape.towards_nets)
    question = auto_range.question(axes, rise)
    if question:
        ranges, search_reasons = run.ranks.first(
            _search, landscape, axes, question, measure, run, rise=rise, surf_file=surf_file
        )
        run.record["range"] = question
    else:
        ranges, search_reasons = auto_range.with_ranges(axes, {}), []
    for reason in [*path_reasons, *net_reasons, *search_reasons]:
        run.say(reason)
    return ranges


def _along_path(
    requested: dict[str, Axis | Auto | None], path: np.ndarray | None, what: str
) -> tuple[dict[str, Axis | Auto], list[str]]:
    """Give each axis without a request the range of the path, or without a path the published range.

    `what` names the path.

    Returns:
        The axes, and a line of text for each range that comes from the path.
    """
    if path is None:
        return {name: axis or WHOLE_RANGE for name, axis in requested.items()}, []
    axes: dict[str, Axis | Auto] = {}
    reasons = []
    for (name, axis), coordinates in zip(requested.items(), path, strict=False):
        axes[name] = axis or auto_range.of_path(coordinates.tolist())
        if axis is None:
            reasons.append(f"range of {name}: that of {what}")
    return axes, reasons


def _search(
    landscape: Landscape,
    axes: dict[str, Axis | Auto],
    question: str,
    measure: Measure,
    run: Run,
    *,
    rise: float,
    surf_file: str,
) -> tuple[dict[str, Axis], list[str]]:
    """Find the ranges in the file of an earlier run, or by a search.

    Returns:
        The axes, and a line of text for each range.
    """
    directions, _ = landscape.find_directions(overwrite=run.overwrite)
    if not run.overwrite:
        pattern = f"{glob.escape(landscape.dir_file)}_[[]*.h5"
        paths = [surf_file] if surf_file else glob.glob(pattern)
        made_with = landscape.surface_facts(directions)
        earlier = find_earlier(axes, question, made_with=made_with, paths=paths)
        if earlier:
            return earlier
    with unchanged_state(landscape.net), landscape.moving(directions) as move:

        def loss_at(point: tuple[float, ...]) -> float:
            move(point)
            return measure.values()["train_loss"]

        loss_name = landscape.settings["loss_name"]
        return auto_range.choose(axes, loss_at, alike=landscape.alike, loss_name=loss_name, rise=rise)
