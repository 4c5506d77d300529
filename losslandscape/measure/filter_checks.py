"""Checks the filters of a net: which have zero norm, and whether directions move them by their norms."""

from collections.abc import Mapping

from torch import Tensor

from losslandscape.measure.moved_tensors import Moved
from losslandscape.measure.report import Caution, Report
from losslandscape.nets import direction_parts
from losslandscape.nets.blocks import any_not_zero, filter_norms

MAX_NORM_ERROR = 0.01  # a warning is given if the motion of a filter differs by more from what the norm says


def zero_filters(moved: list[Moved], norms: Mapping[str, str]) -> Report:
    """Report filters of zero norm. Embeddings are left out, because a row for padding is always zero."""
    total, zero, pruned = 0, 0, 0
    first = ""  # the name of the first tensor that has a filter of zero norm
    not_pruned = []  # tensors with filters of zero norm that are not pruned, and which filters these are
    for part in moved:
        if not part.tensor.by_filters or part.tensor.kind == "embedding":
            continue
        is_zero = filter_norms(part.tensor, part.tensor.value) == 0
        can_move = is_zero if part.fixed is None else is_zero & ~part.fixed
        total, zero = total + len(is_zero), zero + int(is_zero.count_nonzero())
        pruned += int((is_zero & ~can_move).count_nonzero())
        first = first or (part.tensor.names[0] if is_zero.any() else "")
        if can_move.any() and part.chosen:
            not_pruned.append((part, can_move))
    if not zero:
        return Report()
    line = f"filters of zero norm: {zero:,} of {total:,}, the first in {first}"
    if pruned:
        line += f"; {pruned:,} are pruned and never move"
    return Report([line], [_zero_but_not_pruned(not_pruned, total, norms)] if not_pruned else [])


def _zero_but_not_pruned(zeros: list[tuple[Moved, Tensor]], total: int, norms: Mapping[str, str]) -> Caution:
    """Warn of filters of zero norm, with a normalisation that moves them if none of `norms` does.

    Args:
        zeros: tensors of the net, each with (filters,) whether the filter is meant.
        total: the number of all filters of the net.
        norms: the normalisation of each random direction, by axis.
    """
    number = sum(int(is_zero.count_nonzero()) for _, is_zero in zeros)
    have = "has" if number == 1 else "have"
    fault = (
        f"{number:,} of {total:,} filters {have} zero norm (pruned, or never trained), "
        f"the first in {zeros[0][0].tensor.names[0]}"
    )
    if any(filter_norms(part.tensor, d)[is_zero].any() for part, is_zero in zeros for d in part.parts):
        return Caution(f"{fault}: the directions move them away from zero")
    if not norms:
        return Caution(f"{fault}: the directions do not move them")
    axis = next(iter(norms))
    if not any(any_not_zero(part.tensor.value) for part, _ in zeros):
        fault += ": they never move, as a layer of zero norm gives a direction of zero norm"
        return Caution(fault, f"{{{axis}norm:dfilter}} moves all filters by the same length")
    fault += ": they never move, as a filter of zero norm gives a direction of zero norm"
    return Caution(fault, f"{{{axis}norm:layer}} moves them with the rest")


def filters_off_norm(moved: list[Moved], axis: str, norm: str) -> Report:
    """Warn of computed weights whose motion does not have the length that the normalisation gives.

    There are two causes: the direction is in a file of an earlier version, which normalised the stored
    tensors; or filters depend so much on each other that not all can have their norms.
    """
    names: list[str] = []
    ends: list[float] = []
    for part in moved:
        motion = part.parts["xy".index(axis)]
        if part.fixed is None or not part.tensor.by_filters or not motion.any():
            continue
        goal = direction_parts.goal_norms(part.tensor, norm)
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
        f"{min(ends):.3g} to {max(ends):.3g} times the length that normalisation by {norm} gives"
    )
    advice = (
        "if its direction file is of an earlier version, move the file away, and a new one is made; "
        "otherwise these filters depend on each other, and cannot all have their norms"
    )
    return Report([], [Caution(fault, advice)])
