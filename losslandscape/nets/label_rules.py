"""Rules that label the channels of a result, one for each kind of operation of torch.

The operations are those of ATen. Layers, attention and shortcuts are a few dozen of them. A rule gets the
graph, the node, its arguments by name and the value of its result. It returns the slots of the result, or
None for a form of the operation that it does not know.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx

from losslandscape.nets.channel_labels import ANY, Operand, Slots, dims_of, lean
from losslandscape.nets.labelled_graph import LabelledGraph, transposed

MOVES = {
    *("_reshape_alias", "_unsafe_view", "alias", "channel_shuffle", "constant_pad_nd", "flip", "index"),
    *("index_select", "pixel_shuffle", "pixel_unshuffle", "repeat", "roll", "view"),
}
REDUCTIONS = {"amax", "amin", "linalg_vector_norm", "logsumexp", "mean", "std", "sum", "var"}
ELEMENTWISE = {"_to_copy", "hardsigmoid", "hardswish"}  # torch does not tag these
SHAPES = {
    *("empty_like", "full_like", "ones_like", "zeros_like"),
    *("new_empty", "new_full", "new_ones", "new_zeros"),
}
POOLINGS = ("adaptive_", "_adaptive_", "avg_pool", "max_pool", "upsample_", "_upsample_")

Arguments = dict[str, Any]  # of an operation, by name; tensors as nodes
Rule = Callable[[LabelledGraph, fx.Node, Arguments, Any], Any]


def name_of(n: fx.Node) -> str:
    """Return the name of an operation, such as addmm."""
    return str(n.target).removeprefix("aten.").split(".")[0]


def rule_for(n: fx.Node) -> Rule | None:
    """Return the rule for an operation, if there is one."""
    name = name_of(n)
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


def _elementwise(net: LabelledGraph, n: fx.Node, arguments: Arguments, value: Any) -> Any:
    return net.labels.combined(value.shape, [net.operand(node) for node in n.all_input_nodes])


def _shape_alone(net: LabelledGraph, n: fx.Node, arguments: Arguments, value: Any) -> Any:
    return []


def _as_strided(net: LabelledGraph, n: fx.Node, arguments: Arguments, value: Any) -> Any:
    """Pass the labels on if the result equals the input, as when torch replaces an in-place operation."""
    source: Any = net.map_nodes_to_values(arguments["self"], n)
    return net.operand(arguments["self"])[1] if torch.equal(value, source) else None


def _move(net: LabelledGraph, n: fx.Node, arguments: Arguments, value: Any) -> Any:
    """Move the labels as the operation moves the values."""
    _, slots = net.operand(n.args[0])
    if len(net.all_slots(n)) != len(slots):  # another argument has channels too
        return None
    others: Any = net.map_nodes_to_values(n.args[1:], n)
    kwargs: Any = net.map_nodes_to_values(n.kwargs, n)
    name = name_of(n)
    if name == "constant_pad_nd":
        return [F.pad(slot, others[0], value=ANY) for slot in slots]
    if name in ("view", "_unsafe_view", "_reshape_alias"):
        return [lean(slot.reshape(others[0])) for slot in slots]
    moved = [n.target(slot, *others, **kwargs) for slot in slots]  # type: ignore[operator]
    if isinstance(value, tuple | list):
        return tuple([lean(part) for part in parts] for parts in zip(*moved, strict=True))
    return [lean(slot) for slot in moved]


def _cat(net: LabelledGraph, n: fx.Node, arguments: Arguments, value: Any) -> Any:
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


def _convolution(net: LabelledGraph, n: fx.Node, arguments: Arguments, value: Any) -> Any:
    groups, is_transposed = arguments["groups"], arguments["transposed"]
    x_shape, x_slots = net.operand(arguments["input"])
    w_shape, w_slots = net.operand(arguments["weight"])
    depthwise = groups > 1 and groups == x_shape[1] and w_shape[1] == 1 and not is_transposed
    if groups > 1 and not depthwise:
        return None
    for slot in x_slots:
        if 1 in dims_of(slot):
            net.note_read(arguments["input"], slot)
    x_slots = [slot.reshape(1, x_shape[1]) for slot in net.labels.collapsed(x_slots, {1}, "convolution")]
    w_slots = [slot.flatten(2)[:, :, 0] for slot in _without(net, w_slots, set(range(2, len(w_shape))))]
    weight = (w_shape[:2], w_slots)
    if is_transposed:
        weight = transposed(weight)
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


def _per_channel(net: LabelledGraph, shape: torch.Size, vectors: list[Operand], *values: Operand) -> Slots:
    """Combine values (N, C, …) with vectors (C,)."""
    spread = (1, -1, *[1] * (len(shape) - 2))
    seen = [
        (torch.Size((1, *own, *[1] * (len(shape) - 2))), [s.reshape(spread) for s in slots])
        for own, slots in vectors
        if own
    ]
    return net.labels.combined(shape, [*values, *seen])


def _without(net: LabelledGraph, slots: Slots, dims: set[int]) -> Slots:
    """Fix the slots along some axes, and return the others."""
    for slot in slots:
        if dims_of(slot) & dims:
            net.labels.fix(slot)
    return [slot for slot in slots if not dims_of(slot) & dims]


def _addmm(net: LabelledGraph, n: fx.Node, arguments: Arguments, value: Any) -> Any:
    product = net.product(net.operand(arguments["mat1"]), net.operand(arguments["mat2"]), n)
    return net.labels.combined(value.shape, [(value.shape, product), net.operand(arguments["self"])])


def _matmul(net: LabelledGraph, n: fx.Node, arguments: Arguments, value: Any) -> Any:
    return net.product(net.operand(n.args[0]), net.operand(n.args[1]), n)


def _batch_norm(net: LabelledGraph, n: fx.Node, arguments: Arguments, value: Any) -> Any:
    names = ("weight", "bias", "running_mean", "running_var")
    vectors = [net.operand(arguments.get(name)) for name in names]
    return _per_channel(net, value[0].shape, vectors, net.operand(arguments["input"]))


def _layer_norm(net: LabelledGraph, n: fx.Node, arguments: Arguments, value: Any) -> Any:
    shape, slots = net.operand(arguments["input"])
    count = len(arguments["normalized_shape"])
    net.labels.reduced(slots, set(range(len(shape) - count, len(shape))))
    vectors = [net.operand(arguments.get(name)) for name in ("weight", "bias")]
    return net.labels.combined(shape, [(shape, slots), *vectors])


def _group_norm(net: LabelledGraph, n: fx.Node, arguments: Arguments, value: Any) -> Any:
    shape, slots = net.operand(arguments["input"])
    rows, groups = shape[0], arguments["group"]
    net.labels.reduced([slot.reshape(rows, groups, -1) for slot in slots], {2})
    vectors = [net.operand(arguments.get(name)) for name in ("weight", "bias")]
    return _per_channel(net, shape, vectors, (shape, slots))


def _softmax(net: LabelledGraph, n: fx.Node, arguments: Arguments, value: Any) -> Any:
    """Like a sum over the channels: they can change places if all of them do so together."""
    shape, slots = net.operand(arguments["self"])
    net.labels.reduced(slots, {arguments["dim"] % len(shape)})
    return slots


def _reduction(net: LabelledGraph, n: fx.Node, arguments: Arguments, value: Any) -> Any:
    shape, slots = net.operand(n.args[0])
    dims = arguments.get("dim")
    dims = range(len(shape)) if dims is None or dims == [] else [dims] if isinstance(dims, int) else dims
    return [
        slot.reshape(value.shape) for slot in net.labels.reduced(slots, {dim % len(shape) for dim in dims})
    ]


def _pooling(net: LabelledGraph, n: fx.Node, arguments: Arguments, value: Any) -> Any:
    result = value[0] if isinstance(value, tuple) else value
    slots = net.labels.collapsed(net.operand(n.args[0])[1], {1}, "pooling")
    return [slot.expand(result.shape) for slot in slots]


def _embedding(net: LabelledGraph, n: fx.Node, arguments: Arguments, value: Any) -> Any:
    slots = _without(net, net.operand(arguments["weight"])[1], {0})
    return [slot[0].expand(value.shape) for slot in slots]


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
