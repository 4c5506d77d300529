"""Opens the direction file and the surface file of a landscape. If one does not fit, neither is written."""

import os
from collections.abc import Callable

import numpy as np

from losslandscape.files import h5_util, lock
from losslandscape.files.atomic_file import keep_aside
from losslandscape.files.file_names import Axis
from losslandscape.files.interpolated import Refinement, refinements
from losslandscape.files.refinement import plan
from losslandscape.files.surface import Surface, places_fact
from losslandscape.files.writable import require_writable
from losslandscape.measure.landscape import Landscape
from losslandscape.measure.report import Caution, Report
from losslandscape.measure.run import Run
from losslandscape.nets import direction_file
from losslandscape.nets.net_plotter import Direction

# The facts of a measurement that files of earlier versions lack.
LATER_FACTS = ("batches", "random numbers", "weights")


def open_files(
    landscape: Landscape, axes: dict[str, Axis], names: list[str], run: Run, surf_file: str
) -> tuple[Surface, list[Direction]]:
    """Read or make the directions and the surface, with room for the named quantities.

    The surface is written; with `run.overwrite` an old surface is kept aside. New directions are written, and
    an old direction file is kept aside. If `surf_file` is empty, nothing is written.

    Raises:
        InputError: if a file does not fit. Then nothing is written.
    """
    directions, are_new = landscape.find_directions(overwrite=run.overwrite)
    grid = {axis: np.linspace(*ends) for axis, ends in axes.items()}
    surface = h5_util.open_surface(
        surf_file,
        x=grid["x"],
        y=grid.get("y"),
        dir_file=landscape.dir_file,
        names=names,
        made_with=landscape.surface_facts(directions),
        overwrite=run.overwrite,
    )
    surface.made_with |= places_fact(landscape.places)
    missing = surface.missing(names).size
    if is_unfinished(surface, names, run.refine):
        if run.refine:
            run.record["refine"] = Refinement(float(run.refine), names).record()
        surface.runs.append(run.record)
    if not surf_file:
        return surface, directions
    if 0 < missing < surface.size:
        run.report(_doubts(surface))
    if run.overwrite and os.path.exists(surf_file):
        run.say(f"the old surface is kept as {keep_aside(surf_file)}")
    if are_new and landscape.dir_file:
        write_directions(landscape, directions, run.say)
    h5_util.write_surface(surface)
    return surface, directions


def points_to_measure(surface: Surface, names: list[str], refine: float) -> np.ndarray:
    """Return the flat indices of the points to measure now; with `refine`, others may follow."""
    return plan(surface, names, refine).missing if refine else surface.missing(names)


def is_unfinished(surface: Surface, names: list[str], refine: float) -> bool:
    """Return whether a run has something to measure, or to record: that it is a refinement."""
    if points_to_measure(surface, names, refine).size:
        return True
    is_new = bool(refine) and Refinement(float(refine), names) not in refinements(surface)
    return is_new and bool(surface.missing(names).size)


def _doubts(surface: Surface) -> Report:
    """Warn if the points of a file may differ from those of this run, because the file lacks facts."""
    stored = h5_util.read_made_with(surface.path, "surface")
    unknown = [name for name in LATER_FACTS if name in surface.made_with and name not in stored]
    if not unknown:
        return Report()
    facts = ", ".join(f"{name} {surface.made_with[name]}" for name in unknown)
    fault = (
        f"{surface.path!r} does not say how its points were measured (here {facts}), so new points may not "
        "fit to them"
    )
    return Report(warnings=[Caution(fault, "give {overwrite:True} to measure all again")])


def write_directions(landscape: Landscape, directions: list[Direction], say: Callable[[str], None]) -> None:
    """Write new directions to the landscape's direction file; an old file is kept aside."""
    if os.path.exists(landscape.dir_file):
        say(f"the old directions are kept as {keep_aside(landscape.dir_file)}")
    arrays = direction_file.arrays(directions)
    made_with = {**landscape.direction_facts(), **places_fact(landscape.places)}
    h5_util.write_directions(landscape.dir_file, arrays, made_with=made_with)


def require_surface_file(surf_file: str) -> None:
    """Raise `InputError` unless this surface file and its lock can be written."""
    require_writable(surf_file, "give another {surf_file}", ending=lock.ENDING)
