"""The path of a training on a plane, with losses that show where the plane misleads.

The place of a checkpoint on the plane is the net theta_last + x d + y e. The contours along d and e show the
loss of this net. Tensors that no direction moves (with `weights`, the BN statistics) are those of the last
checkpoint.
"""

from collections.abc import Iterator, Sequence
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

# Largest difference of a close loss on the plane from the true loss, as a share of the true loss.
CLOSE = 0.1


def project(matrix: CheckpointMatrix, plane: Plane, *, method: str, facts: Facts) -> Projection:
    """Project the checkpoints on a plane.

    Args:
        matrix: the checkpoints.
        plane: the two directions.
        method: one of `dimension_reduction.METHODS`.
        facts: facts about the checkpoints.
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


def split(
    path: Projection, sizes: Sequence[int], *, files: Sequence[str], names: Sequence[str]
) -> list[Projection]:
    """Split the projected checkpoints of several trainings into the path of each.

    Args:
        path: the checkpoints of all trainings. Those of the first training are the last rows.
        sizes: the number of checkpoints of each training.
        files, names: the projection file and the name of each training.
    """
    paths = []
    starts = [path.x.size - sizes[0], *np.cumsum([0, *sizes[1:-1]])]
    for start, size, file, name in zip(starts, sizes, files, names, strict=True):
        rows = slice(start, start + size)
        distance = None if path.distance is None else path.distance[rows]
        made_with = {**path.made_with, "training": name}
        paths.append(
            replace(path, path=file, x=path.x[rows], y=path.y[rows], distance=distance, made_with=made_with)
        )
    return paths


def embed(matrix: CheckpointMatrix, path: str, *, ignore: str, facts: Facts) -> Projection:
    """Embed the checkpoints by t-SNE. `path` is the file that the projection will be written to."""
    gram = dimension_reduction.centred_gram(matrix.pieces(ignore=ignore, title="distances"))
    x, y = dimension_reduction.embed(gram)
    return Projection(path, x, y, made_with={**facts, "method": "tsne"})


def with_earlier_losses(path: Projection) -> tuple[Projection, str]:
    """Add the losses that an earlier run wrote to the file of the path.

    If that file has losses but its facts differ, it is kept aside.

    Returns:
        The path, and a note for the user if an old file was kept aside.
    """
    try:
        earlier = h5_util.read_projection(path.path)
    except InputError:  # the file does not exist, or is damaged
        return path, ""
    if any(earlier.made_with.get(name) != value for name, value in path.made_with.items()):
        if earlier.true_loss is None:
            return path, ""
        kept = keep_aside(path.path)
        note = "the old projection, with losses of other checkpoints, nets, data or another plane, is kept as"
        return path, f"{note} {kept}"
    path = replace(
        path, true_loss=earlier.true_loss, projected_loss=earlier.projected_loss, made_with=earlier.made_with
    )
    return path, ""


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

    Losses that the path already has are not measured again, so a run can be resumed.

    Args:
        path: the projected checkpoints.
        matrix: the checkpoints.
        net: a net on any device. Afterwards it has the weights of the last checkpoint.
        directions: the two directions of the plane, on the net's device.
        dir_type: `weights` or `states`.
        evaluator: the evaluator that measures `train_loss` of this net.

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
    """Return one or two lines on where the plane misleads most. The path must have both losses."""
    assert path.true_loss is not None and path.projected_loss is not None
    gap = np.abs(path.projected_loss - path.true_loss)
    unknown = int(np.isnan(gap).sum())
    lines = []
    if unknown:
        lines.append(f"{unknown} of {gap.size} checkpoints have a loss that is NaN, true or on the plane")
    if unknown < gap.size:
        i = int(np.nanargmax(gap))
        where = f"checkpoint {i + 1}" if path.epochs is None else f"{path.unit} {path.epochs[i]:.10g}"
        true, projected = path.true_loss[i], path.projected_loss[i]
        close = int((gap <= CLOSE * np.abs(path.true_loss)).sum())
        lines.append(
            f"the loss on the plane is furthest from the true one at {where}: {projected:.4g} where the "
            f"checkpoint has {true:.4g}; "
            f"it is within {100 * CLOSE:.0f} % at {close} of {gap.size} checkpoints"
        )
    return "\n".join(lines)
