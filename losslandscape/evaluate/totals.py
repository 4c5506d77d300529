"""Sums the terms of a loss over a whole dataset."""

from contextlib import AbstractContextManager

import torch
from torch import Tensor

from losslandscape.data.samples import Samples
from losslandscape.evaluate.batch_stream import batches
from losslandscape.evaluate.loss import Loss, Net, Terms


def gradient_mode(loss: Loss, *, copied: bool = False) -> AbstractContextManager:
    """Return the gradient mode in which a loss is measured.

    Args:
        loss: the loss to measure.
        copied: whether the net is a copy. Only copies run in inference_mode: a tensor that a net caches in
            this mode breaks later training.
    """
    if loss.needs_gradients:
        return torch.enable_grad()
    return torch.inference_mode() if copied else torch.no_grad()


def total_terms(
    net: Net, data: Samples, loss: Loss, *, batch_size: int, device: torch.device, keep_samples: bool = False
) -> Terms:
    """Return the total of all batches' terms, on the device, without waiting for the device.

    Args:
        net: the callable that the loss receives as the net.
        data: the samples, on any device.
        loss: the loss to measure.
        batch_size: the number of samples in a forward pass.
        device: the net's device.
        keep_samples: whether to keep the loss of each sample, if the loss returns it.
    """
    sums: Tensor | None = None
    weight: Tensor | float = 0.0
    losses: list[Tensor] = []
    weights: list[Tensor] = []
    for batch in batches(data, batch_size, device):
        terms = loss.of(net, batch)
        # Without detach, the graph of every batch would stay in memory if the loss takes gradients.
        batch_sums = terms.sums.detach()
        if sums is None:  # no addition to zeros, which would cost an operation per point
            sums, weight = batch_sums, terms.weight
        else:
            sums, weight = sums + batch_sums, weight + terms.weight
        if keep_samples and terms.samples is not None:
            losses.append(terms.samples.detach())
            if terms.sample_weights is not None:
                weights.append(terms.sample_weights)
    assert sums is not None, "the data has no sample"
    return Terms(sums, weight, _joined(losses), _joined(weights))


def _joined(parts: list[Tensor]) -> Tensor | None:
    return torch.cat(parts).double() if parts else None
