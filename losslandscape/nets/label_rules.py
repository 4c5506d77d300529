"""Labels the channels of a net by running its graph: one rule for each kind of operation of torch.

The graph is that of torch.fx at the level of ATen, where layers, attention and shortcuts are a few dozen
operations. An operation without a rule fixes the channels that it touches.
"""

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from losslandscape.nets.channel_labels import ANY, ChannelLabels, Operand, Slots, dims_of, lean

MOVES = {
    *("_reshape_alias", "_unsafe_view", "alias", "channel_shuffle", "constant_pad_nd", "flip", "index"),
    *("index_select", "pixel_shuffle", "pixel_unshuffle", "repeat", "roll", "view"),
}
REDUCTIONS = {"amax", "amin", "linalg_vector_norm", "logsumexp", "mean", "std", "sum", "var"}
ELEMENTWISE = {"_to_copy", "hardsigmoid", "hardswish"}  # torch does not tag these
SHAPES = {
    "empty_like",
    "full_like",
    "new_empty",
    "new_full",
    "new_zeros",
    "new_ones",
    "ones_like",
    "zeros_like",
}
POOLINGS = ("adaptive_", "_adaptive_", "avg_pool", "max_pool", "upsample_", "_upsample_")

Arguments = dict[str, Any]  # of an operation, by name; tensors as nodes


class Labeller(fx.Interpreter):
    """Runs a graph, and labels the channels of its values.

    Args:
        graph: the graph of the net as a function of its stored tensors and its inputs.
        stored: the stored tensors, which are the first arguments; the axes of those that are floating-point
            are what can be permuted.

    Attributes:
        labels: the labels and their relations.
        axes: the slots of each stored tensor, in the order of the arguments.
        reads: the values that a product with weights or with other values reads: the node's name, and the
            slot of the channels.
    """

    def __init__(self, graph: fx.GraphModule, stored: list[Tensor]):
        super().__init__(graph)
        self.labels = ChannelLabels()
        self.axes = [self.labels.of_axes(t.shape) if t.is_floating_point() else [] for t in stored]
        self.reads: list[tuple[str, Tensor]] = []
        self._arguments = iter(self.axes)
        self._computed: set[fx.Node] = set()  # from the net's inputs
        self._slots: dict[fx.Node, Any] = {}
        self._shapes: dict[fx.Node, torch.Size] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self._shapes[n] = value.shape
        if self._computed.intersection(n.all_input_nodes):
            self._computed.add(n)
        if n.op == "placeholder":
            slots = next(self._arguments, None)
            self._slots[n] = slots or []
            if slots is None:
                self._computed.add(n)
        elif n.op == "output":
            for slot in self.all_slots(n):
                self.labels.fix(slot)
        elif n.target is operator.getitem:
            self._slots[n] = self._item(n)
        elif self.all_slots(n):
            self._slots[n] = self._result(n, value)
        return value

    def operand(self, value: Any) -> Operand:
        """Return shape and slots of an argument; a number has neither."""
        if not isinstance(value, fx.Node):
            return torch.Size(), []
        slots = self._slots.get(value, [])
        return self._shapes[value], (slots[0] or []) if isinstance(slots, tuple) else slots

    def note_read(self, node: fx.Node, slot: Tensor) -> None:
        """Note that a layer reads a node's channels, unless they are a layer's weights."""
        if node in self._computed:
            self.reads.append((node.name, slot))

    def all_slots(self, n: fx.Node) -> Slots:
        per_node = [self._slots.get(node, []) for node in n.all_input_nodes]
        lists = [part for slots in per_node for part in (slots if isinstance(slots, tuple) else [slots])]
        return [slot for slots in lists for slot in slots or []]

    def _item(self, n: fx.Node) -> Slots:
        slots = self._slots.get(n.all_input_nodes[0], [])
        if not isinstance(slots, tuple):
            return []
        chosen = slots[n.args[1]]  # type: ignore[index]
        if chosen is None and n.users:  # such as the places of the maxima of a pooling
            return self._refuse(n)
        return chosen or []

    def _result(self, n: fx.Node, value: Any) -> Any:
        """Return the slots of a result; of several results a tuple, with None where no rule labels them."""
        rule = _rule(n)
        if rule is None:
            return self._refuse(n)
        names = [argument.name for argument in n.target._schema.arguments]  # type: ignore[union-attr]
        try:
            slots = rule(self, n, {**dict(zip(names, n.args, strict=False)), **n.kwargs}, value)
        except (RuntimeError, LookupError, TypeError, ValueError, AttributeError):  # a form without a rule
            slots = None
        if slots is None:
            return self._refuse(n)
        if isinstance(slots, list) and isinstance(value, tuple):
            return slots, *[None] * (len(value) - 1)
        return slots

    def _refuse(self, n: fx.Node) -> Slots:
        name = _name(n.all_input_nodes[0] if n.target is operator.getitem else n)
        for slot in self.all_slots(n):
            self.labels.fix(slot, name.strip("_"))
        return []

    def product(self, one: Operand, other: Operand, n: fx.Node) -> Slots:
        """Return the slots of one (…, i, k) times other (…, k, j)."""
        one = self._read(one, -1, n.args[-2])
        other = self._read(other, -2, n.args[-1])
        (a, *_), (b, *_) = one, other
        joint = torch.Size((*torch.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1], a[-1]))
        left = torch.Size((*a[:-1], 1, a[-1])), [slot.unsqueeze(-2) for slot in one[1]]
        right = _transposed(other)
        right = torch.Size((*right[0][:-2], 1, *right[0][-2:])), [slot.unsqueeze(-3) for slot in right[1]]
        slots = self.labels.combined(joint, [left, right])
        return [slot.squeeze(-1) for slot in self.labels.reduced(slots, {len(joint) - 1})]

    def _read(self, operand: Operand, dim: int, argument: Any) -> Operand:
        """Return an operand of a product whose channels along an axis are alike in all rows."""
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


