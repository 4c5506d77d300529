"""Draws the paths of trainings into axes: checkpoints, epochs, and the drops of the learning rate."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.path import Path
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from losslandscape.core.text import legible
from losslandscape.draw import figures, training_paths
from losslandscape.draw.contour_labels import label_contours
from losslandscape.draw.labels import escape_mathematics
from losslandscape.draw.line_axes import add_legend
from losslandscape.draw.plane_axes import X_LABEL, Y_LABEL
from losslandscape.draw.type_settings import scaled, text_size
from losslandscape.files.projection import Projection

PATH_COLOUR, DROP_COLOUR = training_paths.COLOURS[0], "tab:orange"
EPOCH_COLOUR = "#8b1a1a"  # darker than the path, and unlike the grey labels of contours
DARKER = 0.65  # the same for other paths: the share of their colour
ENDS = (("s", 7, "first checkpoint"), ("*", 14, "last checkpoint"))  # mark, size and name
EPOCH_SIZE = 10 / 13  # of the epochs' text, relative to the font size
MAX_INTERVALS = 8  # intervals between the epochs that are written on a path
MIN_DISTANCE = 12  # typographic points between two checkpoints whose epochs are written
# Offsets of an epoch from its checkpoint, in points at the published font size: the first free one is taken.
CORNERS = ((7, 5), (7, -5), (-7, 5), (-7, -5))
FARTHER = tuple((a * x, a * y) for a in (16, 24, 34) for x in (1, -1, 0.01, -0.01) for y in (0.7, -0.7))
TSNE = "t-SNE keeps near checkpoints near; there is no plane: no contours, and far distances mean little"


@figures.styled
def add_paths(fig: Figure, paths: Sequence[Projection], shares: np.ndarray | None) -> None:
    """Draw paths, their epochs and a legend into the first axes of a figure that is otherwise finished.

    Args:
        fig: the figure.
        paths: the projected paths.
        shares: the share of the variance that each axis explains; None if unknown.
    """
    axes = fig.axes[0]
    draw_paths(axes, paths, shares)
    axes.margins(0.08)
    for path in paths:
        _mark_drops(axes, path)
    add_legend(fig, axes.get_legend_handles_labels()[0])
    if _is_tsne(paths[0]):
        figures.footnote(fig, TSNE)
    label_contours(fig)  # it also fits the layout, and so the size of the axes and which texts overlap
    _write_all_epochs(fig, axes, paths)


def draw_paths(axes: Axes, paths: Sequence[Projection], shares: np.ndarray | None) -> list[list[Line2D]]:
    """Draw each path in its colour, as `draw_path`, and return its lines. Several are labelled by name."""
    if len(paths) == 1:
        return [draw_path(axes, paths[0], shares)]
    names = [escape_mathematics(legible(name)) for name in training_paths.names(paths)]
    drawn = []
    for path, colour, name in zip(paths, training_paths.COLOURS, names, strict=False):
        drawn.append(draw_path(axes, path, shares, colour=colour, name=name))
    for mark, size, text in ENDS:  # in the legend, in a colour that is none of a path's
        axes.plot([], [], mark, color="0.45", markersize=scaled(size), markeredgecolor="white", label=text)
    return drawn


def draw_path(
    axes: Axes,
    projection: Projection,
    shares: np.ndarray | None,
    *,
    colour: str = PATH_COLOUR,
    name: str = "",
) -> list[Line2D]:
    """Draw the path and mark its first and last checkpoint, as three lines, and label the axes.

    A curve between nets (`connect.py`) gets the straight line instead, and its axes keep their labels. A name
    is the label of the path; then its ends have none.
    """
    x, y = projection.x, projection.y
    path: dict[str, Any] = {"color": colour, "linewidth": scaled(1.6)}
    path |= {"marker": ".", "markersize": scaled(6)}
    end: dict[str, Any] = {"color": colour, "markeredgecolor": "white", "zorder": 6, "linestyle": "none"}
    if projection.is_curve:
        line: dict[str, Any] = {"zorder": 5, "color": colour, "linewidth": scaled(2)}
        straight = axes.plot(x[[0, -1]], y[[0, -1]], ":", label="" if name else "straight line", **line)
        return [*axes.plot(x, y, "-", label=name or "curve", **line), *straight]
    lines = axes.plot(x, y, "-", zorder=5, label=name or "trajectory", **path)
    for i, (mark, size, text) in zip((slice(1), slice(-1, None)), ENDS, strict=True):
        lines += axes.plot(
            x[i], y[i], marker=mark, markersize=scaled(size), label="" if name else text, **end
        )
    axes.autoscale(True)
    x_label, y_label = _axis_labels(projection, shares)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    return lines


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
    style: dict[str, Any] = {"color": DROP_COLOUR, "markeredgecolor": "white", "zorder": 5.5}
    axes.plot(x, y, "D", label="learning rate falls", markersize=scaled(6), **style)


def _in_pixels(axes: Axes, projection: Projection) -> np.ndarray:
    return axes.transData.transform(np.column_stack([projection.x, projection.y]))


def _write_all_epochs(fig: Figure, axes: Axes, paths: Sequence[Projection]) -> None:
    """Write epochs beside the checkpoints of each path, in a darker colour."""
    dark = [tuple(DARKER * part for part in to_rgb(colour)) for colour in training_paths.COLOURS[1:]]
    pixels = [_in_pixels(axes, path) for path in paths]
    for i, (path, colour) in enumerate(zip(paths, [EPOCH_COLOUR, *dark], strict=False)):
        _write_epochs(fig, axes, path, [*pixels[i:], *pixels[:i]], colour)


def _write_epochs(
    fig: Figure, axes: Axes, projection: Projection, all_pixels: list[np.ndarray], colour: Any
) -> None:
    """Write the first, the last and some round epochs beside their checkpoints, if there is room.

    `all_pixels` are the checkpoints of this path, and then of the others.
    """
    epochs = projection.epochs
    if epochs is None:
        return
    pixels = all_pixels[0]
    ticks = MaxNLocator(nbins=MAX_INTERVALS, integer=True).tick_values(epochs[0], epochs[-1])
    nearest = [int(np.abs(epochs - tick).argmin()) for tick in ticks]
    ends = [path[i] for path in all_pixels for i in (0, -1)]
    half = scaled(5) * fig.dpi / 72
    boxes = [text.get_window_extent() for text in axes.texts]  # the labels of contours
    marks = [Bbox.from_extents(*(end - half), *(end + half)) for end in ends]
    labelled: list[int] = []
    for i in dict.fromkeys([0, len(epochs) - 1, *nearest]):
        # If two checkpoints are closer than this, a reader cannot tell which one a label belongs to.
        distances = [np.hypot(*(pixels[i] - pixels[j])) for j in labelled]
        if min(distances, default=np.inf) < scaled(MIN_DISTANCE) * fig.dpi / 72:
            continue
        text = f"{epochs[i]:.10g}" if i else f"{projection.unit} {epochs[i]:.10g}"
        if box := _write_beside(
            axes, text, (projection.x[i], projection.y[i]), colour, boxes, marks, all_pixels
        ):
            boxes.append(box)
            labelled.append(i)


def _write_beside(
    axes: Axes,
    text: str,
    place: tuple[float, float],
    colour: Any,
    taken: list[Bbox],
    marks: list[Bbox],
    paths: list[np.ndarray],
) -> Bbox | None:
    """Write a text at the first free offset from `place`; return the box of text and line to the place.

    The box meets none that is taken; the text meets no mark and no path. None if no offset is free.
    """
    for offset in (*CORNERS, *FARTHER):
        away = scaled(offset[0]), scaled(offset[1])
        written = _annotate(axes, text, place, away, colour, with_line=offset in FARTHER)
        whole = written.get_window_extent()  # which puts the text in its place
        box = Text.get_window_extent(written).padded(1)  # without the line to the checkpoint
        is_inside = axes.bbox.contains(box.x0, box.y0) and axes.bbox.contains(box.x1, box.y1)
        crosses_path = any(Path(path).intersects_bbox(box, filled=False) for path in paths)
        meets = any(map(box.overlaps, [*taken, *marks])) or any(map(whole.overlaps, taken))
        if is_inside and not crosses_path and not meets:
            return Bbox.union([box, whole])
        written.remove()
    return None


def _annotate(
    axes: Axes,
    text: str,
    place: tuple[float, float],
    offset: tuple[float, float],
    colour: Any,
    *,
    with_line: bool,
) -> Text:
    line = {"arrowstyle": "-", "color": colour, "linewidth": scaled(0.8), "shrinkA": 0, "shrinkB": 1}
    return axes.annotate(
        text,
        place,
        offset,
        textcoords="offset points",
        ha="left" if offset[0] > 1 else "right" if offset[0] < -1 else "center",
        va="bottom" if offset[1] > 0 else "top",
        fontsize=text_size(EPOCH_SIZE),
        color=colour,
        zorder=7,
        annotation_clip=True,
        arrowprops=line if with_line else None,
        path_effects=[withStroke(linewidth=scaled(2.5), foreground="white")],
    )
