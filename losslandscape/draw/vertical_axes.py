"""Chooses the quantities and the scale of the vertical axes of 1-D figures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from losslandscape.core import quantity
from losslandscape.core.errors import InputError
from losslandscape.core.quantity import LOG_RATIO
from losslandscape.draw.drawable import describe_beyond, describe_no_logarithm, finite, positive
from losslandscape.draw.labels import label, value_label
from losslandscape.files.surface import Surface

LOSS_COLOUR, PERCENTAGE_COLOUR = "tab:blue", "tab:red"
LOSSES = ("train_loss", "test_loss")
ACCURACIES = ("train_acc", "test_acc")
LOSS_MAX = 5.0  # the published program's top of the loss axis
PERCENT = (-2.0, 102.0)  # the frame would hide a line at 0 or 100
LEAST_USED = 0.2  # share of an axis that curves use at least; otherwise the axis is fitted to them
MIN_WITHIN = 3  # values within an axis; fewer do not show a curve
CONSTANT = 1e-6  # relative range of float32 noise: fitting an axis to it would show only noise
MARGIN = 0.05  # of a fitted axis, relative to the range of its values

Limits = tuple[float, float]
EVERYWHERE = (-np.inf, np.inf)  # ends of a horizontal axis


@dataclass(frozen=True)
class VerticalAxis:
    """A vertical axis that shows some quantities of surfaces.

    Args:
        names: the quantities.
        label: the text beside the axis.
        colour: the colour of the curves.
        limits: the ends of the axis; None to follow the data.
        log: whether the axis is logarithmic.
        error: whether to draw accuracies as errors, 100 minus the value.
        is_cut: whether values may lie beyond the limits, so that a note counts them.
    """

    names: tuple[str, ...]
    label: str
    colour: str = LOSS_COLOUR
    limits: Limits | None = None
    log: bool = False
    error: bool = False
    is_cut: bool = False

    def values(self, surface: Surface, name: str) -> np.ndarray:
        """Return the values to draw for a quantity; NaN makes a gap in the curve."""
        values = finite(surface.get(name))
        values = 100 - values if self.error else values
        return positive(values) if self.log else values

    def names_in(self, surface: Surface) -> list[str]:
        """Return the quantities of this axis that a surface has."""
        return [name for name in self.names if name in surface.names]

    def all_values(self, surfaces: Sequence[Surface], x_range: Limits = EVERYWHERE) -> np.ndarray:
        """Return all finite values that the axis shows between the ends of the horizontal axis."""
        arrays = [np.empty(0)]
        for surface in surfaces:
            is_inside = (surface.x >= x_range[0]) & (surface.x <= x_range[1])
            arrays += [self.values(surface, name)[is_inside] for name in self.names_in(surface)]
        values = np.concatenate(arrays)
        return values[np.isfinite(values)]

    def fitted_to(self, surfaces: Sequence[Surface], x_range: Limits) -> "VerticalAxis":
        """Return this axis with limits fitted to all values and their bands of standard errors."""
        ends = self.all_values(surfaces, x_range)
        for surface in surfaces:
            is_inside = (surface.x >= x_range[0]) & (surface.x <= x_range[1])
            for name in self.names_in(surface):
                error = quantity.standard_error(name)
                if error in surface.names:
                    values, half = self.values(surface, name), finite(surface.get(error))
                    band = np.concatenate([values - half, values + half])[np.tile(is_inside, 2)]
                    ends = np.concatenate([ends, positive(band) if self.log else band])
        return replace(self, limits=fitted(ends[np.isfinite(ends)], log=self.log))

    def describe_hidden(self, surface: Surface) -> list[str]:
        """Describe the values that a log scale or the limits hide, except losses beyond the limits."""
        texts = []
        for name in self.names_in(surface):
            values = finite(surface.get(name))
            text = None
            if self.log:
                text = describe_no_logarithm(values)
            elif quantity.is_percentage(name):
                text = describe_beyond(values, *PERCENT)
            elif self.limits and self.is_cut:
                text = describe_beyond(values, *self.limits)
            if text:
                texts.append(f"{label(name)}: {text}")
        return texts


def loss_axis(
    surfaces: Sequence[Surface],
    *,
    loss_max: float | None = None,
    log: bool = False,
    x_range: Limits = EVERYWHERE,
) -> VerticalAxis:
    """Return the axis of training and test loss.

    It goes from 0 to `loss_max`. Without `loss_max`, it goes from 0 to `LOSS_MAX` if the curves use at least
    a fifth of that, with 3 points or more; otherwise it is fitted to them (`fitted`). It is also fitted if it
    is logarithmic, if a loss is negative, or if no loss is below its top. A fitted axis above the top is
    logarithmic if its range exceeds two orders of magnitude.

    Raises:
        InputError: `log` is true, and no loss is positive.
    """
    axis = VerticalAxis(_present(surfaces, *LOSSES), "loss", log=log)
    if log and axis.names and not axis.all_values(surfaces).size:
        raise InputError("no loss is positive, so a log scale has nothing to show", "leave {log} out")
    if log:
        return axis.fitted_to(surfaces, x_range)
    values = axis.all_values(surfaces, x_range)
    top = LOSS_MAX if loss_max is None else loss_max
    serves = not values.size or 0 <= values.min() < top
    if serves and (loss_max is not None or _uses(values, (0.0, top)) or fitted(values) is None):
        return replace(axis, limits=(0.0, top))
    is_log = bool(0 < values.min() < values.max() / LOG_RATIO and values.max() > top)
    return replace(axis, log=is_log).fitted_to(surfaces, x_range)


def accuracy_axis(
    surfaces: Sequence[Surface], x_range: Limits = EVERYWHERE, *, error: bool = False
) -> VerticalAxis:
    """Return the axis of training and test accuracy or error: 0 to 100 %, unless that wastes four fifths."""
    text = "error (%)" if error else "accuracy (%)"
    axis = VerticalAxis(_present(surfaces, *ACCURACIES), text, PERCENTAGE_COLOUR, error=error)
    return replace(axis, limits=_percent_limits(axis.all_values(surfaces, x_range)))


def value_axis(
    surfaces: Sequence[Surface], value: str, *, log: bool = False, x_range: Limits = EVERYWHERE
) -> VerticalAxis:
    """Return the axis of any other value: of training, of test, or of no part of the data.

    The axis is logarithmic if all values are positive and their range exceeds two orders of magnitude. It is
    always linear for a percentage.

    Args:
        surfaces: the surfaces to draw.
        value: the value, as a quantity without its part of the data.
        log: whether to make the axis logarithmic also for every positive loss.
        x_range: the ends of the horizontal axis.
    """
    names = _present(surfaces, f"train_{value}", f"test_{value}", value)
    axis = VerticalAxis(names, value_label(value))
    values = axis.all_values(surfaces, x_range)
    if quantity.is_percentage(value):
        return replace(axis, colour=PERCENTAGE_COLOUR, limits=_percent_limits(values))
    if not values.size or values.min() <= 0:
        return axis.fitted_to(surfaces, x_range)
    is_wide = values.max() / LOG_RATIO > values.min()
    is_log = bool(is_wide or (log and quantity.is_loss(value)))
    return replace(axis, log=is_log).fitted_to(surfaces, x_range)


def fitted(values: np.ndarray, *, log: bool = False) -> Limits | None:
    """Return limits that hold all values, with a margin; None for no values or a constant.

    A linear axis starts at zero if zero is nearer to the values than their range is wide.
    """
    if not values.size or np.ptp(values) <= CONSTANT * np.abs(values).max():
        return None
    low, high = float(values.min()), float(values.max())
    if log:
        margin = math.exp(MARGIN * (math.log(high) - math.log(low)))
        return low / margin, high * margin
    margin = MARGIN * (high - low)
    return (0.0 if 0 <= low <= high - low else low - margin), high + margin


def other_values(surfaces: Sequence[Surface]) -> list[str]:
    """Return the values that are neither loss nor accuracy, each once for training and test."""
    names = [name for surface in surfaces for name in quantity.shown(surface.names)]
    return list(dict.fromkeys(quantity.split(name)[1] for name in names if name not in quantity.FIRST))


def _percent_limits(values: np.ndarray) -> Limits:
    """Return 0 to 100 % if the values use enough of it, or else limits fitted to the values within it."""
    inside = values[(values >= PERCENT[0]) & (values <= PERCENT[1])]
    fitting = None if _uses(values, PERCENT) else fitted(inside)
    if fitting is None:
        return PERCENT
    return max(fitting[0], PERCENT[0]), min(fitting[1], PERCENT[1])


def _uses(values: np.ndarray, limits: Limits) -> bool:
    """Return whether values use at least `LEAST_USED` of an axis, and enough of them lie within."""
    within = np.count_nonzero((values >= limits[0]) & (values <= limits[1]))
    if within < min(MIN_WITHIN, values.size) or not values.size:
        return False
    return bool(np.ptp(np.clip(values, *limits)) >= LEAST_USED * (limits[1] - limits[0]))


def _present(surfaces: Sequence[Surface], *names: str) -> tuple[str, ...]:
    return tuple(name for name in names if any(name in surface.names for surface in surfaces))
