"""The one loop that measures a surface: a study, a grid and a measure in, a file of values out.

`plot_surface.py`, `plot_hessian_eigen.py` and `landscape.loss_surface` differ in the measure that they give it.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from losslandscape.core.errors import InputError, require_choice
from losslandscape.files import h5_util
from losslandscape.files.file_names import Axis
from losslandscape.files.h5_util import Surface
from losslandscape.files.lock import Lock
from losslandscape.measure.study import Study
from losslandscape.nets import net_plotter
from losslandscape.nets.net_plotter import Direction
from losslandscape.parallel import rank_watch, scheduler
from losslandscape.parallel.mpi4pytorch import Serial, together
from losslandscape.parallel.scheduler import Values


@dataclass(frozen=True)
class Run:
    """How a surface is measured, which decides none of its values.

    ranks: who share the points. overwrite: begin anew, keeping an old file aside. wait: for another run that writes the file, rather than
    stop. order, schedule: those of `scheduler`. record: what the file keeps of this run, for people. ends_program: a signal saves what is measured and
    ends the program. quiet: print nothing but warnings, and show no progress.
    """

    ranks: Serial
    record: dict[str, object]
    ends_program: bool = False
    quiet: bool = False
    overwrite: bool = False
    wait: bool = False
    order: str = "coarse"
    schedule: str = "dynamic"

    def __post_init__(self):
        require_choice("order", self.order, scheduler.ORDERS)
        require_choice("schedule", self.schedule, scheduler.SCHEDULES)

    def say(self, *words: object) -> None:
        """Print, on the first rank alone."""
        if self.ranks.rank == 0 and not self.quiet:
            print(*words)


def measure(
    study: Study,
    axes: dict[str, Axis],
    names: list[str],
    run: Run,
    *,
    surf_file: str = "",
    prepare: Callable[[Surface, list[Direction]], Callable[[], Values]],
) -> Surface:
    """Measure the named quantities wherever `surf_file` has none yet, on all ranks, and return the surface.

    The directions are found or made first. `prepare(surface, directions)` is called if there is something to measure, with the net at the centre; it
    returns what measures the net as it then is. Without a `surf_file` nothing is written.

    Raises `InputError` on all ranks, before anything is written, where files do not fit together or another run writes them.
    """
    ranks, lock = run.ranks, Lock(surf_file)

    def open_files() -> tuple[Surface, list[Direction] | None]:
        if surf_file:
            try:
                lock.acquire(wait=run.wait)
            except OSError as error:
                raise InputError(
                    f"{surf_file!r} cannot be written: {error.strerror or error}; give another place, or make room or a right to write there"
                ) from error
        surface, directions = study.open_files(
            surf_file, axes, names, run=run.record, overwrite=run.overwrite, say=run.say
        )
        return surface, None if surf_file else directions

    def save() -> None:
        if lock.lost:
            raise InputError(f"another run has taken {surf_file!r} over; this one stops")
        if surf_file:
            h5_util.write_surface(surface)

    try:
        surface, made = together(ranks, open_files, only=True)
        directions = made or together(ranks, study.read_directions)
        if surf_file:
            run.say(f"directions: {study.dir_file}\nsurface:    {surf_file}")
        points, total = (
            scheduler.ordered(surface.missing(names), surface.shape, run.order),
            math.prod(surface.shape),
        )
        run.say(
            f"{len(points)} of {total} points to measure on {ranks.size} rank{'s' if ranks.size > 1 else ''}"
        )
        if points:
            with (
                unchanged(study.net),
                scheduler.interruptible() if run.ends_program else nullcontext(),
                rank_watch.watched(ranks),
            ):
                _measure_points(study, surface, directions, points, prepare(surface, directions), save, run)
    except scheduler.Interrupted as signal:
        again = "the same command without --overwrite" if run.overwrite else "the same command again"
        run.say(f"stopped by {signal}: what was measured is in {surf_file}; start {again} to go on")
        lock.release()
        scheduler.end_job(ranks, signal)
    finally:
        lock.release()
    return together(ranks, lambda: surface, only=True)


def _measure_points(
    study: Study,
    surface: Surface,
    directions: list[Direction],
    points: list[int],
    values_here: Callable[[], Values],
    save: Callable[[], None],
    run: Run,
) -> None:
    place = study.place or (0.0,) * len(directions)
    with net_plotter.moving(study.net, directions, study.dir_type) as move:

        def values_at(point: int) -> Values:
            move(tuple(coordinate - own for coordinate, own in zip(surface.point(point), place, strict=True)))
            return values_here()

        scheduler.run(
            points,
            values_at,
            record=surface.set,
            save=save,
            ranks=run.ranks,
            total=math.prod(surface.shape),
            schedule=run.schedule,
            quiet=run.quiet,
        )


@contextmanager
def unchanged(net: nn.Module) -> Iterator[None]:
    """After the block the net's modes, buffers and device are those before it; its weights are the mover's to restore."""
    modes = {module: module.training for module in net.modules()}
    device = next(net.parameters()).device
    try:
        with buffers_kept(net):
            net.eval()
            yield
    finally:
        net.to(device)
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def buffers_kept(net: nn.Module) -> Iterator[None]:
    """After the block the net's buffers, such as the statistics of batch norms, have the values that they had before it."""
    buffers = [
        (module, name, buffer.detach().clone())
        for module in net.modules()
        for name, buffer in module.named_buffers(recurse=False)
    ]
    device = next(net.parameters()).device
    try:
        yield
    finally:
        with torch.no_grad():
            for module, name, value in buffers:
                now = getattr(module, name, None)
                if isinstance(now, Tensor) and now.shape == value.shape:
                    now.copy_(value)
                else:  # the net made another of it
                    setattr(module, name, value.to(device))
