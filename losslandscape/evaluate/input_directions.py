"""Directions in the space of a net's inputs: one for each sample, as robustness to perturbations is drawn.

- `sign`: the sign of the gradient of the sample's loss, the direction of the fast gradient sign method
  (Goodfellow, Shlens and Szegedy, ICLR 2015).
- `gradient`: that gradient, of Euclidean length 1.
- `random`: random signs, as long as `sign`.
- `sample:K`: from the sample to sample K of the training data, which lies at 1.

The unit of the first three is that of the pixels in [0, 1] for images, as in the literature, where 8/255 is
0.031; for other data it is the data's own. Inputs are not clipped to a range.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from losslandscape.core.errors import InputError
from losslandscape.data.image_set import ImageSet
from losslandscape.data.samples import Batch, Samples, SampleSet
from losslandscape.evaluate.batch_stream import batches
from losslandscape.evaluate.loss import Loss
from losslandscape.nets.net_state import unchanged_state

# What a figure says of the axis of each direction.
LABELS = {
    "random": "input along random signs",
    "sign": "input along the gradient's sign",
    "gradient": "input along its gradient",
}
SAMPLE = re.compile(r"sample:(\d+)", re.ASCII)
BATCH_SIZE = 128


def is_known(name: str) -> bool:
    """Return whether a name is that of a direction of inputs."""
    return name in LABELS or SAMPLE.fullmatch(name) is not None


def label(name: str) -> str:
    """Return what a figure says of an axis along a direction."""
    match = SAMPLE.fullmatch(name)
    return f"input towards sample {match[1]}" if match else LABELS[name]


@dataclass(frozen=True)
class Inputs:
    """Samples whose inputs can move.

    Args:
        samples: batches (inputs, others…), with the inputs as the net receives them.
        unit: a unit of a direction in the net's inputs; it broadcasts against them.
    """

    samples: SampleSet
    unit: Tensor

    @classmethod
    def of(cls, data: Samples) -> "Inputs":
        """Return the samples of a set; images are normalised.

        Raises:
            InputError: the first tensor of a batch is not one of real numbers.
        """
        if isinstance(data, ImageSet):
            unit = torch.ones(1) if data.std is None else 1 / torch.tensor(data.std)[:, None, None]
            return cls(SampleSet(((data.batch(slice(None)), data.labels),)), unit)
        if not isinstance(data, SampleSet) or not all(isinstance(chunk, tuple) for chunk in data.chunks):
            fault = "a surface over inputs needs batches that are tuples of tensors, with the inputs first"
            raise InputError(fault, "leave {over} out, or give such data")
        kinds = {chunk[0].dtype for chunk in data.chunks}
        if not all(kind.is_floating_point for kind in kinds):
            kind = next(kind for kind in kinds if not kind.is_floating_point)
            fault = f"the inputs are of {kind}, such as numbers of tokens, and cannot move a little"
            raise InputError(fault, "leave {over} out, or give inputs of real numbers")
        return cls(data, torch.ones(1))

    def with_directions(self, directions: Sequence[list[Tensor]]) -> SampleSet:
        """Return the samples, with the directions (one list per axis, one tensor per chunk) behind them."""
        chunks = zip(self.samples.chunks, *directions, strict=True)
        return self.samples.with_chunks((*chunk, *along) for chunk, *along in chunks)

    def gradients(self, net: nn.Module, loss: Loss, *, batch_size: int | None = None) -> list[Tensor]:
        """Return the gradient of the loss by the inputs of each chunk, with the net in evaluation mode."""
        net.eval()
        device, found = next(net.parameters()).device, []
        with torch.enable_grad(), unchanged_state(net):
            for chunk in self.samples.chunks:
                cut = batches(SampleSet((chunk,)), batch_size or BATCH_SIZE, device)
                found.append(torch.cat([_gradient(net, loss, batch).cpu() for batch in cut]))
        return found

    def along(
        self, name: str, gradients: list[Tensor], targets: SampleSet, generator: torch.Generator
    ) -> list[Tensor]:
        """Return the direction of a name for each chunk, in the net's inputs."""
        inputs = [chunk[0] for chunk in self.samples.chunks]
        if match := SAMPLE.fullmatch(name):
            return [_towards(values, targets, int(match[1])) for values in inputs]
        if name == "random":
            bits = [torch.randint(0, 2, values.shape, generator=generator) for values in inputs]
            return [(drawn * 2 - 1) * self.unit for drawn in bits]
        if name == "sign":
            return [gradient.sign() * self.unit for gradient in gradients]
        return [_of_length_1(gradient * self.unit) * self.unit for gradient in gradients]


def find(
    names: Sequence[str],
    sets: Mapping[str, Inputs],
    net: nn.Module,
    loss: Loss,
    *,
    targets: SampleSet,
    seed: int,
    batch_size: int | None = None,
) -> list[list[Tensor]]:
    """Return the direction of each name: one tensor for each chunk of each part of the data.

    Args:
        names: the name of each direction.
        sets: the inputs of each part of the data.
        net, loss: the net on its device, and the loss, for gradients.
        targets: the samples that `sample:K` counts.
        seed: of the random signs.
        batch_size: samples in memory at a time.

    Raises:
        InputError: there is no sample K, or it has another shape.
    """
    generator = torch.Generator().manual_seed(seed)
    directions: list[list[Tensor]] = [[] for _ in names]
    for part in sets.values():
        gradients: list[Tensor] = []
        if not {"sign", "gradient"}.isdisjoint(names):
            gradients = part.gradients(net, loss, batch_size=batch_size)
        for name, direction in zip(names, directions, strict=True):
            direction += part.along(name, gradients, targets, generator)
    return [[tensor.float() for tensor in direction] for direction in directions]


def _gradient(net: nn.Module, loss: Loss, batch: Batch) -> Tensor:
    inputs, *others = batch
    inputs.requires_grad_()
    total = loss.of(net, (inputs, *others)).sums[0]
    gradient = None
    if total.requires_grad:
        (gradient,) = torch.autograd.grad(total, inputs, allow_unused=True)
    if gradient is None:
        fault = f"the loss {loss.name} has no gradient by the inputs: it detaches or ignores them"
        raise InputError(fault, "give {xdir:random}, or let the loss keep them")
    return gradient


def _of_length_1(gradient: Tensor) -> Tensor:
    """Return the gradient of each sample with length 1; a gradient of zero stays zero."""
    lengths = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
    return gradient / lengths.clamp(min=torch.finfo(gradient.dtype).tiny).view(
        -1, *[1] * (gradient.dim() - 1)
    )


def _towards(inputs: Tensor, targets: SampleSet, number: int) -> Tensor:
    if number >= len(targets):
        raise InputError(f"there is no sample {number} among {len(targets)}, counted from 0")
    target = targets.take(torch.tensor([number])).chunks[0][0]
    if target.shape[1:] != inputs.shape[1:]:
        fault = f"sample {number} has shape {list(target.shape[1:])}, and another {list(inputs.shape[1:])}"
        raise InputError(fault, "take another direction than towards a sample")
    return target - inputs
