"""Losses, and what else is measured of a batch: those that are built in, and the user's own function.

Every loss gives for a batch the `Terms` of its quantities: sums and a weight that add up over batches, so that a value does not depend on how
the data is cut into batches.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from losslandscape.core import user_code
from losslandscape.core.errors import InputError
from losslandscape.core.text import one_line
from losslandscape.data import samples
from losslandscape.data.samples import Batch

TARGETS = ("labels", "label", "targets", "target")  # what a dict may call it
IGNORED = -100  # PyTorch's mark of a token or pixel that does not count
TAKEN = (
    "loss",
    "loss_se",
    "loss_diff_se",
    "regularised_loss",
)  # names of quantities that a function may not give
SAMPLES, SAMPLE_WEIGHTS = OF_SAMPLES = (
    "samples",
    "sample_weights",
)  # what an own loss calls the losses of the single samples, and their weights in the mean

Net = Callable[..., object]


class Terms(NamedTuple):
    """What a batch adds to the means over all data.

    sums (k,): float64, of each quantity, the loss first. weight: a number, or a tensor (), that the sums are divided by in the end. samples (N,): the loss of
    each sample, with its weight in sample_weights (N,), None for 1; None where they are not known.
    """

    sums: Tensor
    weight: Tensor | float
    samples: Tensor | None = None
    sample_weights: Tensor | None = None


class Loss:
    """A loss and its further quantities. `of(net, batch)` gives the terms; `quantities(net, batch)` their names, the first `loss`."""

    name: str
    needs_gradients = False

    def of(self, net: Net, batch: Batch) -> Terms:
        raise NotImplementedError

    def quantities(self, net: Net, batch: Batch) -> list[str]:
        raise NotImplementedError

    def probe(self, net: Net, batch: Batch) -> Tensor:
        """Numbers by which two nets are compared."""
        raise NotImplementedError

    def finish(self, means: dict[str, float]) -> dict[str, float]:
        """The means, with what follows from them."""
        return means


@dataclass(frozen=True)
class BuiltIn(Loss):
    """A loss of a net's outputs and a target.

    measured: (outputs, target) -> values of each sample, each (N,), in the order of `names`, and the samples' weights (N,) or None. Weights may be
        booleans if the values are zero where they are False.
    target: of a batch; the rest of it goes to the net.
    """

    name: str
    names: tuple[str, ...]
    measured: Callable[[Tensor, Tensor], tuple[list[Tensor], Tensor | None]]
    target: Callable[[Batch], Tensor]
    derived: tuple[
        tuple[str, Callable[[float], float]], ...
    ] = ()  # quantities that follow from the mean loss

    def of(self, net: Net, batch: Batch) -> Terms:
        return self.of_outputs(self.outputs(net, batch), batch)

    def outputs(self, net: Net, batch: Batch) -> Tensor:
        """The net's logits or predictions, differentiable."""
        inputs = (
            {name: tensor for name, tensor in batch.items() if name not in TARGETS}
            if isinstance(batch, dict)
            else batch[:-1] or batch
        )
        found = net(**inputs) if isinstance(inputs, dict) else net(*inputs)
        found = found if isinstance(found, Tensor) else _logits(found)
        return found.float() if found.dtype in (torch.bfloat16, torch.float16) else found

    def of_outputs(self, outputs: Tensor, batch: Batch) -> Terms:
        values, weights = self.measured(outputs, self.target(batch))
        if weights is None or weights.dtype is torch.bool:  # values are zero where a sample does not count
            weight = len(values[0]) if weights is None else weights.count_nonzero()
            return Terms(torch.stack(values).sum(1, dtype=torch.float64), weight, values[0], weights)
        sums = [(value.double() * weights).sum() for value in values]
        return Terms(torch.stack(sums), weights.sum(dtype=torch.float64), values[0], weights)

    def quantities(self, net: Net, batch: Batch) -> list[str]:
        outputs, target = self.outputs(net, batch), self.target(batch)
        try:
            self.measured(outputs, target)
        except (RuntimeError, IndexError, ValueError) as error:
            raise InputError(
                f"the loss {self.name} does not take outputs of shape {list(outputs.shape)} ({outputs.dtype}) with a target of shape "
                f"{list(target.shape)} ({target.dtype}): {one_line(error)}; give data or a --loss_name that fits"
            ) from error
        return [*self.names, *dict(self.derived)]

    def probe(self, net: Net, batch: Batch) -> Tensor:
        return self.outputs(net, batch)

    def finish(self, means: dict[str, float]) -> dict[str, float]:
        return {**means, **{name: follow(means["loss"]) for name, follow in self.derived}}


