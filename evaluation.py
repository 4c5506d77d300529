"""Loss and accuracy of a net on images held in memory: what is measured at a point of a surface."""
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dataloader import ImageSet
from errors import InputError
from fused_net import FusedNet

LOSSES = ("crossentropy", "mse")
PRECISIONS = ("fp32", "tf32", "bf16")
CPU_BATCH_SIZES = (16, 32, 64, 128, 256)
CUDA_BATCH_SIZES = (256, 512, 1024, 2048, 4096)
PROBE_REPEATS = 2


def quantities(parts: Iterable[str]) -> list[str]:
    """Names of what an `Evaluator` measures on these parts of the data: `train_loss`, `train_acc` and so on."""
    return [f"{part}_{value}" for part in parts for value in ("loss", "acc")]


def sample_losses(name: str, logits: Tensor, labels: Tensor) -> Tensor:
    """Loss of each sample, differentiable: logits (N, classes), labels (N,) -> (N,).

    `crossentropy` is that of the logits; `mse` is the mean over classes of (softmax(logits) - one-hot label)^2, the two
    losses of the published program.
    """
    if name == "crossentropy":
        return F.cross_entropy(logits, labels, reduction="none")
    if name == "mse":
        one_hot = F.one_hot(labels, logits.shape[1])
        return (logits.softmax(1) - one_hot).square().mean(1)
    raise ValueError(f"unknown loss {name!r}; choose from {', '.join(LOSSES)}")


@torch.inference_mode()
def evaluate(net: nn.Module, data: ImageSet, *, loss_name: str = "crossentropy", batch_size: int = 128) -> tuple[float, float]:
    """Mean loss and accuracy in percent of `net` on all of `data`, in evaluation mode, both on the same device.

    The net's mode is left as it was.
    """
    training = net.training
    net.eval()
    try:
        return _means(*_sums(net, data, loss_name, batch_size), len(data))
    finally:
        net.train(training)


def _sums(forward: Callable[[Tensor], Tensor], data: ImageSet, loss_name: str, batch_size: int) -> tuple[Tensor, Tensor]:
    """Sum of the losses (float64) and number of images told right (int64), on the device: nothing here waits for it."""
    loss_sum = torch.zeros((), dtype=torch.float64, device=data.images.device)
    correct = torch.zeros((), dtype=torch.int64, device=data.images.device)
    for start in range(0, len(data), batch_size):
        batch = slice(start, start + batch_size)
        logits, labels = forward(data.batch(batch)), data.labels[batch]
        loss_sum += sample_losses(loss_name, logits, labels).sum(dtype=torch.float64)
        correct += (logits.argmax(1) == labels).sum()
    return loss_sum, correct


def _means(loss_sum: Tensor, correct: Tensor, count: int) -> tuple[float, float]:
    return loss_sum.item() / count, 100.0 * correct.item() / count


