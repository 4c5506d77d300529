"""Labels the channels of every value that a net computes, and notes which of them must move together.

A value has one slot for each of its axes that may be permuted. A slot is a tensor of labels in the shape of
the value: equal labels belong to one channel. Operations that only move values, such as a flattening, move
labels in the same way. `label_rules` says what each operation asks for; `permutation_groups` draws the
conclusions.
"""

from dataclasses import dataclass, field
from math import prod

import numpy as np
import torch
from torch import Tensor

FIXED = 0  # the label of what cannot be permuted
ANY = -1  # the label of padding, which fits every permutation

Slots = list[Tensor]
Operand = tuple[torch.Size, Slots]  # a value's shape, and its slots of this shape


@dataclass
class ChannelLabels:
    """All labels, and the relations between them.

    Attributes:
        count: the number of labels; each is less than this.
        pairs: arrays (k, 2) of labels that are of one channel.
        ties: arrays (k, 2) of labels: the channel of the second is in the block of the first, such as an
            attention head. Each array comes from one operation.
        refused: for each operation that forbids permutations, the labels (k,) that it touches.
    """

    count: int = 1
    pairs: list[np.ndarray] = field(default_factory=list)
    ties: list[np.ndarray] = field(default_factory=list)
    refused: list[tuple[str, np.ndarray]] = field(default_factory=list)

    def new(self, shape: tuple[int, ...]) -> Tensor:
        """Return new labels, all different."""
        labels = torch.arange(self.count, self.count + prod(shape)).view(shape)
        self.count += labels.numel()
        return labels

    def of_axes(self, shape: torch.Size) -> Slots:
        """Return slots for a stored tensor, each with new labels along one of its axes."""
        slots = []
        for dim in (dim for dim, size in enumerate(shape) if size > 1):
            ones = [size if dim == other else 1 for other, size in enumerate(shape)]
            slots.append(self.new(tuple(ones)).expand(shape))
        return slots

    def unify(self, one: Tensor, other: Tensor) -> None:
        """Note that two slots of one shape have the same channels at the same places."""
        self.pairs.append(_distinct_pairs(one, other))

    def tie(self, block: Tensor, member: Tensor) -> None:
        """Note that the channels of the slot `member` lie in the blocks of the slot `block`."""
        self.ties.append(_distinct_pairs(block, member))

    def fix(self, slot: Tensor, why: str = "") -> None:
        """Forbid to permute a slot; `why` names an operation that this program does not know."""
        (slot,) = _compact(slot)
        self.pairs.append(_distinct_pairs(slot, torch.full_like(slot, FIXED)))
        if why:
            self.refused.append((why, np.unique(slot[slot > FIXED].numpy())))

    def combined(self, shape: torch.Size, operands: list[Operand]) -> Slots:
        """Return the slots of an elementwise operation with broadcasting.

        Channels that meet move together. Along an axis where one operand has values and no channels, no
        other operand can be permuted. An operand that is broadcast along channels of another, such as a
        factor for each attention head, has blocks of these channels.
        """
        fixed_dims = [_dims_without_channels(shape, *operand) for operand in operands]
        kept: Slots = []
        for number, (_, slots) in enumerate(operands):
            others = set().union(*fixed_dims[:number], *fixed_dims[number + 1 :])
            for slot in slots:
                slot = slot.expand(shape)
                if dims_of(slot) & others:
                    self.fix(slot)
                else:
                    self._meet(kept, slot)
        return kept

    def _meet(self, kept: Slots, slot: Tensor) -> None:
        """Add a slot to the kept slots of a value, and note which channels of both move together."""
        mine = dims_of(slot)
        keep = bool(mine)
        for other in list(kept):
            theirs = dims_of(other)
            if not mine & theirs:
                continue
            if mine < theirs:
                self.tie(slot, other)
                keep = False
                continue
            _drop(kept, other)
            if mine == theirs:
                self.unify(slot, other)
                first, second = _compact(slot, other)
                slot = torch.where(first == ANY, second, first).expand_as(slot)
            elif theirs < mine:
                self.tie(other, slot)
            else:
                self.fix(slot)
                self.fix(other)
                keep = False
        if keep:
            kept.append(slot)

    def reduced(self, slots: Slots, dims: set[int]) -> Slots:
        """Return the slots of sums over these axes, which keep the size 1.

        Where channels remain, as with the scores of attention heads, each sum gets a new label: it is a block
        of the channels that it adds.
        """
        results = []
        for slot in slots:
            mine = dims_of(slot)
            if mine & dims:
                blocks = self.new(tuple(size if d in mine - dims else 1 for d, size in enumerate(slot.shape)))
                self.tie(blocks.expand_as(slot), slot)
                shape = [1 if d in dims else size for d, size in enumerate(slot.shape)]
                if mine - dims:
                    results.append(blocks.expand(shape))
            else:
                results.append(slot.amax(sorted(dims), keepdim=True) if dims else slot)
        return results

    def collapsed(self, slots: Slots, channels: set[int], why: str = "") -> Slots:
        """Return slots along the axes of channels only, and note that channels are alike at all other places.

        Args:
            slots: the slots of the value.
            channels: the axes of channels; all other axes of the result have the size 1.
            why: if not empty, slots with channels along other axes only are fixed for this reason.
        """
        results = []
        for slot in slots:
            if dims_of(slot) & channels:
                others = sorted(set(range(slot.dim())) - channels)
                first = slot.amax(others, keepdim=True) if others else slot
                self.unify(first.expand_as(slot), slot)
                results.append(first)
            elif why:
                self.fix(slot, why)
        return results


def lean(slot: Tensor) -> Tensor:
    """Return a slot that takes memory only along the axes where its labels differ."""
    others = sorted(set(range(slot.dim())) - dims_of(slot))
    return slot.amax(others, keepdim=True).expand_as(slot) if others else slot


def dims_of(slot: Tensor) -> set[int]:
    """Return the axes along which the labels of a slot differ. Padding does not count."""
    dims = {dim for dim, size in enumerate(slot.shape) if size > 1 and slot.stride(dim)}
    if not dims:
        return dims
    (slot,) = _compact(slot)
    known = slot != ANY
    return {dim for dim in dims if bool(((slot != slot.amax(dim, keepdim=True)) & known).any())}


def _dims_without_channels(shape: torch.Size, own_shape: torch.Size, slots: Slots) -> set[int]:
    """Return the axes of the result along which an operand has values but no channels."""
    shift = len(shape) - len(own_shape)
    with_values = {dim + shift for dim, size in enumerate(own_shape) if size > 1}
    return with_values - {dim + shift for slot in slots for dim in dims_of(slot)}


def _drop(slots: Slots, slot: Tensor) -> None:
    slots[:] = [other for other in slots if other is not slot]


def _compact(*slots: Tensor) -> list[Tensor]:
    """Shorten axes along which all slots are expanded, which saves nearly all work on them."""
    shown = list(slots)
    for dim in range(slots[0].dim()):
        if all(slot.stride(dim) == 0 or slot.shape[dim] == 1 for slot in slots):
            shown = [slot.narrow(dim, 0, 1) for slot in shown]
    return shown


def _distinct_pairs(one: Tensor, other: Tensor) -> np.ndarray:
    one, other = _compact(one, other)
    pairs = torch.stack([one.reshape(-1), other.reshape(-1)], 1)
    return torch.unique(pairs[(pairs != ANY).all(1)], dim=0).numpy()
