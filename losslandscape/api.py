"""Measure a loss surface from Python, for example of a net in a notebook.

    surface = losslandscape.loss_surface(net, train_data, x=(-1, 1, 25), y=(-1, 1, 25))
    surface.get("train_loss")              an array (25, 25), row i at surface.y[i], column j at surface.x[j]
    losslandscape.plot_2d(surface)

`plot_surface.py` measures the same surface from the command line.
"""

import os
import reprlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from functools import partial
from operator import index
from typing import Any, SupportsIndex

import torch
from torch import nn

from losslandscape.core.errors import InputError, require_choice
from losslandscape.core.provenance import record_of_run
from losslandscape.core.text import one_line
from losslandscape.curvature.named_directions import NamedDirections
from losslandscape.data import user_data
from losslandscape.data.samples import Samples
from losslandscape.evaluate import alignment, input_directions, losses
from losslandscape.evaluate.bn_statistics import norms_of
from losslandscape.files.file_names import SEED, WHOLE_RANGE, Axis, axis_fault
from losslandscape.files.surface import Surface
from losslandscape.files.writable import require_writable
from losslandscape.measure import auto_range
from losslandscape.measure.grid import measure_surface, unchanged
from losslandscape.measure.input_landscape import over_inputs
from losslandscape.measure.landscape import ORIGINS, Landscape, fingerprint_of_net
from losslandscape.measure.loss_measure import LossMeasure, Measuring
from losslandscape.measure.run import Run
from losslandscape.measure.surface_files import require_surface_file
from losslandscape.nets import direction_file, net_tensors
from losslandscape.nets.curve import BEZIER
from losslandscape.nets.net_plotter import Direction, Recipe
from losslandscape.nets.net_tensors import DIRECTION_TYPES
from losslandscape.nets.spreading import place
from losslandscape.nets.wrappers import unwrapped
from losslandscape.parallel import devices, mpi4pytorch
from losslandscape.trajectory.connection import POINTS, Connecting, Connection
from losslandscape.trajectory.curve_files import CurveFiles
from losslandscape.trajectory.curve_training import CurvePlan

CPU = torch.device("cpu")
Ends = tuple[float, float]  # min, max
BN_SAMPLES = 1000  # of `connect`, as on its command line
Target = nn.Module | tuple[nn.Module, nn.Module] | None


