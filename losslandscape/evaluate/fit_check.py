"""Checks, on a few samples before a long run, that net, data and loss fit together."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from losslandscape.core.errors import InputError
from losslandscape.core.text import one_line, shortlist, with_type
from losslandscape.data import samples, structure
from losslandscape.data.image_set import ImageSet
from losslandscape.data.own_batches import OwnBatches
from losslandscape.data.samples import Batch, Samples, SampleSet
from losslandscape.data.structure import by_name, columns, is_named, leaves
from losslandscape.evaluate.batch_stream import batches
from losslandscape.evaluate.loss import Loss, Terms
from losslandscape.evaluate.losses import BuiltIn, is_classification
from losslandscape.evaluate.standard_error import standard_errors
from losslandscape.evaluate.targets import IGNORED
from losslandscape.evaluate.totals import gradient_mode, total_terms
from losslandscape.nets.net_state import unchanged_state

MAX_ESTIMATE_SAMPLES = 1000  # the most samples for an estimate
ESTIMATE_BATCH = 100  # the default batch size for an estimate
SAMPLES_TO_TRY = 8  # the samples of the batch that shows whether a loss returns the loss of each sample
ROUNDING = 1e-2  # the largest relative error of a mean in half precision
SHAPES_SHOWN = 6  # tensors of a batch that a message describes
MAX_ACCURACY_DROP = 5.0  # percent: a warning is given only if the accuracy is lower by more


def check_data(net: nn.Module, data: Samples, loss: Loss, model: str) -> list[str]:
    """Try the loss on one or two samples, and return the names of its quantities.

    Args:
        net: the net, which is put into evaluation mode.
        data: the samples, on the net's device or on the CPU.
        loss: the loss to try.
        model: the net's name in messages.

    Raises:
        InputError: if the net or the loss does not take the data, or if the data has a class without an
            output of the net.
    """
    two = data.take(np.arange(min(2, len(data))))
    batch = _first_batch(net, two, 2)
    net.eval()
    if isinstance(data, ImageSet) and isinstance(loss, BuiltIn):
        _check_images(net, data, batch, model)
    try:
        with gradient_mode(loss), unchanged_state(net):
            if is_classification(loss) and not isinstance(data, ImageSet):
                _check_classes(data, loss, classes=loss.outputs(net, batch).shape[1])
            names = loss.quantities(net, batch)
    except InputError:
        raise
    except Exception as error:  # the net's own code may raise anything
        raise InputError(
            f"{model} does not take a batch of the data, of shapes {_shapes(batch)} ({with_type(error)})",
            "give data of the form that the net takes, or a loss of your own that calls it",
        ) from error
    if isinstance(data, OwnBatches) and len(data.batches) > 1 and not (data.counted or loss.weighs):
        raise InputError(
            f"nothing tells how many samples a batch of the data holds, of type {type(batch).__name__}",
            "let the loss return (mean, weight), where the weight is the number of samples",
        )
    return names


def require_sample_losses(net: nn.Module, sets: dict[str, Samples], loss: Loss) -> None:
    """Raise `InputError` unless the loss returns the loss of each sample, which standard errors need.

    The mean of these losses must equal the mean that the loss returns.
    """
    batch = _first_batch(net, next(iter(sets.values())), SAMPLES_TO_TRY)
    with gradient_mode(loss), unchanged_state(net):
        terms = loss.of(net, batch)
    if terms.samples is None:
        raise InputError(
            f"standard errors need the loss of each sample, which the loss {loss.name} does not return",
            "let it return (mean, weight, {{'samples': losses}}), or leave {errors:True} out",
        )
    mean, mean_of_samples = _two_means(terms)
    if math.isfinite(mean) and not math.isclose(mean, mean_of_samples, rel_tol=ROUNDING):
        raise InputError(
            f"the loss {loss.name} returns the mean {mean:.6g} of a batch, "
            f"and its 'samples' have the mean {mean_of_samples:.6g}",
            "let it return 'sample_weights' beside them, or samples that have its mean, "
            "or leave {errors:True} out",
        )


@dataclass(frozen=True)
class Estimate:
    """An estimate of the loss and accuracy of a net, from some samples of a dataset.

    Attributes:
        loss: the mean loss.
        error: the standard error of the mean over the whole dataset; None for a single sample, or if the loss
            does not return the loss of each sample.
        accuracy: the accuracy in percent; None if the loss is not one of classification.
        samples: the number of samples in the estimate.
    """

    loss: float
    error: float | None
    accuracy: float | None
    samples: int

    def far_below(self, recorded: float) -> bool:
        """Return whether the accuracy is below `recorded` by more than 5 points and 3 standard errors."""
        if self.accuracy is None:
            return False
        # The standard error of a share is largest at 50 %.
        largest_error = 50 / self.samples**0.5
        return recorded - self.accuracy > max(MAX_ACCURACY_DROP, 3 * largest_error)


def estimate(net: nn.Module, data: Samples, loss: Loss, *, batch_size: int | None = None) -> Estimate:
    """Estimate loss and accuracy on samples spread over the data, because the data may be sorted by class."""
    tried = samples.spread(data, MAX_ESTIMATE_SAMPLES)
    net.eval()
    with gradient_mode(loss), unchanged_state(net):
        terms = total_terms(
            net,
            tried,
            loss,
            batch_size=batch_size or ESTIMATE_BATCH,
            device=next(net.parameters()).device,
            keep_samples=True,
        )
    means = (terms.sums / terms.weight).tolist()
    accuracy = means[1] if is_classification(loss) else None
    return Estimate(means[0], _error(terms, share=len(tried) / len(data)), accuracy, len(tried))


def first_not_finite(
    net: nn.Module, data: Samples, loss: Loss, *, batch_size: int | None = None
) -> range | None:
    """Return the index of the first sample whose loss is not finite, as a range; None if all are finite.

    If a batch has such a loss and none of its samples has it alone, return the indices of the batch.
    """
    device = next(net.parameters()).device
    start = 0
    with gradient_mode(loss), unchanged_state(net):
        for batch in batches(data, batch_size or ESTIMATE_BATCH, device):
            count = structure.size(batch) or 1
            if not loss.of(net, batch).sums[0].isfinite():
                rows = range(start, start + count)
                culprits = (row for row in rows if _is_not_finite(net, data, loss, row))
                first = next(culprits, None)
                return rows if first is None else range(first, first + 1)
            start += count
    return None


def _is_not_finite(net: nn.Module, data: Samples, loss: Loss, row: int) -> bool:
    """Return whether the loss of a sample alone is not finite; False if net or loss need more samples."""
    (batch,) = batches(data.take(np.array([row])), 1, next(net.parameters()).device)
    try:
        return not loss.of(net, batch).sums[0].isfinite()
    except Exception:  # the user's code may raise anything
        return False


def _error(terms: Terms, *, share: float) -> float | None:
    """Return the standard error of the mean over all data, from the terms of a share of the data."""
    if terms.samples is None or len(terms.samples) < 2:
        return None
    error, _ = standard_errors(terms.samples, terms.samples, terms.sample_weights)
    return error * share**0.5


def _first_batch(net: nn.Module, data: Samples, size: int) -> Batch:
    return next(iter(batches(data, size, next(net.parameters()).device)))


def _check_images(net: nn.Module, data: ImageSet, batch: Batch, model: str) -> None:
    """Raise `InputError` if the net does not take the images, or has fewer outputs than there are classes."""
    assert isinstance(batch, tuple)
    try:
        with torch.no_grad(), unchanged_state(net):
            outputs = net(batch[0])
    except Exception as error:  # the net's own code may raise anything
        shape = "x".join(map(str, data.images.shape[1:]))
        raise InputError(
            f"{model} does not take images of shape {shape} ({one_line(error)})",
            "the built-in nets take 3x32x32",
        ) from error
    if not isinstance(outputs, Tensor) or outputs.dim() != 2:
        return
    classes = outputs.shape[1]
    if data.num_classes > classes:
        raise InputError(
            f"the data has {data.num_classes} classes and {model} has {classes} outputs",
            f"give data with at most {classes} classes",
        )


def _check_classes(data: SampleSet | OwnBatches, loss: BuiltIn, *, classes: int) -> None:
    """Raise `InputError` if an integer target is neither a class of the net nor `IGNORED`."""
    for chunk in data.chunks:
        target = loss.target(chunk)
        if target.is_floating_point():
            return  # the loss itself refuses a floating-point target
        wrong = target[(target != IGNORED) & ((target < 0) | (target >= classes))]
        if len(wrong):
            raise InputError(
                f"the data has a target of {wrong[0].item():g}, and the net has classes 0 to {classes - 1}",
                f"give class numbers in that range, or {IGNORED} for targets to ignore",
            )


def _two_means(terms: Terms) -> tuple[float, float]:
    """Return the mean that the loss returns for a batch, and the mean of its samples' losses."""
    assert terms.samples is not None
    mean = (terms.sums[0] / terms.weight).detach()
    if terms.sample_weights is None:
        return float(mean), float(terms.samples.detach().mean())
    weighted = (terms.sample_weights * terms.samples).sum() / terms.sample_weights.sum()
    return float(mean), float(weighted.detach())


def _shapes(batch: Batch) -> str:
    """Describe the first tensors of a batch, by name if they have names."""
    parts: dict[object, object] = dict(leaves(batch))
    if is_named(batch):
        parts = by_name(batch)
    elif columns(batch):
        parts = dict(enumerate(batch))
    texts = [
        f"{'' if isinstance(name, int) else f'{name} '}{list(part.shape)}"
        for name, part in parts.items()
        if isinstance(part, Tensor)
    ]
    return shortlist(texts, SHAPES_SHOWN)
