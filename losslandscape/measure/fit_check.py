"""Do net, data and loss fit together? They are tried on a few samples before a long run."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from losslandscape.core.errors import InputError
from losslandscape.core.text import one_line
from losslandscape.data.dataloader import ImageSet
from losslandscape.data.samples import Batch, Samples, SampleSet
from losslandscape.measure import losses
from losslandscape.measure.loss import Loss
from losslandscape.measure.standard_error import standard_errors
from losslandscape.measure.targets import IGNORED
from losslandscape.measure.totals import gradient_mode, total_terms

TRIED_SAMPLES = 1000  # at most, for an estimate
TRIED_BATCH = 100
SOME = 8  # samples, of which to see what a loss tells of each
ROUNDING = 1e-2  # of a mean in half precision


def check_data(net: nn.Module, data: Samples, loss: Loss, model: str) -> list[str]:
    """The names of the quantities of this loss, tried on a sample or two. Raises `InputError` if `net` (named `model`) does not take the data.

    Also if it has fewer outputs than images have classes.
    """
    batch = data.prepared(next(data.take(np.arange(min(2, len(data)))).raw_batches(2)))
    net.eval()
    if isinstance(data, ImageSet) and isinstance(loss, losses.BuiltIn):
        _check_images(net, data, batch, model)
    try:
        with gradient_mode(loss):
            if loss.name in losses.CLASSIFICATIONS and isinstance(data, SampleSet):
                _check_classes(data, loss, loss.outputs(net, batch).shape[1])
            return loss.quantities(net, batch)
    except InputError:
        raise
    except Exception as error:  # whatever the net's own code meets
        shapes = ", ".join(
            f"{name + ' ' if isinstance(batch, dict) else ''}{list(tensor.shape)}"
            for name, tensor in (batch.items() if isinstance(batch, dict) else enumerate(batch))
        )
        raise InputError(
            f"{model} does not take a batch of the data, of shapes {shapes} ({type(error).__name__}: {one_line(error)}); give data of the form "
            "that the net takes, or a loss of your own that calls it"
        ) from error


def _check_images(net: nn.Module, data: ImageSet, batch: Batch, model: str) -> None:
    try:
        with torch.no_grad():
            outputs = net(batch[0])
    except Exception as error:  # whatever the net's own code meets
        shape = "x".join(map(str, data.images.shape[1:]))
        raise InputError(
            f"{model} does not take images of shape {shape} ({one_line(error)}); the built-in nets take 3x32x32"
        ) from error
    if isinstance(outputs, Tensor) and outputs.dim() == 2 and data.num_classes > outputs.shape[1]:
        raise InputError(
            f"the data has {data.num_classes} classes and {model} tells {outputs.shape[1]} apart; give data with at most {outputs.shape[1]}"
        )


def _check_classes(data: SampleSet, loss: Loss, classes: int) -> None:
    for chunk in data.chunks:
        target = loss.target(chunk)
        if target.is_floating_point():
            return  # the loss itself says so
        wrong = target[(target != IGNORED) & ((target < 0) | (target >= classes))]
        if len(wrong):
            raise InputError(
                f"the data has a target of {wrong[0].item():g}, and the net tells classes 0 to {classes - 1} apart; give class numbers in that range, or "
                f"{IGNORED} for what does not count"
            )


def require_sample_losses(net: nn.Module, sets: dict[str, Samples], loss: Loss) -> None:
    """Raise `InputError` if the loss does not tell that of each sample, which standard errors need, or those are not what its mean is of."""
    data = next(iter(sets.values()))
    with gradient_mode(loss):
        found = loss.of(net, data.prepared(next(data.raw_batches(SOME))))
    if found.samples is None:
        raise InputError(
            f"--errors, or errors=True from Python, needs the loss of each sample, which the loss {loss.name} does not tell; let it return "
            "(mean, weight, {'samples': losses})"
        )
    weights = torch.ones_like(found.samples) if found.sample_weights is None else found.sample_weights
    mean, of_samples = (
        float(value.detach())
        for value in (found.sums[0] / found.weight, (weights * found.samples).sum() / weights.sum())
    )
    if math.isfinite(mean) and not math.isclose(mean, of_samples, rel_tol=ROUNDING):
        raise InputError(
            f"--errors, or errors=True from Python: the loss {loss.name} gives the mean {mean:.6g} of a batch, and its 'samples' have the mean "
            f"{of_samples:.6g}; let it return 'sample_weights' beside them, or samples whose mean it is"
        )


@dataclass(frozen=True)
class Estimate:
    """What a net does on some of the data.

    loss: the mean. error: the standard error that the mean over all of the data would have; None where the loss does not tell that of each sample.
    accuracy: in percent, None if the loss is not of a classification. samples: how many were tried.
    """

    loss: float
    error: float | None
    accuracy: float | None
    samples: int

    def far_below(self, recorded: float) -> bool:
        """Whether the accuracy is more than 5 points, and more than three standard errors of the samples tried, below the recorded one."""
        return self.accuracy is not None and recorded - self.accuracy > max(5.0, 3 * 50 / self.samples**0.5)


def estimate(net: nn.Module, data: Samples, loss: Loss, *, batch_size: int | None = None) -> Estimate:
    """The loss of the net, on its device, on samples spread over the data: a folder's images are sorted by class."""
    tried = data.take(np.linspace(0, len(data) - 1, min(len(data), TRIED_SAMPLES)).astype(int))
    net.eval()
    with gradient_mode(loss):
        found = total_terms(
            net,
            tried,
            loss,
            batch_size=batch_size or TRIED_BATCH,
            device=next(net.parameters()).device,
            keep_samples=True,
        )
    means = (found.sums / found.weight).tolist()
    error = (
        None
        if found.samples is None
        else standard_errors(found, found.samples)[0] * (len(tried) / len(data)) ** 0.5
    )
    return Estimate(means[0], error, means[1] if loss.name in losses.CLASSIFICATIONS else None, len(tried))
