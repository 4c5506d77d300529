"""A net made ready for fast evaluation: batch norms folded into the layers before them, in a chosen precision and memory layout.

In evaluation mode a batch norm is a fixed scale and shift of each channel, which the convolution before it can apply at no cost:

    W' = W * gamma / sqrt(var + eps),    b' = beta + (b - mean) * gamma / sqrt(var + eps)

The fused net is a copy with tensors of its own, which `refresh` computes from the net's after every move of the net.
"""

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

FOLDS_INTO = {nn.BatchNorm1d: nn.Linear, nn.BatchNorm2d: nn.Conv2d}
AGREEMENT = 1e-3  # a copy whose numbers differ by more, relative to themselves, is not the same function and is not used
SHAKEN = 0.25  # by how much of itself each number of the net is moved, to see whether the copy follows
SMALLER = 0.25  # quantile of the numbers compared: those that are nearer to zero may differ as much as one of this size
MOST_SORTED = 2**20  # numbers, for that

Maker = Callable[
    [nn.Module], tuple[nn.Module | None, list[tuple[nn.Module, nn.Module, str]]]
]  # a copy of a net, with (layer, batch norm, the layer's name) folded in it


class FusedNet:
    """Evaluates a net through a copy of it, fused if torch.fx can trace it; the net itself is only read.

    The copy is what agrees with the net, where it is and moved: with batch norms folded or not, in this memory layout or the net's own. If
    none does, such as of a net that counts its calls, the net itself is used.

    Args:
        net: in evaluation mode.
        trial: what it makes of a net, or of this FusedNet, in numbers must be the same of both; for example the outputs for a small batch.
        dtype: what the copy computes in, if not in the net's own; outputs then come out as float32, and batch norms that are left stay as they are.
        channels_last: whether the memory layout for images and convolutions may be that.
        fold: off copies the net as it is, to measure what folding brings.
    """

    def __init__(
        self,
        net: nn.Module,
        trial: Callable[["nn.Module | FusedNet"], Tensor],
        *,
        dtype: torch.dtype | None = None,
        channels_last: bool = False,
        fold: bool = True,
    ):
        self._dtype: torch.dtype | None = None
        makers = [*([_fold] if fold else []), lambda net: (_copied(net), [])]
        layouts = [*([torch.channels_last] if channels_last else []), torch.contiguous_format]
        found = next(
            ((make, layout) for make in makers for layout in layouts if self._fits(net, make, layout, trial)),
            None,
        )
        if found and dtype:
            self._cast(dtype)
            if not self._runs(trial):
                self._dtype = None
                self._adopt(net, *found)
        if not found:
            self._use(net)
        self.refresh()

    def _cast(self, dtype: torch.dtype) -> None:
        self._dtype = dtype
        for module in self._copy.modules():
            if not isinstance(module, _BatchNorm):
                for tensor in [*module.parameters(recurse=False), *module.buffers(recurse=False)]:
                    tensor.data = tensor.data.to(dtype if tensor.is_floating_point() else tensor.dtype)

    @property
    def dtype(self) -> torch.dtype | None:
        """What the copy computes in, if not in the net's own: None also where the net does not run in what was asked for."""
        return self._dtype

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
        outputs = self._copy(
            *map(self._fit, inputs), **{name: self._fit(tensor) for name, tensor in named.items()}
        )
        return outputs.float() if self._dtype and isinstance(outputs, Tensor) else outputs

    def _fit(self, tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point() or self._dtype is None and tensor.dim() != 4:
            return tensor
        return tensor.to(
            self._dtype or tensor.dtype,
            memory_format=self._layout if tensor.dim() == 4 else torch.preserve_format,
        )

    def _use(self, net: nn.Module) -> None:
        """Take the net itself for the copy."""
        self._copy, self._pairs, self._sources, self._targets = net, [], [], []
        self._is_copy, self._layout = False, torch.contiguous_format

    def _fits(
        self,
        net: nn.Module,
        make: Maker,
        layout: torch.memory_format,
        trial: Callable[["nn.Module | FusedNet"], Tensor],
    ) -> bool:
        """Whether such a copy is the net, and still is when all of the net has moved: a trace may have kept what it computed from the net's tensors."""
        try:
            if not self._adopt(net, make, layout) or not self._agrees(net, trial):
                return False
            with _shaken(net):
                return self._agrees(net, trial)
        except Exception:  # copies lack what a net's class has, scripted ones cannot be changed, a net may need its own layout or weights that fit together
            return False

    def _adopt(self, net: nn.Module, make: Maker, layout: torch.memory_format) -> bool:
        self._use(net)  # lets go of the copy before: there may be no room for two
        fused, pairs = make(net)
        if fused is None:
            return False
        self._copy, self._is_copy, self._layout = fused.eval().requires_grad_(False), True, layout
        self._pairs = [(layer, norm, fused.get_submodule(name)) for layer, norm, name in pairs]
        computed = {id(tensor) for _, _, layer in self._pairs for tensor in layer.parameters()}
        own, ours = (_named_tensors(module) for module in (net, fused))
        for tensor in ours.values():
            if tensor.dim() == 4 and layout is torch.channels_last:
                tensor.data = tensor.data.contiguous(memory_format=layout)
        shared = [
            name
            for name, tensor in ours.items()
            if name in own and tensor.is_floating_point() and id(tensor) not in computed
        ]
        self._sources, self._targets = (
            [own[name].detach() for name in shared],
            [ours[name] for name in shared],
        )
        return True

    def _agrees(self, net: nn.Module, trial: Callable[["nn.Module | FusedNet"], Tensor]) -> bool:
        """Whether each number of the trial is the same, to a part of itself or of the smaller ones: a few may be huge, such as those of masks."""
        expected = trial(net).detach().double()
        self.refresh()
        found = trial(self).detach().double()
        sizes = expected[expected.isfinite() & (expected != 0)].abs()
        if not sizes.numel():  # it tells nothing
            return not self._pairs
        smaller = sizes[:: 1 + sizes.numel() // MOST_SORTED].quantile(SMALLER)
        tolerance = AGREEMENT * torch.maximum(expected.abs().nan_to_num(posinf=0.0), smaller)
        same = (
            (found == expected) | (found.isnan() & expected.isnan()) | ((found - expected).abs() <= tolerance)
        )
        return found.shape == expected.shape and bool(same.all())

    def _runs(self, trial: Callable[["nn.Module | FusedNet"], Tensor]) -> bool:
        try:
            self.refresh()
            trial(self)
        except Exception:  # a net that makes tensors of a precision of its own
            return False
        return True


@contextmanager
def _shaken(net: nn.Module) -> Iterator[None]:
    """Inside the block all numbers of the net are others, of the same sign and about the same size; those of scales and shifts, and zeros, may be larger."""
    generator = torch.Generator().manual_seed(0)
    changed: list[tuple[Tensor, Tensor]] = []
    try:
        with torch.no_grad():
            for tensor in filter(torch.is_floating_point, [*net.parameters(), *net.buffers()]):
                rows = (
                    torch.rand(tensor.shape[:1], generator=generator)
                    .to(tensor)
                    .view(-1, *[1] * (tensor.dim() - 1))
                    if tensor.dim()
                    else torch.ones_like(tensor)
                )
                other = tensor * (1 + SHAKEN * (2 * rows - 1))
                other += SHAKEN**2 * rows * (tensor == 0 if tensor.dim() > 1 else 1)
                before = tensor.detach().to("cpu", copy=True)
                tensor.copy_(other)
                changed.append((tensor, before))
        yield
    finally:
        with torch.no_grad():
            for tensor, before in changed:
                tensor.copy_(before)


def _copied(net: nn.Module) -> nn.Module | None:
    """A copy; None where it cannot be copied: a tensor that was computed and kept (old weight norms) cannot."""
    try:
        return copy.deepcopy(net)
    except Exception:  # whatever a module of the user's holds
        return None


class _Tracer(fx.Tracer):
    """Buffers stay what they are; by default what is computed from them alone becomes a constant."""

    proxy_buffer_attributes = True


def _named_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers; one that has several names, as tied weights have, under each of them."""
    return dict(
        [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    )


def _has_hooks(module: nn.Module) -> bool:
    """Whether something of the user's, or an old weight or spectral norm, computes beside it."""
    return bool(module._forward_pre_hooks or module._forward_hooks)


def _fold(net: nn.Module) -> tuple[nn.Module | None, list[tuple[nn.Module, nn.Module, str]]]:
    """A traced copy of the net without the batch norms that fold, and (layer, batch norm, the layer's name) for each of these."""
    copied = _copied(net)  # tracing leaves symbols in a net that keeps what it computes
    if copied is None:
        return None, []
    try:
        fused = fx.GraphModule(copied, _Tracer().trace(copied))
    except (
        Exception
    ):  # tracing runs the net's own code on symbols: whatever that raises, it is a net that runs unfused
        return None, []
    modules = dict(net.named_modules())
    calls = Counter(node.target for node in fused.graph.nodes if node.op == "call_module")
    read = {
        node.target.rpartition(".")[0] for node in fused.graph.nodes if node.op == "get_attr"
    }  # modules whose tensors are also used in another way
    pairs = []
    for node in list(fused.graph.nodes):
        source = node.args[0] if node.op == "call_module" and node.args else None
        if not isinstance(source, fx.Node) or source.op != "call_module":
            continue
        layer, norm = modules[source.target], modules[node.target]
        if (
            type(layer) is FOLDS_INTO.get(type(norm))
            and norm.track_running_stats
            and len(source.users) == 1
            and calls[source.target] == calls[node.target] == 1
            and not read & {source.target, node.target}
            and not _has_hooks(layer)
            and not _has_hooks(norm)
        ):
            node.replace_all_uses_with(source)
            fused.graph.erase_node(node)
            pairs.append((layer, norm, source.target))
    if not pairs:
        return None, []  # a traced net without a use is a slower copy
    fused.recompile()
    fused.delete_all_unused_submodules()
    for layer, _, name in pairs:
        folded = fused.get_submodule(name)
        folded.weight, folded.bias = (
            nn.Parameter(torch.empty_like(layer.weight)),
            nn.Parameter(layer.weight.new_zeros(layer.weight.shape[0])),
        )  # tied to no other layer
    return fused, pairs
