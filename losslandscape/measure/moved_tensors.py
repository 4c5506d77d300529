"""Pairs the tensors of a net, and the weights that its layers compute, with how directions move them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from losslandscape.nets import net_tensors
from losslandscape.nets.blocks import blocks
from losslandscape.nets.computed_weights import computed_weights
from losslandscape.nets.net_plotter import Direction
from losslandscape.nets.net_tensors import NetTensor


@dataclass(frozen=True)
class Moved:
    """A tensor of the net, with the part of each direction that moves it.

    Args:
        tensor: a tensor of the net, or a weight that a layer computes.
        parts: how each direction moves it; a computed weight to first order.
        chosen: whether the user's pattern of names chooses it.
        used: whether each entry has an effect on the weight that is computed from it; None if all have.
        fixed: whether each filter of a computed weight cannot move; None for tensors that are not computed.
    """

    tensor: NetTensor
    parts: tuple[Tensor, ...]
    chosen: bool
    used: Tensor | None = None
    fixed: Tensor | None = None

    def entries(self) -> int:
        """Return the number of entries that at least one direction changes, with an effect."""
        if not self.tensor.moves:
            return 0
        used = () if self.used is None else (self.used,)
        return sum(
            _entries(parts[: len(self.parts)], parts[len(self.parts) :])
            for parts in blocks(*self.parts, *used)
        )

    def unused(self) -> int:
        """Return the number of entries without an effect, such as pruned ones."""
        return 0 if self.used is None else int((~self.used).count_nonzero())


def _entries(parts: Sequence[Tensor], used: Sequence[Tensor]) -> int:
    changed = parts[0] != 0
    for part in parts[1:]:
        changed |= part != 0
    for has_effect in used:
        changed &= has_effect
    return int(changed.count_nonzero())


def moved_tensors(
    net: nn.Module, directions: list[Direction], dir_type: str, params: str
) -> tuple[list[Moved], list[Moved]]:
    """Return the tensors of a net with the parts of directions that move them.

    Returns:
        All tensors that the net stores; and the same list with each computed weight in place of the stored
        tensors from which a layer computes it.
    """
    tensors = net_tensors.tensors(net, dir_type)
    chosen = net_tensors.chosen(net, dir_type, params) if params else None
    stored = [
        Moved(tensor, tuple(parts), chosen is None or tensor.names[0] in chosen)
        for tensor, *parts in zip(tensors, *directions, strict=True)
    ]
    layers = dict(enumerate(stored))
    for weight in computed_weights(net, tensors):
        for place, used in zip(weight.members, weight.used, strict=True):
            stored[place] = replace(stored[place], used=used)
            del layers[place]
        motions = [weight.push([direction[place] for place in weight.members]) for direction in directions]
        is_chosen = any(stored[place].chosen for place in weight.members)
        layers[weight.members[0]] = Moved(weight.tensor, tuple(motions), is_chosen, fixed=weight.fixed)
    return stored, [layers[place] for place in sorted(layers)]
