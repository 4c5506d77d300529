"""Draws the path of a training, its distance from the plane, and its losses."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, PercentFormatter

from losslandscape.core.errors import InputError
from losslandscape.core.quantity import LOG_RATIO
from losslandscape.draw import figures, training_paths
from losslandscape.draw.contour_levels import log_ticks
from losslandscape.draw.drawable import finite
from losslandscape.draw.line_axes import LogFormatter, UniformFormatter
from losslandscape.draw.page_style import Page, paged
from losslandscape.draw.plane_axes import set_aspect
from losslandscape.draw.training_paths import read_projection
from losslandscape.draw.trajectory_path import DROP_COLOUR, add_paths
from losslandscape.draw.type_settings import scaled
from losslandscape.files import h5_util
from losslandscape.files.projection import Projection


@paged
def plot_trajectory(
    proj_file: str | Sequence[str],
    *,
    dir_file: str = "",
    out: str = "",
    show: bool = False,
    formats: str | Sequence[str] = ("pdf",),
    page: Page | None = None,
) -> list[str]:
    """Draw the projected path of a training, and the distance from the plane beside it, if known.

    Args:
        proj_file: the projection file; the figure is `<proj_file>.<format>`. Several are the paths of several
            trainings in one plane, each in its colour; the figure is `<the first>_compared.<format>`.
        dir_file: a PCA direction file; the axes then show the share of the variance that each explains.
        out: the figure is `<out>.<format>` instead.
        show: whether to also open the figure in a window.
        formats: file formats of the figure: pdf, png, svg, eps, pgf.
        page: the printed page that the figure is for; None for the published look.

    Returns:
        The paths of the figure, one per format.

    Raises:
        InputError: a coordinate of a checkpoint is NaN or infinite, or the paths lie in different planes.
    """
    paths = draw(proj_file, dir_file=dir_file, out=out, show=show, formats=formats)
    if show:
        figures.show()
    return paths


def draw(
    proj_file: str | Sequence[str],
    *,
    dir_file: str = "",
    out: str = "",
    show: bool = False,
    formats: str | Sequence[str] = ("pdf",),
) -> list[str]:
    """Draw like `plot_trajectory`, but with `show` only prepare the figure for `figures.show()`."""
    paths = training_paths.read_paths(proj_file)
    fig = _figure(paths, read_shares(dir_file), show=show)
    return figures.save(fig, out or training_paths.stem(proj_file), formats)


def draw_losses(
    proj_file: str, *, out: str = "", show: bool = False, formats: str | Sequence[str] = ("pdf",)
) -> list[str]:
    """Draw two losses over the epochs, and the distance from the plane below, as `<out or proj_file>_losses`.

    One is the loss of each checkpoint, the other the loss at its projection onto the plane. `show` only
    prepares the figure for `figures.show()`.

    Raises:
        InputError: the file does not have both losses.
    """
    projection = read_projection(proj_file)
    if projection.true_loss is None or projection.projected_loss is None:
        raise InputError(
            f"{proj_file} has no losses of its checkpoints",
            "measure them with {losses:True} of plot_trajectory.py",
        )
    fig = _losses_figure(projection, projection.true_loss, projection.projected_loss, show=show)
    return figures.save(fig, f"{out or proj_file}_losses", formats)


def read_shares(dir_file: str) -> np.ndarray | None:
    """Read the share of the variance that each PCA direction explains; None without a file or PCA."""
    return h5_util.read_explained_variance(dir_file) if dir_file else None


@figures.styled
def _figure(paths: Sequence[Projection], shares: np.ndarray | None, *, show: bool) -> Figure:
    if any(path.distance is None for path in paths):
        fig, (axes,) = figures.new_panels([""], panel=(6.4, 4.8), show=show)
    else:
        fig, (axes, beside) = figures.new_panels(["", ""], panel=(5.2, 4.9), show=show)
        several = len(paths) > 1
        for path, colour in zip(paths, training_paths.COLOURS if several else ["tab:blue"], strict=False):
            _draw_distance(beside, path, colour=colour)
        origin = "origin of the plane" if several else "last checkpoint"
        figures.footnote(fig, f"distance from the plane: in % of the distance from the {origin}")
    x, y = (np.concatenate([getattr(path, name) for path in paths]) for name in "xy")
    set_aspect(axes, np.ptp(x), np.ptp(y), adjustable="datalim")
    _add_grid(axes)
    add_paths(fig, paths, shares)
    return fig


@figures.styled
def _losses_figure(projection: Projection, true: np.ndarray, projected: np.ndarray, *, show: bool) -> Figure:
    fig = figures.new_figure(show=show, size=(6.8, 6.4))
    above, below = fig.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    epochs, true, projected = _epochs(projection), finite(true), finite(projected)
    marks: dict[str, Any] = {"marker": "o", "markersize": scaled(4.5)}
    above.fill_between(epochs, true, projected, color="tab:red", alpha=0.12, linewidth=0)
    above.plot(epochs, projected, "--", color="tab:red", label="of its place on the plane", **marks)
    above.plot(epochs, true, "-", color="black", label="of the checkpoint", **marks)
    losses = np.stack([true, projected])
    known = losses[np.isfinite(losses)]
    if known.size and known.min() > 0 and known.max() > LOG_RATIO * known.min():
        above.set_yscale("log")
        above.set_yticks(log_ticks(known.min(), known.max()))
        above.yaxis.set_minor_formatter(NullFormatter())
    above.yaxis.set_major_formatter(LogFormatter() if above.get_yscale() == "log" else UniformFormatter())
    above.set_ylabel("train loss")
    above.legend(frameon=False)
    _finish_epochs(above, projection)
    above.set_xlabel("")
    if projection.distance is not None:
        _draw_distance(below, projection)
    lost = np.isnan(losses).any(axis=0)
    if lost.any():
        text = f"{np.count_nonzero(lost)} of {lost.size} checkpoints have a loss that is NaN or infinite"
        figures.footnote(fig, text)
    return fig


def _draw_distance(axes: Axes, projection: Projection, *, colour: str = "tab:blue") -> None:
    assert projection.distance is not None
    style: dict[str, Any] = {"color": colour, "marker": ".", "markersize": scaled(6)}
    axes.plot(_epochs(projection), 100 * projection.distance, "-", **style)
    axes.set_ylim(0, 103)
    axes.yaxis.set_major_formatter(PercentFormatter())
    axes.set_ylabel("distance from the plane")
    _finish_epochs(axes, projection)


def _epochs(projection: Projection) -> np.ndarray:
    return np.arange(1, len(projection.x) + 1) if projection.epochs is None else projection.epochs


def _finish_epochs(axes: Axes, projection: Projection) -> None:
    """Mark the drops of the learning rate, and set integer ticks, a grid and the label of the epoch axis."""
    if projection.lr_drops is not None and projection.epochs is not None:
        for epoch in projection.lr_drops:
            axes.axvline(epoch - 1, color=DROP_COLOUR, linewidth=scaled(1), zorder=1.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
    _add_grid(axes)
    axes.set_xlabel("checkpoint" if projection.epochs is None else projection.unit)


def _add_grid(axes: Axes) -> None:
    axes.grid(True, color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