class OwnLoss(Loss):
    """The user's function of net and batch.

    It returns the mean loss over the batch, or that and its weight (samples by default, or tokens), or besides these a dict of further means by
    name. A name `samples` is the loss of each sample, a tensor (N,), and `sample_weights` (N,) their weights in the mean, 1 by default. Gradients may be
    taken inside.
    """

    needs_gradients = True

    def __init__(self, spec: str, function: Callable[[Net, Batch], object]):
        self.name, self._function = spec, function
        self._what = f"--loss_name {spec}" if user_code.is_own(spec) else f"the loss {spec}"
        self._names: list[str] | None = None  # of the further values, as the first call gave them

    def of(self, net: Net, batch: Batch) -> Terms:
        mean, weight, more = self._call(net, batch)
        own = more.pop(SAMPLES, None), more.pop(SAMPLE_WEIGHTS, None)
        device = samples.tensors(batch)[0].device
        means = torch.stack(
            [torch.as_tensor(value, device=device).double().reshape(()) for value in (mean, *more.values())]
        )
        if isinstance(weight, Tensor):  # which may be zero, and a mean over nothing is no number
            weight = weight.detach().double().reshape(())
            return Terms(torch.where(weight > 0, means * weight, 0.0), weight, *own)
        return Terms(means * weight if weight else torch.zeros_like(means), float(weight), *own)

    def quantities(self, net: Net, batch: Batch) -> list[str]:
        _, _, more = self._call(net, batch)
        return ["loss", *(name for name in more if name not in OF_SAMPLES)]

    def probe(self, net: Net, batch: Batch) -> Tensor:
        return self.of(net, batch).sums

    def _call(self, net: Net, batch: Batch) -> tuple[object, object, dict[str, object]]:
        result = user_code.call(self._function, net, batch, what=self._what)
        given = result if isinstance(result, tuple) else (result,)
        if not 1 <= len(given) <= 3:
            self._refuse(f"a tuple of {len(given)}")
        mean, weight, more = (*given, *(None, samples.size(batch), {})[len(given) :])
        self._check(mean, weight, more, samples.size(batch))
        self._names = list(more) if self._names is None else self._names
        if set(more) != set(self._names):
            self._refuse(
                f"the values {', '.join(more) or 'none'} where it returned {', '.join(self._names) or 'none'} before"
            )
        return mean, weight, {name: more[name] for name in self._names}

    def _check(self, mean: object, weight: object, more: object, count: int) -> None:
        if not isinstance(more, dict):
            self._refuse(f"a {type(more).__name__} as the third value")
        for name, value in {"the loss": mean, "the weight": weight, **more}.items():
            if name in OF_SAMPLES and (not isinstance(value, Tensor) or value.shape != (count,)):
                self._refuse(f"{_described(value)} as {name}, where the batch has {count} samples")
            if (
                name not in OF_SAMPLES
                and not isinstance(value, int | float)
                and not (isinstance(value, Tensor) and value.numel() == 1 and not value.is_complex())
            ):
                self._refuse(f"{_described(value)} as {name}")
        for name in more:
            if not isinstance(name, str) or not name.isidentifier() or name in TAKEN:
                self._refuse(f"a value of the name {name!r}, which no quantity can have")

    def _refuse(self, what: str) -> None:
        raise InputError(
            f"{self._what} returned {what}; return the mean loss of the batch as a scalar, or (mean, weight), or "
            '(mean, weight, {"name": mean value})'
        )


def _described(value: object) -> str:
    return (
        f"a tensor of shape {list(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
    )


def _logits(outputs: object) -> Tensor:
    """Of a net that returns more than one tensor, as those of transformers do."""
    found = outputs.get("logits") if isinstance(outputs, dict) else getattr(outputs, "logits", None)
    if found is None and isinstance(outputs, tuple | list) and outputs:
        found = outputs[0]
    if not isinstance(found, Tensor):
        raise InputError(
            f"the net returned {_described(outputs)}; a built-in loss needs a tensor, a tuple that begins with one, or one called logits"
        )
    return found


# Targets ------------------------------------------------------------------------------------------------------------------


def _wide(tensor: Tensor) -> Tensor:
    """Integers of any kind as int64, which class numbers must be: in uint8, -100 is 156."""
    return tensor if tensor.is_floating_point() or tensor.is_complex() else tensor.long()


def _target(batch: Batch) -> Tensor:
    if not isinstance(batch, dict):
        return _wide(batch[-1])
    if name := next((name for name in TARGETS if name in batch), None):
        return _wide(batch[name])
    raise InputError(
        f"a batch has {', '.join(batch)} and none of {', '.join(TARGETS)}; name the target so, or give a loss of your own"
    )


def _next_tokens(batch: Batch) -> Tensor:
    """The token after each: the second of two tensors, or else those of `labels` or `input_ids`, or of the only tensor, moved by one."""
    if not isinstance(batch, dict):
        if len(batch) == 2:
            return _wide(batch[1])
        tokens = _wide(batch[0])
    elif any(name in batch for name in TARGETS):
        tokens = _target(batch)
    elif "input_ids" in batch:
        tokens = _wide(batch["input_ids"])
        if "attention_mask" in batch:
            tokens = tokens.masked_fill(batch["attention_mask"] == 0, IGNORED)
    else:
        raise InputError(
            f"a batch has {', '.join(batch)} and neither input_ids nor labels; name the tokens so, or give a loss of your own"
        )
    return F.pad(tokens[:, 1:], (0, 1), value=IGNORED)