def loss_surface(
    net: nn.Module,
    data: object,
    loss: str | Callable[..., object] = "crossentropy",
    *,
    x: Axis | Ends = WHOLE_RANGE,
    y: Axis | Ends | None = None,
    target: Target = None,
    orthonormal: bool = False,
    dir_type: str = "",
    norm: str = "filter",
    ignore: str = "biasbn",
    params: str = "",
    seed: int = SEED,
    directions: Sequence[Direction | str] | None = None,
    over: str = "weights",
    sample: int | None = None,
    batch_size: int | None = None,
    precision: str = "",
    memory: int | None = None,
    weight_decay: float = 0.0,
    bn_samples: int = 0,
    errors: bool = False,
    allow_nan: bool = False,
    fix_randomness: bool = False,
    strict: bool = False,
    samples: int | None = None,
    surf_file: str | os.PathLike[str] = "",
    overwrite: bool = False,
    wait: bool = False,
    order: str = "coarse",
    refine: float = 0.0,
    schedule: str = "dynamic",
    device: torch.device | str | None = None,
    quiet: bool = False,
) -> Surface:
    """Measure the loss around `net` on a line or, with `y`, in a plane.

    Other values that the loss returns are measured too. Under an MPI launcher, every rank must call this
    function and gets the whole surface. The call does not change the net or torch's random state.

    Args:
        net: the net at the centre of the surface.
        data: the training data, or (training, test), or a dict by part. Each part is a torch Dataset, an
            iterable of batches, one batch, or an `ImageSet`.
        loss: one of `losses.LOSSES`, FILE.py:FUNCTION, or a function of net and batch (`own_loss.OwnLoss`).
        x, y: the axes: (minimum, maximum, number of points), or (minimum, maximum) for 51 points.
        target: the net that the x direction points to, or the two nets that x and y point to. Other
            directions are random.
        orthonormal: for two targets: whether coordinates are distances of weights, along orthonormal axes.
            The three nets and their mean are marked, and axes that are not given hold them with a margin.
        dir_type: `weights`, or `states` to move the BN statistics too; by default `states` with a `target`,
            else `weights`.
        norm: how random directions are normalised, one of `direction_parts.NORMS` or "".
        ignore: which tensors random directions do not move: `biasbn`, or "" to move all.
        params: a regular expression; only parameters whose names match it are moved.
        seed: the seed of the random directions.
        directions: one direction per axis, used instead of random directions. Each is a list with one tensor
            for each of `net_tensors.moving_tensors`; or a name per axis, `random` or one of
            `landscape.ORIGINS`, whose directions have length 1: `norm` and `ignore` do not apply to them.
        over: `weights`, or `inputs` to move the inputs of the data and not the net. Then `directions` are
            names of `input_directions`, by default `random`, and what says how weights move is refused.
        sample: for `inputs`: the number of the one sample to measure; None for all.
        batch_size, precision, memory, weight_decay, bn_samples, errors, allow_nan, fix_randomness: as in
            `loss_measure.Measuring`.
        strict: whether a warning of the checks is an error, before the first point.
        samples: the number of samples of each part to read, the first ones; None for all.
        surf_file: the file for the values; the next call resumes it. The directions are written beside it. If
            empty, nothing is written.
        overwrite: whether to start again. The old file is renamed.
        wait: whether to wait for another run that writes the same file.
        refine: the largest error of an interpolated point, as a share of the spread of the loss (of its
            logarithm, where contours are logarithmic), such as 0.02. Points that can be interpolated so well
            stay NaN, and figures interpolate them. 0 measures all points.
        order, schedule: see `measure.run.Run`.
        device: the device that computes; by default the device of the net.
        quiet: whether to print only warnings.

    Returns:
        The surface; `surface.get("train_loss")` has shape (nx,) or (ny, nx).

    Raises:
        InputError: an argument cannot be used. All ranks raise it, before anything is measured or written.
    """
    ranks, surf_file = mpi4pytorch.connect(), os.fspath(surf_file)
    net = ranks.all(_usable_net, "net", net)
    axes = ranks.all(_axes, x, WHOLE_RANGE if orthonormal and y is None else y)
    measuring = ranks.all(
        Measuring,
        batch_size=batch_size,
        precision=precision,
        memory=memory,
        weight_decay=weight_decay,
        bn_samples=bn_samples,
        errors=errors,
        allow_nan=allow_nan,
        fix_randomness=fix_randomness,
    )
    device = ranks.all(devices.find, next(net.parameters()).device if device is None else device)
    run = ranks.all(
        Run,
        ranks,
        record_of_run("losslandscape.loss_surface", [], ranks=ranks.size),
        quiet=quiet,
        overwrite=overwrite,
        wait=wait,
        strict=strict,
        order=order,
        refine=refine,
        schedule=schedule,
    )
    landscape = ranks.all(
        _landscape,
        net,
        data,
        loss,
        axes,
        measuring,
        target=target,
        orthonormal=orthonormal,
        dir_type=dir_type,
        norm=norm,
        ignore=ignore,
        params=params,
        seed=seed,
        directions=directions,
        over=over,
        sample=sample,
        device=device,
        samples=samples,
        show_progress=ranks.rank == 0 and not quiet,
        surf_file=surf_file,
    )
    if orthonormal:
        open_axes = [name for name, axis in (("x", x), ("y", y)) if axis in (None, WHOLE_RANGE)]
        axes |= ranks.first(_axes_around_nets, landscape, open_axes)
    with unchanged(net), torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        place(net, device)
        if over == "inputs":
            names = [recipe.name for recipe in landscape.recipes.values()]
            landscape = over_inputs(
                landscape, names, run, device=device, batch_size=batch_size, sample=sample
            )
        measure = LossMeasure(landscape, run, measuring, device=device)
        return measure_surface(landscape, axes, measure, run, surf_file=surf_file)


