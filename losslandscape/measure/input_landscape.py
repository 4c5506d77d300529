"""Turns a landscape over weights into one over inputs: of the same net, loss and data."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice

import numpy as np
import torch

from losslandscape.core.errors import InputError
from losslandscape.core.provenance import Facts
from losslandscape.data.samples import Samples
from losslandscape.evaluate import fit_check, input_directions
from losslandscape.evaluate.input_directions import Inputs
from losslandscape.evaluate.moved_inputs import MovedInputs
from losslandscape.files import h5_util
from losslandscape.files.atomic_file import keep_aside
from losslandscape.measure.landscape import Landscape
from losslandscape.measure.run import Run
from losslandscape.nets import direction_file
from losslandscape.nets.net_plotter import Direction
from losslandscape.nets.spreading import place


def over_inputs(
    landscape: Landscape,
    names: Sequence[str],
    run: Run,
    *,
    device: torch.device,
    batch_size: int | None = None,
    sample: int | None = None,
) -> Landscape:
    """Return a landscape in which the inputs of the data move, and the net stays as it is.

    New directions are written to the direction file at once, and later runs read them: the signs of tiny
    gradients depend on rounding, and every rank and every run needs the same.

    Args:
        landscape: the net, the loss, the data and the direction file; its other directions do not matter.
        names: the name of each axis's direction, as in `evaluate.input_directions`.
        run: the ranks, and whether to overwrite files.
        device: the device of this rank.
        batch_size: samples in memory at a time.
        sample: the number of the one sample of each part to measure, from 0; None for all.

    Raises:
        InputError: the data has no inputs that can move, or the direction file is of other directions.
    """
    ranks = run.ranks
    place(landscape.net, device)
    sets = ranks.all(_chosen, landscape.sets, sample)
    inputs = ranks.all(lambda: {part: Inputs.of(data) for part, data in sets.items()})
    chosen = replace(landscape, sets=sets)
    make = partial(_make, chosen, inputs, landscape.sets["train"], names, batch_size)
    directions = ranks.first(_find_or_make, chosen, inputs, names, make, run)
    along = _by_part(directions, inputs)
    loss = MovedInputs(landscape.loss, [input_directions.label(name) for name in names])
    return replace(
        landscape,
        loss=loss,
        sets={part: data.with_directions(along[part]) for part, data in inputs.items()},
        directions=directions,
        motion=loss,
        settings={**landscape.settings, **_sample_fact(sample)},
    )


def _chosen(sets: dict[str, Samples], sample: int | None) -> dict[str, Samples]:
    """Return one sample of each part, or all."""
    if sample is None:
        return sets
    for part, data in sets.items():
        if not 0 <= sample < len(data):
            raise InputError(f"sample {sample} is not among the {len(data)} of the {part} data, from 0")
    return {part: data.take(np.array([sample])) for part, data in sets.items()}


def _sample_fact(sample: int | None) -> Facts:
    return {} if sample is None else {"sample": str(sample)}


def _by_part(directions: list[Direction], inputs: dict[str, Inputs]) -> dict[str, list[Direction]]:
    """Return the directions by part; each has a tensor for each chunk of each part of the data."""
    left = [iter(direction) for direction in directions]
    return {
        part: [list(islice(direction, len(data.samples.chunks))) for direction in left]
        for part, data in inputs.items()
    }


def _find_or_make(
    landscape: Landscape,
    inputs: dict[str, Inputs],
    names: Sequence[str],
    make: Callable[[], list[Direction]],
    run: Run,
) -> list[Direction]:
    """Return the directions of the direction file, or new ones, which are written there."""
    path = landscape.dir_file
    facts = landscape.surface_facts([])
    for axis, name in zip("xy", names, strict=False):
        facts[f"{axis} direction"] = f"{name} of seed {landscape.seed}" if name == "random" else name
    directions, are_new = direction_file.find_or_make(
        path, partial(_read, path, inputs, len(names)), make, made_with=facts, overwrite=run.overwrite
    )
    if path and are_new:
        if os.path.exists(path):
            run.say(f"the old directions are kept as {keep_aside(path)}")
        h5_util.write_directions(path, direction_file.arrays(directions), made_with=facts)
    return directions


def _read(path: str, inputs: dict[str, Inputs], dimensions: int) -> list[Direction]:
    """Return the directions of a file.

    Raises:
        InputError: they are not of these inputs.
    """
    directions = h5_util.read_directions(path)[:dimensions]
    shapes = [chunk[0].shape for data in inputs.values() for chunk in data.samples.chunks]
    fits = len(directions) == dimensions
    if not fits or any([part.shape for part in direction] != shapes for direction in directions):
        fault = (
            f"{path!r} has directions of other inputs, such as those of another part of the data, or too few"
        )
        raise InputError(fault, "give {overwrite:True} to make new directions, or another {directions}")
    return [list(map(torch.from_numpy, direction)) for direction in directions]


def _make(
    landscape: Landscape,
    inputs: dict[str, Inputs],
    targets: Samples,
    names: Sequence[str],
    batch_size: int | None,
) -> list[Direction]:
    net, loss = landscape.net, landscape.loss
    model = landscape.net_facts.get("model", "the net")
    fit_check.check_data(net, next(iter(landscape.sets.values())), loss, model)
    return input_directions.find(
        names,
        inputs,
        net,
        loss,
        targets=Inputs.of(targets).samples,
        seed=landscape.seed,
        batch_size=batch_size,
    )
