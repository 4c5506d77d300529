"""Draws the path of a training into axes: checkpoints, epochs, and the drops of the learning rate."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from losslandscape.draw import figures, page_layout
from losslandscape.draw.panels import X_LABEL, Y_LABEL
from losslandscape.files.projection import Projection

PATH_COLOUR, DROP_COLOUR = "tab:red", "tab:orange"
EPOCH_COLOUR = "#8b1a1a"  # darker than the path, and unlike the grey labels of contours
EPOCH_FONT_SIZE = 10
MAX_INTERVALS = 8  # intervals between the epochs that are written on a path
MIN_DISTANCE = 12  # typographic points between two checkpoints whose epochs are written
LOW_RATIO = 0.8  # a plane with a smaller height / width gets a lower figure
MIN_HEIGHT = 3.4  # height of a figure, in inches
TSNE = "t-SNE keeps near checkpoints near; there is no plane: no contours, and far distances mean little"


@figures.styled
def add_path(fig: Figure, projection: Projection, shares: np.ndarray | None) -> None:
    """Draw a path, its epochs and a legend into the first axes of a figure that is otherwise finished.

    Args:
        fig: the figure.
        projection: the projected path.
        shares: the share of the variance that each axis explains; None if unknown.
    """
    axes = fig.axes[0]
    draw_path(axes, projection, shares)
    axes.margins(0.08)
    _fit_height(fig, axes)
    _mark_drops(axes, projection)
    columns = 4 if len(fig.axes) > 1 else 3
    handles, labels = axes.get_legend_handles_labels()
    spacing = {"columnspacing": 1, "handletextpad": 0.4}
    fig.legend(handles, labels, loc="outside upper left", ncols=columns, frameon=False, **spacing)
    if _is_tsne(projection):
        figures.footnote(fig, TSNE)
    _write_epochs(fig, axes, projection)


def draw_path(axes: Axes, projection: Projection, shares: np.ndarray | None) -> None:
    """Draw the path and mark its first and last checkpoint, as three lines, and label the axes."""
    x, y = projection.x, projection.y
    path: dict[str, Any] = {"color": PATH_COLOUR, "linewidth": 1.6, "marker": ".", "markersize": 6}
    end: dict[str, Any] = {"color": PATH_COLOUR, "markeredgecolor": "white", "zorder": 6, "linestyle": "none"}
    axes.plot(x, y, "-", zorder=5, label="trajectory", **path)
    axes.plot(x[:1], y[:1], marker="s", markersize=7, label="first checkpoint", **end)
    axes.plot(x[-1:], y[-1:], marker="*", markersize=14, label="last checkpoint", **end)
    axes.autoscale(True)
    x_label, y_label = _axis_labels(projection, shares)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)


def _axis_labels(projection: Projection, shares: np.ndarray | None) -> tuple[str, str]:
    """Return the labels of x and y, each with its share of the variance if known."""
    if _is_tsne(projection):
        return "t-SNE 1", "t-SNE 2"
    if shares is not None and shares.size >= 2:
        percents = [f"{100 * share:.1f} % of the variance" for share in shares[:2]]
        return rf"$\alpha$ (PCA 1: {percents[0]})", rf"$\beta$ (PCA 2: {percents[1]})"
    if shares is None and projection.shares is not None:
        percents = [f"{100 * share:.2g} % of the variance" for share in projection.shares]
        return rf"$\alpha$ (x: {percents[0]})", rf"$\beta$ (y: {percents[1]})"
    return X_LABEL, Y_LABEL


def _is_tsne(projection: Projection) -> bool:
    return projection.made_with.get("method") == "tsne"


def _fit_height(fig: Figure, axes: Axes) -> None:
    """Reduce the height of a figure whose plane is low, which would leave empty strips."""
    ratio = np.ptp(axes.get_ylim()) / np.ptp(axes.get_xlim())
    if axes.get_aspect() == 1 and axes.get_adjustable() == "box" and ratio < LOW_RATIO:
        width, _ = fig.get_size_inches()
        fig.set_size_inches(width, max(MIN_HEIGHT, 1.2 + 0.68 * width * ratio))
        axes.set_ylabel(axes.get_ylabel().replace(": ", ":\n", 1))  # a short axis needs a short label


def _mark_drops(axes: Axes, projection: Projection) -> None:
    """Mark each drop of the learning rate, at the end of the epoch before it."""
    if projection.epochs is None or projection.lr_drops is None:
        return
    ends = projection.lr_drops - 1
    ends = ends[(ends >= projection.epochs[0]) & (ends < projection.epochs[-1])]
    if not ends.size:
        return
    x = np.interp(ends, projection.epochs, projection.x)
    y = np.interp(ends, projection.epochs, projection.y)
    style: dict[str, Any] = {"color": DROP_COLOUR, "markersize": 6, "markeredgecolor": "white", "zorder": 5.5}
    axes.plot(x, y, "D", label="learning rate falls", **style)


def _write_epochs(fig: Figure, axes: Axes, projection: Projection) -> None:
    """Write the first, the last and some round epochs beside their checkpoints, if there is room."""
    epochs = projection.epochs
    if epochs is None:
        return
    page_layout.fit(
        fig, full_width=False
    )  # the layout sets the size of the axes, and so which labels overlap
    pixels = axes.transData.transform(np.column_stack([projection.x, projection.y]))
    ticks = MaxNLocator(nbins=MAX_INTERVALS, integer=True).tick_values(epochs[0], epochs[-1])
    nearest = [int(np.abs(epochs - tick).argmin()) for tick in ticks]
    boxes: list[Bbox] = []
    labelled: list[int] = []
    for i in dict.fromkeys([0, len(epochs) - 1, *nearest]):
        # If two checkpoints are closer than this, a reader cannot tell which one a label belongs to.
        distances = [np.hypot(*(pixels[i] - pixels[j])) for j in labelled]
        if min(distances, default=np.inf) < MIN_DISTANCE * fig.dpi / 72:
            continue
        text = f"{epochs[i]:.10g}" if i else f"{projection.unit} {epochs[i]:.10g}"
        if box := _write_beside(axes, text, (projection.x[i], projection.y[i]), boxes, pixels):
            boxes.append(box)
            labelled.append(i)


def _write_beside(
    axes: Axes, text: str, place: tuple[float, float], taken: list[Bbox], path: np.ndarray
) -> Bbox | None:
    """Write a text at the first free corner of `place`; return its box, or None if no corner is free."""
    for dx, dy in ((7, 5), (7, -5), (-7, 5), (-7, -5)):
        written = _annotate(axes, text, place, (dx, dy))
        box = written.get_window_extent().padded(1)
        is_inside = axes.bbox.contains(box.x0, box.y0) and axes.bbox.contains(box.x1, box.y1)
        crosses_path = Path(path).intersects_bbox(box, filled=False)
        if is_inside and not crosses_path and not any(map(box.overlaps, taken)):
            return box
        written.remove()
    return None


def _annotate(axes: Axes, text: str, place: tuple[float, float], offset: tuple[int, int]) -> Text:
    return axes.annotate(
        text,
        place,
        offset,
        textcoords="offset points",
        ha="left" if offset[0] > 0 else "right",
        va="bottom" if offset[1] > 0 else "top",
        fontsize=EPOCH_FONT_SIZE,
        color=EPOCH_COLOUR,
        zorder=7,
        annotation_clip=True,
        path_effects=[withStroke(linewidth=2.5, foreground="white")],
    )