def connect(
    net: nn.Module,
    other: nn.Module,
    data: object,
    loss: str | Callable[..., object] = "crossentropy",
    *,
    curve: str = BEZIER,
    bends: int = 1,
    epochs: int = CurvePlan.epochs,
    lr: float = CurvePlan.lr,
    momentum: float = CurvePlan.momentum,
    weight_decay: float = 0.0,
    batch_size: int | None = None,
    seed: int = 0,
    points: int = POINTS,
    bn_samples: int | None = None,
    errors: bool = False,
    samples: int | None = None,
    out: str | os.PathLike[str] = "",
    overwrite: bool = False,
    device: torch.device | str | None = None,
    quiet: bool = False,
) -> Connection:
    """Train a curve of low loss from `net` to `other`, and measure along it, as `connect.py` does.

    The call does not change the nets. Under an MPI launcher, rank 0 trains and all ranks measure.

    Args:
        net, other: two nets of one model, at t = 0 and t = 1.
        data, loss, samples: as for `loss_surface`.
        curve: `bezier` or `chain`.
        bends: the number of points between the two nets that are trained.
        epochs, lr, momentum, weight_decay, seed: how they are trained, as in `curve_training.CurvePlan`.
        batch_size: the number of samples in a step, and when measuring; by default 128, and the fastest.
        points: the number of t, from 0 to 1.
        bn_samples: the samples from which batch norms are estimated at each t; 0 for stored statistics. By
            default 1000, if the net has batch norms.
        errors: whether to measure standard errors too.
        out: the beginning of the names of the files of `connect.py`, which resume; if empty, nothing is
            written.
        overwrite: whether to start again. Old files are renamed.
        device: the device that computes; by default the device of the net.
        quiet: whether to print only warnings.

    Returns:
        The connection: `curve` and `line` are surfaces, `bends` are state dicts.

    Raises:
        InputError: an argument cannot be used.
    """
    ranks, out = mpi4pytorch.connect(), os.fspath(out)
    net, other = ranks.all(_usable_net, "net", net), ranks.all(_usable_net, "other", other)
    if bn_samples is None:
        bn_samples = BN_SAMPLES if norms_of(net) else 0
    size = CurvePlan.batch_size if batch_size is None else batch_size
    plan = ranks.all(CurvePlan, curve, bends, epochs, lr, momentum, weight_decay, size, seed)
    measuring = ranks.all(Measuring, batch_size=batch_size, bn_samples=bn_samples, errors=errors)
    device = ranks.all(devices.find, next(net.parameters()).device if device is None else device)
    record = record_of_run("losslandscape.connect", [], ranks=ranks.size)
    landscape = ranks.all(
        _landscape,
        net,
        data,
        loss,
        {"x": (0.0, 1.0, points)},
        Measuring(),
        target=other,
        samples=samples,
        show_progress=ranks.rank == 0 and not quiet,
    )
    with unchanged(net), torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        place(net, device)
        run = Run(ranks, record, quiet=quiet, overwrite=overwrite)
        files = CurveFiles(out, bends)
        return Connecting(landscape, other, plan, measuring, run, files, device).connect(points)


def align(
    net: nn.Module,
    other: nn.Module,
    data: object,
    loss: str | Callable[..., object] = "crossentropy",
    *,
    match: str = "weights",
    samples: int = alignment.MATCH_SAMPLES,
    seed: int = 0,
) -> alignment.Alignment:
    """Permute the neurons of a copy of `other` so that they match those of `net`, as `align.py` does.

    The copy computes the same function as `other`. Neither net is changed. All is computed on the CPU.

    Args:
        net, other: two nets of one model.
        data: the training data, as for `loss_surface`; for weights, a batch of two samples is enough.
        loss: the loss, as for `loss_surface`; it calls the nets.
        match: `weights` or `activations`.
        samples: the number of samples for activations, at even distances.
        seed: the seed of the order in which weights are matched.

    Returns:
        The alignment; `alignment.net` is the permuted net, such as for `loss_surface(…, target=…)`.

    Raises:
        InputError: the nets cannot be aligned.
    """
    net, other = _usable_net("net", net), _usable_net("other", other)
    train = user_data.as_samples(user_data.parts_of(data)["train"])
    return alignment.align(
        net, other, train, losses.find(loss), match=match, match_samples=samples, seed=seed
    )


