"""The path of a training on a plane, with the losses that show where the plane misleads.

The place of a checkpoint is theta_last + x d + y e. What no direction moves (with `weights`, the BN
statistics) is there as in the last checkpoint: this is the net whose loss the contours along d and e
show.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from torch import nn
from tqdm import tqdm

from losslandscape.core.errors import InputError
from losslandscape.core.provenance import Facts
from losslandscape.evaluate.evaluation import Evaluator
from losslandscape.files import h5_util
from losslandscape.files.atomic_file import keep_aside
from losslandscape.files.projection import Projection
from losslandscape.nets.moving import moving
from losslandscape.nets.net_plotter import Direction
from losslandscape.trajectory import dimension_reduction
from losslandscape.trajectory.checkpoint_matrix import CheckpointMatrix
from losslandscape.trajectory.plane import Plane

CLOSE = 0.1  # relative to the true loss: contours show it when the difference is smaller


def project(matrix: CheckpointMatrix, plane: Plane, *, method: str, facts: Facts) -> Projection:
    """Project the checkpoints on a plane.

    Args:
        method: one of `dimension_reduction.METHODS`.
        facts: what the checkpoints are.
    """
    projected = dimension_reduction.project(matrix.pieces(title="projection"), plane.vectors, method=method)
    return Projection(
        f"{plane.dir_file}_proj_{method}.h5",
        projected.x,
        projected.y,
        distance=projected.distance,
        shares=projected.shares,
        made_with={**facts, "origin": matrix.origin, "method": method, "directions": plane.fingerprint},
    )


def embed(matrix: CheckpointMatrix, path: str, *, ignore: str, facts: Facts) -> Projection:
    """Embed the checkpoints by t-SNE, as the projection of this path."""
    gram = dimension_reduction.centred_gram(matrix.pieces(ignore=ignore, title="distances"))
    x, y = dimension_reduction.embed(gram)
    return Projection(path, x, y, made_with={**facts, "method": "tsne"})


def with_earlier_losses(path: Projection) -> tuple[Projection, str]:
    """The path with the losses that an earlier run wrote to its file, and a note for losses that do not fit.

    Losses that the facts call those of other checkpoints, nets, data or planes stay in a file that is kept.
    """
    try:
        earlier = h5_util.read_projection(path.path)
    except InputError:  # there is none, or it is damaged
        return path, ""
    if any(earlier.made_with.get(name) != value for name, value in path.made_with.items()):
        if earlier.true_loss is None:
            return path, ""
        kept = keep_aside(path.path)
        note = "the old projection, with losses of other checkpoints, nets, data or another plane, is kept as"
        return path, f"{note} {kept}"
    true, projected = earlier.true_loss, earlier.projected_loss
    return replace(path, true_loss=true, projected_loss=projected, made_with=earlier.made_with), ""


def measure_losses(
    path: Projection,
    matrix: CheckpointMatrix,
    net: nn.Module,
    directions: list[Direction],
    *,
    dir_type: str,
    evaluator: Evaluator,
) -> Iterator[Projection]:
    """Measure the loss of each checkpoint and of its place on the plane.

    Losses that the path has already are kept, so a run can be resumed.

    Args:
        path: the projected checkpoints.
        net: on any device. It ends with the weights of the last checkpoint.
        evaluator: measures `train_loss` of this net.

    Yields:
        The path with the losses of one more checkpoint.

    Raises:
        InputError: if a checkpoint was changed since it was read.
    """
    unknown = np.full(path.x.size, np.nan)
    true = (unknown if path.true_loss is None else path.true_loss).copy()
    projected = (unknown if path.projected_loss is None else path.projected_loss).copy()
    missing = np.flatnonzero(np.isnan(true) | np.isnan(projected))
    for i in tqdm(missing, desc="losses", unit="checkpoint", disable=None, leave=False):
        matrix.load_into(net, matrix.files[i])
        true[i] = evaluator.measure()["train_loss"]
        matrix.load_into(net, matrix.files[-1])
        with moving(net, directions, dir_type) as move:
            move((float(path.x[i]), float(path.y[i])))
            projected[i] = evaluator.measure()["train_loss"]
        yield replace(path, true_loss=true.copy(), projected_loss=projected.copy())


def describe_losses(path: Projection) -> str:
    """Where the plane misleads most, in one or two lines; the path must have both losses."""
    assert path.true_loss is not None and path.projected_loss is not None
    gap = np.abs(path.projected_loss - path.true_loss)
    lost = int(np.isnan(gap).sum())
    lines = []
    if lost:
        lines.append(f"{lost} of {gap.size} checkpoints have a loss that is NaN, true or on the plane")
    if lost < gap.size:
        i = int(np.nanargmax(gap))
        where = f"checkpoint {i + 1}" if path.epochs is None else f"epoch {path.epochs[i]:g}"
        true, projected = path.true_loss[i], path.projected_loss[i]
        close = int((gap <= CLOSE * np.abs(path.true_loss)).sum())
        lines.append(
            f"the loss on the plane is furthest from the true one at {where}: {projected:.4g} where the "
            f"checkpoint has {true:.4g}; "
            f"it is within {100 * CLOSE:.0f} % at {close} of {gap.size} checkpoints"
        )
    return "\n".join(lines)
