"""The path of a training: its figure with epochs and what the plane does not show, and a film of it over the contours of a surface."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence

import numpy as np
from matplotlib.animation import FFMpegWriter, PillowWriter
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator, PercentFormatter
from matplotlib.transforms import Bbox
from tqdm import tqdm

import figures
import h5_util
import panels
from contour_levels import choose_scale
from errors import InputError
from h5_util import Projection
from whole_file import replacing

DROP_COLOUR = "tab:orange"
LABEL_SIZE = 10
MOST_NAMED = 8  # epochs on a path
CLEAR = 12  # points between two checkpoints whose epochs are written
TSNE = "t-SNE keeps near checkpoints near; there is no plane: no contours, and far distances mean little"
FRAMES, FRAMES_A_SECOND, LAST_SECONDS = 90, 15, 2
FILM_DPI = 110
WRITERS = {".gif": PillowWriter, ".mp4": FFMpegWriter}


def draw(proj_file: str, *, dir_file: str = "", show: bool = False, formats: Sequence[str] = ("pdf",)) -> list[str]:
    """Draw a projected trajectory as `<proj_file>`, and beside it the distance of each checkpoint from the plane if the file knows it.

    `dir_file` tells the variance that each axis explains. With `show`, the figure waits for `figures.show()`.
    """
    projection = read_projection(proj_file)
    shares = h5_util.read_explained_variance(dir_file) if dir_file else None
    return figures.save(_figure(projection, shares, show=show), proj_file, formats)


def read_projection(proj_file: str) -> Projection:
    """A projection of which every checkpoint has a place."""
    projection = h5_util.read_whole_projection(proj_file)
    if lost := int(np.isnan(figures.finite([projection.x, projection.y])).any(axis=0).sum()):
        raise InputError(f"{proj_file}: {lost} of {projection.x.size} checkpoints have no place, NaN or infinite; project the training again")
    return projection


@figures.styled
def _figure(projection: Projection, shares: np.ndarray | None, *, show: bool) -> Figure:
    distant = projection.distance is not None
    fig = figures.new_figure(show=show, size=(10.4, 4.9) if distant else (6.4, 4.8))
    axes, *beside = fig.subplots(1, 2, width_ratios=(3, 2), squeeze=False)[0] if distant else [fig.add_subplot()]
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
    mark_drops(axes, projection)
    handles, labels = axes.get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper left", ncols=4 if len(fig.axes) > 1 else 3, frameon=False, columnspacing=1, handletextpad=0.4)
    if projection.made_with.get("method") == "tsne":
        figures.footnote(fig, TSNE)
    mark_epochs(fig, axes, projection)


def name_axes(axes: Axes, projection: Projection, shares: np.ndarray | None) -> None:
    """Say what the axes of a trajectory that `panels.draw_trajectory` has drawn are, where it cannot know; PCA's `shares` of the variance it can."""
    if projection.made_with.get("method") == "tsne":
        axes.set_xlabel("t-SNE 1")
        axes.set_ylabel("t-SNE 2")
    elif shares is None and projection.shares is not None:
        for put, symbol, name, share in zip((axes.set_xlabel, axes.set_ylabel), (r"$\alpha$", r"$\beta$"), "xy", projection.shares, strict=True):
            put(f"{symbol} ({name}: {100 * share:.2g} % of the variance)")


def mark_drops(axes: Axes, projection: Projection) -> None:
    """Mark on the path where the learning rate falls, at the end of the last epoch before, if the projection knows it."""
    if projection.epochs is None or projection.lr_drops is None:
        return
    ends = projection.lr_drops - 1
    ends = ends[(ends >= projection.epochs[0]) & (ends < projection.epochs[-1])]
    if ends.size:
        x, y = (np.interp(ends, projection.epochs, values) for values in (projection.x, projection.y))
        axes.plot(x, y, "D", color=DROP_COLOUR, markersize=6, markeredgecolor="white", zorder=5.5, label="learning rate falls")


def mark_epochs(fig: Figure, axes: Axes, projection: Projection) -> None:
    """Write the first, the last and some round epochs beside their checkpoints, where there is room, in a figure that is otherwise finished."""
    if projection.epochs is None:
        return
    fig.draw_without_rendering()  # the layout decides how large the axes are, and so where labels meet
    taken, named = [], []
    pixels = axes.transData.transform(np.column_stack([projection.x, projection.y]))
    ticks = MaxNLocator(nbins=MOST_NAMED, integer=True).tick_values(projection.epochs[0], projection.epochs[-1])
    near_ticks = [int(np.abs(projection.epochs - tick).argmin()) for tick in ticks]
    for i in dict.fromkeys([0, len(projection.epochs) - 1, *near_ticks]):
        if any(np.hypot(*(pixels[i] - pixels[j])) < CLEAR * fig.dpi / 72 for j in named):  # which of the two would be meant?
            continue
        place = (projection.x[i], projection.y[i])
        for offset, align in (((7, 5), ("left", "bottom")), ((7, -5), ("left", "top")), ((-7, 5), ("right", "bottom")), ((-7, -5), ("right", "top"))):
            text = axes.annotate(f"{projection.epochs[i]:g}" if i else f"epoch {projection.epochs[i]:g}", place, offset, textcoords="offset points",
                                 ha=align[0], va=align[1], fontsize=LABEL_SIZE, color="0.15", zorder=7, annotation_clip=True,
                                 path_effects=[withStroke(linewidth=2.5, foreground="white")])
            box = text.get_window_extent().padded(1)
            if axes.bbox.contains(box.x0, box.y0) and axes.bbox.contains(box.x1, box.y1) and not any(map(box.overlaps, taken)) \
                    and not _crosses(box, pixels):
                taken.append(box)
                named.append(i)
                break
            text.remove()


