"""The labels of the values of a graph, which the rules read and write while it runs."""

from typing import Any

import torch
from torch import Tensor, fx

from losslandscape.nets.channel_labels import ChannelLabels, Operand, Slots, dims_of


class LabelledGraph(fx.Interpreter):
    """Runs a graph, and holds the slots of its values.

    Args:
        graph: the graph of the net as a function of its stored tensors and its inputs.
        stored: the stored tensors, which are the first arguments. Only axes of floating-point tensors can be
            permuted.

    Attributes:
        labels: the labels and their relations.
        axes: the slots of each stored tensor, in the order of the arguments.
        reads: the inputs of matrix products and convolutions that are not weights: the node's name, and the
            slot of its channels.
        slots: for each node its slots; if it has several results, a tuple of them with None where no rule
            labels them.
        shapes: the shape of each node that is a tensor.
        computed: the nodes that depend on the net's inputs.
    """

    def __init__(self, graph: fx.GraphModule, stored: list[Tensor]):
        super().__init__(graph)
        self.labels = ChannelLabels()
        self.axes = [self.labels.of_axes(t.shape) if t.is_floating_point() else [] for t in stored]
        self.reads: list[tuple[str, Tensor]] = []
        self.slots: dict[fx.Node, Any] = {}
        self.shapes: dict[fx.Node, torch.Size] = {}
        self.computed: set[fx.Node] = set()

    def operand(self, value: Any) -> Operand:
        """Return shape and slots of an argument; a number has neither."""
        if not isinstance(value, fx.Node):
            return torch.Size(), []
        slots = self.slots.get(value, [])
        return self.shapes[value], (slots[0] or []) if isinstance(slots, tuple) else slots

    def note_read(self, node: fx.Node, slot: Tensor) -> None:
        """Note that a layer reads a node's channels, unless they are a layer's weights."""
        if node in self.computed:
            self.reads.append((node.name, slot))

    def all_slots(self, n: fx.Node) -> Slots:
        """Return the slots of all inputs of a node."""
        per_node = [self.slots.get(node, []) for node in n.all_input_nodes]
        lists = [part for slots in per_node for part in (slots if isinstance(slots, tuple) else [slots])]
        return [slot for slots in lists for slot in slots or []]

    def product(self, one: Operand, other: Operand, n: fx.Node) -> Slots:
        """Return the slots of one (…, i, k) times other (…, k, j)."""
        one = self._read(one, -1, n.args[-2])
        other = self._read(other, -2, n.args[-1])
        a, b = one[0], other[0]
        joint = torch.Size((*torch.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1], a[-1]))
        left = torch.Size((*a[:-1], 1, a[-1])), [slot.unsqueeze(-2) for slot in one[1]]
        right = transposed(other)
        right = torch.Size((*right[0][:-2], 1, *right[0][-2:])), [slot.unsqueeze(-3) for slot in right[1]]
        slots = self.labels.combined(joint, [left, right])
        return [slot.squeeze(-1) for slot in self.labels.reduced(slots, {len(joint) - 1})]

    def _read(self, operand: Operand, dim: int, argument: Any) -> Operand:
        """Return an operand of a product; note that its channels along an axis are alike in all rows."""
        shape, slots = operand
        rows, dim = {-1: -2, -2: -1}[dim] % len(shape), dim % len(shape)
        alike = []
        for slot in slots:
            if dim in dims_of(slot):
                self.note_read(argument, slot)
                first = slot.amax(rows, keepdim=True).expand_as(slot)
                self.labels.unify(first, slot)
                slot = first
            alike.append(slot)
        return shape, alike


def transposed(operand: Operand) -> Operand:
    """Return an operand with its last two axes exchanged."""
    shape, slots = operand
    return torch.Size((*shape[:-2], shape[-1], shape[-2])), [slot.transpose(-1, -2) for slot in slots]
