"""Folds batch norms into the layers before them, in a traced copy of a net.

In evaluation mode a batch norm is a fixed scale and shift of each channel, which the layer before it
applies at no cost:

    W' = W * gamma / sqrt(var + eps),    b' = beta + (b - mean) * gamma / sqrt(var + eps)
"""

import copy
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from losslandscape.nets.spreading import is_spread

FOLDS_INTO: dict[type[nn.Module], type[nn.Module]] = {nn.BatchNorm1d: nn.Linear, nn.BatchNorm2d: nn.Conv2d}
Layer = nn.Linear | nn.Conv2d


@dataclass(frozen=True)
class Fold:
    """A pair of a batch norm and the layer before it, with the layer of a copy that computes both."""

    layer: Layer
    norm: _BatchNorm
    folded: Layer

    def refresh(self) -> None:
        """Compute the folded layer's weight and bias from the net's present tensors."""
        layer, norm = self.layer, self.norm
        mean, scale = norm.running_mean, scale_of(norm)
        assert mean is not None  # a norm without statistics does not fold
        per_filter = scale.view(-1, *[1] * (layer.weight.dim() - 1))
        shift = -mean if layer.bias is None else layer.bias - mean
        self.folded.weight.copy_(layer.weight * per_filter)
        bias = torch.addcmul(norm.bias, shift, scale) if norm.affine else shift * scale
        self.folded.bias.copy_(bias)  # type: ignore[union-attr]  # `_folded_layer` adds a bias


def scale_of(norm: _BatchNorm) -> Tensor:
    """Return the factor of each channel in evaluation mode, gamma / sqrt(var + eps)."""
    assert norm.running_var is not None
    scale = torch.rsqrt(norm.running_var + norm.eps)
    return scale * norm.weight if norm.affine else scale


def copy_of(net: nn.Module) -> nn.Module | None:
    """Return a copy, or None for a net that cannot be copied.

    Such a net stores a computed tensor, or is spread over several devices, whose hooks belong to the net.
    """
    if is_spread(net):
        return None
    try:
        return copy.deepcopy(net)
    except Exception:  # a module of the user's may raise anything
        return None


def fold(net: nn.Module) -> tuple[fx.GraphModule, list[Fold]] | None:
    """Return a traced copy of the net without the batch norms that fold, and the folds.

    None stands for a net that torch.fx cannot trace.

    The folded layers' weights and biases are undefined until each fold is refreshed.
    """
    traced = _trace(net)
    if traced is None:
        return None
    pairs = _take_norms_out(net, traced)
    traced.recompile()
    traced.delete_all_unused_submodules()
    return traced, [Fold(layer, norm, _folded_layer(traced, name)) for name, layer, norm in pairs]


class _Tracer(fx.Tracer):
    """A tracer that keeps buffers: by default a value computed from buffers alone becomes a constant."""

    proxy_buffer_attributes = True


def _trace(net: nn.Module) -> fx.GraphModule | None:
    copied = copy_of(net)  # a net that stores its results would keep the symbols of the trace
    if copied is None:
        return None
    try:
        return fx.GraphModule(copied, _Tracer().trace(copied))
    except Exception:  # tracing runs the net's own code on symbols, and that may raise anything
        return None


def _take_norms_out(net: nn.Module, traced: fx.GraphModule) -> list[tuple[str, Layer, _BatchNorm]]:
    """Remove the batch norms that fold from the graph.

    Returns:
        For each removed batch norm: the name of the layer before it, this layer, and the norm. Layer and norm
        belong to the net.
    """
    modules = dict(net.named_modules())
    calls = Counter(str(node.target) for node in traced.graph.nodes if node.op == "call_module")
    tensors_read = [str(node.target) for node in traced.graph.nodes if node.op == "get_attr"]
    read_directly = {name.rpartition(".")[0] for name in tensors_read}
    pairs: list[tuple[str, Any, Any]] = []
    for node in list(traced.graph.nodes):
        previous: Any = node.args[0] if node.op == "call_module" and node.args else None
        if not isinstance(previous, fx.Node) or previous.op != "call_module" or len(previous.users) != 1:
            continue
        names = {str(previous.target), str(node.target)}
        if any(calls[name] != 1 for name in names) or names & read_directly:
            continue
        layer, norm = modules[str(previous.target)], modules[str(node.target)]
        if _fits(layer, norm):
            node.replace_all_uses_with(previous)
            traced.graph.erase_node(node)
            pairs.append((str(previous.target), layer, norm))
    return pairs


def _fits(layer: nn.Module, norm: nn.Module) -> bool:
    """Return whether a batch norm folds into a layer."""
    if type(layer) is not FOLDS_INTO.get(type(norm)) or not norm.track_running_stats:
        return False
    return not has_hooks(layer) and not has_hooks(norm)


def has_hooks(module: nn.Module) -> bool:
    """Return whether a module has hooks: of the user, or of an old weight norm or spectral norm."""
    return bool(module._forward_pre_hooks or module._forward_hooks)


def _folded_layer(traced: fx.GraphModule, name: str) -> Layer:
    """Return a layer of the copy, with a new weight and bias that no other layer shares."""
    layer: Any = traced.get_submodule(name)
    layer.bias = nn.Parameter(layer.weight.new_zeros(layer.weight.shape[0]))
    layer.weight = nn.Parameter(torch.empty_like(layer.weight))
    return layer
