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
        self._compute = compute
        self._alone = self._way(together=False)
        self._ways = {1: self._alone}  # the faster way, by number of vectors

    def __call__(self, batch: Batch, rows: Tensor) -> tuple[Tensor, Tensor | float]:
        count = len(rows)
        if count not in self._ways:
            self._ways[count] = self._faster(batch, rows)
        return self._ways[count](batch, rows)

    def _way(self, *, together: bool) -> CapturedFunction[tuple[Tensor, Tensor | float]]:
        return CapturedFunction(partial(self._compute, together=together))

    def _faster(self, batch: Batch, rows: Tensor) -> CapturedFunction[tuple[Tensor, Tensor | float]]:
        """Return the faster way. If it is each vector alone, the other way gives its memory back."""
        together = self._way(together=True)
        alone = device_seconds(partial(self._alone, batch, rows), runs=1)
        with suppress(RuntimeError):  # vmap lacks some operations, and takes more memory
            if device_seconds(partial(together, batch, rows), runs=1) < alone:
                return together
        return self._alone


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