class Evaluator:
    """The measure of `plot_surface.py`: named loss and accuracy of one net on one or two sets of images, fast.

    The net is read at each `measure()`, so it may be moved in between; net and images must be on one device.

    Args:
        sets: images by part, such as {"train": …, "test": …}; `measure()` returns `train_loss`, `train_acc` and so on.
        batch_size: images in a forward pass; None finds the fastest by a short probe.
        precision: one of `PRECISIONS`, or "" for what PyTorch does by default.
        fuse, channels_last: off only to measure what they bring.
    """

    def __init__(self, net: nn.Module, sets: dict[str, ImageSet], *, loss_name: str = "crossentropy", batch_size: int | None = None,
                 precision: str = "", fuse: bool = True, channels_last: bool = True):
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self._sets = {part: replace(data, images=data.images.contiguous(memory_format=layout)) for part, data in sets.items()}
        self._loss_name = loss_name
        trial = next(iter(sets.values())).batch(slice(0, 2))
        self._forward = FusedNet(net, trial, dtype=dtype, channels_last=channels_last, fold=fuse)
        self.batch_size = batch_size or self.fastest_batch_size()
        self._graphs: dict[str, CapturedSums] = {}

    def describe(self) -> str:
        """What was chosen, in a line."""
        captured = ", one CUDA graph a point" if any(data.images.is_cuda for data in self._sets.values()) else ""
        return f"batches of {self.batch_size}, {self._forward.folded} batch norms folded{captured}"

    @torch.inference_mode()
    def measure(self) -> dict[str, float]:
        """Loss and accuracy in percent on each set, of the net as it is now."""
        self._forward.refresh()
        sums = {part: self._sum(part, data) for part, data in self._sets.items()}
        means = [value for part, data in self._sets.items() for value in _means(*sums[part], len(data))]
        return dict(zip(quantities(self._sets), means, strict=True))

    def _sum(self, part: str, data: ImageSet) -> tuple[Tensor, Tensor]:
        if data.images.device.type != "cuda":
            return _sums(self._forward, data, self._loss_name, self.batch_size)
        if part not in self._graphs:
            self._graphs[part] = CapturedSums(lambda: _sums(self._forward, data, self._loss_name, self.batch_size))
        return self._graphs[part]()

    @torch.inference_mode()
    def fastest_batch_size(self) -> int:
        """The batch size of the least time an image, tried upwards until a larger one is slower. On a CPU the caches decide."""
        data = max(self._sets.values(), key=len)
        sizes = CUDA_BATCH_SIZES if data.images.device.type == "cuda" else CPU_BATCH_SIZES
        best, best_time = sizes[0], float("inf")
        for size in sizes:
            batch = slice(0, size)
            self._forward(data.batch(batch))
            seconds = min(self._seconds(data, batch) for _ in range(PROBE_REPEATS)) / min(size, len(data))
            if seconds > best_time:
                break
            best, best_time = size, seconds
            if size >= len(data):
                break
        return best

    def _seconds(self, data: ImageSet, batch: slice) -> float:
        begin = time.perf_counter()
        self._forward(data.batch(batch)).sum().item()
        return time.perf_counter() - begin


class CapturedSums:
    """A point's whole evaluation as one CUDA graph: a launch for each point instead of one for each layer and batch.

    The tensors that it reads (the fused net's and the images) stay where they are, so a replay sees the moved net. Where
    capturing fails (a net that waits for the device, say), it is run without a graph.
    """

    def __init__(self, sums: Callable[[], tuple[Tensor, Tensor]]):
        self._sums = sums
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # libraries choose their algorithms in a first run, which cannot be captured
            sums()
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(self._graph):
                self._results = sums()
        except RuntimeError:
            self._graph = None

    def __call__(self) -> tuple[Tensor, Tensor]:
        if self._graph is None:
            return self._sums()
        self._graph.replay()
        return self._results


def set_precision(precision: str, device: torch.device) -> None:
    """Let CUDA's float32 products be exact (fp32) or rounded to TF32; "" and bf16 leave PyTorch's defaults. Process-wide."""
    if precision == "tf32" and device.type != "cuda":
        raise InputError("--precision tf32 is for CUDA devices; give --cuda, or fp32 or bf16")
    if precision in ("fp32", "tf32"):
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"


def check_images(net: nn.Module, data: ImageSet, model: str) -> None:
    """Raise `InputError` if `net` (named `model`) does not take these images, or has fewer outputs than they have classes."""
    try:
        with torch.inference_mode():
            classes = net.eval()(data.batch(slice(0, 1))).shape[1]
    except RuntimeError as error:
        shape = "x".join(map(str, data.images.shape[1:]))
        raise InputError(f"{model} does not take images of shape {shape} ({str(error).splitlines()[0]}); the built-in nets take 3x32x32") from error
    if data.num_classes > classes:
        raise InputError(f"the data has {data.num_classes} classes and {model} tells {classes} apart; give data with at most {classes}")
