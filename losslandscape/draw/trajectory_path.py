"""The path of a training in the axes of a figure: checkpoints, epochs, and where the learning rate falls."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from losslandscape.draw import figures
from losslandscape.draw.panels import X_LABEL, Y_LABEL
from losslandscape.files.projection import Projection

PATH_COLOUR, DROP_COLOUR = "tab:red", "tab:orange"
EPOCH_COLOUR = "#8b1a1a"  # the path's, darker: numbers of contours are grey
EPOCH_SIZE = 10
MOST_NAMED = 8  # epochs on a path
CLEAR = 12  # points between two checkpoints whose epochs are written
LOW_PLANE = 0.8  # height by width
SMALLEST_HEIGHT = 3.4  # of a figure, in inches
TSNE = "t-SNE keeps near checkpoints near; there is no plane: no contours, and far distances mean little"


@figures.styled
def add_path(fig: Figure, projection: Projection, shares: np.ndarray | None) -> None:
    """Draw a path in the first axes of a figure that is otherwise finished, with its epochs and a legend.

    Args:
        shares: of the variance that each axis explains, if they are known.
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
    """Draw three lines, the path, its first and its last checkpoint, and name the axes."""
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
    """What the axes are, with the share of the variance along each where it is known."""
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
    """Take empty strips off a figure whose plane is low, as equal lengths on both axes make it."""
    ratio = np.ptp(axes.get_ylim()) / np.ptp(axes.get_xlim())
    if axes.get_aspect() == 1 and axes.get_adjustable() == "box" and ratio < LOW_PLANE:
        width, _ = fig.get_size_inches()
        fig.set_size_inches(width, max(SMALLEST_HEIGHT, 1.2 + 0.68 * width * ratio))
        axes.set_ylabel(axes.get_ylabel().replace(": ", ":\n", 1))  # a low axis needs a short name


def _mark_drops(axes: Axes, projection: Projection) -> None:
    """Mark where the learning rate falls: at the end of the last epoch before."""
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
    """Write the first, the last and some round epochs beside their checkpoints, where there is room."""
    epochs = projection.epochs
    if epochs is None:
        return
    fig.draw_without_rendering()  # the layout decides how large the axes are, and so where labels meet
    pixels = axes.transData.transform(np.column_stack([projection.x, projection.y]))
    ticks = MaxNLocator(nbins=MOST_NAMED, integer=True).tick_values(epochs[0], epochs[-1])
    nearest = [int(np.abs(epochs - tick).argmin()) for tick in ticks]
    boxes: list[Bbox] = []
    named: list[int] = []
    for i in dict.fromkeys([0, len(epochs) - 1, *nearest]):
        # Between two checkpoints nearer than this, a reader could not say which one is meant.
        distances = [np.hypot(*(pixels[i] - pixels[j])) for j in named]
        if min(distances, default=np.inf) < CLEAR * fig.dpi / 72:
            continue
        text = f"{epochs[i]:g}" if i else f"epoch {epochs[i]:g}"
        if box := _write_beside(axes, text, (projection.x[i], projection.y[i]), boxes, pixels):
            boxes.append(box)
            named.append(i)


def _write_beside(
    axes: Axes, text: str, place: tuple[float, float], taken: list[Bbox], path: np.ndarray
) -> Bbox | None:
    """Write a text at the first corner of a place that has room; return its box, or None if none has."""
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
        fontsize=EPOCH_SIZE,
        color=EPOCH_COLOUR,
        zorder=7,
        annotation_clip=True,
        path_effects=[withStroke(linewidth=2.5, foreground="white")],
    )
