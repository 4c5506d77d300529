"""Joins layers with what follows them, in the graph of a traced net.

Three patterns become one node each: a convolution with the sum and the ReLU after it, a batch norm with
its ReLU, and a residual block of two 3x3 convolutions. The new node calls a module of `joined_layers`. Other
nodes stay as they are. On a GPU a concatenation is removed if only joined batch norms read it.
"""

import operator
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from losslandscape.evaluate import kernels
from losslandscape.evaluate.batch_norm_fold import has_hooks
from losslandscape.evaluate.joined_layers import Joined, JoinedBlock, JoinedConv, JoinedNorm
from losslandscape.evaluate.kernel_choice import KernelChoice

SUMS = (operator.add, torch.add, "add")
SUMS_IN_PLACE = (operator.iadd, "add_")
RELUS = (F.relu, torch.relu, torch.relu_, "relu", "relu_")
WRITE = {
    *(f"i{name}" for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul")),
    *("iand", "ior", "ixor", "ilshift", "irshift", "setitem", "delitem"),
}  # functions of the module `operator`


def join(traced: fx.GraphModule, choice: KernelChoice) -> list[Joined]:
    """Join the layers of a traced net in evaluation mode, and return the joined layers.

    Args:
        traced: the net, which is changed.
        choice: chooses the kernels of the joined layers.
    """
    joined: list[Joined] = []
    for node in list(traced.graph.nodes):
        module = _module(traced, node)
        if _joins_as_conv(module) and len(node.all_input_nodes) == len(node.args) == 1:
            joined += _join_conv(traced, node, module, choice)
        elif _joins_as_norm(module) and _relu_after(traced, node):
            joined.append(JoinedNorm(module, choice=choice))
            _replace(traced, [node, _relu_after(traced, node)], joined[-1], node.args)
    for node in list(traced.graph.nodes):
        _join_block(traced, node, choice)
    if any(kernels.available(tensor.device) for tensor in traced.buffers()):  # as of batch norms
        _remove_concatenations(traced)
    traced.recompile()
    return joined


def _join_conv(
    traced: fx.GraphModule, node: fx.Node, layer: nn.Conv2d, choice: KernelChoice
) -> Iterator[JoinedConv]:
    """Join a convolution with its bias, the sum and the ReLU, if it has any of them."""
    chain, inputs = [node], [node.args[0]]
    if (total := _next(traced, node)) and (residual := _other_term(total, node)):
        chain.append(total)
        inputs.append(residual)
    relu = _relu_after(traced, chain[-1])
    if relu:
        chain.append(relu)
    if len(chain) > 1 or layer.bias is not None:
        joined = JoinedConv(layer, relu=relu is not None, choice=choice)
        _replace(traced, chain, joined, tuple(inputs))
        yield joined


def _join_block(traced: fx.GraphModule, node: fx.Node, choice: KernelChoice) -> None:
    """Join a residual block, if its last convolution is at this node."""
    second = _module(traced, node)
    if not isinstance(second, JoinedConv) or len(node.args) != 2:
        return
    before: Any = node.args[0]
    first = _module(traced, before)
    if not isinstance(first, JoinedConv) or before.args != node.args[1:] or _next(traced, before) is not node:
        return
    if first.relu and second.relu and first.layer.weight.shape == second.layer.weight.shape:
        if _is_block_conv(first.layer) and _is_block_conv(second.layer):
            _replace(traced, [before, node], JoinedBlock(first, second, choice=choice), before.args)


def _is_block_conv(layer: nn.Conv2d) -> bool:
    """Return whether a convolution is 3x3, keeps the shape of its input, and has a bias."""
    form = layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.groups
    is_square = form == ((3, 3), (1, 1), (1, 1), (1, 1), 1)
    return is_square and layer.in_channels == layer.out_channels and layer.bias is not None


def _remove_concatenations(traced: fx.GraphModule) -> None:
    """Let joined batch norms read maps where they are, without a concatenation before.

    DenseNet concatenates all earlier maps of a block before each of its layers.
    """
    nodes = traced.graph.nodes
    if any(_writes(traced, node) for node in nodes):  # a map may change after the concatenation copied it
        return
    for node in nodes:
        if isinstance(_module(traced, node), JoinedNorm):
            node.args = tuple(_maps(traced, node.args[0]))
    for node in reversed(nodes):
        if _is_concatenation(node) and not node.users:
            traced.graph.erase_node(node)


def _maps(traced: fx.GraphModule, node: Any) -> list[fx.Node]:
    """Return the maps that a removable concatenation joins; for any other node, the node itself."""
    if not _is_removable(traced, node):
        return [node]
    return [each for part in node.args[0] for each in _maps(traced, part)]


def _is_removable(traced: fx.GraphModule, node: fx.Node) -> bool:
    """Return whether a concatenation has no users but one joined batch norm and removable concatenations."""
    if not _is_concatenation(node):
        return False
    norms = [user for user in node.users if isinstance(_module(traced, user), JoinedNorm)]
    others = [user for user in node.users if user not in norms]
    return len(norms) <= 1 and all(_is_removable(traced, other) for other in others)


def _is_concatenation(node: fx.Node) -> bool:
    """Return whether a node concatenates maps along the channels."""
    is_cat = node.target is torch.cat and len(node.args) + len(node.kwargs) == 2
    return is_cat and (node.args[1:] == (1,) or node.kwargs == {"dim": 1})


def _replace(traced: fx.GraphModule, chain: list[Any], module: nn.Module, inputs: tuple[Any, ...]) -> None:
    """Replace a chain of nodes by one node that calls a module with these inputs."""
    name = f"joined_{chain[-1].name}"
    traced.add_submodule(name, module)
    with traced.graph.inserting_before(chain[-1]):
        new = traced.graph.call_module(name, inputs)
    chain[-1].replace_all_uses_with(new)
    for node in reversed(chain):
        traced.graph.erase_node(node)


def _module(traced: fx.GraphModule, node: object) -> Any:
    """Return the module that a node calls, or None."""
    if isinstance(node, fx.Node) and node.op == "call_module":
        return traced.get_submodule(str(node.target))
    return None


def _joins_as_conv(module: nn.Module | None) -> bool:
    if type(module) is not nn.Conv2d or has_hooks(module):
        return False
    return module.padding_mode == "zeros" and not isinstance(module.padding, str)


def _joins_as_norm(module: nn.Module | None) -> bool:
    return type(module) is nn.BatchNorm2d and module.track_running_stats and not has_hooks(module)


def _next(traced: fx.GraphModule, node: fx.Node) -> fx.Node | None:
    """Return the only user of a node, or None if the two cannot be joined.

    They cannot if a node between them writes in place, because it may write into the input.
    """
    if len(node.users) != 1:
        return None
    (user,) = node.users
    between = node.next
    while between is not user:
        if _writes(traced, between):
            return None
        between = between.next
    return user


def _writes(traced: fx.GraphModule, node: fx.Node) -> bool:
    """Return whether a node may write into one of its inputs."""
    if node.op == "call_module":
        return bool(getattr(_module(traced, node), "inplace", False))
    if node.op not in ("call_function", "call_method"):
        return False
    name = str(getattr(node.target, "__name__", node.target))
    may_be_inplace_flag = any(value is True for value in (*node.args, *node.kwargs.values()))
    if may_be_inplace_flag or "out" in node.kwargs:
        return True
    return name in WRITE or (name.endswith("_") and not name.startswith("__"))


def _other_term(total: fx.Node, term: fx.Node) -> fx.Node | None:
    """Return the other term of a sum of two. None if it is no such sum, or written into the other term."""
    if total.kwargs or len(total.args) != 2 or total.target not in (*SUMS, *SUMS_IN_PLACE):
        return None
    left, right = total.args
    if total.target in SUMS and right is term:
        left, right = right, left
    is_sum = left is term and right is not term
    return right if is_sum and isinstance(right, fx.Node) else None


def _relu_after(traced: fx.GraphModule, node: fx.Node) -> fx.Node | None:
    """Return the ReLU after a node, if nothing else uses the node."""
    after = _next(traced, node)
    if after is None or after.args[:1] != (node,):
        return None
    module = _module(traced, after)
    is_layer = type(module) is nn.ReLU and not has_hooks(module)
    return after if is_layer or (module is None and after.target in RELUS) else None
