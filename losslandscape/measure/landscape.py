"""Describes what determines the values of a surface, except its grid: net, directions, loss and data.

A `Landscape` also states its parts as facts. A file belongs to the same landscape if its facts are equal
(`core.provenance`).
"""

import io
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from losslandscape.core.provenance import Facts, fingerprint_of_arrays, fingerprint_of_file
from losslandscape.data.image_set import ImageSet
from losslandscape.data.samples import Samples
from losslandscape.evaluate.loss import Loss
from losslandscape.files import h5_util
from losslandscape.files.surface import Place, Surface, read_places
from losslandscape.nets import direction_file, net_plotter, plane
from losslandscape.nets.moving import moving
from losslandscape.nets.net_plotter import Direction, Recipe

Move = Callable[[Sequence[float]], None]


class Motion(Protocol):
    """Something other than straight directions that moves with the coordinates of a surface."""

    def facts(self) -> Facts:
        """Return the facts that describe it."""

    def moving(self, net: nn.Module, dir_type: str) -> AbstractContextManager[Move]:
        """Return a context that yields `move`, and after which all is at the centre."""


# The beginning of the fact of a direction that the loss decides, by the direction's name.
ORIGINS = {
    "hessian": "eigenvector of the Hessian",
    "gradient": "gradient",
    "sam": "gradient of sharpness-aware minimisation",
}
TARGET_FLAGS = {"x": "model_file2", "y": "model_file3"}


