"""From Python: the loss surface of a net, data and a loss that are at hand, such as those of a notebook.

    surface = landscape.loss_surface(net, train_data, x=(-1, 1, 25), y=(-1, 1, 25))
    surface.get("train_loss")              an array (25, 25), row i at surface.y[i], column j at surface.x[j]
    plot_2D.plot_2d(surface)

It is what `plot_surface.py` does with what its command line names.
"""

import os
import reprlib
from collections.abc import Callable
from contextlib import nullcontext
from operator import index

import torch
from torch import nn

from losslandscape.core.errors import InputError, require_choice
from losslandscape.core.provenance import record_of_run
from losslandscape.core.text import one_line
from losslandscape.data import user_data
from losslandscape.files.file_names import WHOLE_RANGE, Axis, axis_fault
from losslandscape.files.h5_util import Surface
from losslandscape.measure import losses
from losslandscape.measure.grid import Run, measure, unchanged
from losslandscape.measure.loss_measure import LossMeasure, Measuring
from losslandscape.measure.study import Study, fingerprint_of_net, require_folder
from losslandscape.nets import net_plotter, net_tensors
from losslandscape.nets.net_plotter import SEED, Direction, Recipe
from losslandscape.nets.net_tensors import DIRECTION_TYPES
from losslandscape.parallel import devices, mpi4pytorch
from losslandscape.parallel.mpi4pytorch import together

Ends = tuple[float, float]  # min, max


def loss_surface(
    net: nn.Module,
    data: object,
    loss: str | Callable[..., object] = "crossentropy",
    *,
    x: Axis | Ends = WHOLE_RANGE,
    y: Axis | Ends | None = None,
    target: nn.Module | tuple[nn.Module, nn.Module] | None = None,
    dir_type: str = "",
    norm: str = "filter",
    ignore: str = "biasbn",
    params: str = "",
    seed: int = SEED,
    directions: list[Direction] | None = None,
    surf_file: str = "",
    overwrite: bool = False,
    wait: bool = False,
    order: str = "coarse",
    schedule: str = "dynamic",
    device: torch.device | str | None = None,
    quiet: bool = False,
    **measuring: object,
) -> Surface:
    """The loss, and what else the loss function measures, around `net` on a line or, with `y`, in a plane.

    Under an MPI launcher every rank calls it and gets the whole surface. The net comes out as it went in, and so does torch's random state.

    Args:
        data: training data, or (training, test) or a dict of them: torch Datasets, iterables of batches, one batch, or an `ImageSet`.
        loss: one of `losses.LOSSES`, FILE.py:FUNCTION, or a function of net and batch (`losses.OwnLoss`).
        x, y: (minimum, maximum, number of points), or (minimum, maximum) with 51 points.
        target: the net that x points to, or those of x and y, instead of random directions.
        dir_type: `weights`, or `states` with the BN statistics; by default `states` towards nets, else `weights`.
        norm, ignore, params: of random directions; `net_plotter.NORMS`, `biasbn` or "", a regular expression of parameters that move.
        directions: these instead, each a list of tensors, one for each that moves (`net_plotter.moving_tensors`).
        surf_file: where values are kept, and gone on with by the next call; the directions go beside it. Nothing is written without.
        measuring: batch_size, precision, weight_decay, bn_samples, errors, allow_nan: see `loss_measure.Measuring`.

    Raises `InputError` for what cannot be used, in one sentence, on all ranks and before anything is measured or written.
    """
    ranks, surf_file = mpi4pytorch.connect(), os.fspath(surf_file)

    def prepare() -> tuple[Study, dict[str, Axis], Run, Measuring, torch.device]:
        _require_net("net", net)
        axes = _axes(x, y)
        targets = _targets(target, axes)
        require_choice("dir_type", dir_type, (*DIRECTION_TYPES, ""))
        kind = dir_type or ("states" if targets else "weights")
        recipes = {
            axis: Recipe(
                (lambda other=targets[axis]: other) if axis in targets else None,
                norm=norm,
                ignore=ignore,
                params=params,
            )
            for axis in axes
        }
        if directions is not None and (targets or params):
            raise InputError(
                f"directions and {'target' if targets else 'params'} both say where the axes lead; give one of them"
            )
        given = None if directions is None else _directions(directions, net, kind, axes)
        how, where = (
            Measuring(**measuring),
            devices.find(next(net.parameters()).device if device is None else device),
        )
        record = record_of_run("landscape.loss_surface", [], ranks=ranks.size)
        run = Run(ranks, record, quiet=quiet, overwrite=overwrite, wait=wait, order=order, schedule=schedule)
        random_state, found_loss = _random_state(seed), losses.find(loss)
        require_folder(surf_file)
        sets = {
            part: user_data.as_samples(samples, name=part)
            for part, samples in user_data.parts_of(data).items()
            if part == "train" or samples is not None
        }
        study = Study(
            net,
            seed=seed,
            random_state=random_state,
            dir_type=kind,
            recipes=recipes,
            loss=found_loss,
            sets=sets,
            net_facts={"net": fingerprint_of_net(net), "dir_type": kind},
            settings={"loss_name": found_loss.name, **how.facts()},
            dir_file=f"{surf_file}_directions.h5" if surf_file else "",
            given=given,
        )
        return study, axes, run, how, where

    study, axes, run, how, where = together(ranks, prepare)
    with unchanged(net), torch.cuda.device(where) if where.type == "cuda" else nullcontext():
        net.to(where)
        measures = LossMeasure(study, run, how, device=where)
        return measure(study, axes, measures.names, run, surf_file=surf_file, prepare=measures.prepare)


