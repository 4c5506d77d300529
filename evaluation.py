"""Loss and accuracy of a net on images held in memory: what is measured at a point of a surface."""
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial

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
TRIED_IMAGES = 1000  # at most, to see whether a net knows these images
PROBE_REPEATS = 3
PROBE_SECONDS = 2.0  # after which no larger batch is tried
CLEARLY_SLOWER = 1.1


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
    loss_sum = torch.zeros((), dtype=torch.float64, device=data.labels.device)
    correct = torch.zeros((), dtype=torch.int64, device=data.labels.device)
    for images, labels in _batches(data, batch_size):
        logits = forward(data.normalised(images))
        loss_sum += sample_losses(loss_name, logits, labels).sum(dtype=torch.float64)
        correct += (logits.argmax(1) == labels).sum()
    return loss_sum, correct


def _batches(data: ImageSet, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Images, not yet normalised, and labels on the labels' device; images that are elsewhere are copied there while the last batch is used."""
    if not _streamed(data):
        yield from zip(data.images.split(batch_size), data.labels.split(batch_size), strict=True)
        return
    copying, computing = torch.cuda.Stream(data.labels.device), torch.cuda.current_stream(data.labels.device)

    def copied(images: Tensor) -> Tensor:
        with torch.cuda.stream(copying):
            return images.contiguous().pin_memory().to(data.labels.device, non_blocking=True)

    sources, labels = data.images.split(batch_size), data.labels.split(batch_size)
    ahead = copied(sources[0])
    for i in range(len(sources)):
        computing.wait_stream(copying)
        images = ahead
        images.record_stream(computing)
        if i + 1 < len(sources):
            ahead = copied(sources[i + 1])
        yield images, labels[i]


def _means(loss_sum: Tensor, correct: Tensor, count: int) -> tuple[float, float]:
    return loss_sum.item() / count, 100.0 * correct.item() / count


class Evaluator:
    """The measure of `plot_surface.py`: named loss and accuracy of one net on one or two sets of images, fast.

    The net is read at each `measure()`, so it may be moved in between.

    Args:
        net: on the device that is to compute.
        sets: images by part, such as {"train": …, "test": …}; `measure()` returns `train_loss`, `train_acc` and so on.
        batch_size: images in a forward pass; with None the fastest is found by a short probe.
        precision: one of `PRECISIONS`, or "" for what PyTorch does by default.
        memory: bytes that images may take on a GPU; what is larger stays where it is and is copied there batch by batch.
            None is half of what is free, divided among the `sharers` of the GPU.
        fuse, channels_last, graph: off only to measure what they bring.
    """

    def __init__(self, net: nn.Module, sets: dict[str, ImageSet], *, loss_name: str = "crossentropy", batch_size: int | None = None,
                 precision: str = "", memory: int | None = None, sharers: int = 1, fuse: bool = True, channels_last: bool = True,
                 graph: bool = True):
        device = next(net.parameters()).device
        if device.type == "cuda":
            sets = _placed(sets, device, torch.cuda.mem_get_info(device)[0] // 2 // sharers if memory is None else memory)
        self._sets = sets
        self._loss_name = loss_name
        first = next(iter(sets.values()))
        self._forward = FusedNet(net, first.normalised(first.images[:2].to(device)), fold=fuse, channels_last=channels_last,
                                 dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
        self.batch_size = batch_size
        self._use_graph = graph and device.type == "cuda"
        self._graphs: dict[str, CapturedSums] = {}
        self._prepared = False

    def describe(self) -> str:
        """What was chosen by `prepare()`, in a line."""
        streamed = [part for part, data in self._sets.items() if _streamed(data)]
        return (f"batches of {self.batch_size}, {self._forward.folded} batch norms folded"
                + (f", {' and '.join(streamed)} images copied to the GPU batch by batch" if streamed else "")
                + (", one CUDA graph a point" if self.graphed else ""))

    @property
    def graphed(self) -> list[str]:
        """The parts whose evaluation has become one CUDA graph."""
        return [part for part, sums in self._graphs.items() if sums.captured]

    @torch.inference_mode()
    def prepare(self) -> None:
        """Choose the batch size unless it is given, and capture CUDA graphs; the first `measure()` does it if it is not done."""
        self.batch_size = self.batch_size or self.fastest_batch_size()
        for part, data in self._sets.items():
            if self._use_graph and not _streamed(data):
                self._graphs[part] = CapturedSums(partial(_sums, self._forward, data, self._loss_name, self.batch_size))
        self._prepared = True

    @torch.inference_mode()
    def measure(self) -> dict[str, float]:
        """Loss and accuracy in percent on each set, of the net as it is now."""
        if not self._prepared:
            self.prepare()
        self._forward.refresh()
        sums = {part: self._sum(part, data) for part, data in self._sets.items()}
        means = [value for part, data in self._sets.items() for value in _means(*sums[part], len(data))]
        return dict(zip(quantities(self._sets), means, strict=True))

    def _sum(self, part: str, data: ImageSet) -> tuple[Tensor, Tensor]:
        if part in self._graphs:
            return self._graphs[part]()
        return _sums(self._forward, data, self._loss_name, self.batch_size)

    @torch.inference_mode()
    def fastest_batch_size(self) -> int:
        """The batch size of the least time an image, tried upwards until a larger one is clearly slower or takes too much memory."""
        data = max(self._sets.values(), key=len)
        sizes = CUDA_BATCH_SIZES if data.labels.is_cuda else CPU_BATCH_SIZES  # on a CPU the caches decide
        times: dict[int, float] = {}
        begin = time.perf_counter()
        for size in sizes:
            images = replace(data, images=data.images[:size], labels=data.labels[:size])
            try:
                times[size] = min(self._seconds(images) for _ in range(1 + PROBE_REPEATS)) / len(images)  # the first is slow
            except torch.OutOfMemoryError:
                if not times:
                    raise
                break
            if times[size] > CLEARLY_SLOWER * min(times.values()) or size >= len(data) or time.perf_counter() > begin + PROBE_SECONDS:
                break
        return min(times, key=times.get)

    def _seconds(self, images: ImageSet) -> float:
        begin = time.perf_counter()
        _means(*_sums(self._forward, images, self._loss_name, len(images)), len(images))
        return time.perf_counter() - begin


def _placed(sets: dict[str, ImageSet], device: torch.device, memory: int) -> dict[str, ImageSet]:
    """The sets with labels, and as many images as `memory` bytes hold, on the device."""
    placed = {}
    for part, data in sets.items():
        fits = data.images.nbytes <= memory
        memory -= data.images.nbytes if fits else 0
        placed[part] = data.to(device) if fits else replace(data, labels=data.labels.to(device))
    return placed


def _streamed(data: ImageSet) -> bool:
    return data.images.device != data.labels.device


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
            torch.cuda.synchronize()

    @property
    def captured(self) -> bool:
        return self._graph is not None

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


def far_below(net: nn.Module, data: ImageSet, recorded: float) -> float | None:
    """The accuracy in percent of `net` on some of the images, if it is far below the recorded one; None if it is not.

    Far is more than 5 points, and more than three standard errors of the images that are tried.
    """
    step = -(-len(data) // TRIED_IMAGES)  # spread over the set: a folder's images are sorted by class
    device = next(net.parameters()).device
    tried = replace(data, images=data.images[::step], labels=data.labels[::step]).to(device)
    _, accuracy = evaluate(net, tried)
    return accuracy if recorded - accuracy > max(5.0, 3 * 50 / len(tried) ** 0.5) else None
