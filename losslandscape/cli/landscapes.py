"""Makes the landscape, the run and the axes that a request asks for."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from losslandscape.cli import direction_place
from losslandscape.cli.command_line import as_flag
from losslandscape.cli.request import DataOptions, Machine, NetOptions, SurfaceRequest, absolute
from losslandscape.core import user_code
from losslandscape.core.errors import InputError
from losslandscape.core.provenance import Facts, fingerprint_of_file, record_of_run
from losslandscape.curvature.named_directions import NamedDirections
from losslandscape.data.samples import Samples
from losslandscape.evaluate import losses
from losslandscape.evaluate.loss import Loss
from losslandscape.files import file_names, h5_util
from losslandscape.files.file_names import SEED, Axis, short_names
from losslandscape.files.surface import Place
from losslandscape.measure import auto_range
from losslandscape.measure.auto_range import Auto
from losslandscape.measure.axes import find_axes
from losslandscape.measure.grid import Measure
from losslandscape.measure.landscape import ORIGINS, Landscape, fingerprint_of_net
from losslandscape.measure.run import Run
from losslandscape.nets import library_nets, model_loader
from losslandscape.nets.models import MODELS
from losslandscape.nets.net_plotter import Recipe
from losslandscape.parallel import devices
from losslandscape.parallel.mpi4pytorch import Serial


def make_landscape(
    request: SurfaceRequest, machine: Machine, sets: dict[str, Samples], settings: Facts
) -> Landscape:
    """Return the requested landscape.

    Args:
        request: the surface that the command line asks for.
        machine: the ranks and the device of this rank.
        sets: the samples by part, "train" and "test".
        settings: further facts that affect the values of a surface.
    """
    ranks, directions = machine.ranks, request.directions
    seed, files = SEED + directions.idx, request.net.files()
    torch.manual_seed(seed)
    net = ranks.all(request.net.load, files.get("model_file", ""))
    random_state = torch.get_rng_state()
    if "model_file" not in files and ranks.rank == 0:
        print(without_checkpoint(request.net.model))
    loss = ranks.all(losses.find, request.loss_name)
    net_facts = ranks.all(
        facts_of_net, request.net, net, files, dir_type=directions.dir_type, seed=seed, ranks=ranks
    )
    dir_file = directions.dir_file or ranks.first(direction_place.find, request, files, net_facts)
    dir_file_given = ranks.first(direction_place.holds_given_directions, directions)
    ranks.first(direction_place.require_writable_places, request, dir_file, given=dir_file_given)
    return Landscape(
        net,
        seed=seed,
        random_state=random_state,
        net_facts=net_facts,
        dir_type=directions.dir_type,
        recipes=_recipes(request, machine, net, sets, loss, files),
        loss=loss,
        sets=sets,
        files=files,
        dir_file=dir_file,
        dir_file_given=dir_file_given,
        same_dir=directions.same_dir,
        orthonormal=bool(directions.axes),
        net_names=directions.net_names or short_names(list(files.values())),
        settings={**facts_of_loss(request.data, request.loss_name), **settings},
    )


def make_run(request: SurfaceRequest, machine: Machine, landscape: Landscape) -> Run:
    """Return the run, with its record and the settings that the user chose."""
    options = request.run
    return recorded_run(
        request.program,
        request.arguments,
        machine,
        landscape.files,
        overwrite=options.overwrite,
        wait=options.wait,
        strict=options.strict,
        order=options.order,
        refine=options.refine,
        schedule=options.schedule,
    )


def recorded_run(
    program: str, arguments: list[str], machine: Machine, files: dict[str, str], **settings: Any
) -> Run:
    """Return the run of a command, with its record.

    Args:
        program, arguments: the command.
        machine: the ranks and the device of this rank.
        files: the checkpoint files by name.
        settings: further settings of the `Run`.
    """
    record = record_of_run(
        program,
        arguments,
        device=devices.name(machine.device),
        ranks=machine.ranks.size,
        files=absolute(files),
    )
    return Run(machine.ranks, record, ends_program=True, name_option=as_flag, **settings)


def find_request_axes(
    request: SurfaceRequest,
    landscape: Landscape,
    measure: Measure,
    run: Run,
    *,
    path: np.ndarray | None = None,
) -> dict[str, Axis]:
    """Return the requested axes, after a search for the ranges of `auto` axes.

    Orthonormal axes are not searched: they hold the nets.

    Args:
        path: (2, checkpoints) coordinates of a trajectory, which decides the range of axes without a request.
            The default is the trajectory in the requested projection files, if there are any.
    """
    grid = request.grid
    requested = {"x": grid.x, "y": grid.y} if request.is_plane else {"x": grid.x}
    path_name = "the path"
    if landscape.orthonormal:
        requested = _around_nets(requested, run.ranks.first(_places, landscape))
    if None in requested.values():
        if path is None and grid.proj_file:
            path = run.ranks.first(_path_places, grid.proj_file)
        if places := run.ranks.first(_places, landscape):
            path_name = "the nets" if path is None else "nets and path"
            path = auto_range.around([(place.x, place.y) for place in places], path)
    return find_axes(
        landscape,
        requested,
        measure,
        run,
        rise=grid.rise,
        surf_file=request.run.surf_file,
        path=path,
        path_name=path_name,
    )


def _around_nets(
    requested: dict[str, Axis | Auto | None], places: list[Place]
) -> dict[str, Axis | Auto | None]:
    """Replace each `auto` axis by one that holds the nets, with its number of points."""
    box = auto_range.around([(place.x, place.y) for place in places])
    return {
        name: auto_range.of_path(ends.tolist(), axis.number) if isinstance(axis, Auto) else axis
        for (name, axis), ends in zip(requested.items(), box, strict=True)
    }


def _path_places(proj_files: Sequence[str]) -> np.ndarray:
    """Return the coordinates (2, checkpoints) of all checkpoints of the paths."""
    paths = map(h5_util.read_projection, proj_files)
    return np.concatenate([[path.x, path.y] for path in paths], axis=1)


def _places(landscape: Landscape) -> list[Place]:
    return landscape.places


def surface_file(request: SurfaceRequest, landscape: Landscape, axes: dict[str, Axis]) -> str:
    """Return the path of the surface file: the user's, or else the published program's."""
    return request.run.surf_file or named_surface_file(request, landscape, axes)


def named_surface_file(request: SurfaceRequest, landscape: Landscape, axes: dict[str, Axis]) -> str:
    """Return the path that the published program would give the surface file."""
    data = request.data
    return file_names.surface_file_name(
        landscape.dir_file,
        axes["x"],
        axes.get("y"),
        raw_data=data.raw_data,
        data_split=data.data_split,
        split_idx=data.split_idx,
        samples=data.samples,
    )


def facts_of_loss(data: DataOptions, loss_name: str) -> Facts:
    """Return the facts that describe the loss and the choice of data."""
    return {
        "loss_name": loss_name,
        "dataset": data.name,
        "data_split": str(data.data_split),
        "split_idx": str(data.split_idx),
        **({"samples": str(data.samples)} if data.samples else {}),
        **code_facts("loss", loss_name),
    }


def code_facts(what: str, spec: str) -> Facts:
    """Return the fingerprint of the user's code as a fact; empty if `spec` does not name the user's code."""
    if not user_code.is_own(spec) or library_nets.is_library(spec):
        return {}
    return {f"{what} code": " ".join(user_code.source_facts(spec).values())}


def without_checkpoint(model: str) -> str:
    """Return the line that says which weights a net without a checkpoint has."""
    net = "the net has random weights" if model in MODELS else f"the net is as {model} makes it"
    return f"no --model_file: {net}"


def _recipes(
    request: SurfaceRequest,
    machine: Machine,
    net: nn.Module,
    sets: dict[str, Samples],
    loss: Loss,
    files: dict[str, str],
) -> dict[str, Recipe]:
    """Return the recipe of each direction, by axis."""
    directions = request.directions
    kinds = [getattr(directions, f"{axis}dir") for axis in ("x", "y")]
    named = NamedDirections(
        net,
        sets,
        loss,
        kinds,
        device=machine.device,
        dir_type=directions.dir_type,
        batch_size=request.batch_size,
        fix_randomness=request.fix_randomness,
    )

    def recipe(axis: str, target: str) -> Recipe:
        """Return the recipe of an axis; it leads to the file of flag `target`, if the user gave one."""
        place = "xy".index(axis)
        return Recipe(
            target=partial(request.net.load_beside, net, files[target]) if target in files else None,
            norm=getattr(directions, f"{axis}norm"),
            ignore=getattr(directions, f"{axis}ignore"),
            params=directions.params,
            vector=partial(named.find, place) if kinds[place] in ORIGINS else None,
            name=kinds[place],
        )

    recipes = {"x": recipe("x", "model_file2")}
    if request.is_plane and not directions.same_dir:
        recipes["y"] = recipe("y", "model_file3")
    return recipes


def _with_type(model: str, net: nn.Module) -> str:
    """Return the model, with the type of its weights if a package chose another than float32.

    Earlier versions measured these nets in float32.
    """
    dtype = next(tensor.dtype for tensor in net.parameters() if tensor.is_floating_point())
    if not library_nets.is_library(model) or dtype == torch.float32:
        return model
    return f"{model} in {str(dtype).removeprefix('torch.')}"


def facts_of_net(
    options: NetOptions, net: nn.Module, files: dict[str, str], *, dir_type: str, seed: int, ranks: Serial
) -> Facts:
    """Return the facts that identify the net: its model, and its checkpoint, seed or weights.

    Raises:
        InputError: without a checkpoint, the user's code makes different weights on different ranks.
    """
    model = options.model
    facts = {"model": _with_type(model, net), "dir_type": dir_type, **code_facts("model", model)}
    if options.model_args:
        facts["model_args"] = " ".join(options.model_args)
    if model_loader.is_on_base(net):
        facts["base of the adapter"] = fingerprint_of_net(net)
    if "model_file" in files:
        return {**facts, "model_file": fingerprint_of_file(files["model_file"])}
    if model in MODELS:
        return {**facts, "model_file": f"random weights of seed {seed}"}
    weights = fingerprint_of_net(net)
    if len(set(ranks.gather_all(weights))) > 1:
        fault = f"--model {model} makes a net with other weights on each rank"
        raise InputError(f"{fault}; let it seed its random numbers, or give a --model_file")
    return {**facts, "model_file": f"weights {weights}"}
