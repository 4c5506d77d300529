"""Computes how directions move the weights that layers compute from other tensors.

A direction d moves the tensors that are stored. To first order it moves a computed weight by J d, where J is
the derivative of the weight by the stored tensors, at the centre. `weight_sources` finds these layers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from losslandscape.nets.net_tensors import NetTensor, role
from losslandscape.nets.weight_sources import Named, WeightSource, copied, weight_sources

ROUNDS = 50  # the largest number of times that filters are scaled, where they depend on each other
TOLERANCE = 1e-3  # largest relative difference between the norm of a filter and its goal
SMALLEST_NORM = 1e-10  # is added to norms before a division


@dataclass(frozen=True)
class ComputedWeight:
    """A weight that a layer computes, with its derivative by the stored tensors.

    Args:
        tensor: the weight as a tensor of the net. Its value is on the CPU, in float32 or a wider type.
        members: the places of the stored tensors in `net_tensors.tensors`.
    """

    tensor: NetTensor
    members: tuple[int, ...]
    _source: WeightSource
    _stored: Named
    _output: Tensor  # the weight, computed from `_stored`
    _cotangent: Tensor  # u; `_pulled` is J^T u, and its derivative by u gives J d
    _pulled: list[Tensor]

    def push(self, parts: Sequence[Tensor]) -> Tensor:
        """Return J d, the motion of the weight, where `parts` are the direction's parts in `members`."""
        wide_parts = [part.to(pulled) for part, pulled in zip(parts, self._pulled, strict=True)]
        (motion,) = torch.autograd.grad(self._pulled, self._cotangent, wide_parts, retain_graph=True)
        return motion

    def masked(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """Return the parts with zeros in the entries that have no effect, such as pruned ones."""
        return [part * used for part, used in zip(parts, self.used, strict=True)]

    def scaled(self, parts: Sequence[Tensor], goal: Tensor) -> list[Tensor]:
        """Return the parts, scaled so that the filters of J d have these norms, (filters,).

        A stored entry is multiplied by the mean factor of the filters that it moves. One round is exact if
        each entry moves one filter. Otherwise the rounds nearly always come close to the goal.
        """
        for _ in range(ROUNDS):
            motion = self.push(parts)
            norms = self.tensor.filter_norms(motion)
            factors = torch.where(norms > 0, goal / (norms + SMALLEST_NORM), 1)
            if not ((factors - 1).abs() > TOLERANCE).any():
                break
            parts = self._scaled_once(parts, motion, factors)
        return list(parts)

    @cached_property
    def used(self) -> list[Tensor]:
        """For each stored tensor, whether each entry has an effect on the weight.

        An entry has none if the weight's derivative by it is zero, both at the centre and at a random place.
        """
        generator = torch.Generator().manual_seed(0)
        displaced = {
            name: (value + torch.randn(value.shape, generator=generator)).detach().requires_grad_()
            for name, value in self._stored.items()
        }
        output = self._source.weight(displaced)
        assert isinstance(output, Tensor)
        random = torch.randn(output.shape, generator=generator).to(output)
        at_place = torch.autograd.grad(output, list(displaced.values()), random, materialize_grads=True)
        return [(a != 0) | (b != 0) for a, b in zip(self._pull(random), at_place, strict=True)]

    @cached_property
    def fixed(self) -> Tensor:
        """For each filter, (filters,), whether no direction can move it."""
        generator = torch.Generator().manual_seed(1)
        random = [torch.randn(pulled.shape, generator=generator) for pulled in self._pulled]
        return self.tensor.filter_norms(self.push(self.masked(random))) == 0

    def _pull(self, cotangent: Tensor) -> tuple[Tensor, ...]:
        """Return J^T u."""
        return torch.autograd.grad(self._output, list(self._stored.values()), cotangent, retain_graph=True)

    def _scaled_once(self, parts: Sequence[Tensor], motion: Tensor, factors: Tensor) -> list[Tensor]:
        """Multiply each entry by the mean factor of its filters, weighted by how much it moves them."""
        goal = motion * self.tensor.spread(factors)
        of_all = goal.norm() / (motion.norm() + SMALLEST_NORM)  # for entries that move nothing at the centre
        low, high = factors.aminmax()
        return [
            part * torch.where(before != 0, after / before, of_all).clamp(low, high).float()
            for part, before, after in zip(parts, self._pull(motion), self._pull(goal), strict=True)
        ]


def computed_weights(net: nn.Module, tensors: Sequence[NetTensor]) -> Iterator[ComputedWeight]:
    """Yield the weights that layers compute from parameters of `tensors`, a direction's tensors in order.

    Each stored tensor belongs to one weight, the first that uses it.
    """
    places = {name: place for place, tensor in enumerate(tensors) for name in tensor.names}
    for source in weight_sources(net):
        weight = _computed(source, tensors, places)
        if weight is not None:
            yield weight
            places = {name: place for name, place in places.items() if place not in weight.members}


def _computed(
    source: WeightSource, tensors: Sequence[NetTensor], places: dict[str, int]
) -> ComputedWeight | None:
    """Return a weight with its derivative by tensors of a direction; None if it has none."""
    stored = {
        name: copied(value).requires_grad_()
        for name, value in source.parameters.items()
        if _is_in(source.prefix + name, value, tensors, places)
    }
    output = source.weight(stored)
    if not (isinstance(output, Tensor) and output.is_floating_point() and output.requires_grad):
        return None
    cotangent = torch.zeros_like(output).requires_grad_()
    gradients = torch.autograd.grad(
        output, list(stored.values()), cotangent, create_graph=True, allow_unused=True
    )
    pulled = {
        name: gradient
        for name, gradient in zip(stored, gradients, strict=True)
        if gradient is not None and gradient.requires_grad
    }
    if not pulled:  # the derivative of a rounded weight is zero everywhere, and says nothing
        return None
    kind, transposed = role(source.layer, source.name.rpartition(".")[2], output)
    return ComputedWeight(
        NetTensor((source.name,), output.detach(), kind, True, transposed),
        tuple(places[source.prefix + name] for name in pulled),
        source,
        {name: stored[name] for name in pulled},
        output,
        cotangent,
        list(pulled.values()),
    )


def _is_in(name: str, value: Tensor, tensors: Sequence[NetTensor], places: dict[str, int]) -> bool:
    """Return whether a parameter of this name is a whole tensor of a direction, not a part of one."""
    return name in places and value.is_floating_point() and value.shape == tensors[places[name]].value.shape
