"""Reads surfaces along a line, and chooses the vertical axes of their figures."""

from collections.abc import Iterable, Sequence

import numpy as np

from losslandscape.core import quantity
from losslandscape.core.errors import InputError
from losslandscape.draw import curves
from losslandscape.draw.drawable import describe_missing, values_of
from losslandscape.draw.vertical_axes import (
    LOSS_MAX,
    VerticalAxis,
    accuracy_axis,
    loss_axis,
    other_values,
    value_axis,
)
from losslandscape.files import h5_util
from losslandscape.files.surface import Surface


def read(surf_file: str | Surface) -> Surface:
    """Return a 1-D surface; raise `InputError` if it is 2-D or has no finite value."""
    surface = h5_util.as_surface(surf_file)
    if surface.y is not None:
        raise InputError(f"{surface.called} is 2-D", "use plot_2D.py, or plot_2d from Python")
    names = quantity.shown(surface.names)
    if not names:
        raise InputError(f"{surface.called} has no quantity to draw")
    if not any(np.isfinite(values_of(surface, name)).any() for name in names):
        missing = describe_missing(surface, names[0])
        raise InputError(f"{surface.called} has no value to draw ({names[0]}: {missing})")
    return surface


def ends(xmin: float | None, xmax: float | None) -> tuple[float, float]:
    """Return the ends of the part that is drawn, infinite where the user gives none."""
    return (-np.inf if xmin is None else xmin), (np.inf if xmax is None else xmax)


def axes(
    surfaces: Sequence[Surface], x_range: tuple[float, float], *, loss_max: float | None, log: bool
) -> dict[str, VerticalAxis]:
    """Return the vertical axes by the part of the figure's name: train_loss, train_err, or another value.

    An axis without quantities is left out.
    """
    loss = loss_axis(surfaces, loss_max=loss_max, log=log, x_range=x_range)
    top = LOSS_MAX if loss_max is None else loss_max
    if loss.names and not log and loss.limits != (0, top):
        values = loss.all_values(surfaces, x_range)
        why = f"the losses would use less than a fifth of 0 to {top:g}"
        if values.min() < 0:
            why = "some loss is negative"
        elif values.min() >= top:
            why = f"no loss is below {top:g}"
        print(f"{surfaces[0].called}: {why}, so the axis follows the data.")
    by_value = {"train_loss": loss, "train_err": accuracy_axis(surfaces, x_range, error=True)}
    for value in other_values(surfaces):
        by_value[value] = value_axis(surfaces, value, log=log, x_range=x_range)
    return {value: axis for value, axis in by_value.items() if axis.names}


def measured_names(surfaces: Iterable[Surface]) -> list[str]:
    """Return the quantities that get metrics: all except percentages."""
    names = dict.fromkeys(name for surface in surfaces for name in quantity.shown(surface.names))
    return [name for name in names if not quantity.is_percentage(name)]


def print_missing(surfaces: Iterable[Surface]) -> None:
    for surface in surfaces:
        for text in curves.describe_all_missing(surface, quantity.shown(surface.names)):
            print(f"{surface.called}: {text}.")
