"""Draws figures of 1-D surfaces: loss, accuracy, error and every other quantity along one direction."""

import os
from collections.abc import Sequence

from losslandscape.core import quantity
from losslandscape.core.errors import InputError, require_choice
from losslandscape.draw import curves, eigen_figures, figure_details, figures, lines, metrics_table
from losslandscape.draw.comparison import Comparison
from losslandscape.draw.figure_details import Details, detailed
from losslandscape.draw.figure_metadata import commands
from losslandscape.draw.page_style import Page, paged
from losslandscape.draw.together import BANDS, STD, Net, together
from losslandscape.draw.vertical_axes import ACCURACIES, LOSSES, VerticalAxis, accuracy_axis
from losslandscape.files.surface import Surface


@paged
@detailed
def plot_1d(
    *surf_files: str | Surface,
    titles: Sequence[str] = (),
    out: str = "",
    xmin: float | None = None,
    xmax: float | None = None,
    loss_max: float | None = None,
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
        loss_max: the top of a linear loss axis. By default it is 5, or fits the data if they would use less
            than a fifth of that (`vertical_axes.loss_axis`).
        log: whether to draw losses on a logarithmic scale.
        json_file: a JSON file to write the metrics to.
        show: whether to also open the figures in windows.
        formats: file formats of the figures: pdf, png, svg, eps, pgf.
        page: the printed page that the figures are for; None for the published look.
        details: texts, legend and marks; None for the usual ones.

    Returns:
        The paths of the figures.

    Raises:
        InputError: a surface is 2-D or has no finite value, or an option does not fit the data.
    """
    surfaces = [lines.read(file) for file in surf_files]
    shown = Comparison.of(surfaces, titles=titles, out=out, show=show, formats=formats)
    lines.print_missing(surfaces)
    _require_barriers(surfaces)
    axes = lines.axes(surfaces, lines.ends(xmin, xmax), loss_max=loss_max, log=log)
    figure_axes = {value: [axis] for value, axis in axes.items()}
    if "train_err" in axes:  # without accuracies this would be the figure of the loss again
        losses = [axes["train_loss"]] if "train_loss" in axes else []
        figure_axes = {
            "loss_acc": [*losses, accuracy_axis(surfaces, lines.ends(xmin, xmax))],
            **figure_axes,
        }
    paths = []
    for value, verticals in figure_axes.items():
        fig = curves.side_by_side(shown, verticals, xmin=xmin, xmax=xmax)
        paths += shown.save(fig, f"1d_{value}{_log_ending(verticals[0], log=log)}")
    if all(map(eigen_figures.has_eigenvalues, surfaces)):
        paths += eigen_figures.draw_lines(shown, xmin=xmin, xmax=xmax)
    metrics_table.report(surfaces, shown.titles, lines.measured_names(surfaces), json_file=json_file)
    if show:
        figures.show()
    return paths


def endings(names: Sequence[str], *, log: bool) -> list[str]:
    """Return the ends of the figures' names, for a surface that will have these quantities."""
    both = ["loss_acc"] if set(names) & set(ACCURACIES) else []
    return [f"1d_{value}{'_log' if log else ''}" for value in (*both, *quantity.shown(names))]


@paged
@detailed
def plot_together(
    *surf_files: str | Surface,
    groups: Sequence[Sequence[str | Surface]] = (),
    titles: Sequence[str] = (),
    out: str = "",
    band: str = STD,
    xmin: float | None = None,
    xmax: float | None = None,
    loss_max: float | None = None,
    log: bool = False,
    json_file: str = "",
    show: bool = False,
    formats: str | Sequence[str] = ("pdf",),
    page: Page | None = None,
    details: Details | None = None,
) -> list[str]:
    """Draw several nets in one panel, each with a colour and a line style of its own.

    The figures are `<out>_1d_train_loss[_log]`, `<out>_1d_train_err` and `<out>_1d_<value>` for every other
    value; training and test data have a panel each. Metrics of the curves are printed.

    Args:
        surf_files: a surface of each net.
        groups: for each further net, its surfaces along several random directions on one grid. They become
            one curve, their mean, with a band.
        titles: one title per net, first of `surf_files`, then of `groups`; by default, file names.
        out: the beginning of the figures' file names; by default, the first file's name and `_together`.
        band: what the band shows: "std" for the sample standard deviation, "range" for lowest to highest.

    For the other arguments, see `plot_1d`.

    Returns:
        The paths of the figures.

    Raises:
        InputError: a case of `plot_1d`, or the surfaces of a group have different grids.
    """
    require_choice("band", band, tuple(BANDS))
    if figure_details.current().barrier:
        raise InputError("a barrier is drawn for one net in a panel", "leave {barrier} or {together} out")
    by_net = [[lines.read(file)] for file in surf_files] + [list(map(lines.read, group)) for group in groups]
    surfaces = [surface for net in by_net for surface in net]
    first = by_net[0][0].called
    shown = Comparison.of(
        [net[0] for net in by_net], titles=titles, out=out or f"{first}_together", formats=formats
    )
    nets = [Net(title or first, net) for title, net in zip(shown.titles, by_net, strict=True)]
    lines.print_missing(surfaces)
    paths = []
    for value, axis in lines.axes(surfaces, lines.ends(xmin, xmax), loss_max=loss_max, log=log).items():
        fig = together(nets, axis, band=band, xmin=xmin, xmax=xmax, show=show)
        stem = f"{shown.stem}_1d_{value}{_log_ending(axis, log=log)}"
        paths += figures.save(fig, stem, formats, made_by=commands(*surfaces))
    names = [net.title if len(net.surfaces) == 1 else one.called for net in nets for one in net.surfaces]
    metrics_table.report(surfaces, names, lines.measured_names(surfaces), json_file=json_file)
    if show:
        figures.show()
    return paths


@paged
@detailed
def plot_repeats(
    prefix: str,
    *,
    idx_min: int = 1,
    idx_max: int = 10,
    out: str = "",
    xmin: float | None = None,
    xmax: float | None = None,
    loss_max: float | None = None,
    log: bool = False,
    json_file: str = "",
    show: bool = False,
    formats: str | Sequence[str] = ("pdf",),
    page: Page | None = None,
    details: Details | None = None,
) -> list[str]:
    """Draw the curves of several files in one panel, with mean and standard deviation if the grids agree.

    The files are `<prefix>_<idx_min>.h5` to `<prefix>_<idx_max>.h5`. The figures are
    `<prefix>_1d_loss_err_repeat`, and `<prefix>_1d_<value>_repeat` for each other value; `out` replaces
    the prefix in their names. The metrics of
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
    surfaces = [lines.read(file) for file in files]
    shown = Comparison(surfaces, [""] * len(surfaces), out or prefix, show=show, formats=formats)
    lines.print_missing(surfaces)
    axes = lines.axes(surfaces, lines.ends(xmin, xmax), loss_max=loss_max, log=log)
    published = [axes.pop(value) for value in ("train_loss", "train_err") if value in axes]
    figure_axes = {"loss_err": published} if published else {}
    figure_axes |= {value: [axis] for value, axis in axes.items()}
    paths = []
    for value, vertical_axes in figure_axes.items():
        fig = curves.repeats(shown, vertical_axes, xmin=xmin, xmax=xmax)
        paths += shown.save(fig, f"1d_{value}_repeat")
    names = lines.measured_names(surfaces)
    metrics_table.report(surfaces, shown.titles, names, json_file=json_file, spread=True)
    if show:
        figures.show()
    return paths


def repeat_files(prefix: str, idx_min: int, idx_max: int) -> list[str]:
    """Return the names `<prefix>_<idx_min>.h5` to `<prefix>_<idx_max>.h5`."""
    if idx_max < idx_min:
        raise InputError(f"idx_max {idx_max} is less than idx_min {idx_min}")
    return [f"{prefix}_{index}.h5" for index in range(idx_min, idx_max + 1)]


def _log_ending(axis: VerticalAxis, *, log: bool) -> str:
    return "_log" if log and axis.log else ""


def _require_barriers(surfaces: Sequence[Surface]) -> None:
    """Raise `InputError` if barriers are wanted and a surface has no loss, whose barrier they would be."""
    if not figure_details.current().barrier:
        return
    for surface in surfaces:
        if not set(LOSSES) & set(surface.names):
            raise InputError(f"{surface.called} has no loss, so no barrier", "leave {barrier} out")