Rule = Callable[[Labeller, fx.Node, Arguments, Any], Any]


def _name(n: fx.Node) -> str:
    """Return the name of an operation, such as addmm."""
    return str(n.target).removeprefix("aten.").split(".")[0]


def _rule(n: fx.Node) -> Rule | None:
    """Return the rule for an operation, if there is one."""
    name = _name(n)
    if name in SHAPES:
        return _shape_alone
    if name in _RULES:
        return _RULES[name]
    if name.startswith(POOLINGS):
        return _pooling
    if name in REDUCTIONS:
        return _reduction
    if name in MOVES or getattr(n.target, "is_view", False):
        return _move
    if name in ELEMENTWISE or torch.Tag.pointwise in getattr(n.target, "tags", ()):
        return _elementwise
    return None


def _elementwise(net: Labeller, n: fx.Node, arguments: Arguments, value: Any) -> Any:
    return net.labels.combined(value.shape, [net.operand(node) for node in n.all_input_nodes])


def _shape_alone(net: Labeller, n: fx.Node, arguments: Arguments, value: Any) -> Any:
    return []


def _as_strided(net: Labeller, n: fx.Node, arguments: Arguments, value: Any) -> Any:
    """Pass the labels on if the result is the value itself, as where torch undoes a change in place."""
    source: Any = net.map_nodes_to_values(arguments["self"], n)
    return net.operand(arguments["self"])[1] if torch.equal(value, source) else None


def _move(net: Labeller, n: fx.Node, arguments: Arguments, value: Any) -> Any:
    """Move the labels as the operation moves the values."""
    _, slots = net.operand(n.args[0])
    if len(net.all_slots(n)) != len(slots):  # another argument has channels too
        return None
    others: Any = net.map_nodes_to_values(n.args[1:], n)
    kwargs: Any = net.map_nodes_to_values(n.kwargs, n)
    name = _name(n)
    if name == "constant_pad_nd":
        return [F.pad(slot, others[0], value=ANY) for slot in slots]
    if name in ("view", "_unsafe_view", "_reshape_alias"):
        return [lean(slot.reshape(others[0])) for slot in slots]
    moved = [n.target(slot, *others, **kwargs) for slot in slots]  # type: ignore[operator]
    if isinstance(value, tuple | list):
        return tuple([lean(part) for part in parts] for parts in zip(*moved, strict=True))
    return [lean(slot) for slot in moved]


def _cat(net: Labeller, n: fx.Node, arguments: Arguments, value: Any) -> Any:
    """Join channels; where tokens are joined, as with a class token, their channels are alike."""
    dim = arguments.get("dim", 0) % value.dim()
    operands = [net.operand(node) for node in arguments["tensors"]]
    most = max(len(slots) for _, slots in operands)
    if most > 1:
        return None
    parts = [slots[0] if slots else torch.zeros(shape, dtype=torch.long) for shape, slots in operands]
    if any(dim in dims_of(part) for part in parts):
        return [lean(torch.cat(parts, dim))]
    first = parts[0].narrow(dim, 0, 1)
    for part in parts:
        net.labels.unify(first.expand_as(part), part)
    return [first.expand(value.shape)]


def _convolution(net: Labeller, n: fx.Node, arguments: Arguments, value: Any) -> Any:
    groups, transposed = arguments["groups"], arguments["transposed"]
    x_shape, x_slots = net.operand(arguments["input"])
    w_shape, w_slots = net.operand(arguments["weight"])
    depthwise = groups > 1 and groups == x_shape[1] and w_shape[1] == 1 and not transposed
    if groups > 1 and not depthwise:
        return None
    for slot in x_slots:
        if 1 in dims_of(slot):
            net.note_read(arguments["input"], slot)
    x_slots = [slot.reshape(1, x_shape[1]) for slot in net.labels.collapsed(x_slots, {1}, "convolution")]
    w_slots = [slot.flatten(2)[:, :, 0] for slot in _without(net, w_slots, set(range(2, len(w_shape))))]
    weight = (w_shape[:2], w_slots)
    if transposed:
        weight = _transposed(weight)
    if depthwise:
        each = w_shape[0] // groups
        x_slots = [slot.repeat_interleave(each, 1).view(-1, 1) for slot in x_slots]
        slots = net.labels.combined(weight[0], [(torch.Size((w_shape[0], 1)), x_slots), weight])
    else:
        slots = net.labels.combined(weight[0], [(torch.Size((1, x_shape[1])), x_slots), weight])
        slots = net.labels.reduced(slots, {1})
    rows = weight[0][0], [slot.reshape(-1) for slot in slots]
    return _per_channel(
        net, value.shape, [(torch.Size((rows[0],)), rows[1]), net.operand(arguments.get("bias"))]
    )


