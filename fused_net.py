"""A net made ready for fast evaluation: batch norms folded into the layers before them, in a chosen precision and memory layout.

In evaluation mode a batch norm is a fixed scale and shift of each channel, which the convolution before it can apply at no cost:

    W' = W * gamma / sqrt(var + eps),    b' = beta + (b - mean) * gamma / sqrt(var + eps)

The fused net is a copy with tensors of its own, which `refresh` computes from the net's after every move of the net.
"""
import copy
from collections import Counter

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

FOLDS_INTO = {nn.BatchNorm1d: nn.Linear, nn.BatchNorm2d: nn.Conv2d}
AGREEMENT = 1e-3  # a fused net whose outputs differ by more, relative to the largest, is not the same function and is not used


class FusedNet:
    """Evaluates a net through a fused copy of it; the net itself is only read.

    Args:
        net: in evaluation mode. If torch.fx cannot trace it, or the trace is another function, it is copied unfused.
        trial: a small batch as the net takes it, on the net's device, on which copy and net must agree.
        dtype: what the copy computes in; logits come out as float32, and batch norms that are left stay in float32.
        channels_last: the copy's memory layout for images and convolutions.
        fold: off copies the net as it is, to measure what folding brings.
    """

    def __init__(self, net: nn.Module, trial: Tensor, *, dtype: torch.dtype = torch.float32, channels_last: bool = False,
                 fold: bool = True):
        self._dtype = dtype
        self._layout = torch.channels_last if channels_last else torch.contiguous_format
        if not fold or not self._adopt(net, *_fold(net)) or not self._agrees(net, trial):
            self._adopt(net, copy.deepcopy(net), [])
        for module in self._copy.modules():
            if not isinstance(module, _BatchNorm):
                for tensor in [*module.parameters(recurse=False), *module.buffers(recurse=False)]:
                    tensor.data = tensor.data.to(dtype if tensor.is_floating_point() else tensor.dtype)
        self._copy.to(memory_format=self._layout)
        self.refresh()

    @property
    def folded(self) -> int:
        """Number of batch norms that are folded."""
        return len(self._pairs)

    @torch.no_grad()
    def refresh(self) -> None:
        """Take over the net's tensors as they are now."""
        for layer, norm, fused in self._pairs:
            scale = torch.rsqrt(norm.running_var + norm.eps)
            if norm.affine:
                scale = scale * norm.weight
            shift = -norm.running_mean if layer.bias is None else layer.bias - norm.running_mean
            fused.weight.copy_(layer.weight * scale.view(-1, *[1] * (layer.weight.dim() - 1)))
            fused.bias.copy_(torch.addcmul(norm.bias, shift, scale) if norm.affine else shift * scale)
        if self._targets:
            torch._foreach_copy_(self._targets, self._sources)

    def __call__(self, images: Tensor) -> Tensor:
        """Logits, float32, of normalised images."""
        return self._copy(images.to(self._dtype, memory_format=self._layout)).float()

    def _adopt(self, net: nn.Module, fused: nn.Module | None, pairs: list[tuple[nn.Module, nn.Module, str]]) -> bool:
        if fused is None:
            return False
        self._copy = fused.eval().requires_grad_(False)
        self._pairs = [(layer, norm, fused.get_submodule(name)) for layer, norm, name in pairs]
        computed = {id(tensor) for _, _, layer in self._pairs for tensor in layer.parameters()}
        own, ours = (_named_tensors(module) for module in (net, fused))
        shared = [name for name, tensor in ours.items() if name in own and tensor.is_floating_point() and id(tensor) not in computed]
        self._sources, self._targets = [own[name].detach() for name in shared], [ours[name] for name in shared]
        return True

    def _agrees(self, net: nn.Module, trial: Tensor) -> bool:
        self.refresh()
        with torch.inference_mode():
            expected, found = net(trial), self._copy(trial)
        tolerance = AGREEMENT * expected.abs().max()
        return found.shape == expected.shape and bool((found - expected).abs().max() <= tolerance)


def _named_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers; one that has several names, as tied weights have, under each of them."""
    return dict([*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)])


def _fold(net: nn.Module) -> tuple[nn.Module | None, list[tuple[nn.Module, nn.Module, str]]]:
    """A traced copy of the net without the batch norms that fold, and (layer, batch norm, the layer's name) for each of these."""
    try:
        traced = fx.symbolic_trace(net)
    except Exception:  # tracing runs the net's own code on symbols: whatever that raises, it is a net that runs unfused
        return None, []
    modules = dict(traced.named_modules())
    calls = Counter(node.target for node in traced.graph.nodes if node.op == "call_module")
    pairs = []
    for node in list(traced.graph.nodes):
        source = node.args[0] if node.op == "call_module" and node.args else None
        if not isinstance(source, fx.Node) or source.op != "call_module":
            continue
        layer, norm = modules[source.target], modules[node.target]
        if (type(layer) is FOLDS_INTO.get(type(norm)) and norm.track_running_stats and len(source.users) == 1
                and calls[source.target] == calls[node.target] == 1):
            node.replace_all_uses_with(source)
            traced.graph.erase_node(node)
            pairs.append((layer, norm, source.target))
    traced.recompile()
    fused = copy.deepcopy(traced)
    fused.delete_all_unused_submodules()
    for layer, _, name in pairs:
        fused.get_submodule(name).bias = nn.Parameter(layer.weight.new_zeros(layer.weight.shape[0]))
    return fused, pairs
