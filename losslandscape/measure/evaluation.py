"""What is measured at a point of a surface: a loss, and what else it tells, of a net on data held in memory."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from losslandscape.core.errors import InputError
from losslandscape.core.text import one_line
from losslandscape.data import samples
from losslandscape.data.dataloader import ImageSet
from losslandscape.data.samples import Batch, SampleSet
from losslandscape.measure import bn_statistics, losses
from losslandscape.measure.fused_net import FusedNet
from losslandscape.measure.losses import Loss, Terms
from losslandscape.parallel.devices import exact_products

Samples = ImageSet | SampleSet

CPU_BATCH_SIZES = (
    16,
    32,
    64,
    128,
    256,
    1024,
    4096,
)  # the last two for small nets alone, which are fast enough to come to them
CUDA_BATCH_SIZES = (256, 512, 1024, 2048, 4096)
PROBE_REPEATS = 3
PROBE_SECONDS = 2.0  # after which no larger batch is tried
CLEARLY_SLOWER = 1.1


def quantity_names(
    measured: dict[str, list[str]], *, errors: bool = False, penalty: bool = False
) -> list[str]:
    """Names in a surface file of what a loss measures on each part of the data: `train_loss`, `train_acc` and so on."""
    of_parts = [
        f"{part}_{name}"
        for part, names in measured.items()
        for name in names + (["loss_se", "loss_diff_se"] if errors else [])
    ]
    return of_parts + (["penalty", "train_regularised_loss"] if penalty else [])


def evaluate(
    net: nn.Module, data: Samples, *, loss: str | Loss = "crossentropy", batch_size: int = 128
) -> tuple[float, ...]:
    """Mean loss of `net` on all of `data`, and what else the loss measures (accuracy in percent), in evaluation mode, both on the same device.

    The net's mode is left as it was.
    """
    loss, training = losses.find(loss), net.training
    net.eval()
    try:
        with gradients(loss):
            sums, weight, *_ = total_terms(net, data, loss, batch_size, data.device)
        return tuple((sums / weight).tolist())
    finally:
        net.train(training)


def gradients(loss: Loss, *, copied: bool = False) -> AbstractContextManager:
    """In which the loss is measured: what a net keeps of inference mode it cannot be trained with, so that is for copies."""
    return (
        torch.enable_grad() if loss.needs_gradients else torch.inference_mode() if copied else torch.no_grad()
    )


def total_terms(
    net: Callable,
    data: Samples,
    loss: Loss,
    batch_size: int,
    device: torch.device,
    *,
    keep_samples: bool = False,
) -> Terms:
    """The terms of all batches together, on the device: nothing here waits for it. `keep_samples`: with the loss of each sample."""
    total = None
    kept: list[tuple[Tensor | None, Tensor | None]] = []
    for batch in batches(data, batch_size, device):
        terms = loss.of(net, batch)
        sums = (
            terms.sums.detach(),
            terms.weight,
        )  # a net that is no copy has gradients, and they would keep every batch in memory
        total = sums if total is None else (total[0] + sums[0], total[1] + sums[1])
        if keep_samples:
            kept.append((None if terms.samples is None else terms.samples.detach(), terms.sample_weights))
    if not keep_samples:
        return Terms(*total)
    losses_of, weights_of = zip(*kept, strict=True)
    if any(part is None for part in losses_of):
        return Terms(*total)
    return Terms(
        *total,
        torch.cat(losses_of).double(),
        None if weights_of[0] is None else torch.cat(weights_of).double(),
    )


def batches(data: Samples, batch_size: int, device: torch.device) -> Iterator[Batch]:
    """Batches as net and loss take them, on the device; data that is elsewhere is copied there while the last batch is used."""
    if data.device == device:
        yield from map(data.prepared, data.raw_batches(batch_size))
        return
    if device.type == "cpu":
        raise ValueError("data is on a GPU and the net is not")
    copying, computing = torch.cuda.Stream(device), torch.cuda.current_stream(device)

    def copied(batch: Batch) -> Batch:
        with torch.cuda.stream(copying):
            return samples.each(
                batch, lambda tensor: tensor.contiguous().pin_memory().to(device, non_blocking=True)
            )

    sources = list(data.raw_batches(batch_size))
    ahead = copied(sources[0])
    for i in range(len(sources)):
        computing.wait_stream(copying)
        batch = ahead
        for tensor in samples.tensors(batch):
            tensor.record_stream(computing)
        if i + 1 < len(sources):
            ahead = copied(sources[i + 1])
        yield data.prepared(batch)


def standard_errors(found: Terms, centre: Tensor) -> list[float]:
    """Of the mean loss, and of its difference from that of other losses `centre` (N,) of the same samples, from the spread of the samples.

    That of a weighted mean m = sum w l / sum w is sqrt(n / (n - 1) sum w^2 (l - m)^2) / sum w (Cochran 1977, section 6.3); NaN of a single sample.
    """
    count = len(found.samples)
    weights = torch.ones_like(found.samples) if found.sample_weights is None else found.sample_weights
    errors = []
    for values in (found.samples, found.samples - centre):
        mean = (weights * values).sum() / weights.sum()
        errors.append(
            (weights * (values - mean))
            .square()
            .sum()
            .mul(count / (count - 1) if count > 1 else torch.nan)
            .sqrt()
            / weights.sum()
        )
    return torch.stack(errors).tolist()


class Evaluator:
    """The measure of `plot_surface.py`: the named quantities of a loss, of one net on one or two sets of samples, fast.

    The net is read at each `measure()`, so it may be moved in between.

    Args:
        net: on the device that is to compute.
        sets: samples by part, such as {"train": …, "test": …}; `measure()` returns `train_loss`, `train_acc` and so on.
        batch_size: samples in a forward pass; with None the fastest is found by a short probe. Batch norms are estimated anew in batches of at most that many if it is given.
        precision: one of `devices.PRECISIONS`, or "" for what PyTorch does by default.
        memory: bytes that samples may take on a GPU; what is larger stays where it is and is copied there batch by batch.
            None is half of what is free, divided among the `sharers` of the GPU.
        weight_decay: W adds `penalty`, W / 2 times the squared norm of all parameters, and `train_regularised_loss`, the sum with the loss.
        bn_samples: estimate the batch norms' statistics anew from so many training samples at each point; 0 takes them as they are.
        errors: standard errors of the loss too; `remember_centre()` tells what its difference is from.
        fuse, channels_last, graph: off only to measure what they bring.
    """

    def __init__(
        self,
        net: nn.Module,
        sets: dict[str, Samples],
        *,
        loss: str | Loss = "crossentropy",
        batch_size: int | None = None,
        precision: str = "",
        memory: int | None = None,
        sharers: int = 1,
        weight_decay: float = 0.0,
        bn_samples: int = 0,
        errors: bool = False,
        fuse: bool = True,
        channels_last: bool = True,
        graph: bool = True,
    ):
        self._net, self._loss = net, losses.find(loss)
        self._device = next(net.parameters()).device
        if self._device.type == "cuda":
            sets = _placed(
                sets,
                self._device,
                torch.cuda.mem_get_info(self._device)[0] // 2 // sharers if memory is None else memory,
            )
        self._sets = sets
        low = torch.bfloat16 if precision == "bf16" else None
        first = self._first_batch(next(iter(sets.values())))

        def trial(net: nn.Module | FusedNet) -> Tensor:
            if self._loss.needs_gradients and isinstance(net, FusedNet):
                net.module.requires_grad_()  # it may differentiate by the weights
                net = _for_own_loss(net)
            with gradients(self._loss):
                return self._loss.probe(net, samples.each(first, torch.clone)).detach()

        with exact_products():
            self._fused = FusedNet(
                net,
                trial,
                fold=fuse,
                channels_last=channels_last,
                dtype=None if self._loss.needs_gradients else low,
            )
        self._autocast = low if self._fused.dtype is None else None
        self._forward = _for_own_loss(self._fused) if self._loss.needs_gradients else self._fused
        self._context = partial(gradients, self._loss, copied=self._fused.copied)
        if self._loss.needs_gradients and self._fused.copied:
            self._fused.module.requires_grad_(False)
            found = [
                _tried(self._loss, self._forward, first, context)
                for context in (torch.no_grad, torch.enable_grad)
            ]
            if found[1] is None:  # it differentiates by the weights
                self._fused.module.requires_grad_()
            elif found[0] is not None and torch.equal(*found):  # it takes no gradient, after all
                self._context = torch.no_grad
        with gradients(self._loss), self._low_precision():
            try:
                measured = {
                    part: self._loss.quantities(self._forward, self._first_batch(data))
                    for part, data in sets.items()
                }
            except RuntimeError as error:
                if self._autocast is None:
                    raise
                raise InputError(
                    f"the net does not run in precision {precision} ({one_line(error)}); leave it out"
                ) from error
        self.names = quantity_names(measured, errors=errors, penalty=bool(weight_decay))
        self._weight_decay, self._errors = weight_decay, errors
        self._bn_data = (
            sets["train"].take(np.random.RandomState(0).permutation(len(sets["train"]))[:bn_samples])
            if bn_samples
            else None
        )
        self._centre: dict[str, Tensor] = {}
        self._bn_batch = min(
            batch_size or bn_statistics.BATCH_SIZE, bn_statistics.BATCH_SIZE
        )  # no size that was found by a probe: values depend on it
        self.batch_size = batch_size
        self._use_graph = (
            graph and self._device.type == "cuda" and not self._loss.needs_gradients and not errors
        )
        self._graphs: dict[str, CapturedTotals] = {}
        self._prepared = False

    def describe(self) -> str:
        """What was chosen by `prepare()`, in a line."""
        streamed = [part for part, data in self._sets.items() if data.device != self._device]
        return (
            f"batches of {self.batch_size}, {self.folded} batch norms folded"
            + (
                f", their statistics estimated anew from {len(self._bn_data)} samples"
                if self._bn_data
                else ""
            )
            + (f", {' and '.join(streamed)} data copied to the GPU batch by batch" if streamed else "")
            + (", one CUDA graph a point" if self.graphed else "")
        )

    @property
    def folded(self) -> int:
        """Number of batch norms that are folded into other layers."""
        return self._fused.folded

    @property
    def graphed(self) -> list[str]:
        """The parts whose evaluation has become one CUDA graph."""
        return [part for part, totals in self._graphs.items() if totals.captured]

    def prepare(self) -> None:
        """Choose the batch size unless it is given, and capture CUDA graphs; the first `measure()` does it if it is not done.

        Raises `InputError` for batch norms whose statistics cannot be estimated from the data.
        """
        self._refresh()
        self.batch_size = self.batch_size or self.fastest_batch_size()
        with self._context():
            for part, data in self._sets.items():
                if self._use_graph and data.device == self._device:
                    self._graphs[part] = CapturedTotals(partial(self._totals, data))
        self._prepared = True

    def remember_centre(self) -> None:
        """Take the losses of the samples at the net as it is for those that differences are from."""
        if self._errors:
            self._refresh()
            with self._context():
                self._centre = {
                    part: self._totals(data).samples.detach() for part, data in self._sets.items()
                }

    def measure(self) -> dict[str, float]:
        """All quantities of the net as it is now, by their `names`."""
        if not self._prepared:
            self.prepare()
        if self._errors and not self._centre:
            self.remember_centre()
        self._refresh()
        with self._context():
            totals = {
                part: self._graphs[part]() if part in self._graphs else self._totals(data)
                for part, data in self._sets.items()
            }
            values = [value for part, found in totals.items() for value in self._values(part, found)]
        if self._weight_decay:
            penalty = self.penalty()
            values += [penalty, values[self.names.index("train_loss")] + penalty]
        return dict(zip(self.names, values, strict=True))

    def _values(self, part: str, found: Terms) -> list[float]:
        names = [name.removeprefix(f"{part}_") for name in self.names if name.startswith(f"{part}_")]
        means = self._loss.finish(dict(zip(names, (found.sums / found.weight).tolist(), strict=False)))
        return list(means.values()) + (standard_errors(found, self._centre[part]) if self._errors else [])

    @torch.no_grad()
    def penalty(self) -> float:
        """W / 2 times the squared norm of all parameters of the net as it is now."""
        return (
            self._weight_decay
            / 2
            * float(sum(parameter.double().square().sum() for parameter in self._net.parameters()))
        )

    def _refresh(self) -> None:
        """Let the copy follow the net."""
        if self._bn_data:
            size = -(
                -len(self._bn_data) // -(-len(self._bn_data) // self._bn_batch)
            )  # batches of about one size
            with torch.enable_grad() if self._loss.needs_gradients else torch.no_grad():
                bn_statistics.recompute(
                    self._net, batches(self._bn_data, size, self._device), self._loss.probe
                )
        self._fused.refresh()

    def _totals(self, data: Samples) -> Terms:
        with self._low_precision():
            return total_terms(
                self._forward, data, self._loss, self.batch_size, self._device, keep_samples=self._errors
            )

    def _low_precision(self) -> AbstractContextManager:
        """In which a net that is no copy in the low precision computes in it where that is safe."""
        return torch.autocast(self._device.type, self._autocast, enabled=self._autocast is not None)

    def _first_batch(self, data: Samples) -> Batch:
        return next(batches(data.take(np.arange(min(2, len(data)))), 2, self._device))

    def fastest_batch_size(self) -> int:
        """The batch size of the least time a sample, tried upwards until a larger one is clearly slower or takes too much memory."""
        data = max(self._sets.values(), key=len)
        sizes = (
            CUDA_BATCH_SIZES if self._device.type == "cuda" else CPU_BATCH_SIZES
        )  # on a CPU the caches decide
        times: dict[int, float] = {}
        begin = time.perf_counter()
        for size in sizes:
            tried = data.take(np.arange(min(size, len(data))))
            try:
                times[size] = min(self._seconds(tried) for _ in range(1 + PROBE_REPEATS)) / len(
                    tried
                )  # the first is slow
            except torch.OutOfMemoryError:
                if not times:
                    raise InputError(
                        f"{size} samples in a forward pass take more memory than the device has; give a smaller --batch_size"
                    ) from None
                break
            if (
                times[size] > CLEARLY_SLOWER * min(times.values())
                or size >= len(data)
                or time.perf_counter() > begin + PROBE_SECONDS
            ):
                break
        return min(times, key=times.get)

    def _seconds(self, data: Samples) -> float:
        begin = time.perf_counter()
        with self._context():
            total_terms(self._forward, data, self._loss, len(data), self._device).sums.tolist()
        return time.perf_counter() - begin


def _for_own_loss(fused: FusedNet) -> Callable[..., object]:
    """What the user's loss gets for the net: the copy, which it may look into; where batch norms are folded, only what it may call."""
    if fused.folded:
        return lambda *inputs, **named: fused(*inputs, **named)
    return fused.module


