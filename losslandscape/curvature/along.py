"""The slope and the curvature of the mean loss along given directions, with standard errors over the samples.

Both are central differences of each sample's loss l_i, with a step h along the unit vector v:

    slope_i = (l_i(h) - l_i(-h)) / (2 h)        curvature_i = (l_i(h) - 2 l_i(0) + l_i(-h)) / h^2

A copy of the net in float64 computes the losses, because in float32 rounding would hide the curvature along
most directions: it is about the mean eigenvalue, which is a 1e-5 part of the largest one in a trained net.

The step is that along which the curvature changes the loss by half a percent, within `STEPS` of the weights'
norm. A longer step meets the fourth derivative along sharp directions. A shorter one meets few kinks of ReLU
nets along flat directions, which makes the standard error larger.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from losslandscape.core.errors import InputError
from losslandscape.core.random_state import fixed_randomness
from losslandscape.core.text import one_line
from losslandscape.core.user_code import OwnCodeError
from losslandscape.curvature.hess_vec_prod import BATCH_SIZE, Curvature
from losslandscape.data.samples import Batch, Samples
from losslandscape.data.structure import each
from losslandscape.evaluate.loss import Loss, Net, Terms
from losslandscape.evaluate.standard_error import standard_errors
from losslandscape.evaluate.totals import gradient_mode, total_terms
from losslandscape.nets.net_state import unchanged_state

# The shortest and the longest step, of the weights' norm. At the shortest one, half of the digits are lost to
# rounding (Press et al., Numerical Recipes, section 5.7).
STEPS = torch.finfo(torch.float64).eps ** 0.25, 1e-2
LOSS_SHARE = 0.01  # step^2 times curvature, of the loss at the net


@dataclass(frozen=True)
class Along:
    """The mean loss at the net, along one direction of length 1.

    Attributes:
        slope, slope_error: the first derivative and its standard error.
        curvature, curvature_error: the second difference and its standard error.
        product: v . H v, by a product with the Hessian H.
        step: h of the differences.

    An error is None if the loss does not return the loss of each sample.
    """

    slope: float
    slope_error: float | None
    curvature: float
    curvature_error: float | None
    product: float
    step: float


class LossesAlong:
    """The losses of a copy of a net in float64, at places along directions.

    Args:
        net: the net.
        names: the parameters that move.
        data: the samples, on the net's device or on the CPU.
        loss: the loss of a batch.
        batch_size: number of samples in memory at a time.
        fix_randomness: whether every place gets the same random numbers.
    """

    def __init__(
        self,
        net: nn.Module,
        names: tuple[str, ...],
        data: Samples,
        loss: Loss,
        *,
        batch_size: int | None = None,
        fix_randomness: bool = False,
    ):
        self._net, self._data, self._loss = copy.deepcopy(net).double().eval(), data, loss
        self._batch_size, self._fix_randomness = batch_size or BATCH_SIZE, fix_randomness
        parameters = dict(self._net.named_parameters())
        self._moved = [parameters[name] for name in names]
        self._start = parameters_to_vector(self._moved).detach()
        self._length = float(torch.linalg.vector_norm(self._start)) or 1.0
        self._centre = self._first_losses()

    def step(self, curvature: float) -> float:
        """Return the step for a direction of about this curvature."""
        shortest, longest = (share * self._length for share in STEPS)
        loss = abs(_mean(self._centre))
        wanted = (LOSS_SHARE * loss / abs(curvature)) ** 0.5 if curvature else longest
        return min(max(wanted, shortest), longest)

    def derivatives(self, vector: Tensor, step: float) -> tuple[list[float], list[float | None]]:
        """Return slope and curvature along a vector (n,) of length 1, and their standard errors."""
        before, after = (self._at(sign * step * vector.double()) for sign in (-1, 1))
        means, errors = [], []
        for shape, scale in (((-1, 0, 1), 2 * step), ((1, -2, 1), step**2)):
            places = list(zip(shape, (before, self._centre, after), strict=True))
            means.append(sum(f * _mean(terms) for f, terms in places) / scale)
            errors.append(_error([(f / scale, terms) for f, terms in places]))
        return means, errors

    def _first_losses(self) -> Terms:
        try:
            return self._at(torch.zeros_like(self._start))
        except (RuntimeError, OwnCodeError) as error:
            fault = f"the net or the loss {self._loss.name} does not compute in float64 ({one_line(error)})"
            raise InputError(
                fault, "leave {along} out, or let it make tensors of its weights' type"
            ) from error

    def _at(self, step: Tensor) -> Terms:
        with torch.no_grad():
            vector_to_parameters(self._start + step, self._moved)
        with (
            gradient_mode(self._loss),
            unchanged_state(self._net),
            fixed_randomness(self._fix_randomness),
        ):
            return total_terms(
                self._net,
                self._data,
                _InFloat64(self._loss),
                batch_size=self._batch_size,
                device=self._start.device,
                keep_samples=True,
            )


def curvature_along(
    matrix: Curvature, losses: LossesAlong, vectors: Mapping[str, Tensor]
) -> dict[str, Along]:
    """Return slope and curvature along vectors (n,), by their names. A vector may have any length but zero.

    Raises:
        InputError: if the length of a vector is zero or not finite.
    """
    found = {}
    for name, vector in vectors.items():
        length = float(torch.linalg.vector_norm(vector.double()))
        if not 0 < length < float("inf"):
            fault = f"the direction {name} has length {length:g} in the parameters of the matrix"
            raise InputError(fault, "leave it out, or give other {params} or {all_parameters:True}")
        unit = (vector.double() / length).to(matrix.dtype)
        product = float(torch.dot(unit.double(), matrix(unit).double()))
        step = losses.step(product)
        (slope, curvature), (slope_error, curvature_error) = losses.derivatives(unit, step)
        found[name] = Along(slope, slope_error, curvature, curvature_error, product, step)
    return found


class _InFloat64(Loss):
    """A loss that gets every floating-point tensor of a batch in float64."""

    def __init__(self, loss: Loss):
        self._loss = loss

    def of(self, net: Net, batch: Batch) -> Terms:
        return self._loss.of(net, each(batch, _widened))


def _widened(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def _mean(terms: Terms) -> float:
    return float(terms.sums[0] / terms.weight)


def _error(places: list[tuple[float, Terms]]) -> float | None:
    """Return the standard error of a weighted sum of means of the same samples; None if these are unknown."""
    samples = [factor * terms.samples for factor, terms in places if terms.samples is not None]
    if len(samples) < len(places):
        return None
    total = torch.stack(samples).sum(0)
    return standard_errors(total, total, places[0][1].sample_weights)[0]