def _per_channel(net: Labeller, shape: torch.Size, vectors: list[Operand], *values: Operand) -> Slots:
    """Combine values (N, C, …) with vectors (C,)."""
    spread = (1, -1, *[1] * (len(shape) - 2))
    seen = [
        (torch.Size((1, *own, *[1] * (len(shape) - 2))), [s.reshape(spread) for s in slots])
        for own, slots in vectors
        if own
    ]
    return net.labels.combined(shape, [*values, *seen])


def _without(net: Labeller, slots: Slots, dims: set[int]) -> Slots:
    """Fix the slots along some axes, and return the others."""
    for slot in slots:
        if dims_of(slot) & dims:
            net.labels.fix(slot)
    return [slot for slot in slots if not dims_of(slot) & dims]


def _addmm(net: Labeller, n: fx.Node, arguments: Arguments, value: Any) -> Any:
    product = net.product(net.operand(arguments["mat1"]), net.operand(arguments["mat2"]), n)
    return net.labels.combined(value.shape, [(value.shape, product), net.operand(arguments["self"])])


def _matmul(net: Labeller, n: fx.Node, arguments: Arguments, value: Any) -> Any:
    return net.product(net.operand(n.args[0]), net.operand(n.args[1]), n)


def _batch_norm(net: Labeller, n: fx.Node, arguments: Arguments, value: Any) -> Any:
    names = ("weight", "bias", "running_mean", "running_var")
    vectors = [net.operand(arguments.get(name)) for name in names]
    return _per_channel(net, value[0].shape, vectors, net.operand(arguments["input"]))


def _layer_norm(net: Labeller, n: fx.Node, arguments: Arguments, value: Any) -> Any:
    shape, slots = net.operand(arguments["input"])
    count = len(arguments["normalized_shape"])
    net.labels.reduced(slots, set(range(len(shape) - count, len(shape))))
    vectors = [net.operand(arguments.get(name)) for name in ("weight", "bias")]
    return net.labels.combined(shape, [(shape, slots), *vectors])


def _group_norm(net: Labeller, n: fx.Node, arguments: Arguments, value: Any) -> Any:
    shape, slots = net.operand(arguments["input"])
    rows, groups = shape[0], arguments["group"]
    net.labels.reduced([slot.reshape(rows, groups, -1) for slot in slots], {2})
    vectors = [net.operand(arguments.get(name)) for name in ("weight", "bias")]
    return _per_channel(net, shape, vectors, (shape, slots))


def _softmax(net: Labeller, n: fx.Node, arguments: Arguments, value: Any) -> Any:
    shape, slots = net.operand(arguments["self"])
    dim = arguments["dim"] % len(shape)
    for slot in slots:
        if dim in dims_of(slot):
            net.labels.fix(slot, "softmax")
    return [slot for slot in slots if dim not in dims_of(slot)]


def _reduction(net: Labeller, n: fx.Node, arguments: Arguments, value: Any) -> Any:
    shape, slots = net.operand(n.args[0])
    dims = arguments.get("dim")
    dims = range(len(shape)) if dims is None or dims == [] else [dims] if isinstance(dims, int) else dims
    return [
        slot.reshape(value.shape) for slot in net.labels.reduced(slots, {dim % len(shape) for dim in dims})
    ]


def _pooling(net: Labeller, n: fx.Node, arguments: Arguments, value: Any) -> Any:
    result = value[0] if isinstance(value, tuple) else value
    slots = net.labels.collapsed(net.operand(n.args[0])[1], {1}, "pooling")
    return [slot.expand(result.shape) for slot in slots]


def _embedding(net: Labeller, n: fx.Node, arguments: Arguments, value: Any) -> Any:
    slots = _without(net, net.operand(arguments["weight"])[1], {0})
    return [slot[0].expand(value.shape) for slot in slots]


def _transposed(operand: Operand) -> Operand:
    shape, slots = operand
    return torch.Size((*shape[:-2], shape[-1], shape[-2])), [slot.transpose(-1, -2) for slot in slots]


_RULES: dict[str, Rule] = {
    "addmm": _addmm,
    "mm": _matmul,
    "as_strided": _as_strided,
    "as_strided_": _as_strided,
    "bmm": _matmul,
    "cat": _cat,
    "convolution": _convolution,
    "embedding": _embedding,
    "native_batch_norm": _batch_norm,
    "_native_batch_norm_legit_no_training": _batch_norm,
    "native_layer_norm": _layer_norm,
    "native_group_norm": _group_norm,
    "_softmax": _softmax,
    "_safe_softmax": _softmax,
    "_log_softmax": _softmax,
}
