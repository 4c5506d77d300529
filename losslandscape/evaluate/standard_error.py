"""Computes standard errors of a mean loss from the spread of the samples' losses."""

import torch
from torch import Tensor


def standard_errors(losses: Tensor, centre: Tensor, weights: Tensor | None = None) -> list[float]:
    """Return the standard errors of a mean loss, and of its difference from the mean of other losses.

    Args:
        losses: (N,) the loss of each sample.
        centre: (N,) other losses of the same samples, such as the losses at the centre of a surface.
        weights: (N,) the weights of the samples in the mean; None if all weights are 1.
    """
    if weights is None:
        weights = torch.ones_like(losses)
    errors = [_error_of_mean(values, weights) for values in (losses, losses - centre)]
    return torch.stack(errors).tolist()


def _error_of_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return the standard error of a weighted mean m = sum(w x) / sum(w); NaN for a single sample.

    It is sqrt(n / (n - 1) sum(w^2 (x - m)^2)) / sum(w) (Cochran 1977, section 6.3).
    """
    count = len(values)
    correction = count / (count - 1) if count > 1 else torch.nan
    mean = (weights * values).sum() / weights.sum()
    squares = (weights * (values - mean)).square().sum()
    return squares.mul(correction).sqrt() / weights.sum()
