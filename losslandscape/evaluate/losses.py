"""Defines the built-in losses, and finds any loss by its name.

A built-in loss is computed from the net's outputs and a target. It returns the loss of each sample, so
standard errors can be computed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor

from losslandscape.core import user_code
from losslandscape.core.errors import InputError
from losslandscape.core.text import one_line
from losslandscape.data.samples import Batch
from losslandscape.data.structure import by_name, is_named
from losslandscape.evaluate import targets
from losslandscape.evaluate.loss import Loss, Net, Terms
from losslandscape.evaluate.own_loss import OwnLoss, describe
from losslandscape.evaluate.targets import IGNORED

# The values of each quantity (N,), and the samples' weights (N,), or None if all weights are 1.
PerSample = tuple[list[Tensor], Tensor | None]
MAX_EXPONENT = 700.0  # exp(709) is about the largest float64


@dataclass(frozen=True)
class BuiltIn(Loss):
    """A loss that is computed from a net's outputs and a target.

    Attributes:
        name: the name by which the user chooses the loss.
        names: the names of the quantities that `measured` returns, in the same order.
        measured: computes from (outputs, target) the values and the weights of the samples. Weights may be
            booleans if the values are zero where the weights are False.
        target: returns the target of a batch. The rest of the batch is the net's input.
        derived: the names of quantities that are computed from the mean loss, each with its function.
    """

    name: str
    names: tuple[str, ...]
    measured: Callable[[Tensor, Tensor], PerSample]
    target: Callable[[Batch], Tensor]
    derived: tuple[tuple[str, Callable[[float], float]], ...] = ()

    def of(self, net: Net, batch: Batch) -> Terms:
        return self.of_outputs(self.outputs(net, batch), batch)

    def outputs(self, net: Net, batch: Batch) -> Tensor:
        """Return the net's logits or predictions, differentiable; half precision is converted to float32."""
        if is_named(batch):
            inputs = {name: value for name, value in by_name(batch).items() if name not in targets.NAMES}
            outputs = net(**inputs)
        else:
            outputs = net(*(batch[:-1] or batch))
        if not isinstance(outputs, Tensor):
            outputs = _logits(outputs)
        return outputs.float() if outputs.dtype in (torch.bfloat16, torch.float16) else outputs

    def of_outputs(self, outputs: Tensor, batch: Batch) -> Terms:
        """Return the terms of a batch with these outputs."""
        values, weights = self.measured(outputs, self.target(batch))
        if weights is None or weights.dtype is torch.bool:  # values are zero where a sample is ignored
            weight = len(values[0]) if weights is None else weights.count_nonzero()
            return Terms(torch.stack(values).sum(1, dtype=torch.float64), weight, values[0], weights)
        sums = [(value.double() * weights).sum() for value in values]
        return Terms(torch.stack(sums), weights.sum(dtype=torch.float64), values[0], weights)

    def quantities(self, net: Net, batch: Batch) -> list[str]:
        outputs, target = self.outputs(net, batch), self.target(batch)
        try:
            self.measured(outputs, target)
        except (RuntimeError, IndexError, ValueError) as error:
            reason = one_line(error)
            raise InputError(
                f"the loss {self.name} does not take outputs of shape {list(outputs.shape)} "
                f"({outputs.dtype}) with a target of shape {list(target.shape)} ({target.dtype}): {reason}",
                "give data or a {loss} that fits",
            ) from error
        return [*self.names, *dict(self.derived)]

    def probe(self, net: Net, batch: Batch) -> Tensor:
        return self.outputs(net, batch)

    def finish(self, means: dict[str, float]) -> dict[str, float]:
        derived = {name: function(means["loss"]) for name, function in self.derived}
        return {**means, **derived}


def _logits(outputs: object) -> Tensor:
    """Return the logits of a net that does not return a tensor, such as the nets of transformers."""
    if isinstance(outputs, dict):
        logits = outputs.get("logits")
    else:
        logits = getattr(outputs, "logits", None)
    if logits is None and isinstance(outputs, tuple | list) and outputs:
        logits = outputs[0]
    if not isinstance(logits, Tensor):
        raise InputError(
            f"the net returned {describe(outputs)}",
            "a built-in loss needs a tensor, a tuple that begins with one, or one called logits",
        )
    return logits


def sample_losses(name: str, logits: Tensor, labels: Tensor) -> Tensor:
    """Return one of the two losses of the published program for each sample, differentiable.

    `crossentropy` is the cross entropy of the logits; `mse` is the mean over classes of
    (softmax(logits) - one-hot label)^2.

    Args:
        name: `crossentropy` or `mse`.
        logits: (N, classes), or (N, classes, ...) for pixels.
        labels: (N,), or (N, ...).

    Returns:
        The losses, in the shape of the labels.
    """
    if name == "crossentropy":
        return F.cross_entropy(logits, labels, reduction="none")
    if name == "mse":
        one_hot = F.one_hot(labels.clamp(min=0), logits.shape[1]).movedim(-1, 1)
        return (logits.softmax(1) - one_hot).square().mean(1)
    raise ValueError(f"unknown loss {name!r}; choose from crossentropy, mse")


