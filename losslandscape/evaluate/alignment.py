"""Permutes the neurons of one net so that they match those of another, by weights or by activations.

The loss along the straight line between two nets often has a barrier that vanishes when the neurons are
matched (Entezari et al., arXiv 2110.06296; Ainsworth et al., arXiv 2209.04836).
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from losslandscape.core.errors import InputError, require_choice
from losslandscape.data.samples import Batch, Samples, spread
from losslandscape.evaluate import fit_check
from losslandscape.evaluate.activation_matching import match_activations
from losslandscape.evaluate.batch_stream import batches
from losslandscape.evaluate.loss import Loss
from losslandscape.nets import net_tensors
from losslandscape.nets.net_state import unchanged_state
from losslandscape.nets.permutation_groups import Group, find_groups
from losslandscape.nets.permuting import State, permuted
from losslandscape.nets.traced_graph import Inputs
from losslandscape.nets.weight_matching import match_weights

MATCHES = ("weights", "activations")
MATCH_SAMPLES = 1000  # for activations
BATCH_SIZE = 50
MOST_CHANGE = 1e-5  # of the outputs, relative to the largest


@dataclass(frozen=True)
class Alignment:
    """A net whose neurons match those of another.

    Attributes:
        net: a copy of the second net, with its neurons permuted and the same function.
        groups: the groups of neurons that can change places.
        moved: the number of neurons that did.
        distances: the distance of the parameters from the first net's, before and after.
        change: the largest change of an output of the second net, relative to the largest output.
        refused: for each operation that this program cannot permute, the tensors that it fixes.
    """

    net: nn.Module
    groups: list[Group]
    moved: int
    distances: tuple[float, float]
    change: float
    refused: dict[str, list[str]]


def align(
    net: nn.Module,
    other: nn.Module,
    data: Samples,
    loss: Loss,
    *,
    match: str = "weights",
    match_samples: int = MATCH_SAMPLES,
    seed: int = 0,
) -> Alignment:
    """Permute the neurons of a copy of `other` so that they match those of `net`.

    Args:
        net, other: nets with the same tensors; neither is changed.
        data: samples, on the CPU; for weights, two of them show how the net is called.
        loss: the loss, which calls the net.
        match: one of `MATCHES`.
        match_samples: the number of samples for the activations.
        seed: the seed of the order in which weight matching visits the groups.

    Raises:
        InputError: the nets differ in their tensors, torch.fx cannot trace them, no neuron can move, or the
            permuted net computes something else.
    """
    require_choice("match", match, MATCHES)
    _require_same_tensors(net, other)
    device = next(other.parameters()).device
    net, other = (copy.deepcopy(each).cpu().eval() for each in (net, other))
    fit_check.check_data(net, data, loss, type(net).__name__)
    size = min(BATCH_SIZE, len(data)) if match == "activations" else min(2, len(data))
    calls = _calls(loss, net, spread(data, max(match_samples, size)), size)
    first = next(calls)
    found = find_groups(net, first)
    if not found.groups:
        causes = f" (because of {', '.join(found.refused)})" if found.refused else ""
        raise InputError(f"no neurons of the net, a {type(net).__name__}, can change places{causes}")
    weights, others = (net_tensors.moving_tensors(each, "weights") for each in (net, other))
    if match == "weights":
        permutations = match_weights(weights, others, found.groups, seed=seed)
    else:
        permutations = match_activations(net, other, found.groups, [first, *calls])
    before = _distance(weights, others)
    state = net_tensors.moving_tensors(other, "states")
    change = _adopt(other, permuted(state, found.groups, permutations), first)
    after = _distance(weights, others)
    moved = sum(permutation.moved for permutation in permutations)
    return Alignment(other.to(device), found.groups, moved, (before, after), change, found.refused)


def _adopt(net: nn.Module, state: State, inputs: Inputs) -> float:
    """Copy permuted tensors into a net, and return how much its outputs change.

    Raises:
        InputError: they change by more than rounding.
    """
    before = _outputs(net, inputs)
    with torch.no_grad():
        for name, tensor in net_tensors.moving_tensors(net, "states").items():
            tensor.copy_(state[name])
    change = float((_outputs(net, inputs) - before).abs().max() / before.abs().max().clamp(min=1e-30))
    if not change <= MOST_CHANGE:
        raise InputError(
            f"the permuted net does not compute the same function: its outputs change by {change:.2g} of the "
            "largest",
            "the net has a symmetry that this program sees wrongly; nothing is written",
        )
    return change


def _outputs(net: nn.Module, inputs: Inputs) -> Tensor:
    args, kwargs = inputs
    with torch.no_grad(), unchanged_state(net):
        leaves = tree_leaves(net(*args, **kwargs))
    return torch.cat([leaf.detach().double().flatten() for leaf in leaves if isinstance(leaf, Tensor)])


def _calls(loss: Loss, net: nn.Module, data: Samples, size: int) -> Iterator[Inputs]:
    """Yield what the loss calls the net with, for each batch of the same shapes as the first."""
    shapes: list[object] | None = None
    for batch in batches(data, size, torch.device("cpu")):
        inputs = _call(loss, net, batch)
        own = [getattr(leaf, "shape", None) for leaf in tree_leaves(inputs)]
        shapes = shapes or own
        if own == shapes:
            yield inputs


def _call(loss: Loss, net: nn.Module, batch: Batch) -> Inputs:
    seen: list[Inputs] = []

    def noted(*args: Any, **kwargs: Any) -> object:
        seen.append((args, kwargs))
        return net(*args, **kwargs)

    with torch.no_grad(), unchanged_state(net):
        loss.probe(noted, batch)
    if not seen:
        raise InputError(f"the loss {loss.name} does not call the net", "give another {loss}")
    return seen[0]


def _distance(one: State, other: State) -> float:
    squares = [(one[name].double() - tensor.double()).square().sum() for name, tensor in other.items()]
    return float(torch.stack(squares).sum().sqrt())


def _require_same_tensors(net: nn.Module, other: nn.Module) -> None:
    one, two = (
        {name: tuple(tensor.shape) for name, tensor in net_tensors.moving_tensors(each, "states").items()}
        for each in (net, other)
    )
    for name in {**one, **two}:
        if one.get(name) != two.get(name):
            shapes = [f"of shape {each[name]}" if name in each else "missing" for each in (one, two)]
            fault = f"tensor {name!r} is {shapes[0]} in one net and {shapes[1]} in the other"
            raise InputError(fault, "give two nets of one model")
