"""Trains the bends of a curve between two nets, so that the loss is low all along it.

Each step takes a batch and a uniformly random t. The gradient of the loss at the curve's place phi(t) is that
of the bend, times the bend's share at t (chain rule): Garipov et al. 2018, section 3 and equation (2).
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor, nn
from tqdm import tqdm

from losslandscape.core.errors import InputError, require_choice
from losslandscape.core.random_state import seeded
from losslandscape.data import structure
from losslandscape.data.own_batches import OwnBatches
from losslandscape.data.samples import Batch, Samples
from losslandscape.evaluate.batch_stream import batches
from losslandscape.evaluate.loss import Loss
from losslandscape.nets import net_tensors
from losslandscape.nets.curve import KINDS, Curve, differing
from losslandscape.nets.net_plotter import require_same_shape
from losslandscape.nets.net_state import unchanged_state
from losslandscape.trajectory.training import batches as batches_of
from losslandscape.trajectory.training import epoch_generator

# Garipov et al. 2018: the rate is constant for half of the training, and then falls to a hundredth at 90 %.
CONSTANT, FALLEN, LEAST_RATE = 0.5, 0.9, 0.01


@dataclass(frozen=True)
class CurvePlan:
    """How the bends of a curve are trained.

    Args:
        kind: one of `curve.KINDS`.
        bends: the number of bends.
        epochs: the number of the last epoch.
        lr: the learning rate of the first half of the training (`learning_rate`).
        momentum: of SGD.
        weight_decay: W of a penalty W/2 |phi(t)|^2 on the weights at t.
        batch_size: the number of samples in a step.
        seed: the seed of the order of the samples, of t and of what a net draws.

    Raises:
        InputError: a value cannot be used.
    """

    kind: str = "bezier"
    bends: int = 1
    epochs: int = 50
    lr: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 0.0
    batch_size: int = 128
    seed: int = 0

    def __post_init__(self) -> None:
        require_choice("curve", self.kind, KINDS)
        for name in ("bends", "epochs", "batch_size"):
            _require(name, getattr(self, name), isinstance(getattr(self, name), int), least=1)
        _require("seed", self.seed, isinstance(self.seed, int), least=0)
        for name in ("momentum", "weight_decay"):
            _require(name, getattr(self, name), isinstance(getattr(self, name), int | float), least=0)
        if not 0 < self.lr < float("inf"):
            raise InputError(f"lr {self.lr!r} is not a finite number above 0")
        if self.momentum >= 1:
            raise InputError(f"momentum {self.momentum!r} is not below 1")

    def learning_rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 1."""
        done = (epoch - 1) / self.epochs
        falling = min(max((done - CONSTANT) / (FALLEN - CONSTANT), 0.0), 1.0)
        return self.lr * (1 - falling * (1 - LEAST_RATE))


def _require(name: str, value: float, is_number: bool, *, least: int) -> None:
    if not is_number or not least <= value < float("inf"):
        raise InputError(f"{name} {value!r} is not a number of at least {least}")


@dataclass(frozen=True)
class CurveEpoch:
    """The result of one epoch of `epochs`: the mean loss of its steps, each at another t."""

    epoch: int
    epochs: int
    loss: float
    lr: float
    left: float  # seconds

    @property
    def line(self) -> str:
        """The line of the progress."""
        number = f"{self.epoch:{len(str(self.epochs))}}/{self.epochs}"
        left = tqdm.format_interval(self.left)
        return f"epoch {number}  loss at random t: {self.loss:.5g}  lr: {self.lr:.3g}  left: {left}"


