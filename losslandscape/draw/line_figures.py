"""Draws figures of 1-D surfaces: loss, accuracy, error and every other quantity along one direction."""

import os
from collections.abc import Iterable, Sequence

import numpy as np

from losslandscape.core import quantity
from losslandscape.core.errors import InputError
from losslandscape.draw import curves, eigen_figures, figures, metrics_table
from losslandscape.draw.comparison import Comparison
from losslandscape.draw.drawable import describe_missing, values_of
from losslandscape.draw.figure_details import Details, paged
from losslandscape.draw.page_style import Page
from losslandscape.draw.vertical_axes import (
    VerticalAxis,
    accuracy_axis,
    error_axis,
    loss_axis,
    other_values,
    value_axis,
)
from losslandscape.files import h5_util
from losslandscape.files.surface import Surface

LOSS_MAX = 5.0  # the default of the published program


@paged
def plot_1d(
    *surf_files: str | Surface,
    titles: Sequence[str] = (),
    out: str = "",
    xmin: float | None = None,
    xmax: float | None = None,
    loss_max: float = LOSS_MAX,
    log: bool = False,
    json_file: str = "",
    show: bool = False,
    formats: str | Sequence[str] = ("pdf",),
    page: Page | None = None,
    details: Details | None = None,
) -> list[str]:
    """Draw every 1-D figure that the quantities of the surfaces allow, with one panel per surface.

    Also print metrics of the curves.

    Args:
        surf_files: surface files, or surfaces.
        titles: one title per surface; by default, the file names if there are several surfaces.
        out: the beginning of the figures' file names; by default, the name of the surface file.
        xmin, xmax: the ends of the horizontal axis; by default, the ends of the data.
        loss_max: the top of the loss axis, if that axis is linear and does not follow the data.
        log: whether to draw losses on a logarithmic scale.
        json_file: a JSON file to write the metrics to.
        show: whether to also open the figures in windows.
        formats: file formats of the figures: pdf, png, svg, eps, pgf.
        page: the printed page that the figures are for; None for the published look.
        details: texts, marks, colours and an inset; None for the usual ones.

    Returns:
        The paths of the figures.

    Raises:
        InputError: a surface is 2-D or has no finite value, or an option does not fit the data.
    """
    surfaces = [read_line(file) for file in surf_files]
    shown = Comparison.of(surfaces, titles=titles, out=out, show=show, formats=formats)
    _print_missing(surfaces)
    figure_axes = {value: [axis] for value, axis in _axes(surfaces, loss_max=loss_max, log=log).items()}
    if "train_loss" in figure_axes or "train_err" in figure_axes:
        both = [loss_axis(surfaces, loss_max=loss_max, log=log), accuracy_axis(surfaces)]
        figure_axes = {"loss_acc": both, **figure_axes}
    paths = []
    for value, axes in figure_axes.items():
        fig = curves.side_by_side(shown, axes, xmin=xmin, xmax=xmax)
        ending = "_log" if log and axes[0].log else ""
        paths += shown.save(fig, f"1d_{value}{ending}")
    if all(map(eigen_figures.has_eigenvalues, surfaces)):
        paths += eigen_figures.draw_lines(shown, xmin=xmin, xmax=xmax)
    metrics_table.report(surfaces, shown.titles, _measured_names(surfaces), json_file=json_file)
    if show:
        figures.show()
    return paths


def endings(names: Sequence[str], *, log: bool) -> list[str]:
    """Return the ends of the figures' names, for a surface that will have these quantities."""
    return [f"1d_{value}{'_log' if log else ''}" for value in ("loss_acc", *quantity.shown(names))]


@paged
def plot_repeats(
    prefix: str,
    *,
    idx_min: int = 1,
    idx_max: int = 10,
    out: str = "",
    xmin: float | None = None,
    xmax: float | None = None,
    loss_max: float = LOSS_MAX,
    log: bool = False,
    json_file: str = "",
    show: bool = False,
    formats: str | Sequence[str] = ("pdf",),
    page: Page | None = None,
    details: Details | None = None,
) -> list[str]:
    """Draw the curves of several files in one panel, with mean and standard deviation if the grids agree.

    The files are `<prefix>_<idx_min>.h5` to `<prefix>_<idx_max>.h5`. The figures are
    `<prefix>_1d_loss_err_repeat`, and `<prefix>_1d_<value>_repeat` for each other value; `out` replaces the
    prefix in their names. The metrics of
    each curve are printed, with mean and standard deviation. For the other arguments, see `plot_1d`.

    Raises:
        InputError: a file does not exist, is 2-D or has no finite value, or an option does not fit the data.
    """
    files = repeat_files(prefix, idx_min, idx_max)
    for file in files:
        if not os.path.exists(file):
            raise InputError(
                f"{file} does not exist",
                f"give another {{idx_min}} than {idx_min} or {{idx_max}} than {idx_max}",
            )
    surfaces = [read_line(file) for file in files]
    shown = Comparison(surfaces, [""] * len(surfaces), out or prefix, show=show, formats=formats)
    _print_missing(surfaces)
    axes = _axes(surfaces, loss_max=loss_max, log=log)
    published = [axes.pop(value) for value in ("train_loss", "train_err") if value in axes]
    figure_axes = {"loss_err": published} if published else {}
    figure_axes |= {value: [axis] for value, axis in axes.items()}
    paths = []
    for value, vertical_axes in figure_axes.items():
        fig = curves.repeats(shown, vertical_axes, xmin=xmin, xmax=xmax)
        paths += shown.save(fig, f"1d_{value}_repeat")
    names = _measured_names(surfaces)
    metrics_table.report(surfaces, shown.titles, names, json_file=json_file, spread=True)
    if show:
        figures.show()
    return paths


def repeat_files(prefix: str, idx_min: int, idx_max: int) -> list[str]:
    """Return the names `<prefix>_<idx_min>.h5` to `<prefix>_<idx_max>.h5`."""
    if idx_max < idx_min:
        raise InputError(f"idx_max {idx_max} is less than idx_min {idx_min}")
    return [f"{prefix}_{index}.h5" for index in range(idx_min, idx_max + 1)]


def read_line(surf_file: str | Surface) -> Surface:
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


def _axes(surfaces: Sequence[Surface], *, loss_max: float, log: bool) -> dict[str, VerticalAxis]:
    """Return the vertical axes by the part of the figure's name: train_loss, train_err, or another value.

    An axis without quantities is left out.
    """
    loss = loss_axis(surfaces, loss_max=loss_max, log=log)
    if loss.names and not log and not loss.limits:
        is_negative = loss.all_values(surfaces).min() < 0
        why = "some loss is negative" if is_negative else f"no loss is below loss_max {loss_max:g}"
        print(f"{surfaces[0].called}: {why}, so the axis follows the data.")
    axes = {"train_loss": loss, "train_err": error_axis(surfaces)}
    for value in other_values(surfaces):
        axes[value] = value_axis(surfaces, value, log=log)
    return {value: axis for value, axis in axes.items() if axis.names}


def _measured_names(surfaces: Iterable[Surface]) -> list[str]:
    """Return the quantities that get metrics: all except percentages."""
    names = dict.fromkeys(name for surface in surfaces for name in quantity.shown(surface.names))
    return [name for name in names if not quantity.is_percentage(name)]


def _print_missing(surfaces: Iterable[Surface]) -> None:
    for surface in surfaces:
        for text in curves.describe_all_missing(surface, quantity.shown(surface.names)):
            print(f"{surface.called}: {text}.")
