"""Finds the fastest batch size by a short probe."""

import time
from collections.abc import Callable, Sequence

import torch

from losslandscape.core.errors import InputError

# On a CPU the caches determine the speed. The probe reaches the last two sizes only with small nets.
CPU_SIZES = (16, 32, 64, 128, 256, 1024, 4096)
CUDA_SIZES = (256, 512, 1024, 2048, 4096)
PROBE_SECONDS = 2.0  # no larger size is tried after this time
CLEARLY_SLOWER = 1.1  # the probe ends at a size that takes this many times the shortest time per sample


def fastest(seconds: Callable[[int], float], *, sizes: Sequence[int], count: int) -> int:
    """Return the batch size that takes the least time per sample.

    Larger sizes are tried until one is clearly slower, holds all samples or takes too much memory, or until
    `PROBE_SECONDS` are over.

    Args:
        seconds: returns the measured seconds per sample for a batch size.
        sizes: the batch sizes to try, from small to large.
        count: the number of samples.

    Raises:
        InputError: if the smallest size takes too much memory.
    """
    times: dict[int, float] = {}
    begin = time.perf_counter()
    for size in sizes:
        try:
            times[size] = seconds(size)
        except torch.OutOfMemoryError:
            if not times:
                raise InputError(
                    f"{size} samples in a forward pass take more memory than the device has",
                    "give a smaller {batch_size}",
                ) from None
            break
        if times[size] > CLEARLY_SLOWER * min(times.values()) or size >= count:
            break
        if time.perf_counter() > begin + PROBE_SECONDS:
            break
    return min(times, key=times.__getitem__)
