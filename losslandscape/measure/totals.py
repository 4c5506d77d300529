"""The terms of a loss over all of a dataset."""

from contextlib import AbstractContextManager

import torch
from torch import Tensor

from losslandscape.data.samples import Samples
from losslandscape.measure.batch_stream import batches
from losslandscape.measure.loss import Loss, Net, Terms


def gradient_mode(loss: Loss, *, copied: bool = False) -> AbstractContextManager:
    """The gradient mode in which a loss is measured.

    Args:
        copied: whether the net is a copy. inference_mode only for copies: tensors cached in it break later
            training.
    """
    if loss.needs_gradients:
        return torch.enable_grad()
    return torch.inference_mode() if copied else torch.no_grad()


def total_terms(
    net: Net,
    data: Samples,
    loss: Loss,
    *,
    batch_size: int,
    device: torch.device,
    keep_samples: bool = False,
) -> Terms:
    """The terms of all batches together, on the device. Nothing here waits for the device.

    Args:
        keep_samples: keep the loss of each sample, if the loss gives it.
    """
    sums: Tensor | None = None
    weight: Tensor | float = 0.0
    kept: list[Terms] = []
    for batch in batches(data, batch_size, device):
        terms = loss.of(net, batch)
        # Detached: a net that is no copy has gradients, and they would keep every batch in memory.
        batch_sums = terms.sums.detach()
        if sums is None:  # adding to zeros would cost an operation per point
            sums, weight = batch_sums, terms.weight
        else:
            sums, weight = sums + batch_sums, weight + terms.weight
        if keep_samples and terms.samples is not None:
            kept.append(Terms(batch_sums, terms.weight, terms.samples.detach(), terms.sample_weights))
    if not kept:
        return Terms(sums, weight)
    losses = torch.cat([terms.samples for terms in kept]).double()
    if kept[0].sample_weights is None:
        return Terms(sums, weight, losses)
    return Terms(sums, weight, losses, torch.cat([terms.sample_weights for terms in kept]).double())
