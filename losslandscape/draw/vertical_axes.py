"""Chooses the quantities and the scale of the vertical axes of 1-D figures."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from losslandscape.core import quantity
from losslandscape.core.errors import InputError
from losslandscape.draw.contour_levels import LOG_RATIO
from losslandscape.draw.drawable import describe_beyond, describe_no_logarithm, finite, positive
from losslandscape.draw.labels import label, value_label
from losslandscape.files.surface import Surface

LOSS_COLOUR, PERCENTAGE_COLOUR = "tab:blue", "tab:red"
LOSSES = ("train_loss", "test_loss")
ACCURACIES = ("train_acc", "test_acc")
PERCENT = (-2, 102)  # the frame would hide a line at 0 or 100


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
    """

    names: tuple[str, ...]
    label: str
    colour: str = LOSS_COLOUR
    limits: tuple[float, float] | None = None
    log: bool = False
    error: bool = False

    def values(self, surface: Surface, name: str) -> np.ndarray:
        """Return the values to draw for a quantity; NaN makes a gap in the curve."""
        values = finite(surface.get(name))
        values = 100 - values if self.error else values
        return positive(values) if self.log else values

    def names_in(self, surface: Surface) -> list[str]:
        """Return the quantities of this axis that a surface has."""
        return [name for name in self.names if name in surface.names]

    def all_values(self, surfaces: Sequence[Surface]) -> np.ndarray:
        """Return all finite values that the axis shows."""
        arrays = [self.values(surface, name) for surface in surfaces for name in self.names_in(surface)]
        values = np.concatenate([np.empty(0), *arrays])
        return values[np.isfinite(values)]

    def describe_hidden(self, surface: Surface) -> list[str]:
        """Describe the values that a log scale or the limits hide, except losses beyond the limits."""
        texts = []
        for name in self.names_in(surface):
            values = finite(surface.get(name))
            text = None
            if self.log:
                text = describe_no_logarithm(values)
            elif self.limits and name not in LOSSES:
                text = describe_beyond(values, *self.limits)
            if text:
                texts.append(f"{label(name)}: {text}")
        return texts


def loss_axis(surfaces: Sequence[Surface], *, loss_max: float, log: bool) -> VerticalAxis:
    """Return the axis of training and test loss, from 0 to `loss_max`.

    The axis follows the data if it is logarithmic, if a loss is negative, or if no loss is below `loss_max`.

    Raises:
        InputError: `log` is true, and no loss is positive.
    """
    axis = VerticalAxis(_present(surfaces, *LOSSES), "loss", log=log)
    values = axis.all_values(surfaces)
    if log and axis.names and not values.size:
        raise InputError("no loss is positive, so a log scale has nothing to show", "leave {log} out")
    if log or (values.size and (values.min() < 0 or values.min() >= loss_max)):
        return axis
    return replace(axis, limits=(0.0, loss_max))


def accuracy_axis(surfaces: Sequence[Surface]) -> VerticalAxis:
    """Return the axis of training and test accuracy."""
    return VerticalAxis(_present(surfaces, *ACCURACIES), "accuracy (%)", PERCENTAGE_COLOUR, PERCENT)


def error_axis(surfaces: Sequence[Surface]) -> VerticalAxis:
    """Return the axis of training and test error."""
    return replace(accuracy_axis(surfaces), label="error (%)", error=True)


def value_axis(surfaces: Sequence[Surface], value: str, *, log: bool = False) -> VerticalAxis:
    """Return the axis of any other value: of training, of test, or of no part of the data.

    The axis is logarithmic if all values are positive and their range exceeds two orders of magnitude. It is
    always linear for a percentage.

    Args:
        surfaces: the surfaces to draw.
        value: the value, as a quantity without its part of the data.
        log: whether to make the axis logarithmic also for every positive loss.
    """
    names = _present(surfaces, f"train_{value}", f"test_{value}", value)
    axis = VerticalAxis(names, value_label(value))
    if quantity.is_percentage(value):
        return replace(axis, colour=PERCENTAGE_COLOUR, limits=PERCENT)
    values = axis.all_values(surfaces)
    if not values.size or values.min() <= 0:
        return axis
    is_wide = values.max() / LOG_RATIO > values.min()
    return replace(axis, log=bool(is_wide or (log and quantity.is_loss(value))))


def other_values(surfaces: Sequence[Surface]) -> list[str]:
    """Return the values that are neither loss nor accuracy, each once for training and test."""
    names = [name for surface in surfaces for name in quantity.shown(surface.names)]
    return list(dict.fromkeys(quantity.split(name)[1] for name in names if name not in quantity.FIRST))


def _present(surfaces: Sequence[Surface], *names: str) -> tuple[str, ...]:
    return tuple(name for name in names if any(name in surface.names for surface in surfaces))