class CurveTraining:
    """The bends of a curve between two nets, and the optimizer that trains them.

    A parameter that is equal in both nets, such as a frozen base, stays as it is.

    Args:
        net: the first net, on the device that trains. It is moved in an epoch, and back at its end.
        other: the last net, on any device.
        data: the training data.
        loss: the loss.
        plan: the settings.

    Attributes:
        bends: each a list with one tensor for each of `moving_tensors(net, "weights")`, on the net's device.
        epoch: the last epoch that the bends were trained for.

    Raises:
        InputError: the nets differ in their tensors, or do not differ at all.
    """

    def __init__(self, net: nn.Module, other: nn.Module, data: Samples, loss: Loss, plan: CurvePlan):
        self._net, self._data, self._loss, self._plan = net, data, loss, plan
        start = net_tensors.moving_tensors(net, "weights")
        end = [p.to(w) for p, w in zip(other_tensors(net, other, "weights"), start.values(), strict=True)]
        moved = differing(list(start.values()), [end])
        if not any(moved):
            raise InputError("the two nets are equal, so there is no curve between them")
        parameters = dict(net.named_parameters(remove_duplicate=False))
        self._parameters = [parameters[name] for name, moves in zip(start, moved, strict=True) if moves]
        self._needed = list(net.parameters()) if loss.needs_gradients else self._parameters
        self._moved, self.epoch = moved, 0
        pairs = list(zip(map(_widened, start.values()), map(_widened, end), strict=True))
        parts = [number / (plan.bends + 1) for number in range(1, plan.bends + 1)]
        self.bends = [[torch.lerp(w, last, part) for w, last in pairs] for part in parts]
        self._curve = Curve(plan.kind, [*self.bends, end])
        self._trained = [self._of_moved(bend) for bend in self.bends]
        self._optimizer = torch.optim.SGD(
            [tensor for bend in self._trained for tensor in bend], lr=plan.lr, momentum=plan.momentum
        )

    def _of_moved(self, tensors: list[Tensor]) -> list[Tensor]:
        return [tensor for tensor, moves in zip(tensors, self._moved, strict=True) if moves]

    def state(self) -> dict[str, object]:
        """Return what a later run needs to continue."""
        return {"epoch": self.epoch, "bends": self.bends, "optimizer": self._optimizer.state_dict()}

    @torch.no_grad()
    def restore(self, state: dict) -> None:
        """Continue from a state of `state`."""
        for bend, saved in zip(self.bends, state["bends"], strict=True):
            for tensor, value in zip(bend, saved, strict=True):
                tensor.copy_(value)
        self._optimizer.load_state_dict(state["optimizer"])
        self.epoch = state["epoch"]

    def run(self) -> Iterator[CurveEpoch]:
        """Train to the plan's last epoch, and yield the result of each epoch.

        Raises:
            InputError: the loss of an epoch is not finite, or has no gradient.
        """
        begin, last, earlier = time.monotonic(), self._plan.epochs, self.epoch
        for epoch in range(earlier + 1, last + 1):
            lr = self._plan.learning_rate(epoch)
            for group in self._optimizer.param_groups:
                group["lr"] = lr
            loss = self._train_epoch(epoch)
            if not abs(loss) < float("inf"):
                fault = f"the loss of epoch {epoch} is {loss}, so the bends are lost"
                raise InputError(fault, "give a smaller {lr}")
            self.epoch = epoch
            left = (time.monotonic() - begin) / (epoch - earlier) * (last - epoch)
            yield CurveEpoch(epoch, last, loss, lr, left)

    def _train_epoch(self, epoch: int) -> float:
        """Train for one epoch, and return the mean loss of its steps."""
        generator = epoch_generator(self._plan.seed, epoch)
        device, losses = self._parameters[0].device, []
        steps = shuffled(self._data, self._plan.batch_size, generator)
        size = self._plan.batch_size + 1  # the last sample may have joined the batch before it
        with (
            unchanged_state(self._net),
            _training_mode(self._net, self._needed),
            seeded(generator.initial_seed() % 2**32),  # for nets that draw by themselves, as with dropout
            self._curve.moving(self._net, "weights") as move,
        ):
            for index in tqdm(steps, desc=f"epoch {epoch}", unit="batch", leave=False, disable=None):
                t = float(torch.rand((), generator=generator))
                move((t,))
                for batch in batches(self._data.take(index), size, device):
                    losses.append(self._step(batch, self._curve.shares(t)[1:-1]))
        return float(torch.stack(losses).mean())

    def _step(self, batch: Batch, shares: list[float]) -> Tensor:
        """Take a step of all bends by the gradient at the net's place, and return the loss there."""
        terms = self._loss.of(self._net, batch)
        mean = terms.sums[0] / terms.weight
        if not mean.requires_grad:
            raise InputError(f"the loss {self._loss.name} has no gradient by the parameters")
        gradients = torch.autograd.grad(mean, self._parameters, allow_unused=True, materialize_grads=True)
        for bend, share in zip(self._trained, shares, strict=True):
            for tensor, parameter, gradient in zip(bend, self._parameters, gradients, strict=True):
                full = gradient.to(tensor.dtype).add(parameter.detach(), alpha=self._plan.weight_decay)
                tensor.grad = full.mul_(share)
        self._optimizer.step()
        return mean.detach()


def _widened(tensor: Tensor) -> Tensor:
    return tensor.to(net_tensors.wide(tensor.dtype))


def other_tensors(net: nn.Module, other: nn.Module, dir_type: str) -> list[Tensor]:
    """Return the tensors of another net, in the order of the tensors of `net`.

    Raises:
        InputError: the other net lacks a tensor, or has it in another shape.
    """
    theirs = net_tensors.moving_tensors(other, dir_type)
    for name, tensor in net_tensors.moving_tensors(net, dir_type).items():
        require_same_shape(name, tensor, theirs.get(name))
    return [theirs[name] for name in net_tensors.moving_tensors(net, dir_type)]


def shuffled(data: Samples, batch_size: int, generator: torch.Generator) -> list[Tensor]:
    """Return the indices of all samples in random order, batch by batch, as `data.take` takes them.

    Samples of different shapes do not share a batch. The user's own batches stay whole: the index of one
    sample stands for each.
    """
    if isinstance(data, OwnBatches):
        parts = [torch.tensor([start]) for start in accumulate(data.sizes[:-1], initial=0)]
    else:
        sizes = [structure.size(chunk) or 1 for chunk in data.chunks]
        parts = [
            start + part
            for start, size in zip(accumulate(sizes, initial=0), sizes, strict=False)
            for part in batches_of(size, batch_size, generator)
        ]
    return [parts[i] for i in torch.randperm(len(parts), generator=generator).tolist()]


@contextmanager
def _training_mode(net: nn.Module, parameters: list[nn.Parameter]) -> Iterator[None]:
    """Put the net into training mode, with gradients for these parameters alone, in the block."""
    modes = {module: module.training for module in net.modules()}
    flags = {parameter: parameter.requires_grad for parameter in net.parameters()}
    try:
        net.train()
        for parameter in flags:
            parameter.requires_grad_(False)
        for parameter in parameters:
            parameter.requires_grad_()
        yield
    finally:
        for parameter, flag in flags.items():
            parameter.requires_grad_(flag)
        for module, mode in modes.items():
            module.training = mode
