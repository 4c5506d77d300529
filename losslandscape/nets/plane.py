"""The plane through three nets, with orthonormal axes: coordinates are distances of weights.

Distances are those of the parameters. BN statistics move along, so that each net is whole at its place.
"""

from itertools import compress

import torch
from torch import Tensor, nn

from losslandscape.core.errors import InputError
from losslandscape.nets import net_tensors

ADVICE = "give three different nets ({model_file}, {model_file2}, {model_file3})"
LEAST_HEIGHT = 1e-6  # of the third net above the line through the others, as a share of its distance


def orthonormal(net: nn.Module, dir_type: str, directions: list[list[Tensor]]) -> list[list[Tensor]]:
    """Return orthonormal directions in the plane of the directions to two other nets.

    x leads to the second net, and y to the side of the third (Garipov et al. 2018, section 3.3).

    Args:
        net: the first net.
        dir_type: `weights` or `states`.
        directions: the second and the third net minus the first.

    Raises:
        InputError: the three nets lie on one line.
    """
    (_, _), (width, _), (along, height) = places(net, dir_type, directions)
    x, y = [], []
    for d, e in zip(*directions, strict=True):
        unit = d.double() / width
        x.append(unit.float())
        y.append(((e.double() - along * unit) / height).float())
    return [x, y]


def places(net: nn.Module, dir_type: str, directions: list[list[Tensor]]) -> list[tuple[float, float]]:
    """Return the coordinates of the three nets along the axes of `orthonormal`.

    Raises:
        InputError: the three nets lie on one line.
    """
    tensors = net_tensors.tensors(net, dir_type)
    counted = [tensor.is_parameter and tensor.moves for tensor in tensors]
    d, e = (list(compress(direction, counted)) for direction in directions)
    width, distance = _product(d, d) ** 0.5, _product(e, e) ** 0.5
    if not width or not distance:
        raise InputError("two of the three nets are equal, so no plane goes through them", ADVICE)
    along = _product(d, e) / width
    height = sum(_square(q.double() - p.double() * (along / width)) for p, q in zip(d, e, strict=True)) ** 0.5
    if not height > LEAST_HEIGHT * distance:
        raise InputError("the three nets lie on one line, so no plane is given by them", ADVICE)
    return [(0.0, 0.0), (width, 0.0), (along, height)]


def _product(d: list[Tensor], e: list[Tensor]) -> float:
    return sum(
        float(torch.vdot(p.double().flatten(), q.double().flatten())) for p, q in zip(d, e, strict=True)
    )


def _square(tensor: Tensor) -> float:
    return float(tensor.square().sum())