def _landscape(
    net: nn.Module,
    data: object,
    loss: str | Callable[..., object],
    axes: dict[str, Axis],
    measuring: Measuring,
    *,
    target: Target,
    orthonormal: bool = False,
    dir_type: str = "",
    norm: str = "",
    ignore: str = "",
    params: str = "",
    seed: int = SEED,
    directions: Sequence[Direction | str] | None = None,
    over: str = "weights",
    sample: int | None = None,
    device: torch.device = CPU,
    samples: int | None,
    show_progress: bool,
    surf_file: str = "",
) -> Landscape:
    targets = _targets(target, axes)
    if orthonormal and len(targets) < 2:
        raise InputError("orthonormal axes are for a plane through three nets", "give two nets as {target}")
    require_choice("dir_type", dir_type, (*DIRECTION_TYPES, ""))
    dir_type = dir_type or ("states" if targets else "weights")
    require_choice("over", over, ("weights", "inputs"))
    if over == "weights" and sample is not None:
        raise InputError(f"sample {sample} is for surfaces over inputs", "give {over:inputs}")
    names = _names(directions, axes, over)
    if over == "inputs" and (targets or params or dir_type != "weights" or (directions and not names)):
        fault = "target, params, dir_type and tensors of directions say how weights move, not inputs"
        raise InputError(fault, "leave them out")
    if directions is not None and (targets or (params and not names)):
        other = "target" if targets else "params"
        raise InputError(f"directions and {other} both say where the axes lead", "give one of them")
    known_loss = losses.find(loss)
    sets = _sets(data, samples, show_progress=show_progress)
    named = NamedDirections(
        net,
        sets,
        known_loss,
        list(names.values()),
        device=device,
        dir_type=dir_type,
        batch_size=measuring.batch_size,
        fix_randomness=measuring.fix_randomness,
        quiet=not show_progress,
    )
    recipes = {}
    for number, axis in enumerate(axes):
        if over == "inputs":
            recipes[axis] = Recipe(name=names.get(axis, "random"))
        elif names.get(axis, "random") == "random":
            towards = partial(targets.__getitem__, axis) if axis in targets else None
            recipes[axis] = Recipe(towards, norm=norm, ignore=ignore, params=params)
        else:
            recipes[axis] = Recipe(params=params, vector=partial(named.find, number), name=names[axis])
    dir_file = f"{surf_file}_directions.h5" if surf_file else ""
    if dir_file:
        require_surface_file(surf_file)
        require_writable(dir_file, "give another {surf_file}")
    return Landscape(
        net,
        seed=seed,
        random_state=_random_state(seed),
        dir_type=dir_type,
        recipes=recipes,
        loss=known_loss,
        sets=sets,
        net_facts={"net": fingerprint_of_net(net), "dir_type": dir_type},
        settings={
            "loss_name": known_loss.name,
            **({"samples": str(samples)} if samples else {}),
            **measuring.facts(),
        },
        dir_file=dir_file,
        orthonormal=orthonormal,
        net_names=("net", "target 1", "target 2"),
        directions=None if names or directions is None else _directions(directions, net, dir_type, axes),
    )


def _sets(data: object, count: int | None, *, show_progress: bool) -> dict[str, Samples]:
    """Return the samples by part. The training part is always included, so that its absence is an error."""
    if count is not None and (not isinstance(count, int) or count < 1):
        raise InputError(f"samples {count!r} is not a whole number of at least 1")
    parts = user_data.parts_of(data)
    used = {part: samples for part, samples in parts.items() if part == "train" or samples is not None}
    read = partial(user_data.as_samples, count=count, show_progress=show_progress)
    return {part: read(samples, name=part) for part, samples in used.items()}


def _usable_net(name: str, net: object) -> nn.Module:
    """Return the net inside its wrappers, if it can be moved."""
    if not isinstance(net, nn.Module):
        raise InputError(f"{name} is of type {type(net).__name__}; give a net, an nn.Module")
    net = unwrapped(net)
    if next(net.parameters(), None) is None:
        raise InputError(f"{name} has no parameters, so there is nothing to move; give a net that has some")
    if any(tensor.layout is not torch.strided for tensor in [*net.parameters(), *net.buffers()]):
        raise InputError(f"{name} has sparse tensors, which cannot be moved; make them dense")
    net_tensors.tensors(net, "weights")  # refuses parameters that are complex or not in memory
    return net


