"""Where a path drawn on a plane misleads: the loss of each checkpoint beside that of its place on the plane.

The place of a checkpoint is theta_last + x d1 + y d2, and what no direction moves (with `weights` the BN statistics) is there as in the last
checkpoint: the net whose loss contours along d1 and d2 show.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from torch import nn
from tqdm import tqdm

from losslandscape.files.h5_util import Projection
from losslandscape.nets import net_plotter
from losslandscape.nets.net_plotter import Direction
from losslandscape.trajectory.trajectory import Trajectory

CLOSE = 0.1  # of the true loss: nearer than this, a contour tells it


def measure(
    found: Projection,
    training: Trajectory,
    net: nn.Module,
    directions: list[Direction],
    *,
    dir_type: str,
    loss: Callable[[], float],
) -> Iterator[Projection]:
    """The projection with the losses of one checkpoint more at a time, until none is missing; those that it has are kept. Shows its progress.

    `loss()` measures the net as it is then. The net may be on any device, and ends with the weights of the last checkpoint.

    Raises:
        InputError: for a checkpoint that has changed since it was read.
    """
    size = found.x.size
    true, projected = (
        np.full(size, np.nan) if values is None else values.copy()
        for values in (found.true_loss, found.projected_loss)
    )
    for i in tqdm(
        np.flatnonzero(np.isnan(true) | np.isnan(projected)),
        desc="losses",
        unit="checkpoint",
        disable=None,
        leave=False,
    ):
        training.put(training.files[i], net)
        true[i] = loss()
        training.put(training.files[-1], net)
        with net_plotter.moving(net, directions, dir_type) as move:
            move((float(found.x[i]), float(found.y[i])))
            projected[i] = loss()
        yield replace(found, true_loss=true.copy(), projected_loss=projected.copy())


def describe(found: Projection) -> str:
    """Where the plane misleads most, in a line or two, of a projection with both losses."""
    gap = np.abs(found.projected_loss - found.true_loss)
    unknown = int(np.isnan(gap).sum())
    lines = (
        [f"{unknown} of {gap.size} checkpoints have a loss that is NaN, true or on the plane"]
        if unknown
        else []
    )
    if unknown < gap.size:
        i = int(np.nanargmax(gap))
        where = f"epoch {found.epochs[i]:g}" if found.epochs is not None else f"checkpoint {i + 1}"
        close = int((gap <= CLOSE * np.abs(found.true_loss)).sum())
        lines.append(
            f"the loss on the plane is furthest from the true one at {where}: {found.projected_loss[i]:.4g} where the checkpoint has "
            f"{found.true_loss[i]:.4g}; it is within {100 * CLOSE:.0f} % at {close} of {gap.size} checkpoints"
        )
    return "\n".join(lines)
