"""Standard errors of a mean loss, from the spread of the samples' losses."""

import torch
from torch import Tensor

from losslandscape.measure.loss import Terms


def standard_errors(terms: Terms, centre: Tensor) -> list[float]:
    """The standard errors of the mean loss, and of its difference from the mean of other losses.

    Args:
        terms: with the loss of each sample (N,).
        centre: (N,) other losses of the same samples, such as those at the centre of a surface.
    """
    losses = terms.samples
    weights = torch.ones_like(losses) if terms.sample_weights is None else terms.sample_weights
    errors = [_error_of_mean(values, weights) for values in (losses, losses - centre)]
    return torch.stack(errors).tolist()


def _error_of_mean(values: Tensor, weights: Tensor) -> Tensor:
    """The standard error of a weighted mean m = sum(w x) / sum(w); NaN for a single sample.

    It is sqrt(n / (n - 1) sum(w^2 (x - m)^2)) / sum(w) (Cochran 1977, section 6.3).
    """
    count = len(values)
    correction = count / (count - 1) if count > 1 else torch.nan
    mean = (weights * values).sum() / weights.sum()
    squares = (weights * (values - mean)).square().sum()
    return squares.mul(correction).sqrt() / weights.sum()
