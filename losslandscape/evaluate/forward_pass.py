"""Runs a net fast for a loss: through a copy, in the cheapest gradient mode and the chosen precision."""

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from losslandscape.core.errors import InputError
from losslandscape.core.random_state import seeded
from losslandscape.core.text import one_line
from losslandscape.data import structure
from losslandscape.data.samples import Batch
from losslandscape.evaluate.fused_net import FusedNet
from losslandscape.evaluate.loss import Loss, Net
from losslandscape.evaluate.totals import gradient_mode
from losslandscape.nets.net_state import unchanged_state
from losslandscape.parallel.devices import exact_products


class ForwardPass:
    """A net that is prepared for a loss. The net is copied if possible, and `refresh` updates the copy.

    Args:
        net: the net, on its device. It is only read.
        loss: the loss to measure.
        batch: one or two samples, on which the outputs of copy and net are compared.
        precision: `bf16`, or another value for the net's own precision.
        fold, join: whether batch norms may be folded, and layers joined.
        channels_last: whether the copy may have this memory layout.

    Attributes:
        net: the callable that the loss receives as the net.
        copied: whether `net` is a copy.
        folded: the number of folded batch norms.
        joined: the number of layers that are joined with what follows them.
        kernels: chooses the kernels of the joined layers.
    """

    def __init__(
        self,
        net: nn.Module,
        loss: Loss,
        batch: Batch,
        *,
        precision: str,
        fold: bool = True,
        join: bool = True,
        channels_last: bool = True,
    ):
        self._loss, self._batch, self._precision = loss, batch, precision
        self._device = next(net.parameters()).device
        dtype = torch.bfloat16 if precision == "bf16" else None
        with exact_products():
            self._fused = FusedNet(
                net,
                self._probe,
                fold=fold,
                join=join,
                channels_last=channels_last,
                dtype=None if loss.needs_gradients else dtype,
            )
        fused = self._fused
        self.copied, self.folded, self.joined = fused.copied, fused.folded, fused.joined
        self.kernels = fused.kernels
        self.net: Net = _for_own_loss(self._fused) if loss.needs_gradients else self._fused
        # Autocast computes in the low precision where the copy could not be cast to it.
        self._autocast = dtype if self._fused.dtype is None else None
        self._takes_no_gradient = loss.needs_gradients and self.copied and not self._needs_gradients()

    def refresh(self) -> None:
        """Copy the net's present tensors into the copy."""
        self._fused.refresh()

    def is_finite(self) -> bool:
        """Return whether all present numbers of the copy are finite."""
        return self._fused.is_finite()

    def unchanged_state(self) -> AbstractContextManager:
        """Return a context that restores the state of the module that runs, the net or its copy."""
        return unchanged_state(self._fused.module)

    def gradients(self) -> AbstractContextManager:
        """Return the cheapest gradient mode in which the loss has the right value."""
        if self._takes_no_gradient:
            return torch.no_grad()
        return gradient_mode(self._loss, copied=self.copied)

    def autocast(self) -> AbstractContextManager:
        """Return a context in which the net runs in the chosen precision."""
        return torch.autocast(self._device.type, self._autocast, enabled=self._autocast is not None)

    def quantities(self, batch: Batch) -> list[str]:
        """Return the names of the loss's quantities.

        Raises:
            InputError: if the net does not run in the chosen precision.
        """
        with gradient_mode(self._loss), self.autocast(), self.unchanged_state():
            try:
                return self._loss.quantities(self.net, batch)
            except RuntimeError as error:
                if self._autocast is None:
                    raise
                reason = one_line(error)
                raise InputError(
                    f"the net does not run in precision {self._precision} ({reason})", "leave {precision} out"
                ) from error

    def _probe(self, net: nn.Module | FusedNet) -> Tensor:
        """Return the values by which the copy is compared with the net."""
        run: Net = net
        if self._loss.needs_gradients and isinstance(net, FusedNet):
            net.module.requires_grad_()  # the loss may take gradients by the weights
            run = _for_own_loss(net)
        with gradient_mode(self._loss):
            return self._loss.probe(run, structure.each(self._batch, torch.clone)).detach()

    def _needs_gradients(self) -> bool:
        """Return whether the user's loss takes gradients.

        If it takes gradients with respect to the weights, the copy's weights require gradients afterwards.
        """
        module = self._fused.module
        module.requires_grad_(False)
        without_gradients = self._sums(torch.no_grad())
        with_gradients = self._sums(torch.enable_grad())
        if with_gradients is None:  # the loss takes gradients by the weights
            module.requires_grad_()
            return True
        return without_gradients is None or not torch.equal(without_gradients, with_gradients)

    def _sums(self, mode: AbstractContextManager) -> Tensor | None:
        """Return the sums of the batch, or None if the loss raises an exception."""
        try:
            with mode, self.unchanged_state(), seeded(0):
                return self._loss.of(self.net, structure.each(self._batch, torch.clone)).sums.detach()
        except Exception:  # the user's loss may raise anything
            return None


def _for_own_loss(fused: FusedNet) -> Net:
    """Return the copy as the user's loss receives it: as a module, so that the loss may use its weights.

    If batch norms are folded, the copy's weights differ from the net's. Then the loss receives a function.
    """
    return fused.__call__ if fused.folded else fused.module