def _tried(
    loss: Loss, net: nn.Module, batch: Batch, context: Callable[[], AbstractContextManager]
) -> Tensor | None:
    """The sums of a batch; None if the loss raises. What it raises in any case is told by `trial.check_data`."""
    try:
        with context():
            return loss.of(net, samples.each(batch, torch.clone)).sums.detach()
    except Exception:  # whatever the user's loss meets
        return None


def _placed(sets: dict[str, Samples], device: torch.device, memory: int) -> dict[str, Samples]:
    """The sets, as many as `memory` bytes hold on the device."""
    placed = {}
    for part, data in sets.items():
        fits = data.nbytes <= memory
        memory -= data.nbytes if fits else 0
        placed[part] = data.to(device) if fits else data
    return placed


class CapturedTotals:
    """A point's whole evaluation as one CUDA graph: a launch for each point instead of one for each layer and batch.

    The tensors that it reads (the fused net's and the data's) stay where they are, so a replay sees the moved net. Where
    capturing fails (a net that waits for the device, say), it is run without a graph.
    """

    def __init__(self, totals: Callable[[], Terms]):
        self._totals = totals
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(
            stream
        ):  # libraries choose their algorithms in a first run, which cannot be captured
            totals()
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(self._graph):
                self._results = totals()
        except RuntimeError:
            self._graph = None
            torch.cuda.synchronize()

    @property
    def captured(self) -> bool:
        return self._graph is not None

    def __call__(self) -> Terms:
        if self._graph is None:
            return self._totals()
        self._graph.replay()
        return self._results