def _axes_around_nets(landscape: Landscape, names: list[str]) -> dict[str, Axis]:
    """Return a range that holds the nets of a plane, for each of these axes."""
    ends = auto_range.around([(place.x, place.y) for place in landscape.places])
    return {name: auto_range.of_path(ends["xy".index(name)].tolist()) for name in names}


def _axes(x: object, y: object) -> dict[str, Axis]:
    return {"x": _axis("x", x), **({"y": _axis("y", y)} if y is not None else {})}


def _axis(name: str, axis: object) -> Axis:
    low, high, number = 0.0, 0.0, 0
    # An array is refused: its values are more likely the points themselves.
    if isinstance(axis, tuple | list) and len(axis) in (2, 3):
        try:
            low, high, number = float(axis[0]), float(axis[1]), index((*axis, WHOLE_RANGE[2])[2])
        except (TypeError, ValueError, RuntimeError, OverflowError):
            number = 0
    if fault := axis_fault(
        low, high, number, "(minimum, maximum, number of points) with at least one point, such as (-1, 1, 51)"
    ):
        raise InputError(f"{name} {' '.join(reprlib.repr(axis).split())} {fault}")
    return low, high, number


def _targets(target: object, axes: dict[str, Axis]) -> dict[str, nn.Module]:
    """Return the nets that the axes point to, by axis."""
    nets = () if target is None else target if isinstance(target, tuple | list) else (target,)
    if target is not None and not 1 <= len(nets) <= len(axes):
        raise InputError(
            f"target has {len(nets)} nets for a surface of {_dimensions(axes)}; give at most one for each"
        )
    return dict(zip(axes, [_usable_net("target", net) for net in nets], strict=False))


def _names(directions: object, axes: dict[str, Axis], over: str) -> dict[str, str]:
    """Return the names of directions by axis; empty if no direction is given by its name."""
    given = directions if isinstance(directions, list | tuple) else (directions,)
    names = [name for name in given if isinstance(name, str)]
    for name in names:
        if over == "weights" or not input_directions.is_known(name):
            choices = ("random", *ORIGINS) if over == "weights" else (*input_directions.LABELS, "sample:K")
            require_choice("direction", name, choices)
    if names and len(names) != len(axes):
        fault = f"directions has {len(names)} names for a surface of {_dimensions(axes)}"
        raise InputError(fault, "give a name, or a list of tensors, for each")
    return dict(zip(axes, names, strict=False))


def _directions(
    directions: Iterable[Any], net: nn.Module, dir_type: str, axes: dict[str, Axis]
) -> list[Direction]:
    advice = (
        f"give for each axis a list with a tensor for each of net_tensors.moving_tensors(net, {dir_type!r})"
    )
    try:
        arrays = [
            [torch.as_tensor(tensor).detach().cpu().float().numpy() for tensor in direction]
            for direction in directions
        ]
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"directions are no lists of tensors ({one_line(error)}); {advice}") from error
    if len(arrays) != len(axes):
        raise InputError(
            f"there are {len(arrays)} directions for a surface of {_dimensions(axes)}; give one for each"
        )
    checked = [
        direction_file.check_fit(f"directions[{i}]", direction, net, dir_type, advice=advice)
        for i, direction in enumerate(arrays)
    ]
    for i, direction in enumerate(checked):
        for name, tensor in zip(net_tensors.moving_tensors(net, dir_type), direction, strict=True):
            if not tensor.isfinite().all():
                raise InputError(f"directions[{i}] holds NaN or infinity for {name}", "give finite numbers")
    return checked


def _dimensions(axes: dict[str, Axis]) -> str:
    return f"{len(axes)} dimension{'s' if len(axes) > 1 else ''}"


def _random_state(seed: SupportsIndex) -> torch.Tensor:
    try:
        return torch.Generator().manual_seed(index(seed)).get_state()
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise InputError(f"seed {seed!r} is not a whole number of at most 64 bits") from error
