"""What a surface is made of: a net, directions through it, a loss and data; and the files that record it.

A `Study` knows the facts by which a file tells whether it is of the same study (`provenance`). It opens the direction file and the surface file
so that nothing is written before all of it fits together.
"""

import glob
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from losslandscape.core.errors import InputError
from losslandscape.core.provenance import Facts, fingerprint_of_arrays, fingerprint_of_file
from losslandscape.data.dataloader import ImageSet
from losslandscape.files import h5_util
from losslandscape.files.atomic_file import keep_aside
from losslandscape.files.file_names import Axis
from losslandscape.files.h5_util import Surface
from losslandscape.measure import auto_range
from losslandscape.measure.evaluation import Samples
from losslandscape.measure.losses import Loss
from losslandscape.nets import net_plotter
from losslandscape.nets.net_plotter import Direction, Recipe


@dataclass(frozen=True)
class Study:
    """Everything that decides the values of a surface, but for its grid.

    Args:
        net: at the centre; it may be on any device.
        seed, random_state: of the random directions, in words and as torch's generator has it: that after the net was made.
        net_facts: what tells the net from others, in words, with `dir_type`.
        files: checkpoints by flag, `model_file` of the centre, `model_file2` and `model_file3` of the nets that x and y point to.
        recipes: how each direction is made, by axis.
        dir_file: where the directions are or go, empty for nowhere; `dir_file_given` says that they are used whatever they were made with.
        same_dir: the y direction is the x direction, and has no recipe.
        sets: the data, by part.
        settings: loss, precision and choice of data, in words.
        given: directions to use instead of any that are made.
        place: coordinates of the net in the grid, where that is not the origin.
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
    given: list[Direction] | None = None
    place: tuple[float, ...] = ()

    @property
    def dimensions(self) -> int:
        return len(self.recipes) + self.same_dir

    @property
    def towards_nets(self) -> list[str]:
        """The axes that point to another net."""
        recipes = {
            "x": self.recipes["x"],
            "y": self.recipes["x"] if self.same_dir else self.recipes.get("y", Recipe()),
        }
        return [axis for axis, recipe in recipes.items() if recipe.target]

    def direction_facts(self) -> Facts:
        """How each direction is made."""
        if self.given is not None:
            return {
                **self.net_facts,
                "directions": fingerprint_of_arrays(chain(*net_plotter.arrays(self.given))),
            }
        facts = {f"{axis} direction": self._made(axis, recipe) for axis, recipe in self.recipes.items()}
        if any(recipe.vector for recipe in self.recipes.values()):
            facts |= {**self.settings, **self._data_facts}
        return {**self.net_facts, **facts}

    def _made(self, axis: str, recipe: Recipe) -> str:
        how = f"norm {recipe.norm or 'none'}, ignore {recipe.ignore or 'nothing'}"
        moved = f", params {recipe.params}" if recipe.params else ""
        if target := self._target(axis):
            return f"to {fingerprint_of_file(target)}{moved}"
        if recipe.target:
            return f"to {fingerprint_of_net(recipe.target())}{moved}"
        return (
            f"eigenvector of the Hessian, {how}" if recipe.vector else f"random of seed {self.seed}, {how}"
        ) + moved

    def surface_facts(self, directions: list[Direction]) -> Facts:
        place = {"place of the net": " ".join(map(repr, self.place))} if any(self.place) else {}
        return {
            **self.net_facts,
            "directions": fingerprint_of_arrays(chain(*net_plotter.arrays(directions))),
            **self.settings,
            **self._data_facts,
            **place,
        }

    def find_directions(self, *, overwrite: bool) -> tuple[list[Direction], bool]:
        """The directions, and whether they are new and not written yet. The same at every call, whatever was drawn meanwhile.

        Raises `InputError` if the file was made with something else, unless `overwrite` is given, or does not fit the net.
        """
        if self.dir_file_given:
            return self.read_directions(), False
        if self.given is not None:
            return self.given, True
        recipes = list(self.recipes.values())
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self.random_state)
            if not self.dir_file:
                return net_plotter.make_directions(
                    self.net, self.dir_type, recipes, same_dir=self.same_dir
                ), True
            return net_plotter.find_or_make_directions(
                self.dir_file,
                self.net,
                self.dir_type,
                recipes,
                same_dir=self.same_dir,
                made_with=self.direction_facts(),
                overwrite=overwrite,
            )

    def read_directions(self) -> list[Direction]:
        return net_plotter.read_direction_file(
            self.dir_file, self.net, self.dir_type, dimensions=self.dimensions
        )

    def find_ranges(
        self,
        axes: dict[str, Axis | auto_range.Auto],
        question: str,
        measure: Callable[[], dict[str, float]],
        *,
        rise: float,
        surf_file: str,
        overwrite: bool,
    ) -> tuple[dict[str, Axis], list[str]]:
        """The axes with a range for each that is `Auto`, the one that an earlier run found or else what a probe finds; and the reasons, a line each.

        `question` is `auto_range.question`'s, `measure` gives the loss of the net where it is moved to.
        """
        directions, _ = self.find_directions(overwrite=overwrite)
        written = [surf_file] if surf_file else glob.glob(f"{glob.escape(self.dir_file)}_[[]*.h5")
        if not overwrite and (
            known := auto_range.remembered(
                axes, question, made_with=self.surface_facts(directions), paths=written
            )
        ):
            return known
        with net_plotter.moving(self.net, directions, self.dir_type) as move:

            def loss(point: tuple[float, ...]) -> float:
                move(point)
                return measure()["train_loss"]

            alike = self.same_dir or len({recipe.norm for recipe in self.recipes.values()}) == 1
            return auto_range.choose(axes, loss, alike=alike, loss_name=self.settings["loss_name"], rise=rise)

    def open_files(
        self,
        surf_file: str,
        axes: dict[str, Axis],
        names: list[str],
        *,
        run: dict[str, Any],
        overwrite: bool,
        say: Callable[[str], object],
    ) -> tuple[Surface, list[Direction]]:
        """Find or make the directions and the surface, with room for the named quantities, and write both; `run` is the record of this run.

        With `overwrite` old files are kept aside. Without a `surf_file` nothing is written. Raises `InputError`, and writes nothing, where something does not fit.
        """
        directions, new = self.find_directions(overwrite=overwrite)
        grid = {axis: np.linspace(*ends) for axis, ends in axes.items()}
        surface = h5_util.open_surface(
            surf_file,
            x=grid["x"],
            y=grid.get("y"),
            dir_file=self.dir_file,
            names=names,
            made_with=self.surface_facts(directions),
            anew=overwrite,
        )
        if surface.missing(names).size:
            surface.runs.append(run)
        if not surf_file:
            return surface, directions
        if overwrite and os.path.exists(surf_file):
            say(f"the old surface is kept as {keep_aside(surf_file)}")
        if new:
            if os.path.exists(self.dir_file):
                say(f"the old directions are kept as {keep_aside(self.dir_file)}")
            h5_util.write_directions(
                self.dir_file, net_plotter.arrays(directions), made_with=self.direction_facts()
            )
        h5_util.write_surface(surface)
        return surface, directions

    def _target(self, axis: str) -> str:
        """The checkpoint that a direction points to; empty if it is random."""
        return self.files.get({"x": "model_file2", "y": "model_file3"}[axis], "")

    @cached_property
    def _data_facts(self) -> Facts:
        """Which data, and how images are normalised."""
        facts = {}
        for part, data in self.sets.items():
            if isinstance(data, ImageSet):
                facts[f"{part} normalisation"] = (
                    "none"
                    if data.mean is None
                    else f"mean {_numbers(data.mean)}, deviation {_numbers(data.std)}"
                )
            facts[f"{part} {'images' if isinstance(data, ImageSet) else 'samples'}"] = fingerprint_of_arrays(
                data.arrays()
            )
        return facts


def require_folder(surf_file: str) -> None:
    """Raise `InputError` unless the folder of a surface file that is to be written is there."""
    folder = os.path.dirname(surf_file) or "."
    if not os.path.isdir(folder):
        raise InputError(
            f"the folder {folder!r}, where the surface file is to be, is not there; make it, or give another surface file"
        )


def fingerprint_of_net(net: nn.Module) -> str:
    """Of all its weights and statistics."""
    return fingerprint_of_arrays(
        value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        for value in net.state_dict().values()
    )


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.4f}" for value in values)
