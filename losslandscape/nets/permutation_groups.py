"""Finds the neurons of a net that can change places, from its graph.

Two neurons that change places, with everything that reads and writes them, leave the function of a net
unchanged. A neuron is a class of labels (`label_classes`) that move together. Neurons that occur at the same
places of the same tensors form a group. A group may have blocks, such as attention heads, or the groups of a
group norm: whole blocks change places, and neurons do within their block.
"""

from collections import defaultdict
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from losslandscape.nets import net_tensors
from losslandscape.nets.channel_labels import dims_of
from losslandscape.nets.label_classes import LabelClasses, classes_of
from losslandscape.nets.labeller import Labeller
from losslandscape.nets.traced_graph import Inputs, trace

Site = tuple[str, tuple[int, ...]]  # a tensor of the state or a value of the graph, and the axes meant


@dataclass(frozen=True)
class Part:
    """The neurons of one kind in the blocks of a group.

    Attributes:
        sites: for each axis of a stored tensor that has these neurons, their places (blocks, neurons of a
            block, m) along it. A neuron has m > 1 places where it spreads to several features, as after a
            flattening.
        reads: likewise for the values that layers read, along the given axes, flattened.
    """

    sites: dict[Site, np.ndarray]
    reads: dict[Site, np.ndarray]

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of blocks, and of neurons in a block."""
        blocks, size, _ = next(iter(self.sites.values())).shape
        return blocks, size

    @property
    def count(self) -> int:
        """The number of neurons in all blocks."""
        return prod(self.shape)


@dataclass(frozen=True)
class Group:
    """Neurons that can change places.

    Most groups are one block with one part. Attention has a block for each head, with two parts: the channels
    of queries and keys, and those of values.

    Attributes:
        parts: the parts; all have the same number of blocks.
        whole: what belongs to a block itself, such as a bias of a head, with one place in each block.
    """

    parts: tuple[Part, ...]
    whole: Part

    @property
    def name(self) -> str:
        """The first tensor that writes the neurons."""
        sites = [site for part in self.parts for site in part.sites]
        return next((name for name, dims in sites if dims == (0,)), sites[0][0])

    @property
    def size(self) -> int:
        """The number of neurons of all parts."""
        return sum(part.count for part in self.parts)


@dataclass(frozen=True)
class Symmetries:
    """The groups of a net.

    Attributes:
        groups: the groups.
        refused: for each operation that this program does not know, the tensors which it fixes.
    """

    groups: list[Group]
    refused: dict[str, list[str]]


def find_groups(net: nn.Module, inputs: Inputs) -> Symmetries:
    """Find the groups of neurons that can change places, for inputs of at least two samples.

    Raises:
        InputError: torch.fx cannot trace the net.
    """
    state = net_tensors.moving_tensors(net, "states")
    labeller = Labeller(trace(net, inputs), list(state.values()))
    with torch.no_grad():
        labeller.run(*state.values(), *tree_leaves(inputs))
    classes = classes_of(labeller.labels)
    sites = {
        (name, tuple(dims_of(slot))): classes.of[_along(slot).numpy()]
        for name, slots in zip(state, labeller.axes, strict=True)
        for slot in slots
    }
    reads = {
        (node, tuple(sorted(dims_of(slot)))): classes.of[_along(slot).numpy()]
        for node, slot in labeller.reads
        if bool((_along(slot) > 0).all())
    }
    return Symmetries(_groups(classes, sites, reads), _refused(classes, sites))


def _along(slot: Tensor) -> Tensor:
    """Return the labels of a slot along the axes where they differ, flattened."""
    mine = dims_of(slot)
    others = [dim for dim in range(slot.dim()) if dim not in mine]
    return (slot.amax(others) if others else slot).flatten()


def _groups(
    classes: LabelClasses, sites: dict[Site, np.ndarray], reads: dict[Site, np.ndarray]
) -> list[Group]:
    """Return the groups: neurons with one signature, or free blocks with one signature and their neurons."""
    signatures = _signatures(classes, sites)
    plain: dict[object, list[int]] = defaultdict(list)
    in_blocks: dict[object, dict[object, list[int]]] = defaultdict(lambda: defaultdict(list))
    for neuron in _free_neurons(classes, sites):
        block = classes.blocks[neuron]
        if block < 0 or classes.fixed[block]:
            plain[signatures[neuron], block].append(neuron)
        else:
            in_blocks[signatures[block]][signatures[neuron]].append(neuron)
    groups = [_group([[neurons]], [], sites, reads) for neurons in plain.values()]
    for kinds in in_blocks.values():
        blocks = list(dict.fromkeys(classes.blocks[neuron] for kind in kinds.values() for neuron in kind))
        parts = [[[n for n in kind if classes.blocks[n] == b] for b in blocks] for kind in kinds.values()]
        if all(len({len(members) for members in part}) == 1 for part in parts):
            groups.append(_group(parts, blocks, sites, reads))
    return [group for group in groups if group.size > 1]


def _free_neurons(classes: LabelClasses, sites: dict[Site, np.ndarray]) -> list[int]:
    """Return the neurons that may move and are in stored tensors, in order, without blocks of others."""
    stored = dict.fromkeys(int(neuron) for along in sites.values() for neuron in along)
    blocks = set(classes.blocks.tolist())
    return [neuron for neuron in stored if not classes.fixed[neuron] and neuron not in blocks]


def _signatures(classes: LabelClasses, sites: dict[Site, np.ndarray]) -> dict[int, tuple[object, ...]]:
    """Return for each neuron where it occurs, and how often: axes of tensors, and operations on blocks."""
    found: dict[int, list[object]] = defaultdict(list)
    for site, along in sites.items():
        for neuron, count in zip(*np.unique(along, return_counts=True), strict=True):
            found[int(neuron)].append((site, int(count)))
    for number, tie in enumerate(classes.ties):
        for neuron in tie[:, 1]:
            found[int(neuron)].append(number)
        for block, count in zip(*np.unique(tie[:, 0], return_counts=True), strict=True):
            found[int(block)].append((number, int(count)))
    return {neuron: tuple(places) for neuron, places in found.items()}


def _group(
    parts: list[list[list[int]]],
    blocks: list[int],
    sites: dict[Site, np.ndarray],
    reads: dict[Site, np.ndarray],
) -> Group:
    found = [Part(_places(np.array(part), sites), _places(np.array(part), reads)) for part in parts]
    return Group(tuple(found), Part(_places(np.array(blocks, int).reshape(-1, 1), sites), {}))


def _places(neurons: np.ndarray, sites: dict[Site, np.ndarray]) -> dict[Site, np.ndarray]:
    """Return the places of neurons (blocks, n) along each axis that has them: (blocks, n, m)."""
    rank = {int(neuron): number for number, neuron in enumerate(neurons.ravel())}
    found = {}
    for site, along in sites.items():
        ranks = np.array([rank.get(int(neuron), -1) for neuron in along])
        order = np.argsort(ranks, kind="stable")[int((ranks < 0).sum()) :]
        if len(order):
            found[site] = order.reshape(*neurons.shape, -1)
    return found


def _refused(classes: LabelClasses, sites: dict[Site, np.ndarray]) -> dict[str, list[str]]:
    refused: dict[str, list[str]] = {}
    for why, neurons in classes.reasons:
        names = [name for (name, _), along in sites.items() if np.isin(along, neurons).any()]
        refused[why] = list(dict.fromkeys([*refused.get(why, []), *names]))
    return {why: names for why, names in refused.items() if names}
