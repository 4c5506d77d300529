"""From Python: the loss surface of a net, data and a loss that are at hand, such as those of a notebook.

    surface = landscape.loss_surface(net, train_data, x=(-1, 1, 25), y=(-1, 1, 25))
    surface.get("train_loss")              an array (25, 25), row i at surface.y[i], column j at surface.x[j]
    plot_2D.plot_2d(surface)

It is what `plot_surface.py` does with what its command line names.
"""
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import nn

import losses
import mpi4pytorch
import net_plotter
import own_data
from errors import InputError
from file_names import Axis
from h5_util import Surface
from loss_measure import LossMeasure, Measuring
from net_plotter import SEED, Direction, Recipe
from provenance import record_of_run
from study import Study, fingerprint_of_net
from surface_run import Run, measure, unchanged


def loss_surface(net: nn.Module, data: object, loss: str | Callable[..., object] = "crossentropy", *, x: Axis = (-1.0, 1.0, 51), y: Axis | None = None,
                 target: nn.Module | tuple[nn.Module, nn.Module] | None = None, dir_type: str = "", norm: str = "filter", ignore: str = "biasbn",
                 params: str = "", seed: int = SEED, directions: list[Direction] | None = None, surf_file: str = "", overwrite: bool = False, wait: bool = False,
                 order: str = "coarse", schedule: str = "dynamic", device: torch.device | str | None = None, quiet: bool = False,
                 **measuring: object) -> Surface:
    """The loss, and what else the loss function measures, around `net` on a line or, with `y`, in a plane.

    Under an MPI launcher every rank calls it and gets the whole surface. The net comes out as it went in, and so does torch's random state.

    Args:
        data: training data, or (training, test) or a dict of them: torch Datasets, iterables of batches, one batch, or an `ImageSet`.
        loss: one of `losses.LOSSES`, FILE.py:FUNCTION, or a function of net and batch (`losses.OwnLoss`).
        x, y: (minimum, maximum, number of points).
        target: the net that x points to, or those of x and y, instead of random directions.
        dir_type: `weights`, or `states` with the BN statistics; by default `states` towards nets, else `weights`.
        norm, ignore, params: of random directions; `net_plotter.NORMS`, `biasbn` or "", a regular expression of parameters that move.
        directions: these instead, each a list of tensors, one for each that moves (`net_plotter.moving_tensors`).
        surf_file: where values are kept, and gone on with by the next call; the directions go beside it. Nothing is written without.
        measuring: batch_size, precision, weight_decay, bn_samples, errors, allow_nan: see `loss_measure.Measuring`.

    Raises `InputError` for what cannot be used, in one sentence.
    """
    ranks = mpi4pytorch.connect()
    found_loss = losses.find(loss)
    sets = {part: own_data.as_samples(given, name=part) for part, given in own_data.parts_of(data, what="data").items() if given is not None}
    targets = dict(zip("xy", target if isinstance(target, tuple) else (target,), strict=False)) if target is not None else {}
    recipes = {axis: Recipe((lambda other=targets[axis]: other) if axis in targets else None, norm=norm, ignore=ignore, params=params)
               for axis in ("xy" if y else "x")}
    dir_type = dir_type or ("states" if targets else "weights")
    dir_file = f"{surf_file}_directions.h5" if surf_file else ""
    if directions is not None:
        if len(directions) != len(recipes):
            raise InputError(f"there are {len(directions)} directions for a surface of {len(recipes)} dimension{'s' if len(recipes) > 1 else ''}; give one for each")
        plain = [[torch.as_tensor(tensor).detach().cpu().float().numpy() for tensor in direction] for direction in directions]
        directions = [net_plotter.check_fit("directions", direction, net, dir_type) for direction in plain]
    axes, how = {"x": x, **({"y": y} if y else {})}, Measuring(**measuring)
    device = torch.device(device) if device is not None else next(net.parameters()).device
    with unchanged(net), torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        study = Study(net, seed=seed, random_state=torch.Generator().manual_seed(seed).get_state(), dir_type=dir_type, recipes=recipes, loss=found_loss, sets=sets,
                      net_facts={"net": fingerprint_of_net(net), "dir_type": dir_type}, settings={"loss_name": found_loss.name, **how.facts()},
                      dir_file=dir_file, given=directions)
        net.to(device)
        record = record_of_run("landscape.loss_surface", [], ranks=ranks.size)
        run = Run(ranks, record, quiet=quiet, overwrite=overwrite, wait=wait, order=order, schedule=schedule)
        measures = LossMeasure(study, run, how, device=device)
        return measure(study, axes, measures.names, run, surf_file=surf_file, prepare=measures.prepare)
