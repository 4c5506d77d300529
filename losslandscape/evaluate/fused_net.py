"""Prepares a net for fast evaluation: a copy with batch norms folded and layers joined, in a faster layout.

The copy has tensors of its own. `refresh` computes them from the net's; call it after every change of the
net's tensors. A copy is used only if its results agree with the net's.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from losslandscape.core.random_state import seeded
from losslandscape.evaluate.agreement import agree, perturbed
from losslandscape.evaluate.batch_norm_fold import Fold, copy_of, fold
from losslandscape.evaluate.joined_layers import Joined, JoinedNorm
from losslandscape.evaluate.kernel_choice import KernelChoice
from losslandscape.evaluate.layer_join import join
from losslandscape.nets.blocks import is_large
from losslandscape.nets.net_state import unchanged_state


@dataclass(frozen=True)
class Copy:
    """A net's copy, with what is computed from the net's tensors, and the layers that are joined."""

    module: nn.Module
    folds: list[Fold] = field(default_factory=list)
    joined: list[Joined] = field(default_factory=list)


Maker = Callable[[nn.Module], Copy | None]


class FusedNet:
    """Evaluates a net through a copy of it, with batch norms folded and layers joined.

    Copies are tried from the fastest to the slowest: folded and joined if torch.fx can trace the net, only
    folded, or neither; channels-last or in the net's layout. The first copy that agrees with the net, both as
    it is and with perturbed tensors, is used. If no copy agrees, for example because the net keeps a state
    that is not in its modules, the net itself is used. After the test the net has its old values and its old
    state. A large net (`core.large`) without batch norms is not copied.

    Args:
        net: in evaluation mode.
        numbers: function of a net or of this FusedNet. It returns the results that must agree, for example
            the outputs for two samples.
        dtype: the dtype in which the copy computes; None for the net's own. Outputs are converted to
            float32. Batch norms that are not folded keep their dtype.
        channels_last: whether to try this memory layout.
        fold, join: whether to try folding, and joining. False only to measure how much time each saves.

    Attributes:
        kernels: chooses the kernels of the joined layers.
    """

    def __init__(
        self,
        net: nn.Module,
        numbers: Callable[["nn.Module | FusedNet"], Tensor],
        *,
        dtype: torch.dtype | None = None,
        channels_last: bool = False,
        fold: bool = True,
        join: bool = True,
    ):
        self._numbers = numbers
        self._dtype: torch.dtype | None = None
        self.kernels = KernelChoice()
        makers: list[Maker] = [_plain_copy]
        if fold:
            makers.insert(0, _folded_copy)
        if fold and join:
            makers.insert(0, partial(_joined_copy, choice=self.kernels))
        if is_large(net) and not any(isinstance(module, _BatchNorm) for module in net.modules()):
            makers = []
        layouts = [torch.channels_last] if channels_last else []
        layouts.append(torch.contiguous_format)
        self._choose(net, makers, layouts, dtype)
        self.refresh()

    def _choose(
        self,
        net: nn.Module,
        makers: list[Maker],
        layouts: list[torch.memory_format],
        dtype: torch.dtype | None,
    ) -> None:
        """Use the first copy that agrees with the net, or the net itself if no copy does.

        The copy is cast to `dtype` if it can compute in it.
        """
        for make, layout in product(makers, layouts):
            if self._try_copy(net, make, layout):
                if dtype and not self._runs_in(dtype):
                    self._adopt(net, make, layout)  # again, as the cast has spoilt the copy
                return
        self._use(net)

    @property
    def dtype(self) -> torch.dtype | None:
        """The requested dtype; None if none was requested, or if the net does not run in it."""
        return self._dtype

    @property
    def folded(self) -> int:
        """Number of batch norms that are folded."""
        return len(self._folds)

    @property
    def joined(self) -> int:
        """Number of layers that are joined with what follows them."""
        return len(self._joined)

    @property
    def copied(self) -> bool:
        """Whether a copy is used, rather than the net itself."""
        return self._is_copy

    @property
    def module(self) -> nn.Module:
        """The copy as a module, for code that needs more than to call it."""
        return self._copy

    @torch.no_grad()
    def refresh(self) -> None:
        """Copy the net's present tensors into the copy."""
        for pair in self._folds:
            pair.refresh()
        if self._targets:
            torch._foreach_copy_(self._targets, self._sources)
        for layer in self._joined:
            if isinstance(layer, JoinedNorm):
                layer.refresh()

    @torch.no_grad()
    def is_finite(self) -> bool:
        """Return whether all present numbers of the copy are finite; those of a negative variance are not."""
        tensors = [*self._targets, *(p for pair in self._folds for p in pair.folded.parameters())]
        tensors += [part for layer in self._joined if isinstance(layer, JoinedNorm) for part in layer.affine]
        return bool(torch.stack(torch._foreach_norm(tensors)).isfinite().all())

    def __call__(self, *inputs: Tensor, **named: Tensor) -> object:
        """The net's outputs; a tensor is converted to float32 if the copy has its own dtype."""
        converted = {name: self._converted(tensor) for name, tensor in named.items()}
        outputs = self._copy(*map(self._converted, inputs), **converted)
        return outputs.float() if self._dtype and isinstance(outputs, Tensor) else outputs

    def _converted(self, tensor: Tensor) -> Tensor:
        """An input in the copy's dtype, and images in its memory layout."""
        is_image = tensor.dim() == 4
        if not tensor.is_floating_point() or (self._dtype is None and not is_image):
            return tensor
        layout = self._layout if is_image else torch.preserve_format
        return tensor.to(self._dtype or tensor.dtype, memory_format=layout)

    def _use(self, net: nn.Module) -> None:
        """Use the net itself, and free the old copy, because there may be no memory for two copies."""
        self._copy, self._is_copy, self._layout = net, False, torch.contiguous_format
        self._folds: list[Fold] = []
        self._joined: list[Joined] = []
        self._sources: list[Tensor] = []
        self._targets: list[Tensor] = []

    def _try_copy(self, net: nn.Module, make: Maker, layout: torch.memory_format) -> bool:
        """Adopt a copy; return whether it agrees with the net, also after all the net's tensors have changed.

        A trace may hold a constant that was computed from the net's tensors. Only a change reveals this.
        """
        try:
            if not self._adopt(net, make, layout) or not self._agrees(net):
                return False
            with perturbed(net):
                return self._agrees(net)
        except Exception:  # a copy may lack attributes, or fail in this layout; its code may raise anything
            return False

    def _adopt(self, net: nn.Module, make: Maker, layout: torch.memory_format) -> bool:
        """Use a new copy of the net; return False if none can be made."""
        self._use(net)
        made = make(net)
        if made is None:
            return False
        copied, self._folds, self._joined = made.module, made.folds, made.joined
        self._copy, self._is_copy, self._layout = copied.eval().requires_grad_(False), True, layout
        originals, tensors = _named_tensors(net), _named_tensors(copied)
        if layout is torch.channels_last:
            for tensor in tensors.values():
                if tensor.dim() == 4:
                    tensor.data = tensor.data.contiguous(memory_format=layout)
        # `Fold.refresh` computes these; the other tensors are copied.
        computed = {id(tensor) for pair in self._folds for tensor in pair.folded.parameters()}
        for name, tensor in tensors.items():
            if name in originals and tensor.is_floating_point() and id(tensor) not in computed:
                self._sources.append(originals[name].detach())
                self._targets.append(tensor)
        return True

    def _runs_in(self, dtype: torch.dtype) -> bool:
        """Cast the copy; return whether it still runs. If it does not, the copy cannot be used any more."""
        self._dtype = dtype
        for module in self._copy.modules():
            if not isinstance(module, _BatchNorm):
                _cast(module, dtype)
        try:
            self.refresh()
            self._numbers(self)
        except Exception:  # the net's own code may raise anything
            self._dtype = None
            return False
        return True

    def _agrees(self, net: nn.Module) -> bool:
        """Whether each result of the copy equals the net's, up to a relative tolerance."""
        expected = self._results(net)
        self.refresh()
        numbers = self._results(self)
        return agree(numbers, expected, zero_is_proof=not (self._folds or self._joined))

    def _results(self, net: "nn.Module | FusedNet") -> Tensor:
        """Return the results of two calls in a row: the first may change a state that the second uses.

        Random numbers are the same for the net and for the copy.
        """
        with unchanged_state(self._copy if isinstance(net, FusedNet) else net), seeded(0):
            results = [self._numbers(net).detach().double().flatten() for _ in range(2)]
        return torch.cat(results)


def _joined_copy(net: nn.Module, choice: KernelChoice) -> Copy | None:
    """Return a copy with folds and joined layers, or None if no layer joins."""
    folded = fold(net)
    if folded is None:
        return None
    traced, folds = folded
    joined = join(traced, choice)
    return Copy(traced, folds, joined) if joined else None


def _folded_copy(net: nn.Module) -> Copy | None:
    """Return a copy with folds, or None if no batch norm folds: a trace alone is slower than the net."""
    folded = fold(net)
    return Copy(*folded) if folded and folded[1] else None


def _plain_copy(net: nn.Module) -> Copy | None:
    copied = copy_of(net)
    return None if copied is None else Copy(copied)


def _cast(module: nn.Module, dtype: torch.dtype) -> None:
    """Cast the module's own floating-point tensors, not its submodules'."""
    for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
        if tensor.is_floating_point():
            tensor.data = tensor.data.to(dtype)


def _named_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name; a tied tensor is listed under each of its names."""
    parameters = module.named_parameters(remove_duplicate=False)
    buffers = module.named_buffers(remove_duplicate=False)
    return dict([*parameters, *buffers])
