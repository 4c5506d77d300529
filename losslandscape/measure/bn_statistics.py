"""Batch norms' statistics estimated anew for a net that was moved: what averaging and interpolating nets needs.

The stored mean and variance of each batch norm are those of the activations of the net that was trained. Of a mixture of two nets they are
those of neither (Izmailov et al. 2018, arXiv 1803.05407, section 3; Jordan et al. 2022, arXiv 2211.08403).
"""

from collections.abc import Callable, Iterator

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from losslandscape.core.errors import InputError
from losslandscape.data.samples import Batch

BATCH_SIZE = 128
ONE_VALUE = "Expected more than 1 value per channel"  # what PyTorch says then


def norms_of(net: nn.Module) -> list[_BatchNorm]:
    """The batch norms that keep statistics."""
    return [
        module
        for module in net.modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats and module.running_mean is not None
    ]


def recompute(
    net: nn.Module, batches: Iterator[Batch], forward: Callable[[nn.Module, Batch], object]
) -> None:
    """Set the statistics to the means over batches of what each batch norm sees, all others as the net now is.

    Args:
        batches: of training data, all of about one size; batches count alike. One that gives a batch norm a single value a channel is left out.
        forward: runs the net on a batch.

    Raises `InputError` if none is left.
    """
    norms = norms_of(net)
    momenta = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.train()
            norm.momentum = None  # a cumulative mean
        used = 0
        for batch in batches:
            try:
                forward(net, batch)
            except ValueError as error:
                if ONE_VALUE not in str(error):
                    raise
                continue
            used += 1
        if not used:
            raise InputError(
                "--bn recompute: every batch of the training data has a single sample, of which batch norms can make no statistics; give larger batches, or leave it out"
            )
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.eval()
            norm.momentum = momentum
