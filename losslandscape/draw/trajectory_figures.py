"""The path of a training: its figure with epochs, and what the plane does not show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator, PercentFormatter
from matplotlib.transforms import Bbox

from losslandscape.core.errors import InputError
from losslandscape.draw import figures, panels
from losslandscape.draw.contour_levels import LOG_RATIO
from losslandscape.files import h5_util
from losslandscape.files.projection import Projection

DROP_COLOUR = "tab:orange"
EPOCH_COLOUR = "#8b1a1a"  # of the path, darker: numbers of contours are grey
LABEL_SIZE = 10
MOST_NAMED = 8  # epochs on a path
CLEAR = 12  # points between two checkpoints whose epochs are written
LOW, SMALLEST_HEIGHT = 0.8, 3.4  # of a plane, height by width; of a figure, inches
TSNE = "t-SNE keeps near checkpoints near; there is no plane: no contours, and far distances mean little"


def draw(
    proj_file: str, *, dir_file: str = "", show: bool = False, formats: Sequence[str] = ("pdf",)
) -> list[str]:
    """Draw a projected trajectory as `<proj_file>`, and beside it the distance of each checkpoint from the plane if the file knows it.

    `dir_file` tells the variance that each axis explains. With `show`, the figure waits for `figures.show()`.
    """
    projection = read_projection(proj_file)
    shares = h5_util.read_explained_variance(dir_file) if dir_file else None
    return figures.save(_figure(projection, shares, show=show), proj_file, formats)


def read_projection(proj_file: str) -> Projection:
    """A projection of which every checkpoint has a place."""
    projection = h5_util.read_projection(proj_file)
    if lost := int(np.isnan(figures.finite([projection.x, projection.y])).any(axis=0).sum()):
        raise InputError(
            f"{proj_file}: {lost} of {projection.x.size} checkpoints have no place, NaN or infinite; project the training again"
        )
    return projection


@figures.styled
def _figure(projection: Projection, shares: np.ndarray | None, *, show: bool) -> Figure:
    distant = projection.distance is not None
    fig = figures.new_figure(show=show, size=(10.4, 4.9) if distant else (6.4, 4.8))
    axes, *beside = (
        fig.subplots(1, 2, width_ratios=(3, 2), squeeze=False)[0] if distant else [fig.add_subplot()]
    )
    panels.set_aspect(axes, np.ptp(projection.x), np.ptp(projection.y), adjustable="datalim")
    axes.grid(True, color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    for panel in beside:
        _draw_distance(panel, projection)
    add(fig, projection, shares)
    return fig


@figures.styled
def add(fig: Figure, projection: Projection, shares: np.ndarray | None) -> None:
    """Draw a trajectory in the first axes of a figure that is otherwise finished, with its epochs and a legend above."""
    axes = fig.axes[0]
    panels.draw_trajectory(axes, projection.x, projection.y, shares)
    name_axes(axes, projection, shares)
    axes.margins(0.08)
    _fit_height(fig, axes)
    mark_drops(axes, projection)
    handles, labels = axes.get_legend_handles_labels()
    fig.legend(
        handles,
        labels,
        loc="outside upper left",
        ncols=4 if len(fig.axes) > 1 else 3,
        frameon=False,
        columnspacing=1,
        handletextpad=0.4,
    )
    if projection.made_with.get("method") == "tsne":
        figures.footnote(fig, TSNE)
    mark_epochs(fig, axes, projection)


def _fit_height(fig: Figure, axes: Axes) -> None:
    """Take the empty strips off a figure whose plane is low, as equal lengths on both axes make it; its name must then be shorter."""
    ratio = np.ptp(axes.get_ylim()) / np.ptp(axes.get_xlim())
    if axes.get_aspect() == 1 and axes.get_adjustable() == "box" and ratio < LOW:
        width, _ = fig.get_size_inches()
        fig.set_size_inches(width, max(SMALLEST_HEIGHT, 1.2 + 0.68 * width * ratio))
        axes.set_ylabel(axes.get_ylabel().replace(": ", ":\n", 1))


def name_axes(axes: Axes, projection: Projection, shares: np.ndarray | None) -> None:
    """Say what the axes of a trajectory that `panels.draw_trajectory` has drawn are, where it cannot know; PCA's `shares` of the variance it can."""
    if projection.made_with.get("method") == "tsne":
        axes.set_xlabel("t-SNE 1")
        axes.set_ylabel("t-SNE 2")
    elif shares is None and projection.shares is not None:
        for put, symbol, name, share in zip(
            (axes.set_xlabel, axes.set_ylabel),
            (r"$\alpha$", r"$\beta$"),
            "xy",
            projection.shares,
            strict=True,
        ):
            put(f"{symbol} ({name}: {100 * share:.2g} % of the variance)")


def mark_drops(axes: Axes, projection: Projection) -> None:
    """Mark on the path where the learning rate falls, at the end of the last epoch before, if the projection knows it."""
    if projection.epochs is None or projection.lr_drops is None:
        return
    ends = projection.lr_drops - 1
    ends = ends[(ends >= projection.epochs[0]) & (ends < projection.epochs[-1])]
    if ends.size:
        x, y = (np.interp(ends, projection.epochs, values) for values in (projection.x, projection.y))
        axes.plot(
            x,
            y,
            "D",
            color=DROP_COLOUR,
            markersize=6,
            markeredgecolor="white",
            zorder=5.5,
            label="learning rate falls",
        )


