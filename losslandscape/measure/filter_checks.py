"""Checks the filters of a net: which have zero norm, and whether directions move them by their norms."""

from collections.abc import Mapping

from torch import Tensor

from losslandscape.measure.moved_tensors import Moved
from losslandscape.measure.report import Caution, Report
from losslandscape.nets import net_plotter, net_tensors
from losslandscape.nets.net_tensors import NetTensor

MAX_NORM_ERROR = 0.01  # a warning is given if the motion of a filter differs by more from what the norm says


def zero_filters(moved: list[Moved], norms: Mapping[str, str]) -> Report:
    """Report filters of zero norm. Embeddings are left out, because a row for padding is always zero."""
    total, zero, pruned = 0, 0, 0
    first = ""  # the name of the first tensor that has a filter of zero norm
    others = []  # tensors that have a filter of zero norm that is not pruned, with these filters
    for part in moved:
        if not part.tensor.by_filters or part.tensor.kind == "embedding":
            continue
        dead = _filter_norms(part.tensor) == 0
        free = dead if part.fixed is None else dead & ~part.fixed
        total, zero = total + len(dead), zero + int(dead.count_nonzero())
        pruned += int((dead & ~free).count_nonzero())
        first = first or (part.tensor.names[0] if dead.any() else "")
        if free.any() and part.chosen:
            others.append((part, free))
    if not zero:
        return Report()
    line = f"filters of zero norm: {zero:,} of {total:,}, the first in {first}"
    if pruned:
        line += f"; {pruned:,} are pruned and never move"
    return Report([line], [_zero_but_not_pruned(others, total, norms)] if others else [])


def _filter_norms(tensor: NetTensor) -> Tensor:
    return tensor.filter_norms(tensor.value.to(net_tensors.wide(tensor.value.dtype))).cpu()


def _zero_but_not_pruned(zeros: list[tuple[Moved, Tensor]], total: int, norms: Mapping[str, str]) -> Caution:
    """Warn of filters of zero norm, with a normalisation that moves them if none of `norms` does.

    Args:
        zeros: tensors of the net with (filters,) whether the norm is zero.
        total: the number of all filters of the net.
        norms: the normalisation of each random direction, by axis.
    """
    number = sum(int(dead.count_nonzero()) for _, dead in zeros)
    have = "has" if number == 1 else "have"
    fault = (
        f"{number:,} of {total:,} filters {have} zero norm (pruned, or never trained), "
        f"the first in {zeros[0][0].tensor.names[0]}"
    )
    if any(part.tensor.filter_norms(d)[dead].any() for part, dead in zeros for d in part.parts):
        return Caution(f"{fault}: the directions move them away from zero")
    if not norms:
        return Caution(f"{fault}: the directions do not move them")
    axis = next(iter(norms))
    if all(not part.tensor.value.any() for part, _ in zeros):
        fault += ": they never move, as a layer of zero norm gives a direction of zero norm"
        return Caution(fault, f"{{{axis}norm:dfilter}} moves all filters by the same length")
    fault += ": they never move, as a filter of zero norm gives a direction of zero norm"
    return Caution(fault, f"{{{axis}norm:layer}} moves them with the rest")


def filters_off_norm(moved: list[Moved], axis: str, norm: str) -> Report:
    """Warn of weights that layers compute and that a random direction does not move by the norm.

    Such a direction is in a file of an earlier version, which normalised what is stored; or filters depend so
    much on each other that not all can have their norms.
    """
    names: list[str] = []
    ends: list[float] = []
    for part in moved:
        motion = part.parts["xy".index(axis)]
        if part.fixed is None or not part.tensor.by_filters or not motion.any():
            continue
        goal = net_plotter.goal_norms(part.tensor, norm)
        if goal is None:
            continue
        reached = part.tensor.filter_norms(motion) if goal.dim() else motion.norm()
        counts = (goal > 0) & ~part.fixed if goal.dim() else goal > 0
        ratios = (reached / goal)[counts]
        if ((ratios - 1).abs() > MAX_NORM_ERROR).any():
            names.append(part.tensor.names[0])
            ends += [float(ratios.min()), float(ratios.max())]
    if not names:
        return Report()
    which = names[0] if len(names) == 1 else f"{len(names)} weights, {names[0]} first,"
    fault = (
        f"the {axis} direction moves {which} by "
        f"{min(ends):.3g} to {max(ends):.3g} times the length that the normalisation by {norm} says"
    )
    advice = (
        "if its direction file is of an earlier version, move the file away, and a new one is made; "
        "otherwise these filters depend on each other, and cannot all have their norms"
    )
    return Report([], [Caution(fault, advice)])
