"""Measures a surface: the loop over its points.

`plot_surface.py`, `plot_hessian_eigen.py` and `losslandscape.loss_surface` all use this loop, each with its
own measure.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from torch import nn

from losslandscape.core import quantity
from losslandscape.core.errors import InputError
from losslandscape.files import h5_util
from losslandscape.files.file_names import Axis
from losslandscape.files.interpolated import with_interpolated
from losslandscape.files.lock import Lock
from losslandscape.files.surface import Surface
from losslandscape.measure.landscape import Landscape
from losslandscape.measure.run import Run
from losslandscape.measure.surface_files import open_files, points_to_measure, require_surface_file
from losslandscape.nets.net_plotter import Direction
from losslandscape.nets.net_state import unchanged_state
from losslandscape.nets.spreading import place
from losslandscape.parallel import scheduler
from losslandscape.parallel.point_order import ordered
from losslandscape.parallel.scheduler import Values
from losslandscape.parallel.signals import Interrupted, end_job, interruptible


class Measure(Protocol):
    """A measure, which returns quantities of a net at a point, such as the loss."""

    names: list[str]

    def prepare(self, surface: Surface, directions: list[Direction]) -> Values | None:
        """Prepare to measure, with the net at the centre. Every rank calls this, if points are missing.

        Returns:
            The quantities at the centre if they were measured, the same on all ranks.
        """

    def values(self) -> Values:
        """Return the quantities of the net with its present weights, by name."""


def measure_surface(
    landscape: Landscape, axes: dict[str, Axis], measure: Measure, run: Run, *, surf_file: str = ""
) -> Surface:
    """Measure the missing points of a surface on all ranks, and return the surface on all ranks.

    Args:
        landscape: the net, the directions, the loss and the data.
        axes: the minimum, maximum and number of points of x, and in a plane also of y.
        measure: returns the quantities at each point.
        run: the ranks, and the settings by which they share the points.
        surf_file: the surface file to write or to resume; if empty, nothing is written.

    Raises:
        InputError: on all ranks, before anything is written, if a file does not fit or cannot be written, or
            if another run writes it; on rank 0, later, if another run takes the surface file over.
    """
    ranks, lock = run.ranks, Lock(surf_file)
    try:
        if surf_file:
            ranks.first(_acquire, lock, surf_file, wait=run.wait)
        surface, unsaved_directions = ranks.first(_open_files, landscape, axes, measure.names, run, surf_file)
        directions = unsaved_directions or ranks.all(landscape.read_directions)
        _measure_missing_points(landscape, surface, directions, measure, run, lock)
    except Interrupted as interrupted:
        command = "the same command"
        if run.overwrite:
            command += f" without {run.name_option('overwrite', 'True')}"
        run.say(f"stopped by {interrupted}: what was measured is in {surf_file}; resume with {command}")
        lock.release()
        end_job(ranks, interrupted)
    finally:
        lock.release()
    return ranks.share(surface)


def _acquire(lock: Lock, surf_file: str, *, wait: bool) -> None:
    require_surface_file(surf_file)
    try:
        lock.acquire(wait=wait)
    except OSError as error:
        fault = f"{surf_file!r} cannot be written: {error.strerror or error}"
        raise InputError(fault, "give another {surf_file}, or make room or permissions there") from error


def _open_files(
    landscape: Landscape, axes: dict[str, Axis], names: list[str], run: Run, surf_file: str
) -> tuple[Surface, list[Direction] | None]:
    """Return the surface, and the directions if there is no file from which other ranks could read them."""
    surface, directions = open_files(landscape, axes, names, run, surf_file)
    return surface, None if landscape.dir_file else directions


@dataclass(frozen=True)
class _LockedSurface:
    """A surface that only this run may write."""

    surface: Surface
    lock: Lock
    size: int

    def set(self, point: int, values: Values) -> None:
        self.surface.set(point, values)

    def save(self) -> None:
        if self.lock.lost:
            raise InputError(f"another run has taken {self.surface.path!r} over; this one stops")
        if self.surface.path:
            h5_util.write_surface(self.surface)


def _measure_missing_points(
    landscape: Landscape,
    surface: Surface,
    directions: list[Direction],
    measure: Measure,
    run: Run,
    lock: Lock,
) -> None:
    if surface.path:
        if landscape.dir_file:
            run.say(f"directions: {landscape.dir_file}")
        run.say(f"surface:    {surface.path}")

    def next_points() -> list[int]:
        points = points_to_measure(surface, measure.names, run.refine)
        return ordered(points, surface.shape, run.order)

    points, missing = next_points(), surface.missing(measure.names)
    ranks = f"{run.ranks.size} rank{'s' if run.ranks.size > 1 else ''}"
    first = "first, " if run.refine and points else ""
    run.say(f"{first}{len(points)} of {surface.size} points to measure on {ranks}")
    if not points:
        return
    size = surface.size - len(missing) + len(points) if run.refine else surface.size
    net_place = landscape.place or (0.0,) * len(directions)
    with unchanged(landscape.net), interruptible() if run.ends_program else nullcontext():
        results = _LockedSurface(surface, lock, size)
        centre = measure.prepare(surface, directions)
        centre_point = landscape.centre_point(surface)
        if centre is not None and centre_point is not None and centre_point in missing:
            results.set(centre_point, centre)
            run.ranks.first(results.save)
            points = [point for point in points if point != centre_point]
        with landscape.moving(directions) as move:

            def measure_at(point: int) -> Values:
                coordinates = surface.point(point)
                steps = [there - here for there, here in zip(coordinates, net_place, strict=True)]
                move(tuple(steps))
                return measure.values()

            scheduler.run(
                points,
                measure_at,
                results,
                run.ranks,
                schedule=run.schedule,
                quiet=run.quiet,
                more=next_points if run.refine else tuple,
            )
    if run.refine and run.ranks.rank == 0:
        run.say(_refined(surface, measure.names))


def _refined(surface: Surface, names: list[str]) -> str:
    """Return a line on how many points were measured, and how well the others are interpolated."""
    name = quantity.shown(names)[0]
    measured = surface.size - surface.missing(names).size
    error = with_interpolated(surface).interpolated[name].error
    checks = "no prediction was checked"
    if error is not None:
        checks = f"the largest error of a checked prediction of {name} is {100 * error:.2g} % of its spread"
    return f"{measured} of {surface.size} points measured, the others can be interpolated; {checks}"


@contextmanager
def unchanged(net: nn.Module) -> Iterator[None]:
    """Restore the net's modes, state, device and precision after the block. `moving` restores its weights."""
    modes = {module: module.training for module in net.modules()}
    dtypes = [(tensor, tensor.dtype) for tensor in (*net.parameters(), *net.buffers())]
    device = next(net.parameters()).device
    try:
        with unchanged_state(net):
            net.eval()
            yield
    finally:
        place(net, device)
        for tensor, dtype in dtypes:
            if tensor.dtype != dtype:
                tensor.data = tensor.data.to(dtype)
        for module, mode in modes.items():
            module.training = mode
