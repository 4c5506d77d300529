"""What a surface is made of: a net, directions through it, images; and the files that record it.

A `Study` knows the facts by which a file tells whether it is of the same study (`provenance`). It opens the direction file and the surface file
so that nothing is written before all of it fits together.
"""
import glob
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import nn

import h5_util
import net_plotter
import range_probe
from dataloader import ImageSet
from h5_util import Surface
from net_plotter import Axis, Direction, Recipe
from provenance import Facts, fingerprint_of_arrays, fingerprint_of_file, keep_aside


@dataclass(frozen=True)
class Study:
    """Everything that decides the values of a surface, but for its grid.

    Args:
        net: at the centre; it may be on any device.
        model, seed: its name, and the seed that its weights (without a file) and the random directions are drawn from.
        files: checkpoints by flag, `model_file` of the centre, `model_file2` and `model_file3` of the nets that x and y point to.
        recipes: how each direction is made, by axis.
        dir_file: where the directions are or go; `dir_file_given` says that they are used whatever they were made with.
        same_dir: the y direction is the x direction, and has no recipe.
        sets: the images, by part.
        settings: loss, precision and choice of data, in words.
    """

    net: nn.Module
    model: str
    seed: int
    files: dict[str, str]
    dir_type: str
    recipes: dict[str, Recipe]
    dir_file: str
    dir_file_given: bool
    same_dir: bool
    sets: dict[str, ImageSet]
    settings: Facts

    @property
    def dimensions(self) -> int:
        return len(self.recipes) + self.same_dir

    @property
    def towards_nets(self) -> list[str]:
        """The axes that point to another net."""
        return [axis for axis in "xy" if self._target("x" if self.same_dir else axis)]

    @cached_property
    def net_facts(self) -> Facts:
        file = self.files.get("model_file")
        return {"model": self.model, "model_file": fingerprint_of_file(file) if file else f"random weights of seed {self.seed}", "dir_type": self.dir_type}

    def direction_facts(self) -> Facts:
        """How each direction is made."""
        facts = {}
        for axis, recipe in self.recipes.items():
            target = self._target(axis)
            facts[f"{axis} direction"] = (f"to {fingerprint_of_file(target)}" if target
                                          else f"random of seed {self.seed}, norm {recipe.norm or 'none'}, ignore {recipe.ignore or 'nothing'}")
        return {**self.net_facts, **facts}

    def surface_facts(self, directions: list[Direction]) -> Facts:
        return {**self.net_facts, "directions": fingerprint_of_arrays(chain(*net_plotter.arrays(directions))), **self.settings, **self._image_facts}

    def find_directions(self, *, overwrite: bool) -> tuple[list[Direction], bool]:
        """The directions, and whether they are new and not written yet. New ones are drawn from torch's global generator.

        Raises `InputError` if the file was made with something else, unless `overwrite` is given, or does not fit the net.
        """
        if self.dir_file_given:
            return self.read_directions(), False
        return net_plotter.find_or_make_directions(self.dir_file, self.net, self.dir_type, list(self.recipes.values()), same_dir=self.same_dir,
                                                   made_with=self.direction_facts(), overwrite=overwrite)

    def read_directions(self) -> list[Direction]:
        return net_plotter.read_direction_file(self.dir_file, self.net, self.dir_type, dimensions=self.dimensions)

    def find_ranges(self, axes: dict[str, Axis | range_probe.Auto], question: str, measure: Callable[[], dict[str, float]], *, rise: float, surf_file: str,
                    overwrite: bool) -> tuple[dict[str, Axis], list[str]]:
        """The axes with a range for each that is `Auto`, the one that an earlier run found or else what a probe finds; and the reasons, a line each.

        `question` is `range_probe.question`'s, `measure` gives the loss of the net where it is moved to.
        """
        with torch.random.fork_rng(devices=[]):  # the directions that `open_files` makes are drawn as if these had not been
            directions, _ = self.find_directions(overwrite=overwrite)
        written = [surf_file] if surf_file else glob.glob(f"{glob.escape(self.dir_file)}_[[]*.h5")
        if not overwrite and (known := range_probe.remembered(axes, question, made_with=self.surface_facts(directions), paths=written)):
            return known
        with net_plotter.moving(self.net, directions, self.dir_type) as move:
            def loss(point: tuple[float, ...]) -> float:
                move(point)
                return measure()["train_loss"]
            alike = self.same_dir or len({recipe.norm for recipe in self.recipes.values()}) == 1
            return range_probe.choose(axes, loss, alike=alike, loss_name=self.settings["loss_name"], rise=rise)

    def open_files(self, surf_file: str, axes: dict[str, Axis], names: list[str], *, run: dict[str, Any], overwrite: bool,
                   say: Callable[[str], object]) -> Surface:
        """Find or make the directions and the surface, with room for the named quantities, and write both; `run` is the record of this run.

        With `overwrite` old files are kept aside. Raises `InputError`, and writes nothing, where something does not fit.
        """
        directions, new = self.find_directions(overwrite=overwrite)
        grid = {axis: np.linspace(*ends) for axis, ends in axes.items()}
        surface = h5_util.open_surface(surf_file, x=grid["x"], y=grid.get("y"), dir_file=self.dir_file, names=names,
                                       made_with=self.surface_facts(directions), anew=overwrite)
        if surface.missing(names).size:
            surface.runs.append(run)
        if overwrite and os.path.exists(surf_file):
            say(f"the old surface is kept as {keep_aside(surf_file)}")
        if new:
            if os.path.exists(self.dir_file):
                say(f"the old directions are kept as {keep_aside(self.dir_file)}")
            h5_util.write_directions(self.dir_file, net_plotter.arrays(directions), made_with=self.direction_facts())
        surface.save()
        return surface

    def _target(self, axis: str) -> str:
        """The checkpoint that a direction points to; empty if it is random."""
        return self.files.get({"x": "model_file2", "y": "model_file3"}[axis], "")

    @cached_property
    def _image_facts(self) -> Facts:
        """Which images, with which labels, and how they are normalised."""
        facts = {}
        for part, data in self.sets.items():
            facts[f"{part} normalisation"] = "none" if data.mean is None else f"mean {_numbers(data.mean)}, deviation {_numbers(data.std)}"
            facts[f"{part} images"] = fingerprint_of_arrays([data.images.numpy(), data.labels.numpy()])
        return facts


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.4f}" for value in values)
