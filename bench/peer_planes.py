"""A peer's plane against a plain loop: the losses, the axes, the filters, and what is left of the net."""

import copy
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

State = Mapping[str, Tensor]
# Places in the 5x5 grid: the centre, two corners, two others.
FIVE = ((2, 2), (0, 0), (1, 3), (3, 0), (4, 4))


@torch.inference_mode()
def plain_loss(net: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return the mean cross entropy of a net in evaluation mode."""
    net.eval()
    batches = zip(images.split(128), labels.split(128), strict=True)
    total = sum(F.cross_entropy(net(part), target, reduction="sum").item() for part, target in batches)
    return total / len(labels)


def moved(net: nn.Module, plane: Mapping[str, Any], i: int, j: int) -> nn.Module:
    """Return a copy of the net at theta + a[i] d + b[j] e."""
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    for step, axis in ((plane["a"][i], plane["d"]), (plane["b"][j], plane["e"])):
        for name, tensor in axis.items():
            if state[name].is_floating_point():
                state[name] += float(step) * tensor
    copied = copy.deepcopy(net)
    copied.load_state_dict(state)
    return copied


def compared(problem: Mapping[str, Any], plane: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a peer measured at the five points, and what a plain loop does there."""
    net, data = problem["net"], (problem["images"], problem["labels"])
    theirs = [float(plane["losses"][i][j]) for i, j in FIVE]
    plain = [plain_loss(moved(net, plane, i, j), *data) for i, j in FIVE]
    d, e = (vector(plane[name]) for name in "de")
    return {
        "losses": theirs,
        "plain loop": plain,
        "largest relative difference": max(map(difference, theirs, plain)),
        "cosine of the axes": float(d @ e / (d.norm() * e.norm())),
        "filters": [filter_norms(net, plane[name]) for name in "de"],
        "biases and batch norms move": any(moves_others(net, plane[name]) for name in "de"),
        "grid is constant": bool(np.ptp(plane["losses"]) == 0),
        **plane["notes"],
        "NaN of 25": int(np.isnan(plane["losses"]).sum()),
    }


def difference(value: float, expected: float) -> float:
    """Return the difference by what is expected; 0 if both are NaN, infinity if one is."""
    if math.isnan(value) or math.isnan(expected):
        return 0.0 if math.isnan(value) and math.isnan(expected) else math.inf
    return abs(value - expected) / abs(expected)


def vector(axis: State) -> Tensor:
    return torch.cat([tensor.double().flatten() for tensor in axis.values()])


def filter_norms(net: nn.Module, axis: State) -> dict[str, float]:
    """Return the least, the median and the greatest norm of an axis' filters, by those of the net."""
    ratios = []
    for name, tensor in net.named_parameters():
        if tensor.dim() > 1 and name in axis:
            ratios.append(axis[name].double().flatten(1).norm(dim=1) / tensor.double().flatten(1).norm(dim=1))
    every = torch.cat(ratios)
    return {"least": every.min().item(), "median": every.median().item(), "greatest": every.max().item()}


def moves_others(net: nn.Module, axis: State) -> bool:
    weights = {name for name, tensor in net.named_parameters() if tensor.dim() > 1}
    return any(bool(tensor.any()) for name, tensor in axis.items() if name not in weights)
