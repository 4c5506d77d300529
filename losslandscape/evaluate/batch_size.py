"""Finds the fastest batch size by a short probe."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch

from losslandscape.core.errors import InputError
from losslandscape.data.samples import Samples
from losslandscape.evaluate.batch_stream import first
from losslandscape.evaluate.cuda_graph import CapturedCall
from losslandscape.evaluate.kernel_choice import device_seconds
from losslandscape.evaluate.loss import Terms

RUNS = 4  # per batch size, on a CPU; the first run is slow
CLEARLY_SLOWER = 1.1  # times the shortest time per sample so far: the probe ends at such a size

Pass = Callable[[Samples, int], Terms]  # measures samples in batches of a size


def wall_seconds(call: Callable[[], Terms]) -> float:
    """Return the least seconds of several calls, each until its result is there."""

    def seconds() -> float:
        begin = time.perf_counter()
        call().sums.tolist()  # waits for the device
        return time.perf_counter() - begin

    return min(seconds() for _ in range(RUNS))


def launched_seconds(call: Callable[[], Terms]) -> float:
    """Return the least seconds of a call on the GPU, launched kernel by kernel."""
    return device_seconds(call, runs=1)


def replayed_seconds(call: Callable[[], Terms]) -> float:
    """Return the least seconds of a call on the GPU, captured in a CUDA graph."""
    return device_seconds(CapturedCall(call), runs=1)


@contextmanager
def memory_share(sharers: int) -> Iterator[None]:
    """Let PyTorch take only a rank's share of the GPU's memory in the block."""
    if sharers > 1:
        torch.cuda.set_per_process_memory_fraction(1 / sharers)
    try:
        yield
    finally:
        if sharers > 1:
            torch.cuda.set_per_process_memory_fraction(1.0)


@dataclass(frozen=True)
class Probe:
    """How batch sizes are tried.

    Attributes:
        sizes: the batch sizes, from small to large.
        samples: the number of samples on which a size is timed; one batch, if that has more.
        limit: the seconds in which larger sizes are tried. They count from the end of the first size, which
            may have to compile kernels.
        clock: returns the seconds of a call.
    """

    sizes: Sequence[int]
    samples: int
    limit: float
    clock: Callable[[Callable[[], Terms]], float]

    def fastest(self, run: Pass, data: Samples) -> int:
        """Return the batch size in which `run` takes the least time per sample of the data.

        Raises:
            InputError: if the smallest size takes too much memory.
        """
        return fastest(partial(self._seconds, run, data), sizes=self.sizes, count=len(data), limit=self.limit)

    def _seconds(self, run: Pass, data: Samples, size: int) -> float:
        """Return the seconds per sample with a batch size."""
        few = first(data, max(size, self.samples))
        return self.clock(partial(run, few, size)) / len(few)


# On a CPU the caches determine the speed. The probe reaches the last two sizes only with small nets.
CPU = Probe(sizes=(16, 32, 64, 128, 256, 1024, 4096), samples=1, limit=2.0, clock=wall_seconds)
CUDA_SIZES = (256, 512, 1024, 2048, 4096, 8192)
CUDA = Probe(sizes=CUDA_SIZES, samples=4096, limit=20.0, clock=launched_seconds)
CUDA_GRAPH = Probe(sizes=CUDA_SIZES, samples=4096, limit=20.0, clock=replayed_seconds)


def fastest(seconds: Callable[[int], float], *, sizes: Sequence[int], count: int, limit: float = 2.0) -> int:
    """Return the batch size that takes the least time per sample.

    The search ends at a size that is clearly slower, holds all samples or takes too much memory.

    Args:
        seconds: returns the measured seconds per sample for a batch size.
        sizes: the batch sizes to try, from small to large.
        count: the number of samples.
        limit: the seconds after the first size in which larger sizes are tried.

    Raises:
        InputError: if the smallest size takes too much memory.
    """
    times: dict[int, float] = {}
    end = float("inf")
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
        now = time.perf_counter()
        end = min(end, now + limit)
        if now > end:
            break
    return min(times, key=times.__getitem__)
