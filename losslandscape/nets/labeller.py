"""Labels the channels of a net by running its graph, with a rule for each operation."""

import operator
from typing import Any

from torch import Tensor, fx

from losslandscape.nets.channel_labels import Slots
from losslandscape.nets.label_rules import name_of, rule_for
from losslandscape.nets.labelled_graph import LabelledGraph

# What a rule raises for a form of its operation that it does not know. Then the channels are fixed.
MISFITS = (RuntimeError, LookupError, TypeError, ValueError, AttributeError)


class Labeller(LabelledGraph):
    """Labels the values of a graph in the order in which they are computed."""

    def __init__(self, graph: fx.GraphModule, stored: list[Tensor]):
        super().__init__(graph, stored)
        self._arguments = iter(self.axes)

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self.shapes[n] = value.shape
        if self.computed.intersection(n.all_input_nodes):
            self.computed.add(n)
        if n.op == "placeholder":
            slots = next(self._arguments, None)
            self.slots[n] = slots or []
            if slots is None:
                self.computed.add(n)
        elif n.op == "output":
            for slot in self.all_slots(n):
                self.labels.fix(slot)
        elif n.target is operator.getitem:
            self.slots[n] = self._item(n)
        elif self.all_slots(n):
            self.slots[n] = self._result(n, value)
        return value

    def _item(self, n: fx.Node) -> Slots:
        slots = self.slots.get(n.all_input_nodes[0], [])
        if not isinstance(slots, tuple):
            return []
        chosen = slots[n.args[1]]  # type: ignore[index]
        if chosen is None and n.users:  # such as the places of the maxima of a pooling
            return self._refuse(n)
        return chosen or []

    def _result(self, n: fx.Node, value: Any) -> Any:
        """Return the slots of a result; of several results a tuple, with None where no rule labels them."""
        rule = rule_for(n)
        if rule is None:
            return self._refuse(n)
        names = [argument.name for argument in n.target._schema.arguments]  # type: ignore[union-attr]
        try:
            slots = rule(self, n, {**dict(zip(names, n.args, strict=False)), **n.kwargs}, value)
        except MISFITS:
            slots = None
        if slots is None:
            return self._refuse(n)
        if isinstance(slots, list) and isinstance(value, tuple):
            return slots, *[None] * (len(value) - 1)
        return slots

    def _refuse(self, n: fx.Node) -> Slots:
        name = name_of(n.all_input_nodes[0] if n.target is operator.getitem else n)
        for slot in self.all_slots(n):
            self.labels.fix(slot, name.strip("_"))
        return []
