"""The path of a training, projected on the plane of two directions, and a check that a surface fits it."""

from dataclasses import dataclass, field

import numpy as np

from losslandscape.core.errors import InputError
from losslandscape.core.provenance import Facts, require_same
from losslandscape.files.surface import Surface

PER_CHECKPOINT = ("epochs", "distance", "true_loss", "projected_loss")
CURVE = "curve"  # the method of the places of a curve between nets
EXTRAS = (*PER_CHECKPOINT, "lr_drops", "shares")


@dataclass(frozen=True)
class Projection:
    """A projected path of n checkpoints. A file of the published program has only x and y.

    Args:
        path: the file.
        x, y: coordinates (n,).
        epochs: epochs (n,) of the checkpoints, or what else `unit` says.
        distance: distances (n,) from the plane, divided by the distance from the last checkpoint; NaN for the
            last checkpoint.
        lr_drops: epochs with a lower learning rate than the epoch before.
        shares: the shares (2,) of the checkpoints' variance along x and along y.
        true_loss: losses (n,) of the checkpoints; NaN where not measured.
        projected_loss: losses (n,) at the projected positions in the plane; NaN where not measured.
        made_with: the facts about the checkpoints and directions.
    """

    path: str
    x: np.ndarray
    y: np.ndarray
    epochs: np.ndarray | None = None
    distance: np.ndarray | None = None
    lr_drops: np.ndarray | None = None
    shares: np.ndarray | None = None
    true_loss: np.ndarray | None = None
    projected_loss: np.ndarray | None = None
    made_with: Facts = field(default_factory=dict)

    @property
    def unit(self) -> str:
        """What `epochs` counts, `epoch` or `step`."""
        return self.made_with.get("unit", "epoch")

    @property
    def name(self) -> str:
        """The name of the training, if it is one of several in a plane."""
        return self.made_with.get("training", "")

    @property
    def is_curve(self) -> bool:
        """Whether it is a curve between nets instead of the path of a training."""
        return self.made_with.get("method") == CURVE

    def extras(self) -> dict[str, np.ndarray]:
        """Return the arrays of the path other than x and y, by name."""
        values = {name: getattr(self, name) for name in EXTRAS}
        return {name: array for name, array in values.items() if array is not None}

    def require_on(self, surface: Surface) -> None:
        """Raise `InputError` if the facts of the two files show that the path is not on the surface."""
        self.require_fit(surface.made_with, surf_file=surface.path, dir_file=surface.dir_file)

    def require_fit(self, made_with: Facts, *, surf_file: str, dir_file: str) -> None:
        """Raise `InputError` if the path is not on a surface with these facts. The surface may not exist yet.

        The path does not fit if it was made by t-SNE, or if its directions or its origin are not those of the
        surface. Facts that only one of the two has are not compared. The origin is compared only if the
        surface has a fingerprint of its centre and the net is at the origin of the grid.

        Args:
            made_with: the facts of the surface.
            surf_file, dir_file: the files of the surface and of its directions, for the message.
        """
        advice = "give a projection on the directions of the surface"
        surface = f"{surf_file!r} along {dir_file!r}"
        if self.made_with.get("method") == "tsne":
            raise InputError(
                f"{self.path!r} was made by t-SNE, which has no plane and so no contours on {surface}", advice
            )
        if "directions" in made_with:
            directions = {"directions": made_with["directions"]}
            require_same(self.path, self.made_with, directions, advice)
        centre = made_with.get("model_file", "")
        origin = self.made_with.get("origin", "")
        is_fingerprint = " " not in centre  # else it is a description, such as "random weights of seed 123"
        is_moved = "place of the net" in made_with
        if centre and origin and centre != origin and is_fingerprint and not is_moved:
            raise InputError(
                f"the origin of {self.path!r}, its last checkpoint, is another net than the centre of "
                f"{surface}, so the path would be drawn in the wrong place",
                "take a surface around the last checkpoint ({model_file}), or project up to this one "
                "({max_epoch})",
            )
