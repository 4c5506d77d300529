"""What each peer measured: its losses, and the plane that it says they lie in.

A function of the peer that makes or scales directions is wrapped, so that what it returns, or is given, is
kept. Nothing else of a peer is changed. `Plane.losses[i][j]` is the loss at theta + a[i] d + b[j] e.
"""

import copy
import importlib
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Direction = dict[str, Tensor]  # a tensor for each entry of the net's state
Names = dict[str, Any]  # the global names of a user's script when it has ended
DIRECTIONS = "net.t7_weights_xignore=biasbn_xnorm=filter_yignore=biasbn_ynorm=filter.h5"


@dataclass(frozen=True)
class Plane:
    losses: np.ndarray
    a: np.ndarray
    b: np.ndarray
    d: Direction
    e: Direction
    notes: dict[str, float] = field(default_factory=dict)


def by_coordinates(file: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the losses of a surface file with x first, and its coordinates."""
    return file["train_loss"][:].T, file["xcoordinates"][:], file["ycoordinates"][:]


def from_files(net: nn.Module, surf_file: str, dir_file: str) -> Plane:
    """Return the plane in our files, which are those of the published program."""
    h5py = importlib.import_module("h5py")
    with h5py.File(surf_file) as surface, h5py.File(dir_file) as directions:
        axes = [directions[name] for name in ("xdirection", "ydirection")]
        d, e = (by_name(net, [torch.from_numpy(axis[str(i)][:]) for i in range(len(axis))]) for axis in axes)
        return Plane(*by_coordinates(surface), d, e)


def by_name(net: nn.Module, tensors: list[Tensor]) -> Direction:
    names = [name for name, _ in net.named_parameters()]
    return {name: tensor.detach().clone() for name, tensor in zip(names, tensors, strict=True)}


def cosine(one: list[Tensor], other: list[Tensor]) -> float:
    x, y = (torch.cat([tensor.detach().double().flatten() for tensor in tensors]) for tensors in (one, other))
    return float(x @ y / (x.norm() * y.norm()))


def keep_results(module: str, *names: str) -> list[Any]:
    """Wrap functions of a module, and return the list in which their results will be, not copied."""
    kept: list[Any] = []
    where = importlib.import_module(module)

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **options: Any) -> Any:
            kept.append(function(*args, **options))
            return kept[-1]

        return wrapped

    for name in names:
        setattr(where, name, wrap(getattr(where, name)))
    return kept


def loss_landscapes() -> Callable[[nn.Module, Names], Plane]:
    """Its directions end as single steps, and its middle lies at half of the steps, between two points."""
    kept = keep_results("loss_landscapes.main", "rand_u_like", "orthogonal_to")

    def plane(net: nn.Module, names: Names) -> Plane:
        losses = names["losses"]
        at = np.arange(len(losses)) - len(losses) / 2
        return Plane(losses, at, at, *(by_name(net, direction.parameters) for direction in kept))

    return plane


def gradfield() -> Callable[[nn.Module, Names], Plane]:
    def plane(net: nn.Module, names: Names) -> Plane:
        inner = inspect.getclosurevars(names["landscape"]).nonlocals
        field = names["field"]
        d, e = (by_name(net, inner[name]) for name in ("direction1", "direction2"))
        return Plane(field["Z"].T, field["X"][0], field["Y"][:, 0], d, e)

    return plane


def landscaper() -> Callable[[nn.Module, Names], Plane]:
    """Its directions end as single steps between two of its coordinates."""
    module = importlib.import_module("landscaper.compute")
    scale, kept = module.scale_direction, []

    def scaled(direction: list[Tensor], factor: float) -> None:
        kept.append(direction)
        scale(direction, factor)

    module.scale_direction = scaled

    def plane(net: nn.Module, names: Names) -> Plane:
        a, b = names["landscape"].ranges
        d, e = ([tensor / (a[1] - a[0]) for tensor in step] for step in kept)
        notes = {"cosine of direction given and used": cosine(names["directions"][0], d)}
        return Plane(names["landscape"].loss, a, b, by_name(net, d), by_name(net, e), notes)

    return plane


def loss_landscape_3d() -> Callable[[nn.Module, Names], Plane]:
    """Its directions move the whole state, the batch norms' statistics too."""

    def plane(net: nn.Module, names: Names) -> Plane:
        return Plane(names["losses"], names["x_coords"], names["y_coords"], names["dir_x"], names["dir_y"])

    return plane


def losscape() -> Callable[[nn.Module, Names], Plane]:
    kept = keep_results("losscape.create_landscape", "create_random_directions")

    def plane(net: nn.Module, names: Names) -> Plane:
        d, e = (by_name(net, direction) for direction in kept[0])
        return Plane(names["losses"].T, names["X"][0], names["Y"][:, 0], d, e)

    return plane


def pylandscape() -> Callable[[nn.Module, Names], Plane]:
    """It writes into its second direction, so both are copied before it measures."""
    surface = importlib.import_module("pylandscape").Surface
    measure, kept = surface._compute_hyperplane, []

    def measured(self: Any, directions: list[list[Tensor]], steps: list[float]) -> np.ndarray:
        kept.extend(copy.deepcopy(directions))
        return measure(self, directions, steps)

    surface._compute_hyperplane = measured

    def plane(net: nn.Module, names: Names) -> Plane:
        d, e = (by_name(net, direction) for direction in kept)
        return Plane(names["losses"], names["a"], names["b"], d, e)

    return plane


def ours() -> Callable[[nn.Module, Names], Plane]:
    return lambda net, names: from_files(net, "surface.h5", DIRECTIONS)


def published() -> Callable[[nn.Module, Names], Plane]:
    sys.path.insert(0, os.environ["PEERS_PUBLISHED"])
    return ours()


PEERS = {
    function.__name__: function
    for function in (
        ours,
        published,
        gradfield,
        landscaper,
        loss_landscape_3d,
        loss_landscapes,
        losscape,
        pylandscape,
    )
}
