"""What a device reaches at most, measured, and what a net asks of it: operations, and bytes through memory.

Bytes are counted as if each activation went through memory once. A layer reads its inputs and its weights and
writes its output. Elementwise layers (bias, batch norm, ReLU, residual sum) belong to the layer before them,
as one kernel can do it: they read only what they add. A processor whose caches keep activations needs less.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

DTYPES = {"": torch.float32, "bf16": torch.bfloat16}
COPIES = 8


@dataclass(frozen=True)
class Peaks:
    """The most operations per second by precision, and the most bytes per second."""

    flops: dict[str, float]
    bytes: float


@dataclass(frozen=True)
class Work:
    """A large piece of work that a device does as fast as it can.

    Attributes:
        amount: floating-point operations, or bytes through memory.
        call: does the work.
        precision: a key of `DTYPES`; None for a copy.
    """

    amount: float
    call: Callable[[], object]
    precision: str | None = None


@dataclass(frozen=True)
class Cost:
    """The operations of a forward pass of one image, and the numbers that go through memory.

    A multiplication and an addition are two operations. Weights are read once for each batch.
    """

    flops: int
    activations: int
    weights: int

    def bytes(self, precision: str, batch_size: int) -> float:
        """Return the bytes of one image of a batch."""
        return (self.activations + self.weights / batch_size) * DTYPES[precision].itemsize


class _NumbersMoved(TorchDispatchMode):
    """Counts the numbers that the operations in the block read and write, as the module describes."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self._weights = {tensor.data_ptr() for tensor in [*net.parameters(), *net.buffers()]}
        self.activations = self.weights = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        inputs = [value for value in args if isinstance(value, Tensor)]
        for parts in args:
            inputs += (
                [value for value in parts if isinstance(value, Tensor)] if isinstance(parts, list) else []
            )
        output = result[0] if isinstance(result, tuple) else result
        weights = [value for value in inputs if value.data_ptr() in self._weights]
        read = [value for value in inputs if value.data_ptr() not in self._weights]
        if torch.Tag.pointwise in func.tags or "batch_norm" in func.name():
            self._count(read[1:], weights)
        elif output.untyped_storage().data_ptr() not in {x.untyped_storage().data_ptr() for x in inputs}:
            self._count([*read, output], weights)  # it is no view
        return result

    def _count(self, activations: list[Tensor], weights: list[Tensor]) -> None:
        self.activations += sum(value.numel() for value in activations)
        self.weights += sum(value.numel() for value in weights)


@torch.no_grad()
def cost_of(net: nn.Module, folded: nn.Module, image: Tensor) -> Cost:
    """Return what a net computes and its folded copy moves for one image (1, 3, height, width), on a CPU."""
    with FlopCounterMode(display=False) as counter:
        net(image)
    with _NumbersMoved(folded) as moved:
        folded(image)
    return Cost(counter.get_total_flops(), moved.activations, moved.weights)


def peak_works(device: torch.device, precisions: list[str]) -> dict[str, Work]:
    """Return work that shows the peaks of a device, by name: square products, convolutions, and a copy.

    Each piece takes about a quarter of a second on a CPU core, so that it meets as much noise as a point.
    """
    works = {}
    for precision in precisions:
        works[f"peak of products, {precision or 'default'}"] = _product(precision, device)
        works[f"peak of convolutions, {precision or 'default'}"] = _convolution(precision, device)
    return {**works, "peak of copies": _copy(device)}


def peaks_of(works: dict[str, Work], seconds: dict[str, float]) -> Peaks:
    """Return the peaks from the seconds of each piece of work."""
    flops: dict[str, float] = {}
    bytes_ = 0.0
    for name, work in works.items():
        speed = work.amount / seconds[name]
        if work.precision is None:
            bytes_ = speed
        else:
            flops[work.precision] = max(speed, flops.get(work.precision, 0.0))
    return Peaks(flops, bytes_)


def _product(precision: str, device: torch.device) -> Work:
    size, times = (8192, 4) if device.type == "cuda" else (2048, 4)
    a, b = (torch.randn(size, size, device=device).to(DTYPES[precision]) for _ in range(2))

    @torch.inference_mode()
    def multiply() -> None:
        matmul = torch.backends.cuda.matmul
        before = matmul.allow_tf32
        matmul.allow_tf32 = torch.backends.cudnn.allow_tf32  # rounded as convolutions are by default
        for _ in range(times):
            a @ b
        matmul.allow_tf32 = before

    return Work(2.0 * times * size**3, multiply, precision)


def _convolution(precision: str, device: torch.device) -> Work:
    batch, times = (1024, 8) if device.type == "cuda" else (16, 16)
    x, w = (
        torch.randn(shape, device=device).to(DTYPES[precision], memory_format=torch.channels_last)
        for shape in ((batch, 256, 16, 16), (256, 256, 3, 3))
    )

    @torch.inference_mode()
    def convolve() -> None:
        for _ in range(times):
            F.conv2d(x, w, padding=1)

    return Work(2.0 * times * x.numel() * w[0].numel(), convolve, precision)


def _copy(device: torch.device) -> Work:
    source = torch.zeros(2**31 if device.type == "cuda" else 2**28, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return Work(2.0 * source.nbytes, lambda: target.copy_(source))


def peak_bytes(device: torch.device) -> float:
    """Return the bytes per second that a large copy reads and writes."""
    work = _copy(device)
    copying = timed(work.call, device)
    return work.amount / min(copying() for _ in range(COPIES))


def timed(call: Callable[[], object], device: torch.device) -> Callable[[], float]:
    """Return a function that calls `call` and returns the seconds until the device is done."""

    def seconds() -> float:
        synchronize(device)
        start = time.perf_counter()
        call()
        synchronize(device)
        return time.perf_counter() - start

    return seconds


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
