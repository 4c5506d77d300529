"""A net made ready for fast evaluation: batch norms folded into the layers before them, in a chosen precision and memory layout.

In evaluation mode a batch norm is a fixed scale and shift of each channel, which the convolution before it can apply at no cost:

    W' = W * gamma / sqrt(var + eps),    b' = beta + (b - mean) * gamma / sqrt(var + eps)

The fused net is a copy with tensors of its own, which `refresh` computes from the net's after every move of the net.
"""
import copy
from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

FOLDS_INTO = {nn.BatchNorm1d: nn.Linear, nn.BatchNorm2d: nn.Conv2d}
AGREEMENT = 1e-3  # a fused net whose outputs differ by more, relative to the largest, is not the same function and is not used


class FusedNet:
    """Evaluates a net through a fused copy of it; the net itself is only read.

    Args:
        net: in evaluation mode. If torch.fx cannot trace it, or the trace is another function, it is copied unfused.
        trial: what it makes of a net, in numbers, must be the same of copy and net; for example the outputs for a small batch.
        dtype: what the copy computes in, if not in the net's own; outputs then come out as float32, and batch norms that are left stay as they are.
        channels_last: the copy's memory layout for images and convolutions.
        fold: off copies the net as it is, to measure what folding brings.
    """

    def __init__(self, net: nn.Module, trial: Callable[[nn.Module], Tensor], *, dtype: torch.dtype | None = None, channels_last: bool = False,
                 fold: bool = True):
        self._dtype = dtype
        self._layout = torch.channels_last if channels_last else torch.contiguous_format
        if not fold or not self._adopt(net, *_fold(net)) or not self._agrees(net, trial):
            self._adopt(net, _copied(net), [])
        if self._copy is net:
            self._dtype = None
            return
        for module in self._copy.modules():
            if dtype and not isinstance(module, _BatchNorm):
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

    @property
    def copied(self) -> bool:
        """Whether it is a copy: a net that cannot be copied is used itself."""
        return self._is_copy

    @property
    def module(self) -> nn.Module:
        """The copy itself, for code that does more with a net than to call it."""
        return self._copy

    def __call__(self, *inputs: Tensor, **named: Tensor) -> object:
        """The net's outputs; a tensor comes out as float32."""
        outputs = self._copy(*map(self._fit, inputs), **{name: self._fit(tensor) for name, tensor in named.items()})
        return outputs.float() if self._dtype and isinstance(outputs, Tensor) else outputs

    def _fit(self, tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point():
            return tensor
        return tensor.to(self._dtype or tensor.dtype, memory_format=self._layout if tensor.dim() == 4 else torch.preserve_format)

    def _adopt(self, net: nn.Module, fused: nn.Module | None, pairs: list[tuple[nn.Module, nn.Module, str]]) -> bool:
        if fused is None:
            return False
        self._is_copy = fused is not net
        if fused is net:
            self._copy, self._pairs, self._sources, self._targets = net, [], [], []
            return True
        self._copy = fused.eval().requires_grad_(False)
        self._pairs = [(layer, norm, fused.get_submodule(name)) for layer, norm, name in pairs]
        computed = {id(tensor) for _, _, layer in self._pairs for tensor in layer.parameters()}
        own, ours = (_named_tensors(module) for module in (net, fused))
        shared = [name for name, tensor in ours.items() if name in own and tensor.is_floating_point() and id(tensor) not in computed]
        self._sources, self._targets = [own[name].detach() for name in shared], [ours[name] for name in shared]
        return True

    def _agrees(self, net: nn.Module, trial: Callable[[nn.Module], Tensor]) -> bool:
        self.refresh()
        expected = trial(net)
        try:
            found = trial(self._copy)
        except Exception:  # a trace lacks what the net's class has, and a loss may use that
            return False
        tolerance = AGREEMENT * expected.abs().max()
        return found.shape == expected.shape and bool((found - expected).abs().max() <= tolerance)


def _copied(net: nn.Module) -> nn.Module:
    """A copy, or the net itself where it cannot be copied: a tensor that was computed and kept (old weight norms) cannot."""
    try:
        return copy.deepcopy(net)
    except Exception:  # whatever a module of the user's holds
        return net


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
    try:
        fused = copy.deepcopy(traced)
    except Exception:  # as _copied
        return None, []
    fused.delete_all_unused_submodules()
    for layer, _, name in pairs:
        fused.get_submodule(name).bias = nn.Parameter(layer.weight.new_zeros(layer.weight.shape[0]))
    return fused, pairs
