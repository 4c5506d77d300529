"""The axes of a surface, with a range for each that was asked for as `auto`."""

import glob

import numpy as np

from losslandscape.files.file_names import WHOLE_RANGE, Axis
from losslandscape.measure import auto_range
from losslandscape.measure.auto_range import Auto
from losslandscape.measure.earlier_range import find_earlier
from losslandscape.measure.grid import Measure, buffers_kept
from losslandscape.measure.landscape import Landscape
from losslandscape.measure.run import Run
from losslandscape.nets.moving import moving


def find_axes(
    landscape: Landscape,
    asked: dict[str, Axis | Auto | None],
    measure: Measure,
    run: Run,
    *,
    rise: float,
    surf_file: str = "",
    path: np.ndarray | None = None,
) -> dict[str, Axis]:
    """The axes, on every rank; the record of the run keeps what was asked for as `auto`.

    Args:
        landscape: what is measured around.
        asked: by axis, a range, `Auto`, or None for that of the path, or without a path the published range.
        measure: of which `train_loss` is asked where the net is moved to.
        rise: how many times the loss at the centre counts as a clear rise.
        surf_file: whose range counts, if an earlier run found it.
        path: (2, checkpoints) coordinates of a trajectory to be drawn.
    """
    wanted, along_path = _along_path(asked, path)
    wanted, between_nets = auto_range.between_nets(wanted, landscape.towards_nets)
    probed: list[str] = []
    if question := auto_range.question(wanted, rise):
        axes, probed = run.ranks.first(
            _probe, landscape, wanted, question, measure, run, rise=rise, surf_file=surf_file
        )
        run.record["range"] = question
    else:
        axes = auto_range.with_ranges(wanted, {})
    for reason in [*along_path, *between_nets, *probed]:
        run.say(reason)
    return axes


def _along_path(
    asked: dict[str, Axis | Auto | None], path: np.ndarray | None
) -> tuple[dict[str, Axis | Auto], list[str]]:
    """The axes asked for, where nothing was asked for the range of the path; and what was chosen."""
    if path is None:
        return {axis: given or WHOLE_RANGE for axis, given in asked.items()}, []
    ranges = {axis: auto_range.of_path(along.tolist()) for axis, along in zip(asked, path, strict=False)}
    reasons = [f"range of {axis}: that of the path" for axis, given in asked.items() if given is None]
    return {axis: given or ranges[axis] for axis, given in asked.items()}, reasons


def _probe(
    landscape: Landscape,
    axes: dict[str, Axis | Auto],
    question: str,
    measure: Measure,
    run: Run,
    *,
    rise: float,
    surf_file: str,
) -> tuple[dict[str, Axis], list[str]]:
    """The axes with the range of an earlier run or of a probe, and the reasons, one line each."""
    directions, _ = landscape.find_directions(overwrite=run.overwrite)
    if not run.overwrite:
        pattern = f"{glob.escape(landscape.dir_file)}_[[]*.h5"
        paths = [surf_file] if surf_file else glob.glob(pattern)
        made_with = landscape.surface_facts(directions)
        if known := find_earlier(axes, question, made_with=made_with, paths=paths):
            return known
    with buffers_kept(landscape.net), moving(landscape.net, directions, landscape.dir_type) as move:

        def loss_at(point: tuple[float, ...]) -> float:
            move(point)
            return measure.values()["train_loss"]

        loss_name = landscape.settings["loss_name"]
        return auto_range.choose(axes, loss_at, alike=landscape.alike, loss_name=loss_name, rise=rise)
