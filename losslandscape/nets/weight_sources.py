"""Finds the weights that layers compute from other tensors, and how to compute them.

Pruned layers (`torch.nn.utils.prune`), weight norm, spectral norm and all other parametrizations of torch do
this, and so do hooks that are written like those of torch.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.parametrize import ParametrizationList

from losslandscape.nets.net_tensors import wide

Named = dict[str, Tensor]


@dataclass(frozen=True)
class WeightSource:
    """The tensors from which a layer computes a weight, and the computation.

    Args:
        name: the weight's name in the net.
        layer: the layer that uses the weight.
        prefix: the text before the names of `parameters` in the names of the net.
        parameters, buffers: the tensors that the computation may use, by name.
        compute: returns the weight for other tensors of these names.
    """

    name: str
    layer: nn.Module
    prefix: str
    parameters: Named
    buffers: Named
    compute: Callable[[Named], object]

    def weight(self, stored: Named) -> object:
        """Return the weight in evaluation mode, computed from `stored` and from copies of the other tensors.

        The copies are on the CPU. The net and torch's generator do not change.
        """
        tensors = self.parameters | self.buffers
        others = {name: copied(value) for name, value in tensors.items() if name not in stored}
        with torch.enable_grad(), torch.random.fork_rng(devices=[]), _evaluating(self.layer):
            return self.compute(others | stored)


def weight_sources(net: nn.Module) -> Iterator[WeightSource]:
    """Yield the source of every computed weight of a net, in the order of the layers."""
    for path, layer in net.named_modules():
        prefix = f"{path}." if path else ""
        for name, parametrization in _parametrizations(layer):
            yield WeightSource(
                prefix + name,
                layer,
                f"{prefix}parametrizations.{name}.",
                dict(parametrization.named_parameters()),
                dict(parametrization.named_buffers()),
                _caller(parametrization),
            )
        for name, hook in _weight_hooks(layer):
            yield WeightSource(
                prefix + name,
                layer,
                prefix,
                dict(layer.named_parameters(recurse=False)),
                dict(layer.named_buffers(recurse=False)),
                _hook_caller(layer, name, hook),
            )


def copied(value: Tensor) -> Tensor:
    """Return a copy on the CPU, in float32 if its type is narrower."""
    dtype = wide(value.dtype) if value.is_floating_point() else value.dtype
    return value.detach().to("cpu", dtype, copy=True)


def _parametrizations(layer: nn.Module) -> list[tuple[str, nn.Module]]:
    modules = getattr(layer, "parametrizations", None)
    if not isinstance(modules, nn.ModuleDict):
        return []
    return [(name, module) for name, module in modules.items() if isinstance(module, ParametrizationList)]


def _caller(parametrization: nn.Module) -> Callable[[Named], object]:
    return lambda tensors: functional_call(parametrization, tensors, ())


def _weight_hooks(layer: nn.Module) -> list[tuple[str, Callable]]:
    """Return the hooks that compute a weight before each forward pass, each with the weight's name.

    Like the hooks of torch, such a hook is an object with this name in `name` or `_tensor_name`. The layer
    has parameters of this name with an ending, such as `weight_orig`.
    """
    hooks = []
    for hook in layer._forward_pre_hooks.values():
        name = getattr(hook, "_tensor_name", getattr(hook, "name", None))
        if isinstance(name, str) and name not in layer._parameters:
            if any(parameter.startswith(f"{name}_") for parameter in layer._parameters):
                hooks.append((name, hook))
    return hooks


def _hook_caller(layer: nn.Module, name: str, hook: Callable) -> Callable[[Named], object]:
    def compute(tensors: Named) -> object:
        stand_in = _StandIn(layer, tensors)
        hook(stand_in, ())
        return vars(stand_in).get(name)

    return compute


class _StandIn:
    """Stands in for a layer in a call of a hook: it has other tensors, and the layer's other attributes."""

    def __init__(self, layer: nn.Module, tensors: Named):
        self._layer = layer
        vars(self).update(tensors)

    def __getattr__(self, name: str) -> object:
        return getattr(self._layer, name)


@contextmanager
def _evaluating(layer: nn.Module) -> Iterator[None]:
    """Put a layer into evaluation mode for the block; spectral norm changes its buffers in training."""
    modes = {module: module.training for module in layer.modules()}
    try:
        for module in modes:
            module.training = False
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
