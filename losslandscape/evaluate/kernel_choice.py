"""Chooses for each shape the fastest of several kernels that compute the same function."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

Kernel = Callable[..., Tensor]  # of one or more arguments, each a tensor or None
Clock = Callable[[Callable[[], object]], float]  # returns the seconds of one call

RUNS, ROUNDS = 3, 3  # calls that are timed together, and how many times they are timed
WAIT_CYCLES = 2_000_000  # about 1 ms, in which the GPU waits until all calls are launched
# Largest difference from the plain kernel's results, as a share of the largest of them. Kernels add the
# products, whose inputs are rounded to TF32 or bfloat16, in different orders. float16 is not here: it
# overflows at 65504, and `DataPass` cannot see this in the loss. So float16 has only the plain kernel.
TOLERANCES = {torch.float32: 2e-5, torch.bfloat16: 2e-2}
TF32_TOLERANCE = 5e-3


def device_seconds(call: Callable[[], object], *, runs: int = RUNS) -> float:
    """Return the least seconds of a call on the GPU, without the time to launch it.

    Args:
        call: computes on the current GPU.
        runs: the number of calls in a row that are timed together.
    """
    return min(_device_seconds(call, runs) for _ in range(ROUNDS))


def _device_seconds(call: Callable[[], object], runs: int) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda._sleep(WAIT_CYCLES)
    start.record()
    for _ in range(runs):
        call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1000 / runs


class KernelChoice:
    """Runs the kernel that was the fastest for inputs of the same shapes.

    Kernels are timed only inside `choosing()`, so the choice is the same for all points of a run. The plain
    kernel runs for all other shapes, and where gradients are wanted.

    Faster kernels may hide NaN (a ReLU of cuDNN makes it zero), or spread it to other images (`DataPass`).

    Args:
        clock: returns the seconds of a call.

    Attributes:
        is_mixed: whether another kernel than the plain one was chosen for some shape.
    """

    # An object without `__dict__` is no part of a net's state, which is restored after each pass.
    __slots__ = ("_clock", "_fastest", "_is_choosing", "_is_plain", "is_mixed")

    def __init__(self, clock: Clock = device_seconds):
        self._clock = clock
        self._fastest: dict[Hashable, str] = {}
        self._is_choosing = self._is_plain = self.is_mixed = False

    @contextmanager
    def plain_only(self) -> Iterator[None]:
        """Run the plain kernels in the block."""
        before, self._is_plain = self._is_plain, True
        try:
            yield
        finally:
            self._is_plain = before

    @contextmanager
    def choosing(self) -> Iterator[None]:
        """Time the kernels for each new shape that occurs in the block."""
        self._is_choosing = True
        try:
            yield
        finally:
            self._is_choosing = False

    def __str__(self) -> str:
        """Say how many shapes each kernel was chosen for, such as ` (12 cudnn, 3 triton)`; empty for none."""
        chosen = Counter(self._fastest.values())
        counts = ", ".join(f"{count} {name}" for name, count in sorted(chosen.items()))
        return f" ({counts})" if counts else ""

    def run(
        self, layer: Hashable, kernels: Mapping[str, Kernel], x: Tensor, *others: Tensor | None
    ) -> Tensor:
        """Return the result of the kernel that was chosen for these shapes.

        Args:
            layer: what else the speed depends on, such as the shape of the weights and the stride.
            kernels: the kernels by name, the plain one first. The others may raise any exception.
            x, others: the arguments of each kernel.
        """
        plain = next(iter(kernels))
        if self._is_plain or torch.is_grad_enabled() or not (self._fastest or self._is_choosing):
            return kernels[plain](x, *others)
        key = layer, torch.backends.cudnn.allow_tf32, *map(_form, (x, *others))
        if key not in self._fastest and self._is_choosing and not _is_capturing():
            self._fastest[key] = self._find_fastest(kernels, x, *others)
            self.is_mixed |= self._fastest[key] != plain
        return kernels[self._fastest.get(key, plain)](x, *others)

    def _find_fastest(self, kernels: Mapping[str, Kernel], x: Tensor, *others: Tensor | None) -> str:
        """Return the name of the fastest kernel that runs and agrees with the plain one."""
        plain = next(iter(kernels))
        seconds = {plain: self._clock(partial(kernels[plain], x, *others))}
        for name, kernel in kernels.items():
            if name != plain and _agree(kernel, kernels[plain], x, *others):
                seconds[name] = self._clock(partial(kernel, x, *others))
        return min(seconds, key=seconds.__getitem__)


def _form(tensor: Tensor | None) -> Hashable:
    """Return what the speed of a kernel depends on: shape, memory layout and dtype."""
    return tensor if tensor is None else (tensor.shape, tensor.stride(), tensor.dtype)


def _is_capturing() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()


def _agree(kernel: Kernel, plain: Kernel, x: Tensor, *others: Tensor | None) -> bool:
    """Return whether a kernel runs, and computes what the plain one does."""
    expected = plain(x, *others)
    if expected.dtype not in TOLERANCES:
        return False
    try:
        found = kernel(x, *others)
        if found.shape != expected.shape or found.dtype != expected.dtype:
            return False
        largest = (found - expected).abs_().max()
        return bool(largest <= _tolerance(expected.dtype) * expected.abs().max())
    except Exception:  # a library or a compiler is absent, or does not take the shape
        return False


def _tolerance(dtype: torch.dtype) -> float:
    if dtype is torch.float32 and torch.backends.cudnn.allow_tf32:
        return TF32_TOLERANCE
    return TOLERANCES[dtype]
