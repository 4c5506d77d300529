"""Computes the products of a batch on a GPU as CUDA graphs, and finds the largest batch that fits there."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import torch
from torch import Tensor

from losslandscape.data.samples import Batch
from losslandscape.evaluate.cuda_graph import CapturedFunction
from losslandscape.evaluate.kernel_choice import device_seconds

MOST_SAMPLES = 1024  # in a batch; so many fill a GPU
MEMORY_SHARE = 4  # a batch takes at most 1 / MEMORY_SHARE of the free memory


class CudaProducts:
    """Computes the products of batches as CUDA graphs, with one vector at a time or with all together.

    Both ways are timed on the first batch, for each number of vectors. Their results differ by rounding.

    Args:
        compute: returns the products of a batch with vectors (k, n), as `BatchProducts` does.
    """

    def __init__(self, compute: Callable[..., tuple[Tensor, Tensor | float]]):
        ways = {together: partial(compute, together=together) for together in (False, True)}
        self._ways = {together: CapturedFunction(way) for together, way in ways.items()}
        self._together = {1: False}  # the faster way, by number of vectors

    def __call__(self, batch: Batch, rows: Tensor) -> tuple[Tensor, Tensor | float]:
        count = len(rows)
        if count not in self._together:
            self._together[count] = self._is_faster_together(batch, rows)
        return self._ways[self._together[count]](batch, rows)

    def _is_faster_together(self, batch: Batch, rows: Tensor) -> bool:
        alone = device_seconds(partial(self._ways[False], batch, rows), runs=1)
        with suppress(RuntimeError):  # vmap lacks some operations, and takes more memory
            return device_seconds(partial(self._ways[True], batch, rows), runs=1) < alone
        return False


def fitting_size(compute: Callable[[], object], smallest: int, *, sharers: int) -> int:
    """Return the largest batch size that fits into a share of the GPU's free memory.

    Args:
        compute: computes the product of a batch of the smallest size, whose memory is measured.
        smallest: the smallest size.
        sharers: the number of ranks that share the GPU.
    """
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    compute()
    needed = torch.cuda.max_memory_allocated() - before
    torch.cuda.empty_cache()  # so that all free memory counts
    free, _ = torch.cuda.mem_get_info()
    return largest_size(smallest, needed, free // sharers)


def largest_size(smallest: int, needed: int, free: int) -> int:
    """Return the batch size after doubling it while its memory fits.

    Args:
        smallest: the batch size to begin with.
        needed: the bytes that it needs.
        free: the bytes that are free.
    """
    size = smallest
    while size < MOST_SAMPLES and 2 * size // smallest * needed <= free // MEMORY_SHARE:
        size *= 2
    return size
