"""Permutes the neurons of a net: moves the entries of its tensors without a change of its function."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from losslandscape.nets.permutation_groups import Group, Part

State = dict[str, Tensor]
Axis = tuple[str, tuple[int, ...]]


@dataclass(frozen=True)
class Permutation:
    """A permutation of the neurons of a group.

    Block b of the result is block `outer[b]` of the original, and neuron i of part p in it is neuron
    `inner[p][b, i]` of that block.
    """

    outer: np.ndarray
    inner: tuple[np.ndarray, ...]

    @classmethod
    def identity(cls, group: Group) -> "Permutation":
        """Return the permutation that moves no neuron."""
        blocks = group.parts[0].shape[0]
        inner = tuple(np.tile(np.arange(part.shape[1]), (blocks, 1)) for part in group.parts)
        return cls(np.arange(blocks), inner)

    @property
    def moved(self) -> int:
        """The number of neurons that change their place."""
        still = self.outer == np.arange(len(self.outer))
        return sum(
            rows.size - int(((rows == np.arange(rows.shape[1])) & still[:, None]).sum())
            for rows in self.inner
        )


def permuted(state: State, groups: Sequence[Group], permutations: Sequence[Permutation]) -> State:
    """Return copies of tensors by name, with the neurons of each group permuted."""
    return reordered(state, orders(state, groups, permutations))


def reordered(state: State, axes: dict[Axis, np.ndarray]) -> State:
    """Return copies of tensors by name, with the entries along these axes in these orders."""
    result = {name: tensor.clone() for name, tensor in state.items()}
    for (name, (dim,)), order in axes.items():
        if name in result:
            result[name] = result[name].index_select(dim, torch.from_numpy(order).to(result[name].device))
    return result


def orders(
    state: State, groups: Sequence[Group], permutations: Sequence[Permutation]
) -> dict[Axis, np.ndarray]:
    """Return the old place of the entry at each new place, for each axis that has neurons of the groups."""
    found: dict[Axis, np.ndarray] = {}
    for group, permutation in zip(groups, permutations, strict=True):
        whole = np.zeros((len(permutation.outer), 1), int)
        for part, inner in zip((*group.parts, group.whole), (*permutation.inner, whole), strict=True):
            for axis, places in _axes(part, state).items():
                order = found.setdefault(axis, np.arange(state[axis[0]].shape[axis[1][0]]))
                order[places] = places[permutation.outer[:, None], inner]
    return found


def _axes(part: Part, state: State) -> dict[Axis, np.ndarray]:
    return {axis: places for axis, places in part.sites.items() if axis[0] in state}
