"""The plane onto which a training path is projected: two directions, from its checkpoints or from a file."""

import os
from dataclasses import dataclass
from itertools import chain

import numpy as np
from torch import nn

from losslandscape.core.angle import OBLIQUE
from losslandscape.core.errors import InputError
from losslandscape.core.provenance import Facts, fingerprint_of_arrays, require_same
from losslandscape.files import h5_util
from losslandscape.files.file_names import SEED
from losslandscape.nets import direction_file, net_plotter
from losslandscape.nets.net_plotter import Direction, Recipe
from losslandscape.trajectory import dimension_reduction
from losslandscape.trajectory.checkpoint_matrix import CheckpointMatrix

# What a direction file records about each kind of plane.
PLANES = {"pca": "principal components", "random": f"random of seed {SEED}, norm filter, length 1"}
LENGTH_TOLERANCE = 1e-3  # largest difference from 1 of the length of a unit direction

Arrays = list[list[np.ndarray]]  # for each direction, one array for each tensor


@dataclass(frozen=True)
class Plane:
    """Two directions from a file, with the shapes of a net's tensors.

    Attributes:
        dir_file: the file.
        directions: each a list of tensors.
        vectors: the same directions as flat vectors, (2, columns of the `CheckpointMatrix`).
        cosine: cosine of the angle between the directions.
        explained: share of the checkpoints' variance along each direction; None if the file does not record
            it.
        fingerprint: fingerprint of the directions, as in the facts of a surface.
    """

    dir_file: str
    directions: list[Direction]
    vectors: np.ndarray
    cosine: float
    explained: np.ndarray | None
    fingerprint: str

    @property
    def lengths(self) -> np.ndarray:
        return np.linalg.norm(self.vectors, axis=1)

    def fits(self, method: str) -> bool:
        """Whether coordinates from this projection method are those of surfaces in the plane."""
        are_unit_vectors = np.allclose(self.lengths, 1, rtol=LENGTH_TOLERANCE)
        return method == "lstsq" or (abs(self.cosine) <= OBLIQUE and are_unit_vectors)

    def describe(self, method: str) -> str:
        """Lines that describe the directions, with a warning if this method does not fit them."""
        lines = [f"directions: {self.dir_file}", f"cosine between x and y: {self.cosine:.6f}"]
        if self.explained is not None:
            shares = ", ".join(f"{100 * share:.2f} %" for share in self.explained.flat)
            lines.append(f"explained variance: {shares}; together {100 * self.explained.sum():.2f} %")
        if not self.fits(method):
            x, y = self.lengths
            lines.append(
                f"the directions have lengths {x:.4g} and {y:.4g}; unless they are orthogonal and of "
                "length 1, contours along them fit the method lstsq, not cos"
            )
        return "\n".join(lines)


def read(dir_file: str, matrix: CheckpointMatrix, net: nn.Module, dir_type: str) -> Plane:
    """Read the plane of a direction file.

    Raises:
        InputError: if the file has fewer than two directions, or they do not fit the net.
    """
    directions = direction_file.read_direction_file(dir_file, net, dir_type, dimensions=2)
    return Plane(
        dir_file,
        directions,
        vectors=np.stack([matrix.vector(direction) for direction in directions]),
        cosine=net_plotter.cosine(*directions),
        explained=h5_util.read_explained_variance(dir_file),
        fingerprint=fingerprint_of_arrays(chain(*direction_file.arrays(directions))),
    )


def require_made_with(dir_file: str, kind: str, facts: Facts) -> None:
    """Check that an existing direction file was made with the same facts, or by the published program.

    Raises:
        InputError: facts differ, or the file cannot be read.
    """
    try:
        made_with = h5_util.read_made_with(dir_file, "direction")
    except InputError as error:
        advice = "give {overwrite:True} to make it again (the old file is kept)"
        raise InputError(error.fault, advice) from error
    advice = "give {overwrite:True} for new directions (the old file is kept), or use these with {dir_file}"
    require_same(dir_file, made_with, {**facts, "plane": PLANES[kind]}, advice)


def write_directions(
    dir_file: str,
    matrix: CheckpointMatrix,
    net: nn.Module,
    *,
    kind: str,
    dir_type: str,
    ignore: str,
    facts: Facts,
) -> None:
    """Make the directions of a plane, and write them.

    Args:
        dir_file: the file. Its folder is made if it does not exist.
        matrix: the checkpoints.
        net: the net with the weights of the last checkpoint.
        kind: `pca`, the first two principal components of the checkpoints; or `random`, two
            filter-normalised random directions, scaled to length 1.
        dir_type: `weights` or `states`.
        ignore: `biasbn` leaves biases and norm layers out.
        facts: what the directions are made with.
    """
    if kind == "pca":
        directions, variances = _principal_directions(matrix, ignore)
    else:
        directions, variances = _random_directions(matrix, net, dir_type, ignore), {}
    folder = os.path.dirname(dir_file) or os.curdir
    if os.path.lexists(folder) and not os.path.isdir(folder):
        fault = f"{folder!r} is not a folder, but the directions are to be written into a folder of this name"
        raise InputError(fault, "move or rename it")
    os.makedirs(folder, exist_ok=True)
    made_with = {**facts, "plane": PLANES[kind]}
    h5_util.write_directions(dir_file, directions, made_with=made_with, variances=variances)


def _principal_directions(matrix: CheckpointMatrix, ignore: str) -> tuple[Arrays, dict[str, np.ndarray]]:
    """Return the principal directions, and their variances by the names of scikit-learn's attributes."""
    gram = dimension_reduction.centred_gram(matrix.pieces(ignore=ignore, title="inner products"))
    principal = dimension_reduction.principal(gram)
    pieces = matrix.pieces(ignore=ignore, title="components")
    vectors = dimension_reduction.components(pieces, principal.combination)
    names = ("explained_variance_ratio", "singular_values", "explained_variance")
    variances = {f"{name}_": getattr(principal, name) for name in names}
    return [matrix.direction(vector, ignore=ignore) for vector in vectors], variances


def _random_directions(matrix: CheckpointMatrix, net: nn.Module, dir_type: str, ignore: str) -> Arrays:
    recipes = [Recipe(norm="filter", ignore=ignore)] * 2
    drawn = net_plotter.make_directions(net, dir_type, recipes)
    vectors = [matrix.vector(direction) for direction in drawn]
    return [matrix.direction(vector / np.linalg.norm(vector)) for vector in vectors]