def _classification(logits: Tensor, labels: Tensor, *, loss: str, best: int = 0) -> PerSample:
    """Measure loss, accuracy, and with `best` > 0 the top-`best` accuracy, of samples or of pixels."""
    counts = labels != IGNORED
    losses = sample_losses(loss, logits, labels)
    if loss == "mse":  # cross entropy ignores labels by itself
        losses = losses * counts
    values = [losses, torch.where(logits.argmax(1) == labels, 100.0, 0.0)]
    if best:
        classes = logits.topk(min(best, logits.shape[1]), 1).indices
        values.append(100.0 * (classes == labels.unsqueeze(1)).any(1))
    return _mean_over_positions(values, counts)


def _next_token(logits: Tensor, tokens: Tensor) -> PerSample:
    """Measure the cross entropy of each sequence: logits (N, length, vocabulary), next tokens (N, length)."""
    losses = F.cross_entropy(
        logits.flatten(0, 1), tokens.flatten(), reduction="none", ignore_index=IGNORED
    ).view_as(tokens)
    return _mean_over_positions([losses], tokens != IGNORED)


def _mean_over_positions(values: list[Tensor], counts: Tensor) -> PerSample:
    """Return for each sample the means over the positions that count, and the number of these positions."""
    if counts.dim() == 1:
        return values, counts
    counts = counts.flatten(1)
    weights = counts.sum(1)
    means = [(value.flatten(1) * counts).sum(1) / weights.clamp(min=1) for value in values]
    return means, weights


def _regression(outputs: Tensor, target: Tensor, *, distance: Callable[..., Tensor]) -> PerSample:
    """Measure the mean distance of predictions and targets over the entries of each sample."""
    if outputs.numel() != target.numel():
        raise ValueError("they differ in size")
    return [_per_sample(distance(outputs, target.to(outputs.dtype).view_as(outputs), reduction="none"))], None


def _binary(outputs: Tensor, target: Tensor) -> PerSample:
    """Measure the cross entropy of binary outputs (logits), and the percentage of right outputs."""
    (losses,), _ = _regression(outputs, target, distance=F.binary_cross_entropy_with_logits)
    right = 100.0 * ((outputs > 0) == (target.view_as(outputs) > 0.5))
    return [losses, _per_sample(right)], None


def _per_sample(values: Tensor) -> Tensor:
    return values.flatten(1).mean(1) if values.dim() > 1 else values


def _perplexity(loss: float) -> float:
    if math.isnan(loss):
        return math.nan
    return math.exp(loss) if loss < MAX_EXPONENT else math.inf


BUILT_IN = {
    loss.name: loss
    for loss in (
        BuiltIn(
            "crossentropy",
            ("loss", "acc"),
            partial(_classification, loss="crossentropy"),
            targets.last_or_named,
        ),
        BuiltIn("mse", ("loss", "acc"), partial(_classification, loss="mse"), targets.last_or_named),
        BuiltIn(
            "crossentropy_top5",
            ("loss", "acc", "top5"),
            partial(_classification, loss="crossentropy", best=5),
            targets.last_or_named,
        ),
        BuiltIn(
            "next_token", ("loss",), _next_token, targets.next_tokens, derived=(("perplexity", _perplexity),)
        ),
        BuiltIn(
            "regression_mse", ("loss",), partial(_regression, distance=F.mse_loss), targets.last_or_named
        ),
        BuiltIn("l1", ("loss",), partial(_regression, distance=F.l1_loss), targets.last_or_named),
        BuiltIn("bce", ("loss", "acc"), _binary, targets.last_or_named),
    )
}
LOSSES = tuple(BUILT_IN)
PUBLISHED = ("crossentropy", "mse")
CLASSIFICATIONS = ("crossentropy", "mse", "crossentropy_top5")


def is_classification(loss: Loss) -> TypeGuard[BuiltIn]:
    """Return whether a loss is a built-in classification loss, whose second quantity is the accuracy."""
    return isinstance(loss, BuiltIn) and loss.name in CLASSIFICATIONS


def find(loss: str | Loss | Callable[[Net, Batch], object]) -> Loss:
    """Return the loss for a built-in name, a function, or the name of a function such as `FILE.py:FUNCTION`.

    Raises:
        InputError: if no loss has this name.
    """
    if isinstance(loss, Loss):
        return loss
    if callable(loss):
        return OwnLoss(getattr(loss, "__name__", "loss"), loss)
    if isinstance(loss, str) and loss in BUILT_IN:
        return BUILT_IN[loss]
    if isinstance(loss, str) and user_code.is_own(loss):
        return OwnLoss(loss, user_code.load(loss))
    raise InputError(
        f"there is no loss {loss!r}",
        f"choose one of {', '.join(LOSSES)}, or give FILE.py:FUNCTION, or from Python a function",
    )
