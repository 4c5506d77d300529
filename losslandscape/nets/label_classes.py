"""Finds neurons from labels: which labels are one neuron, which neurons are fixed, and their blocks."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from losslandscape.nets.channel_labels import FIXED, ChannelLabels

CROSSING = "blocks of several sizes"


@dataclass
class LabelClasses:
    """The neurons of a net.

    Attributes:
        of: (labels,) the neuron of each label.
        fixed: (neurons,) whether the neuron must stay where it is.
        ties: for each array of ties, its distinct pairs (block, neuron).
        blocks: for each neuron, the block in which it lies, or -1 if there is none.
        reasons: for each operation that forbids permutations, the neurons that it fixes.
    """

    of: np.ndarray
    fixed: np.ndarray
    ties: list[np.ndarray]
    blocks: np.ndarray
    reasons: list[tuple[str, np.ndarray]]


def classes_of(labels: ChannelLabels) -> LabelClasses:
    """Return the neurons of a net from what is known of its labels."""
    pairs = np.concatenate([np.empty((0, 2), int), *labels.pairs])
    is_fixing = (pairs == FIXED).any(1)
    ties = [tie[tie[:, 1] != FIXED] for tie in labels.ties]
    of, crossing = _neurons(labels.count, pairs[~is_fixing], ties)

    fixed = np.zeros(of.max() + 1, bool)
    for fixing in (pairs[is_fixing].ravel(), *(tie.ravel() for tie in crossing)):
        fixed[of[fixing]] = True
    for tie in labels.ties:  # a block of something fixed is fixed
        fixed[of[tie[tie[:, 1] == FIXED, 0]]] = True
    refused = [*labels.refused, *((CROSSING, tie.ravel()) for tie in crossing)]
    reasons = [(why, np.unique(of[touched])) for why, touched in refused]
    return _with_blocks(of, fixed, [np.unique(of[tie], axis=0) for tie in ties], reasons)


def _neurons(count: int, links: np.ndarray, ties: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the neuron of each label, (labels,), and the ties whose blocks cross those of other operations.

    Blocks of one operation that share a neuron are one block. Then blocks of different operations that share
    a neuron are one block, too. If this joins blocks of one operation, the operations have blocks of several
    sizes.

    Args:
        count: the number of labels.
        links: (k, 2) labels that are of one neuron.
        ties: as in `ChannelLabels`, without fixed labels.
    """
    links = _with_shared_blocks(count, links, [[tie] for tie in ties])
    apart = _components(count, links)
    several = [tie for tie in ties if _block_count(apart, tie) > 1]
    of = _components(count, _with_shared_blocks(count, links, [several]))
    return of, [tie for tie in several if _block_count(of, tie) < _block_count(apart, tie)]


def _block_count(of: np.ndarray, tie: np.ndarray) -> int:
    return len(np.unique(of[tie[:, 0]]))


def _with_blocks(
    of: np.ndarray, fixed: np.ndarray, ties: list[np.ndarray], reasons: list[tuple[str, np.ndarray]]
) -> LabelClasses:
    """Find the block of each neuron; a block with a fixed neuron is fixed, and so are blocks of blocks."""
    blocks = np.full(len(fixed), -1)
    for tie in ties:
        if len(np.unique(tie[:, 0])) > 1:
            blocks[tie[:, 1]] = tie[:, 0]
            fixed[tie[fixed[tie[:, 1]], 0]] = True
    inside = blocks >= 0
    nested = np.isin(np.arange(len(fixed)), blocks[inside]) & inside
    fixed |= nested | (nested[blocks] & inside)
    return LabelClasses(of, fixed, ties, blocks, reasons)


def _with_shared_blocks(count: int, links: np.ndarray, sets: list[list[np.ndarray]]) -> np.ndarray:
    """Add links between blocks that have a neuron in common, within each set of ties, until none is new."""
    known = -1
    while True:
        of = _components(count, links)
        if of.max() == known:
            return links
        known = of.max()
        for ties in sets:
            rows = np.concatenate([np.empty((0, 2), int), *ties])
            rows = rows[np.argsort(of[rows[:, 1]], kind="stable")]
            same = of[rows[1:, 1]] == of[rows[:-1, 1]]
            links = np.concatenate([links, np.stack([rows[1:, 0][same], rows[:-1, 0][same]], 1)])


def _components(count: int, links: np.ndarray) -> np.ndarray:
    graph = coo_array((np.ones(len(links), bool), (links[:, 0], links[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1]
