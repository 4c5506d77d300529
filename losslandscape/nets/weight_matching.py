"""Matches the neurons of one net to those of another by their weights.

Weight matching is algorithm 1 of Ainsworth et al., "Git Re-Basin" (arXiv 2209.04836, section 3.2). It visits
the groups of neurons in random order, again and again until no group changes. For each group it solves a
linear assignment while all others stay. Each step raises the sum over all weights of weight times permuted
weight, and so lowers the distance of the nets.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from losslandscape.nets.permutation_groups import Group, Part
from losslandscape.nets.permuting import Axis, Permutation, State, orders, reordered

LEAST_GAIN = 1e-12  # of a step, relative; without it rounding could keep the search going


def match_weights(
    target: State, state: State, groups: Sequence[Group], *, seed: int = 0
) -> list[Permutation]:
    """Return the permutations of the neurons of `state` that bring it near `target`.

    Args:
        target, state: parameters by name; other tensors of the groups are not compared.
        groups: the groups of the net.
        seed: the seed of the order in which groups are visited.
    """
    target = {name: tensor.double() for name, tensor in target.items()}
    state = {name: tensor.double() for name, tensor in state.items()}
    found = [Permutation.identity(group) for group in groups]
    generator, changed = np.random.default_rng(seed), True
    while changed:
        changed = False
        for number in generator.permutation(len(groups)):
            better = _step(target, state, groups, found, number)
            if better is not None:
                found[number], changed = better, True
    return found


def assignment(similarities: Sequence[np.ndarray], whole: np.ndarray) -> Permutation:
    """Return the permutation with the largest sum of similarities.

    Args:
        similarities: for each part, (blocks, n, blocks, n): the target's neurons with the net's neurons.
        whole: (blocks, blocks), the similarities of what belongs to the blocks themselves.
    """
    blocks = len(whole)
    total = whole.copy()
    best: dict[tuple[int, int], list[np.ndarray]] = {}
    for place in range(blocks):
        for source in range(blocks):
            best[place, source] = []
            for similarity in similarities:
                scores = similarity[place, :, source]
                rows, columns = linear_sum_assignment(scores, maximize=True)
                best[place, source].append(columns)
                total[place, source] += scores[rows, columns].sum()
    _, outer = linear_sum_assignment(total, maximize=True)
    inner = zip(*(best[place, source] for place, source in enumerate(outer)), strict=True)
    return Permutation(outer, tuple(np.stack(rows) for rows in inner))


def _step(
    target: State, state: State, groups: Sequence[Group], found: list[Permutation], number: int
) -> Permutation | None:
    """Return a better permutation of one group, if there is one."""
    group, rest = groups[number], list(found)
    names = {name for part in (*group.parts, group.whole) for name, _ in part.sites} & state.keys()
    near = {name: state[name] for name in names}
    rest[number] = Permutation.identity(group)
    present, without = orders(near, groups, found), orders(near, groups, rest)

    similarity = partial(_similarity, target, near, present, without)
    parts = [similarity(part).reshape(2 * part.shape) for part in group.parts]
    blocks = len(rest[number].outer)
    whole = similarity(group.whole) if group.whole.sites else np.zeros((blocks, blocks))
    rest[number] = assignment(parts, whole)
    before, after = (
        sum(float((target[name] * tensor).sum()) for name, tensor in reordered(near, axes).items())
        for axes in (present, orders(near, groups, rest))
    )
    return rest[number] if after > before + LEAST_GAIN * abs(before) else None


def _similarity(
    target: State, state: State, present: dict[Axis, np.ndarray], without: dict[Axis, np.ndarray], part: Part
) -> np.ndarray:
    """Return the inner products of the weights of a part's neurons in two nets, (neurons, neurons).

    Args:
        target, state: the tensors of both nets, by name.
        present: the present order of the net's entries along each axis.
        without: the same, with the neurons of the part's group in their original order.
        part: the neurons; all others are in their present order.
    """
    total = torch.zeros(())
    for (name, (dim,)), places in part.sites.items():
        if name not in state:
            continue
        axes = {axis: order for axis, order in present.items() if axis != (name, (dim,))}
        axes[name, (dim,)] = without[name, (dim,)]
        rows = torch.from_numpy(places.ravel())
        count = places.shape[0] * places.shape[1]
        one, other = (
            tensor.movedim(dim, 0)[rows].reshape(count, -1)
            for tensor in (target[name], reordered({name: state[name]}, axes)[name])
        )
        total = total + one @ other.T
    return total.expand(2 * [part.count]).numpy()
