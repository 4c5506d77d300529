"""A loss at moved inputs x + a d1 + b d2, whose directions d1 and d2 come with each sample x."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from losslandscape.core.provenance import Facts
from losslandscape.data.samples import Batch
from losslandscape.evaluate.loss import Loss, Net, Terms


class MovedInputs(Loss):
    """A loss that moves the inputs of each batch before it measures them; the net stays as it is.

    The last tensors of a batch are the directions of its inputs, the first tensor of the batch. The net and a
    loss of the user's own receive the moved batch without its directions. So a loss that takes derivatives by
    its inputs takes them at the moved inputs.

    Args:
        loss: the loss to measure.
        labels: what a figure says of the axis of each direction; 1 or 2.
    """

    def __init__(self, loss: Loss, labels: Sequence[str]):
        self._loss, self.name, self.needs_gradients = loss, loss.name, loss.needs_gradients
        self._labels = labels
        self._coordinates = torch.zeros(len(labels), dtype=torch.float64)
        self._on_device: dict[torch.device, Tensor] = {}  # a CUDA graph reads the same memory at every point

    def of(self, net: Net, batch: Batch) -> Terms:
        terms = self._loss.of(net, self._moved(batch))
        self.weighs = self._loss.weighs
        return terms

    def quantities(self, net: Net, batch: Batch) -> list[str]:
        return self._loss.quantities(net, self._moved(batch))

    def probe(self, net: Net, batch: Batch) -> Tensor:
        return self._loss.probe(net, self._moved(batch))

    def finish(self, means: dict[str, float]) -> dict[str, float]:
        return self._loss.finish(means)

    def facts(self) -> Facts:
        """Return the facts that inputs move, and along what."""
        return {
            "over": "inputs",
            **{f"{axis} axis": text for axis, text in zip("xy", self._labels, strict=False)},
        }

    @contextmanager
    def moving(self, net: nn.Module, dir_type: str) -> Iterator[Callable[[Sequence[float]], None]]:
        """Yield `move`; after the block the inputs are where they were."""
        try:
            yield self._move
        finally:
            self._move([0.0] * len(self._coordinates))

    @torch.no_grad()
    def _move(self, coordinates: Sequence[float]) -> None:
        self._coordinates.copy_(torch.tensor(coordinates, dtype=torch.float64))
        for copied in self._on_device.values():
            copied.copy_(self._coordinates)

    def _moved(self, batch: Batch) -> Batch:
        count = len(self._coordinates)
        inputs, *others = batch[:-count]
        for coordinate, direction in zip(self._at(inputs.device), batch[-count:], strict=True):
            inputs = inputs + coordinate.to(inputs.dtype) * direction
        return (inputs, *others)

    def _at(self, device: torch.device) -> Tensor:
        if device not in self._on_device:
            with torch.inference_mode(False):
                self._on_device[device] = self._coordinates.to(device, copy=True)
        return self._on_device[device]
