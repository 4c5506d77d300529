"""Finds out whether two measurements of one loss agree, and if not, why.

Three kinds of nets and losses give another value at each measurement: a net that changes while it runs, a net
or loss that draws random numbers, and a loss that depends on which samples share a batch.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from losslandscape.core.random_state import seeded
from losslandscape.data.samples import Samples, spread
from losslandscape.evaluate.loss import Loss
from losslandscape.evaluate.totals import gradient_mode, total_terms
from losslandscape.nets import minimiser
from losslandscape.nets.net_state import NetState, unchanged_state
from losslandscape.parallel.devices import exact_products

SAMPLES = 32  # the most samples that are measured, in two batches: the first may change the second's loss
SAME = 1e-5  # the largest relative difference of equal losses; a GPU may add in another order
SAME_IN_HALVES = 1e-4  # in batches of another size, other kernels run, whose rounding differs
SAME_IN_HALF_PRECISION = 3e-2


@dataclass(frozen=True)
class Repeatability:
    """The mean loss of a few samples at one point, measured in several ways.

    Attributes:
        samples: the number of samples.
        loss: the first measurement.
        again: the same measurement, from the same state of the net and with the same random numbers.
        carried: the loss if the net keeps its state after the first measurement and one at another point.
        redrawn: the loss with other random numbers.
        halved: the loss in batches of half the size; NaN if net or loss refuse these, None if a batch has a
            single sample.
        changed: the names of the net's buffers and attributes that the first three measurements changed.
        half_precision: whether the net computes with 16 bits or less.
        only_whole: whether the loss takes only the user's own batches, in which all this was measured.
    """

    samples: int
    loss: float
    again: float
    carried: float
    redrawn: float
    halved: float | None
    changed: tuple[str, ...]
    half_precision: bool = False
    only_whole: bool = False

    @property
    def is_repeatable(self) -> bool:
        """Whether the same measurement gives the same loss."""
        return _are_same(self.loss, self.again, SAME)

    @property
    def has_state(self) -> bool:
        """Whether the loss depends on the measurements before it, unless the net's state is restored."""
        return self.is_repeatable and not _are_same(self.loss, self.carried, SAME)

    @property
    def draws_random_numbers(self) -> bool:
        """Whether the loss depends on the seed of the random generators."""
        return self.is_repeatable and not _are_same(self.loss, self.redrawn, SAME)

    @property
    def takes_any_batches(self) -> bool:
        """Whether the loss is surely the same in batches of any size."""
        is_unknown = self.draws_random_numbers or self.has_state or not self.is_repeatable
        return not (is_unknown or self.depends_on_batches)

    @property
    def depends_on_batches(self) -> bool:
        """Whether the loss depends on which samples share a batch.

        Random numbers hide this, because a batch of another size gets other numbers.
        """
        if self.only_whole:
            return True
        if self.halved is None or not self.is_repeatable or self.draws_random_numbers:
            return False
        tolerance = SAME_IN_HALF_PRECISION if self.half_precision else SAME_IN_HALVES
        return not _are_same(self.loss, self.halved, tolerance)


def examine(net: nn.Module, data: Samples, loss: Loss) -> Repeatability:
    """Measure the loss of a few samples in several ways. Afterwards the net is as before.

    Args:
        net: the net, on its device, at the centre of a surface.
        data: the samples, on the net's device or on the CPU.
        loss: the loss to measure.
    """
    count = min(SAMPLES, 1 << (len(data).bit_length() - 1))  # a power of two, so that no half has a rest
    few = spread(data, count)
    size = count if count < 4 else count // 2  # no batch of one sample, which batch norms may refuse
    net.eval()
    state = NetState(net)
    try:
        first = _mean_loss(net, few, loss, batch_size=size)
        with _doubled(net):
            _mean_loss(net, few, loss, batch_size=size)
        carried = _mean_loss(net, few, loss, batch_size=size)
        changed = tuple(state.changed())
    finally:
        state.restore()
    with unchanged_state(net):
        again = _mean_loss(net, few, loss, batch_size=size)
    with unchanged_state(net):
        redrawn = _mean_loss(net, few, loss, batch_size=size, seed=1)
    halved = None
    if size > 1:
        with unchanged_state(net):
            halved = _mean_loss_or_nan(net, few, loss, batch_size=size // 2)
    half_precision = any(parameter.dtype.itemsize <= 2 for parameter in net.parameters())
    return Repeatability(len(few), first, again, carried, redrawn, halved, changed, half_precision)


def _mean_loss(net: nn.Module, data: Samples, loss: Loss, *, batch_size: int, seed: int = 0) -> float:
    device = next(net.parameters()).device
    with seeded(seed), gradient_mode(loss), exact_products():
        terms = total_terms(net, data, loss, batch_size=batch_size, device=device)
    return float(terms.sums[0] / terms.weight)


def _mean_loss_or_nan(net: nn.Module, data: Samples, loss: Loss, *, batch_size: int) -> float:
    try:
        return _mean_loss(net, data, loss, batch_size=batch_size)
    except Exception:  # net and loss may need larger batches
        return math.nan


@contextmanager
def _doubled(net: nn.Module) -> Iterator[None]:
    """Double the net's parameters for the block."""
    parameters = {
        name: parameter
        for name, parameter in net.named_parameters()
        if parameter.is_floating_point() and parameter.dtype.itemsize >= 2
    }
    before = minimiser.kept(net, parameters)  # halving fails for the largest numbers
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.mul_(2)
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(parameters.values(), before, strict=True):
                minimiser.copy(parameter, value)


def _are_same(a: float, b: float, tolerance: float) -> bool:
    return math.isclose(a, b, rel_tol=tolerance) or (math.isnan(a) and math.isnan(b))
