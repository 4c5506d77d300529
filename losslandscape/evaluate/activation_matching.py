"""Matches the neurons of one net to those of another by their activations on data.

The similarity of two neurons is the correlation of what they give to the next layers, over samples and
positions (Li et al., "Convergent learning", arXiv 1511.07543; Ainsworth et al., arXiv 2209.04836, section
3.1). Neurons of a residual sum have several such values, whose correlations are added.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from losslandscape.nets import net_tensors
from losslandscape.nets.permutation_groups import Group, Part, Site
from losslandscape.nets.permuting import Permutation
from losslandscape.nets.traced_graph import Inputs, trace
from losslandscape.nets.weight_matching import assignment


def match_activations(
    net: nn.Module, other: nn.Module, groups: Sequence[Group], batches: Iterable[Inputs]
) -> list[Permutation]:
    """Return the permutations of the neurons of `other` that bring its activations near those of `net`.

    Args:
        net, other: the nets, in evaluation mode on the CPU.
        groups: the groups of the nets, found with inputs of the batches' shapes.
        batches: the inputs, all of the same shapes.
    """
    parts = [part for group in groups for part in group.parts]
    sums = [{site: _Sums(part.count) for site in part.reads} for part in parts]
    names = {name for part in parts for name, _ in part.reads}
    graph: fx.GraphModule | None = None
    for inputs in batches:
        graph = graph or trace(net, inputs)
        one, two = (_Reader(graph, names).read(each, inputs) for each in (net, other))
        for part, of_sites in zip(parts, sums, strict=True):
            for site, total in of_sites.items():
                total.add(*(_features(values[site[0]], site, part) for values in (one, two)))
    similarities = iter([_similarity(part, of_sites) for part, of_sites in zip(parts, sums, strict=True)])
    found = []
    for group in groups:
        blocks = group.parts[0].shape[0]
        found.append(assignment([next(similarities) for _ in group.parts], np.zeros((blocks, blocks))))
    return found


class _Reader(fx.Interpreter):
    """Runs a graph and keeps the values of some nodes."""

    def __init__(self, graph: fx.GraphModule, names: set[str]):
        super().__init__(graph)
        self._names = names
        self._values: dict[str, Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if n.name in self._names:
            self._values[n.name] = value
        return value

    @torch.no_grad()
    def read(self, net: nn.Module, inputs: Inputs) -> dict[str, Tensor]:
        """Return the values of the nodes by name, for the weights of this net."""
        self.run(*net_tensors.moving_tensors(net, "states").values(), *tree_leaves(inputs))
        return self._values


class _Sums:
    """Sums over samples and positions, from which correlations are computed."""

    def __init__(self, count: int):
        self._number = 0
        self._products = torch.zeros(count, count, dtype=torch.float64)
        self._moments = torch.zeros(2, 2, count, dtype=torch.float64)

    def add(self, one: Tensor, other: Tensor) -> None:
        """Add values (neurons, values) of two nets."""
        self._number += one.shape[1]
        self._products += one @ other.T
        for moments, values in zip(self._moments, (one, other), strict=True):
            moments += torch.stack([values.sum(1), values.square().sum(1)])

    def correlations(self) -> Tensor:
        """Return the correlations (neurons, neurons); a neuron that is constant has none, and gets zeros."""
        means, squares = (self._moments / self._number).unbind(1)
        covariance = self._products / self._number - means[0].outer(means[1])
        spread = (squares - means.square()).clamp(min=0).sqrt()
        return (covariance / spread[0].outer(spread[1])).nan_to_num(0.0, 0.0, 0.0)


def _features(value: Tensor, site: Site, part: Part) -> Tensor:
    """Return the values (neurons, values) of a part's neurons in a value of the graph."""
    _, dims = site
    others = [dim for dim in range(value.dim()) if dim not in dims]
    along = value.permute(*dims, *others).flatten(0, len(dims) - 1).flatten(1)
    return along[torch.from_numpy(part.reads[site].ravel())].reshape(part.count, -1).double()


def _similarity(part: Part, sums: dict[Site, _Sums]) -> np.ndarray:
    total = torch.zeros(part.count, part.count, dtype=torch.float64)
    for each in sums.values():
        total += each.correlations()
    return total.reshape(2 * part.shape).numpy()
