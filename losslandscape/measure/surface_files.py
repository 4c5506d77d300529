"""Opens the direction file and the surface file of a landscape. If one does not fit, neither is written."""

import os
from collections.abc import Callable

import numpy as np

from losslandscape.files import h5_util, lock
from losslandscape.files.atomic_file import keep_aside
from losslandscape.files.file_names import Axis
from losslandscape.files.surface import Surface
from losslandscape.files.writable import require_writable
from losslandscape.measure.landscape import Landscape
from losslandscape.measure.run import Run
from losslandscape.nets import direction_file
from losslandscape.nets.net_plotter import Direction


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
    if surface.missing(names).size:
        surface.runs.append(run.record)
    if not surf_file:
        return surface, directions
    if run.overwrite and os.path.exists(surf_file):
        run.say(f"the old surface is kept as {keep_aside(surf_file)}")
    if are_new:
        write_directions(landscape, directions, run.say)
    h5_util.write_surface(surface)
    return surface, directions


def write_directions(landscape: Landscape, directions: list[Direction], say: Callable[[str], None]) -> None:
    """Write new directions to the landscape's direction file; an old file is kept aside."""
    if os.path.exists(landscape.dir_file):
        say(f"the old directions are kept as {keep_aside(landscape.dir_file)}")
    arrays = direction_file.arrays(directions)
    h5_util.write_directions(landscape.dir_file, arrays, made_with=landscape.direction_facts())


def require_surface_file(surf_file: str) -> None:
    """Raise `InputError` unless this surface file and its lock can be written."""
    require_writable(surf_file, "give another {surf_file}", ending=lock.ENDING)