def _require_net(name: str, given: object) -> None:
    if not isinstance(given, nn.Module):
        raise InputError(f"{name} is of type {type(given).__name__}; give a net, an nn.Module")
    if next(given.parameters(), None) is None:
        raise InputError(f"{name} has no parameters, so there is nothing to move; give a net that has some")
    if any(tensor.layout is not torch.strided for tensor in [*given.parameters(), *given.buffers()]):
        raise InputError(f"{name} has sparse tensors, which cannot be moved; make them dense")
    net_tensors.tensors(given, "weights")  # refuses those that are not there


def _axes(x: object, y: object) -> dict[str, Axis]:
    return {"x": _axis("x", x), **({"y": _axis("y", y)} if y is not None else {})}


def _axis(name: str, given: object) -> Axis:
    low, high, number = 0.0, 0.0, 0
    if isinstance(given, tuple | list) and len(given) in (
        2,
        3,
    ):  # an array of three is more likely the points themselves
        try:
            low, high, number = float(given[0]), float(given[1]), index((*given, WHOLE_RANGE[2])[2])
        except (TypeError, ValueError, RuntimeError, OverflowError):
            number = 0
    if fault := axis_fault(
        low, high, number, "(minimum, maximum, number of points) with at least one point, such as (-1, 1, 51)"
    ):
        raise InputError(f"{name} {' '.join(reprlib.repr(given).split())} {fault}")
    return low, high, number


def _targets(given: object, axes: dict[str, Axis]) -> dict[str, nn.Module]:
    """The nets that axes point to."""
    nets = () if given is None else given if isinstance(given, tuple | list) else (given,)
    if given is not None and not 1 <= len(nets) <= len(axes):
        raise InputError(
            f"target has {len(nets)} nets for a surface of {_dimensions(axes)}; give at most one for each"
        )
    for net in nets:
        _require_net("target", net)
    return dict(zip(axes, nets, strict=False))


def _directions(given: object, net: nn.Module, dir_type: str, axes: dict[str, Axis]) -> list[Direction]:
    advice = (
        f"give for each axis a list with a tensor for each of net_plotter.moving_tensors(net, {dir_type!r})"
    )
    try:
        plain = [
            [torch.as_tensor(tensor).detach().cpu().float().numpy() for tensor in direction]
            for direction in given
        ]
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"directions are no lists of tensors ({one_line(error)}); {advice}"
        ) from error
    if len(plain) != len(axes):
        raise InputError(
            f"there are {len(plain)} directions for a surface of {_dimensions(axes)}; give one for each"
        )
    found = [
        net_plotter.check_fit(f"directions[{i}]", direction, net, dir_type, advice=advice)
        for i, direction in enumerate(plain)
    ]
    for i, direction in enumerate(found):
        for name, tensor in zip(net_plotter.moving_tensors(net, dir_type), direction, strict=True):
            if not tensor.isfinite().all():
                raise InputError(
                    f"directions[{i}] holds NaN or infinity for {name}, where nothing can be measured; give finite numbers"
                )
    return found


def _dimensions(axes: dict[str, Axis]) -> str:
    return f"{len(axes)} dimension{'s' if len(axes) > 1 else ''}"


def _random_state(seed: object) -> torch.Tensor:
    try:
        return torch.Generator().manual_seed(index(seed)).get_state()
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise InputError(f"seed {seed!r} is not a whole number of at most 64 bits") from error
