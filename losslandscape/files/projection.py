"""The path of a training, projected onto the plane of two directions, and whether it lies on a surface."""

from dataclasses import dataclass, field

import numpy as np

from losslandscape.core.errors import InputError
from losslandscape.core.provenance import Facts, require_same
from losslandscape.files.surface import Surface

PER_CHECKPOINT = ("epochs", "distance", "true_loss", "projected_loss")
EXTRAS = (*PER_CHECKPOINT, "lr_drops", "shares")


@dataclass(frozen=True)
class Projection:
    """A projected path of n checkpoints. A file of the published program has x and y alone.

    Args:
        path: the file.
        x, y: coordinates (n,).
        epochs: (n,).
        distance: (n,), from the plane, divided by the distance from the last checkpoint; NaN for the last.
        lr_drops: epochs whose learning rate is below that of the epoch before.
        shares: (2,), how much of the checkpoints' variance lies along x and along y.
        true_loss: (n,), of the checkpoints; NaN where not measured.
        projected_loss: (n,), of the nets at the checkpoints' places on the plane; NaN where not measured.
        made_with: facts about its checkpoints and directions.
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

    def extras(self) -> dict[str, np.ndarray]:
        """Return what is known beside x and y, by name."""
        values = {name: getattr(self, name) for name in EXTRAS}
        return {name: array for name, array in values.items() if array is not None}

    def require_on(self, surface: Surface) -> None:
        """Raise `InputError` if the files know that the path is not on the surface."""
        self.require_fit(surface.made_with, surf_file=surface.path, dir_file=surface.dir_file)

    def require_fit(self, made_with: Facts, *, surf_file: str, dir_file: str) -> None:
        """Raise `InputError` if the path is not on a surface that is, or will be, made with these facts.

        A path is on another plane if its directions or its origin are others.
        """
        surface = f"{surf_file!r} along {dir_file!r}"
        if self.made_with.get("method") == "tsne":
            raise InputError(
                f"{self.path!r} was made by t-SNE, which has no plane and so no contours on {surface}",
                "give a projection on the directions of the surface",
            )
        if "directions" in made_with:
            require_same(
                self.path,
                self.made_with,
                {"directions": made_with["directions"]},
                "give a projection on the directions of the surface",
            )
        centre = made_with.get("model_file", "")
        origin = self.made_with.get("origin", "")
        is_fingerprint = " " not in centre
        moved = "place of the net" in made_with
        if centre and origin and centre != origin and is_fingerprint and not moved:
            raise InputError(
                f"the origin of {self.path!r}, its last checkpoint, is another net than the centre of "
                f"{surface}, so the path would be drawn in the wrong place",
                "take a surface around the last checkpoint ({model_file}), or project up to this one "
                "({max_epoch})",
            )
