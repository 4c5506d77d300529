"""Estimates the statistics of batch norms again, for a net whose weights have changed.

The stored mean and variance of a batch norm describe the activations of the trained net. A mixture of two
nets has other activations (Izmailov et al. 2018, arXiv 1803.05407, section 3; Jordan et al.
2022, arXiv 2211.08403).
"""

import math
from collections.abc import Callable, Iterable

import numpy as np
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from losslandscape.core.errors import InputError
from losslandscape.data.own_batches import OwnBatches
from losslandscape.data.samples import Batch, Samples
from losslandscape.nets.net_state import unchanged_state

BATCH_SIZE = 128
ONE_VALUE = "Expected more than 1 value per channel"  # in the message of PyTorch's error


def norms_of(net: nn.Module) -> list[_BatchNorm]:
    """Return the batch norms that keep statistics."""
    norms = [module for module in net.modules() if isinstance(module, _BatchNorm)]
    return [norm for norm in norms if norm.track_running_stats and norm.running_mean is not None]


def even_batch_size(count: int, *, most: int) -> int:
    """Return the size that splits `count` samples into the fewest, about equal batches of at most `most`.

    >>> even_batch_size(130, most=128), even_batch_size(100, most=128)
    (65, 100)
    """
    return math.ceil(count / math.ceil(count / most))


def recompute(
    net: nn.Module, batches: Iterable[Batch], forward: Callable[[nn.Module, Batch], object]
) -> None:
    """Replace the statistics of each batch norm by the means of its batch statistics for the present net.

    The net's other state is as before.

    Args:
        net: the net, in evaluation mode.
        batches: batches of training data. Their sizes should be about equal, because all batches have the
            same weight in the mean. The run of a batch ends at the first batch norm that receives a single
            value per channel; this and later batch norms ignore the batch.
        forward: runs the net on a batch.

    Raises:
        InputError: if the run of every batch ends early.
    """
    norms = norms_of(net)
    with unchanged_state(net):
        for norm in norms:
            norm.reset_running_stats()
            norm.train()
            norm.momentum = None  # PyTorch then keeps the mean over all batches
        try:
            used = sum(_run(net, batch, forward) for batch in batches)
        finally:
            for norm in norms:
                norm.eval()
        statistics = [{name: buffer.clone() for name, buffer in norm.named_buffers()} for norm in norms]
    if not used:
        raise InputError(
            "every batch of the training data has a single sample, and batch norms need several",
            "give larger batches, or leave {bn_samples} out",
        )
    for norm, buffers in zip(norms, statistics, strict=True):
        for name, buffer in norm.named_buffers():
            buffer.copy_(buffers[name])


def _run(net: nn.Module, batch: Batch, forward: Callable[[nn.Module, Batch], object]) -> bool:
    """Run the net on a batch; return False if some batch norm receives a single value per channel."""
    try:
        forward(net, batch)
    except ValueError as error:
        if ONE_VALUE not in str(error):
            raise
        return False
    return True


def random_part(data: Samples, count: int) -> Samples:
    """Return `count` random samples, in whole batches of the user; each call returns the same samples."""
    if isinstance(data, OwnBatches):
        order = np.random.RandomState(0).permutation(len(data.batches))
        reached = np.cumsum(np.array(data.sizes)[order])
        return data.pick(order[: np.searchsorted(reached, count) + 1])
    return data.take(np.random.RandomState(0).permutation(len(data))[:count])
