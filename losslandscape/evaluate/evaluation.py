"""Measures the quantities of a loss for one net, on data in memory, at each point of a surface."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn

from losslandscape.core.random_state import fixed_randomness
from losslandscape.data.own_batches import OwnBatches
from losslandscape.data.samples import Batch, Samples
from losslandscape.evaluate import batch_size as batch_sizes
from losslandscape.evaluate import batch_stream, bn_statistics, losses
from losslandscape.evaluate.batch_stream import batches, first
from losslandscape.evaluate.cuda_graph import CapturedCall
from losslandscape.evaluate.data_pass import DataPass
from losslandscape.evaluate.forward_pass import ForwardPass
from losslandscape.evaluate.loss import Loss, Terms
from losslandscape.evaluate.quantity_names import quantity_names
from losslandscape.evaluate.standard_error import standard_errors
from losslandscape.evaluate.totals import gradient_mode, total_terms
from losslandscape.nets.blocks import blocks, is_large
from losslandscape.nets.net_state import unchanged_state
from losslandscape.nets.spreading import is_spread


def evaluate(
    net: nn.Module, data: Samples, *, loss: str | Loss = "crossentropy", batch_size: int = 128
) -> tuple[float, ...]:
    """Return the mean loss and the loss's other quantities (accuracy in percent), in evaluation mode.

    Afterwards all modules have the mode that the net had before, and the net's state is as before.

    Args:
        net: the net, on the device of the data.
        data: the samples to evaluate.
        loss: the loss, or its name.
        batch_size: the number of samples in a forward pass.
    """
    loss = losses.find(loss)
    training = net.training
    net.eval()
    try:
        with gradient_mode(loss), unchanged_state(net):
            terms = total_terms(net, data, loss, batch_size=batch_size, device=data.device)
        return tuple(_means(terms))
    finally:
        net.train(training)


class Evaluator:
    """A fast evaluator, which measures the quantities of a loss for one net on one or two sets of samples.

    Each `measure()` reads the net again, so the weights may change between two calls. Every pass over a part
    of the data starts from the net's state, such as its buffers, and leaves the state as it was.

    Args:
        net: the net, on the device that computes the loss.
        sets: the samples of each part, such as {"train": …, "test": …}; `measure()` returns `train_loss` and
            so on.
        loss: the loss, or its name.
        batch_size: the number of samples in a forward pass; if None, a short probe finds the fastest. Batch
            norms' statistics are estimated in batches of at most this size, and of at most 128 samples.
        precision: one of `devices.PRECISIONS`, or "" for PyTorch's default.
        memory: the bytes that all samples may take on a GPU. A set that does not fit is copied there batch by
            batch. None stands for half of the free memory, divided by `sharers`.
        sharers: the number of ranks that share the GPU.
        weight_decay: the weight decay W. W > 0 adds two quantities: `penalty`, W / 2 times the squared norm
            of all parameters, and `train_regularised_loss`, the sum of `train_loss` and `penalty`.
        bn_samples: the number of training samples from which batch norms' statistics are estimated at each
            point; 0 for the stored statistics.
        errors: whether to add standard errors of the loss, and of its difference from the loss at
            `remember_centre()`.
        fix_randomness: whether every pass over a part of the data gets the same random numbers.
        fuse, join, channels_last, graph: whether to use these optimisations. Switch one off only to measure
            how much it saves.

    Attributes:
        names: the names of all quantities.
        batch_size: the number of samples in a forward pass; None until it is chosen.
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
        fix_randomness: bool = False,
        fuse: bool = True,
        join: bool = True,
        channels_last: bool = True,
        graph: bool = True,
    ):
        self._net, self._loss = net, losses.find(loss)
        self._device = next(net.parameters()).device
        self._sets = batch_stream.place(sets, self._device, memory=memory, sharers=sharers)
        first_batches = {part: self._first_batch(data) for part, data in self._sets.items()}
        self._forward = ForwardPass(
            net,
            self._loss,
            next(iter(first_batches.values())),
            precision=precision,
            fold=fuse,
            join=join,
            channels_last=channels_last,
        )
        self._quantities = {part: self._forward.quantities(batch) for part, batch in first_batches.items()}
        self._sharers, self._weight_decay, self._errors = sharers, weight_decay, errors
        self._fix_randomness = fix_randomness
        self.names = quantity_names(self._quantities, errors=errors, penalty=bool(weight_decay))
        self.batch_size = batch_size
        self._bn_data = bn_statistics.random_part(self._sets["train"], bn_samples) if bn_samples else None
        # This size does not come from a probe, because values depend on it.
        self._bn_batch_size = min(batch_size or bn_statistics.BATCH_SIZE, bn_statistics.BATCH_SIZE)
        self._centre: dict[str, Tensor] = {}
        plain = not (self._loss.needs_gradients or errors or fix_randomness)
        self._use_graph = graph and self._on_cuda and plain and not is_spread(net)
        self._passes = {
            part: DataPass(partial(self._total_terms, data), self._forward)
            for part, data in self._sets.items()
        }
        self._refresh_copy: Callable[[], None] = self._forward.refresh
        self._prepared = False

    @property
    def folded(self) -> int:
        """The number of batch norms that are folded into other layers."""
        return self._forward.folded

    @property
    def joined(self) -> int:
        """The number of layers that are joined with what follows them."""
        return self._forward.joined

    @property
    def _on_cuda(self) -> bool:
        return self._device.type == "cuda"

    @property
    def graphed(self) -> list[str]:
        """The parts of the data that are evaluated as one CUDA graph."""
        return [part for part, each in self._passes.items() if each.captured]

    def describe(self) -> str:
        """Describe the choices of `prepare()` in one line."""
        words = []
        own = [part for part, data in self._sets.items() if isinstance(data, OwnBatches)]
        if len(own) < len(self._sets):
            words.append(f"batches of {self.batch_size}")
        if own:
            words.append(f"{' and '.join(own)} data in its own batches")
        words.append(f"{self.folded} batch norms folded")
        if self.joined:
            words.append(f"{self.joined} layers joined{self._forward.kernels}")
        if self._bn_data:
            words.append(f"their statistics estimated again from {len(self._bn_data)} samples")
        streamed = [part for part, data in self._sets.items() if data.device != self._device]
        if streamed:
            words.append(f"{' and '.join(streamed)} data copied to the GPU batch by batch")
        if self.graphed:
            words.append("one CUDA graph a point")
        return ", ".join(words)

    def prepare(self) -> None:
        """Choose the batch size if it is None and the kernels, and capture CUDA graphs.

        The first `measure()` calls this.

        Raises:
            InputError: if the statistics of batch norms cannot be estimated from the data.
        """
        self._refresh()
        self._find_batch_size()
        if self._on_cuda:
            with self._forward.gradients(), self._choosing_kernels():
                for part, data in self._sets.items():
                    self._passes[part].prepare(graph=self._use_graph and data.device == self._device)
        if self._use_graph and self._forward.copied:  # else there is nothing to copy
            self._refresh_copy = CapturedCall(self._forward.refresh)
        self._prepared = True

    def _choosing_kernels(self) -> AbstractContextManager:
        """Return a context in which joined layers choose their kernels: on a GPU, as a CPU has only one."""
        return self._forward.kernels.choosing() if self._on_cuda else nullcontext()

    def fastest_batch_size(self) -> int:
        """Find the batch size with the least time per sample.

        Raises:
            InputError: if the device has too little memory for the smallest batch size.
        """
        cuttable = [data for data in self._sets.values() if not isinstance(data, OwnBatches)]
        if not cuttable:
            return batch_sizes.CPU.sizes[0]  # any size, as own batches keep theirs
        data = max(cuttable, key=len)
        share = batch_sizes.memory_share(self._sharers) if self._on_cuda else nullcontext()
        with self._forward.gradients(), self._choosing_kernels(), share:
            return self._probe(data).fastest(self._total_terms, data)

    def _probe(self, data: Samples) -> batch_sizes.Probe:
        if not self._on_cuda:
            return batch_sizes.CPU
        is_graph = self._use_graph and data.device == self._device
        return batch_sizes.CUDA_GRAPH if is_graph else batch_sizes.CUDA

    def remember_centre(self) -> None:
        """Store the losses of the present net as the centre from which `measure` computes differences."""
        if not self._errors:
            return
        self._refresh()
        with self._forward.gradients():
            self._centre = {
                part: _sample_losses(each.trusted(each.start())) for part, each in self._passes.items()
            }

    def measure(self) -> dict[str, float]:
        """Return all quantities of the net with its present weights, by name."""
        if not self._prepared:
            self.prepare()
        if self._errors and not self._centre:
            self.remember_centre()
        self._refresh()
        with self._forward.gradients():
            # Start all parts before waiting for the first value.
            terms = {part: each.start() for part, each in self._passes.items()}
            values = [value for part in self._sets for value in self._values(part, terms[part])]
        if self._weight_decay:
            penalty = self.penalty()
            values += [penalty, values[self.names.index("train_loss")] + penalty]
        return dict(zip(self.names, values, strict=True))

    @torch.no_grad()
    def penalty(self) -> float:
        """Return W / 2 times the squared norm of all present parameters of the net."""
        parts: list[Tensor] = list(self._net.parameters())
        if is_large(self._net):
            parts = [part for parameter in parts for (part,) in blocks(parameter)]
        squares = sum(part.double().square().sum().to(self._device) for part in parts)
        return self._weight_decay / 2 * float(squares)

    def _values(self, part: str, terms: Terms) -> list[float]:
        """Return the values of a part's quantities, in the order of `names`."""
        terms = self._passes[part].trusted(terms)
        # The derived quantities are last in the list, and have no mean: hence strict=False.
        means = dict(zip(self._quantities[part], _means(terms), strict=False))
        values = list(self._loss.finish(means).values())
        if self._errors:
            values += standard_errors(_sample_losses(terms), self._centre[part], terms.sample_weights)
        return values

    def _refresh(self) -> None:
        """Estimate batch norms' statistics, and copy the net's present tensors into the fast copy."""
        if self._bn_data:
            self._recompute_statistics(self._bn_data)
        self._refresh_copy()

    def _recompute_statistics(self, data: Samples) -> None:
        size = bn_statistics.even_batch_size(len(data), most=self._bn_batch_size)
        with gradient_mode(self._loss), fixed_randomness(self._fix_randomness):
            bn_statistics.recompute(self._net, batches(data, size, self._device), self._loss.probe)

    def _total_terms(self, data: Samples, batch_size: int | None = None) -> Terms:
        with (
            self._forward.autocast(),
            self._forward.unchanged_state(),
            fixed_randomness(self._fix_randomness),
        ):
            return total_terms(
                self._forward.net,
                data,
                self._loss,
                batch_size=batch_size or self._find_batch_size(),
                device=self._device,
                keep_samples=self._errors,
            )

    def _find_batch_size(self) -> int:
        """Return the batch size. If it is None, find it by a probe first."""
        if self.batch_size is None:
            self.batch_size = self.fastest_batch_size()
        return self.batch_size

    def _first_batch(self, data: Samples) -> Batch:
        """Return a batch of the first two samples, or of one if there is only one."""
        return next(iter(batches(first(data, 2), 2, self._device)))


def _means(terms: Terms) -> list[float]:
    return (terms.sums / terms.weight).tolist()


def _sample_losses(terms: Terms) -> Tensor:
    assert terms.samples is not None  # `fit_check.require_sample_losses` refuses such a loss
    return terms.samples