def mark_epochs(fig: Figure, axes: Axes, projection: Projection) -> None:
    """Write the first, the last and some round epochs beside their checkpoints, where there is room, in a figure that is otherwise finished."""
    if projection.epochs is None:
        return
    fig.draw_without_rendering()  # the layout decides how large the axes are, and so where labels meet
    taken, named = [], []
    pixels = axes.transData.transform(np.column_stack([projection.x, projection.y]))
    ticks = MaxNLocator(nbins=MOST_NAMED, integer=True).tick_values(
        projection.epochs[0], projection.epochs[-1]
    )
    near_ticks = [int(np.abs(projection.epochs - tick).argmin()) for tick in ticks]
    for i in dict.fromkeys([0, len(projection.epochs) - 1, *near_ticks]):
        if any(
            np.hypot(*(pixels[i] - pixels[j])) < CLEAR * fig.dpi / 72 for j in named
        ):  # which of the two would be meant?
            continue
        place = (projection.x[i], projection.y[i])
        for offset, align in (
            ((7, 5), ("left", "bottom")),
            ((7, -5), ("left", "top")),
            ((-7, 5), ("right", "bottom")),
            ((-7, -5), ("right", "top")),
        ):
            text = axes.annotate(
                f"{projection.epochs[i]:g}" if i else f"epoch {projection.epochs[i]:g}",
                place,
                offset,
                textcoords="offset points",
                ha=align[0],
                va=align[1],
                fontsize=LABEL_SIZE,
                color=EPOCH_COLOUR,
                zorder=7,
                annotation_clip=True,
                path_effects=[withStroke(linewidth=2.5, foreground="white")],
            )
            box = text.get_window_extent().padded(1)
            if (
                axes.bbox.contains(box.x0, box.y0)
                and axes.bbox.contains(box.x1, box.y1)
                and not any(map(box.overlaps, taken))
                and not _crosses(box, pixels)
            ):
                taken.append(box)
                named.append(i)
                break
            text.remove()


def _crosses(box: Bbox, path: np.ndarray) -> bool:
    """Whether a path goes through a box."""
    return Path(path).intersects_bbox(box, filled=False)


def _draw_distance(axes: Axes, projection: Projection) -> None:
    axes.plot(_epochs(projection), 100 * projection.distance, "-", color="tab:blue", marker=".", markersize=6)
    axes.set_ylim(0, 103)
    axes.yaxis.set_major_formatter(PercentFormatter())
    axes.set_ylabel("distance from the plane\n(of that from the last checkpoint)")
    _finish_epochs(axes, projection)


def _epochs(projection: Projection) -> np.ndarray:
    return projection.epochs if projection.epochs is not None else np.arange(len(projection.x))


def _finish_epochs(axes: Axes, projection: Projection) -> None:
    """What all axes over epochs have: the falls of the learning rate, whole numbers, a grid."""
    for epoch in (
        projection.lr_drops if projection.lr_drops is not None and projection.epochs is not None else []
    ):
        axes.axvline(epoch - 1, color=DROP_COLOUR, linewidth=1, zorder=1.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
    axes.grid(True, color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel("epoch" if projection.epochs is not None else "checkpoint")


def draw_losses(proj_file: str, *, show: bool = False, formats: Sequence[str] = ("pdf",)) -> list[str]:
    """Draw, as `<proj_file>_losses`, the loss of each checkpoint and that of its place on the plane over the epochs, above the distance from the plane.

    Raises `InputError` for a file that does not know both losses.
    """
    projection = read_projection(proj_file)
    if projection.true_loss is None or projection.projected_loss is None:
        raise InputError(
            f"{proj_file} has no losses of its checkpoints; measure them with plot_trajectory.py --losses"
        )
    return figures.save(_losses_figure(projection, show=show), f"{proj_file}_losses", formats)


@figures.styled
def _losses_figure(projection: Projection, *, show: bool) -> Figure:
    fig = figures.new_figure(show=show, size=(6.8, 6.4))
    above, below = fig.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    epochs, true, projected = (
        _epochs(projection),
        figures.finite(projection.true_loss),
        figures.finite(projection.projected_loss),
    )
    known = np.concatenate([values[np.isfinite(values)] for values in (true, projected)])
    above.fill_between(epochs, true, projected, color="tab:red", alpha=0.12, linewidth=0)
    above.plot(
        epochs,
        projected,
        "--",
        color="tab:red",
        marker="o",
        markersize=4.5,
        label="of its place on the plane",
    )
    above.plot(epochs, true, "-", color="black", marker="o", markersize=4.5, label="of the checkpoint")
    if known.size and known.min() > 0 and known.max() > LOG_RATIO * known.min():
        above.set_yscale("log")
    above.set_ylabel("train loss")
    above.legend(frameon=False)
    _finish_epochs(above, projection)
    above.set_xlabel("")
    _draw_distance(below, projection)
    below.set_ylabel("distance from\nthe plane")
    lost = int(np.isnan([true, projected]).any(axis=0).sum())
    figures.footnote(
        fig, f"{lost} of {true.size} checkpoints have a loss that is NaN or infinite" if lost else None
    )
    return fig