# What is measured of each sample ------------------------------------------------------------------------------------------


def sample_losses(name: str, logits: Tensor, labels: Tensor) -> Tensor:
    """The two losses of the published program, of each sample, differentiable: logits (N, classes), labels (N,) -> (N,).

    `crossentropy` is that of the logits; `mse` is the mean over classes of (softmax(logits) - one-hot label)^2.
    """
    if name == "crossentropy":
        return F.cross_entropy(logits, labels, reduction="none")
    if name == "mse":
        one_hot = F.one_hot(labels.clamp(min=0), logits.shape[1]).movedim(-1, 1)
        return (logits.softmax(1) - one_hot).square().mean(1)
    raise ValueError(f"unknown loss {name!r}; choose from crossentropy, mse")


def _classification(
    name: str, best: int = 0
) -> Callable[[Tensor, Tensor], tuple[list[Tensor], Tensor | None]]:
    """Loss and accuracy, and accuracy of the `best` classes; of every pixel or position where there are several."""

    def measured(logits: Tensor, labels: Tensor) -> tuple[list[Tensor], Tensor | None]:
        counted = labels != IGNORED
        values = [sample_losses(name, logits, labels), torch.where(logits.argmax(1) == labels, 100.0, 0.0)]
        if name == "mse":
            values[0] = values[0] * counted
        if best:
            values.append(
                100.0 * (logits.topk(min(best, logits.shape[1]), 1).indices == labels.unsqueeze(1)).any(1)
            )
        return _over_positions(values, counted)

    return measured


def _token_losses(logits: Tensor, labels: Tensor) -> tuple[list[Tensor], Tensor | None]:
    losses = F.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), reduction="none", ignore_index=IGNORED
    ).view_as(labels)
    return _over_positions([losses], labels != IGNORED)


def _over_positions(values: list[Tensor], counted: Tensor) -> tuple[list[Tensor], Tensor]:
    """The mean of each sample over the positions that count, and their number; a sample may be one position."""
    if counted.dim() == 1:
        return values, counted
    counted = counted.flatten(1)
    weights = counted.sum(1)
    return [(value.flatten(1) * counted).sum(1) / weights.clamp(min=1) for value in values], weights


def _regression(distance: Callable[..., Tensor]) -> Callable[[Tensor, Tensor], tuple[list[Tensor], None]]:
    """A distance of predictions and targets of as many numbers, a mean over the numbers of a sample."""

    def measured(outputs: Tensor, target: Tensor) -> tuple[list[Tensor], None]:
        if outputs.numel() != target.numel():
            raise ValueError("they differ in size")
        values = distance(outputs, target.to(outputs.dtype).view_as(outputs), reduction="none")
        return [values.flatten(1).mean(1) if values.dim() > 1 else values], None

    return measured


def _binary(outputs: Tensor, target: Tensor) -> tuple[list[Tensor], None]:
    (losses,), _ = _regression(F.binary_cross_entropy_with_logits)(outputs, target)
    right = 100.0 * ((outputs > 0) == (target.view_as(outputs) > 0.5))
    return [losses, right.flatten(1).mean(1) if right.dim() > 1 else right], None


def _perplexity(loss: float) -> float:
    return math.exp(loss) if loss < 700 else math.inf if loss >= 700 else math.nan


BUILT_IN = {
    loss.name: loss
    for loss in (
        BuiltIn("crossentropy", ("loss", "acc"), _classification("crossentropy"), _target),
        BuiltIn("mse", ("loss", "acc"), _classification("mse"), _target),
        BuiltIn(
            "crossentropy_top5", ("loss", "acc", "top5"), _classification("crossentropy", best=5), _target
        ),
        BuiltIn("next_token", ("loss",), _token_losses, _next_tokens, derived=(("perplexity", _perplexity),)),
        BuiltIn("regression_mse", ("loss",), _regression(F.mse_loss), _target),
        BuiltIn("l1", ("loss",), _regression(F.l1_loss), _target),
        BuiltIn("bce", ("loss", "acc"), _binary, _target),
    )
}
LOSSES = tuple(BUILT_IN)
PUBLISHED = ("crossentropy", "mse")
CLASSIFICATIONS = ("crossentropy", "mse", "crossentropy_top5")


def find(loss: "str | Loss | Callable[[Net, Batch], object]") -> Loss:
    """The loss of that name, or of that function, given as such or as FILE.py:FUNCTION. Raises `InputError` if there is none."""
    if isinstance(loss, Loss):
        return loss
    if callable(loss):
        return OwnLoss(getattr(loss, "__name__", "loss"), loss)
    if isinstance(loss, str) and loss in BUILT_IN:
        return BUILT_IN[loss]
    if isinstance(loss, str) and user_code.is_own(loss):
        return OwnLoss(loss, user_code.load(loss))
    raise InputError(
        f"there is no loss {loss!r}; choose one of {', '.join(LOSSES)}, or give FILE.py:FUNCTION, or from Python a function"
    )