def _crosses(box: Bbox, path: np.ndarray) -> bool:
    """Whether a path goes through a box."""
    return Path(path).intersects_bbox(box, filled=False)


def _draw_distance(axes: Axes, projection: Projection) -> None:
    epochs = projection.epochs if projection.epochs is not None else np.arange(len(projection.x))
    axes.plot(epochs, 100 * projection.distance, "-", color="tab:blue", marker=".", markersize=6)
    for epoch in projection.lr_drops if projection.lr_drops is not None and projection.epochs is not None else []:
        axes.axvline(epoch - 1, color=DROP_COLOUR, linewidth=1, zorder=1.5)
    axes.set_ylim(0, 103)
    axes.yaxis.set_major_formatter(PercentFormatter())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
    axes.grid(True, color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel("epoch" if projection.epochs is not None else "checkpoint")
    axes.set_ylabel("distance from the plane\n(of that from the last checkpoint)")


def film_formats() -> list[str]:
    """The formats that can be written here: GIF, and MP4 where ffmpeg is installed."""
    return ["gif", *(["mp4"] if shutil.which("ffmpeg") else [])]


def animate(surf_file: str, proj_file: str, out: str | Sequence[str], *, name: str = "train_loss", dir_file: str = "") -> list[str]:
    """Film the training over the contours of quantity `name`, as `out` (`.gif`, or `.mp4` with ffmpeg), or several of these; return the paths written.

    The point takes the same time from each checkpoint to the next, in a straight line. `dir_file` tells the variance that each axis explains.

    Raises `InputError` for a surface that is not 2-D or has nothing to draw, a projection on other directions, and a format that cannot be written.
    """
    paths = [out] if isinstance(out, str) else list(out)
    for path in paths:
        if (ending := os.path.splitext(path)[1].lower()) not in WRITERS:
            raise InputError(f"{path!r} is no film: give a name that ends in {' or '.join(WRITERS)}")
        if ending[1:] not in film_formats():
            raise InputError(f"{path!r} needs ffmpeg, which is not installed; give a name that ends in .gif")
    surface, projection = h5_util.read_surface(surf_file), read_projection(proj_file)
    if surface.y is None or min(np.unique(surface.x).size, np.unique(surface.y).size) < 2:
        raise InputError(f"{surf_file} has no contours: a film needs a surface of two coordinates, with at least 2x2 points")
    values = panels.values_to_draw(surface, name)
    if not np.isfinite(values).any():
        raise InputError(f"{surf_file} has no finite {name} to draw ({figures.describe_missing(surface, name)})")
    h5_util.require_plane_of(surface, projection)
    shares = h5_util.read_explained_variance(dir_file) if dir_file else None
    for path in paths:
        _film(surface, projection, values, path, name=name, shares=shares)
        print(f"saved {path}")
    return paths


@figures.styled
def _film(surface, projection: Projection, values: np.ndarray, path: str, *, name: str, shares: np.ndarray | None) -> None:
    scale = choose_scale([values], is_loss=name.endswith("_loss"))
    x, y = projection.x, projection.y
    x_ends, y_ends = ((min(places), max(places)) for places in ([*surface.x, *x], [*surface.y, *y]))
    fig = Figure(figsize=(6.6, 1.3 + 4.6 * np.clip(np.ptp(y_ends) / np.ptp(x_ends), 0.6, 1.2)), layout="constrained", dpi=FILM_DPI)
    axes = fig.add_subplot()
    drawn = panels.draw_contour(axes, surface, name, scale, mark_centre=False)
    panels.draw_trajectory(axes, x, y, shares)
    name_axes(axes, projection, shares)
    axes.set(xlim=x_ends, ylim=y_ends)
    if drawn:
        fig.colorbar(drawn, ax=axes, label=figures.label(name))
    trail, _, end = axes.lines
    title = axes.set_title("epoch")
    panels.label_contours(fig)
    fig.set_layout_engine("none")  # a layout for each frame would shake
    end.set(marker="o", markersize=10, zorder=7)
    times = np.linspace(0, len(x) - 1, max(FRAMES, min(len(x), 3 * FRAMES)))
    ending = os.path.splitext(path)[1].lower()
    writer = WRITERS[ending](fps=FRAMES_A_SECOND)
    with replacing(path) as part, tempfile.TemporaryDirectory(prefix=".", suffix=".part", dir=os.path.dirname(path) or ".") as folder:
        film = os.path.join(folder, f"film{ending}")  # the writers tell the format by the name
        with writer.saving(fig, film, FILM_DPI):
            for time in tqdm([*times, *[times[-1]] * (LAST_SECONDS * FRAMES_A_SECOND)], desc="film", unit="frame", disable=None, leave=False):
                i = int(time)
                here = [np.interp(time, np.arange(len(x)), coordinates) for coordinates in (x, y)]
                trail.set_data([*x[:i + 1], here[0]], [*y[:i + 1], here[1]])
                end.set_data(*np.reshape(here, (2, 1)))
                title.set_text(f"epoch {projection.epochs[i]:g}" if projection.epochs is not None else f"checkpoint {i}")
                writer.grab_frame()
        os.replace(film, part)