@dataclass(frozen=True)
class Landscape:
    """A net, directions through it, a loss and data.

    Args:
        net: the net at the centre, on any device.
        seed: the seed of the random directions, which is stored as a fact.
        random_state: the state of torch's generator after the net was built. From this state the random
            directions are drawn.
        net_facts: the facts that identify the net, including `dir_type`.
        dir_type: `weights` or `states`.
        recipes: by axis, the recipe from which each direction is made.
        loss: the loss to measure.
        sets: the data, by part (`train`, `test`).
        settings: the facts that describe the loss, the precision and the choice of data.
        files: the checkpoint files by name: `model_file` is the centre; `model_file2` and `model_file3` are
            the nets that x and y point to.
        dir_file: the direction file to read or to write; empty for none.
        dir_file_given: whether to use the directions of `dir_file` without a comparison of its facts.
        same_dir: whether the y direction equals the x direction and has no recipe.
        directions: the directions to use instead of new ones from the recipes, unless `dir_file_given`.
        place: the coordinates of the net in the grid; empty for the origin.
        orthonormal: whether the axes of a plane towards two other nets are orthonormal (`nets.plane`).
        net_names: the names of the three nets of an orthonormal plane, for figures.
        motion: what moves if it is not the net along straight directions: the net along a curve, whose one
            coordinate is t, or the inputs of the loss along `directions`.
    """

    net: nn.Module
    seed: int
    random_state: Tensor
    net_facts: Facts
    dir_type: str
    recipes: dict[str, Recipe]
    loss: Loss
    sets: dict[str, Samples]
    settings: Facts
    files: dict[str, str] = field(default_factory=dict)
    dir_file: str = ""
    dir_file_given: bool = False
    same_dir: bool = False
    directions: list[Direction] | None = None
    place: tuple[float, ...] = ()
    orthonormal: bool = False
    net_names: Sequence[str] = ()
    motion: Motion | None = None

    @property
    def dimensions(self) -> int:
        return len(self.recipes) + self.same_dir

    @property
    def towards_nets(self) -> list[str]:
        """The axes that point to another net."""
        recipes = {**self.recipes, "y": self.recipes["x"]} if self.same_dir else self.recipes
        return [axis for axis, recipe in recipes.items() if recipe.target]

    @property
    def alike(self) -> bool:
        """Whether a step of 1 means the same on all axes: all directions have the same normalisation."""
        return self.same_dir or len({recipe.norm for recipe in self.recipes.values()}) == 1

    def centre_point(self, surface: Surface) -> int | None:
        """Return the index of the surface's point at the net's own place; None if there is no such point."""
        return surface.index(self.place or (0.0,) * self.dimensions)

    def direction_facts(self) -> Facts:
        """Return the facts that describe how each direction is made."""
        if self.directions is not None:
            return {**self.net_facts, "directions": _fingerprint(self.directions)}
        facts = {f"{axis} direction": self._origin(axis, recipe) for axis, recipe in self.recipes.items()}
        if self.orthonormal:
            facts["axes"] = "orthonormal"
        if any(recipe.vector for recipe in self.recipes.values()):
            facts |= {**self.settings, **self._data_facts}
        return {**self.net_facts, **facts}

    def surface_facts(self, directions: list[Direction]) -> Facts:
        """Return the facts that determine the values of a surface along these directions."""
        facts = {"directions": _fingerprint(directions), **self.settings, **self._data_facts}
        if any(self.place):
            facts["place of the net"] = " ".join(map(repr, self.place))
        if self.motion:
            facts |= self.motion.facts()
        return {**self.net_facts, **facts}

    @cached_property
    def places(self) -> list[Place]:
        """The nets that lie in the plane, with their mean; empty where they are not known.

        The net must be at the centre when this is first read.
        """
        if self.dir_file_given:
            return read_places(h5_util.read_made_with(self.dir_file, "direction"))
        if not self.orthonormal:
            return []
        with torch.random.fork_rng(devices=[]):
            directions = net_plotter.make_directions(self.net, self.dir_type, list(self.recipes.values()))
        corners = plane.places(self.net, self.dir_type, directions)
        mean = [sum(column) / len(corners) for column in zip(*corners, strict=True)]
        named = zip([*self.net_names, "mean"], [*corners, mean], strict=True)
        return [Place(name, *place) for name, place in named]

    def moving(self, directions: list[Direction]) -> AbstractContextManager[Move]:
        """Return a context that yields `move`, which puts the net at the coordinates of a point."""
        if self.motion:
            return self.motion.moving(self.net, self.dir_type)
        return moving(self.net, directions, self.dir_type)

    def find_directions(self, *, overwrite: bool) -> tuple[list[Direction], bool]:
        """Read or make the directions. Every call returns equal directions.

        Args:
            overwrite: whether to make new directions even if `dir_file` exists.

        Returns:
            The directions, and whether they must be written to `dir_file`.

        Raises:
            InputError: if `dir_file` has other facts, or does not fit the net.
        """
        if self.dir_file_given:
            return self.read_directions(), False
        if self.directions is not None:
            return self.directions, not self.motion
        recipes = list(self.recipes.values())
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self.random_state)
            if not self.dir_file:
                new = net_plotter.make_directions(
                    self.net, self.dir_type, recipes, same_dir=self.same_dir, orthonormal=self.orthonormal
                )
                return new, True
            return direction_file.find_or_make_directions(
                self.dir_file,
                self.net,
                self.dir_type,
                recipes,
                same_dir=self.same_dir,
                orthonormal=self.orthonormal,
                made_with=self.direction_facts(),
                overwrite=overwrite,
            )

    def read_directions(self) -> list[Direction]:
        """Return the directions in `dir_file`."""
        if self.motion and self.directions is not None:
            return self.directions
        return direction_file.read_direction_file(
            self.dir_file, self.net, self.dir_type, dimensions=self.dimensions
        )

    def _origin(self, axis: str, recipe: Recipe) -> str:
        """Return the fact that describes how a direction is made."""
        params = f", params {recipe.params}" if recipe.params else ""
        target_file = self.files.get(TARGET_FLAGS[axis], "")
        if target_file:
            return f"to {fingerprint_of_file(target_file)}{params}"
        if recipe.target:
            return f"to {fingerprint_of_net(recipe.target())}{params}"
        kind = ORIGINS[recipe.name] if recipe.vector else f"random of seed {self.seed}"
        return f"{kind}, norm {recipe.norm or 'none'}, ignore {recipe.ignore or 'nothing'}{params}"

    @cached_property
    def _data_facts(self) -> Facts:
        """Fingerprints of the data, and the normalisation of images."""
        facts = {}
        for part, data in self.sets.items():
            kind = "samples"
            if isinstance(data, ImageSet):
                kind = "images"
                facts[f"{part} normalisation"] = _normalisation(data)
            facts[f"{part} {kind}"] = fingerprint_of_arrays(data.arrays())
        return facts


def fingerprint_of_net(net: nn.Module) -> str:
    """Return the fingerprint of a net's weights and buffers."""
    return fingerprint_of_arrays(map(_bytes, net.state_dict().values()))


def _bytes(value: object) -> np.ndarray:
    """Return an entry of a net's state as bytes."""
    if isinstance(value, Tensor) and not value.is_quantized:
        return value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    saved = io.BytesIO()  # of a quantised layer, or what its code keeps beside tensors
    torch.save(value, saved)
    return np.frombuffer(saved.getvalue(), np.uint8)


def _fingerprint(directions: list[Direction]) -> str:
    return fingerprint_of_arrays(chain(*direction_file.arrays(directions)))


def _normalisation(data: ImageSet) -> str:
    if data.mean is None or data.std is None:
        return "none"
    mean = " ".join(f"{value:.4f}" for value in data.mean)
    deviation = " ".join(f"{value:.4f}" for value in data.std)
    return f"mean {mean}, deviation {deviation}"
