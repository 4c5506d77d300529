"""Fits 3-D panels, with the texts at their axes, into the cells of a figure.

matplotlib gives a 3-D panel a square in which the box floats, and puts texts at rough distances from it.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from matplotlib.axis import Tick
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator
from matplotlib.transforms import Bbox
from mpl_toolkits.mplot3d import Axes3D, proj3d
from mpl_toolkits.mplot3d.axis3d import Axis

from losslandscape.draw import page_layout

STEPS = 4  # until zoom and places of texts change no more
MAX_ROUNDS = 4  # of leaving out ticks
SMALL = 0.3  # zoom at which a box and its texts lie within the axes, which then get a whole cell
GAP = 0.2  # between tick labels and their axis, and between them and the axis label, by the size of the type
TICK_OFFSET, LABEL_OFFSET = 8.0, 21.0  # points that matplotlib adds to the `pad` of ticks and labels


def fit_panels(fig: Figure, panels: Sequence[Axes3D], box: Sequence[np.ndarray]) -> None:
    """Make the boxes as large as the cells allow, one zoom for all, and keep the texts apart.

    Args:
        fig: a finished figure with a layout.
        panels: its 3-D panels.
        box: the sides (3,) of the box of each panel.
    """
    _set_zoom(panels, box, SMALL)
    for axes in panels:
        axes.title.set_in_layout(False)
    page_layout.fit(fig, full_width=True)
    fig.set_layout_engine("none")
    cells = [_cell_below_title(axes) for axes in panels]
    zoom = SMALL
    for _ in range(MAX_ROUNDS):
        zoom = _enlarge(fig, panels, box, cells, zoom)
        are_thinned = [_thin(axes) for axes in panels]
        if not any(are_thinned):
            break
    for axes, cell in zip(panels, cells, strict=True):
        _place_title(axes, cell)
        _reserve(fig, _content(axes))


def _enlarge(
    fig: Figure, panels: Sequence[Axes3D], box: Sequence[np.ndarray], cells: Sequence[Bbox], zoom: float
) -> float:
    """Place the texts, zoom and move the boxes until they fill their cells; return the zoom.

    Each of these depends on the others, so they take turns.
    """
    for _ in range(STEPS):
        _set_zoom(panels, box, zoom)
        fig.draw_without_rendering()
        for axes in panels:
            for axis in _axes(axes):
                _place_texts(axes, axis)
        fig.draw_without_rendering()
        contents = [_content(axes) for axes in panels]
        zoom *= min(
            min(cell.width / content.width, cell.height / content.height)
            for cell, content in zip(cells, contents, strict=True)
        )
        for axes, cell, content in zip(panels, cells, contents, strict=True):
            _shift(axes, (np.array(cell.p0) + cell.p1 - content.p0 - content.p1) / 2)
    _set_zoom(panels, box, zoom)
    fig.draw_without_rendering()
    return zoom


def _thin(axes: Axes3D) -> bool:
    """Leave out ticks whose labels meet those of other ticks; return whether there were any."""
    changed = False
    for axis in _axes(axes):
        boxes = [tick.label1.get_window_extent() for tick in _ticks(axis)]
        if any(one.overlaps(other) for one, other in combinations(boxes, 2)):
            _keep(axis, axis.get_ticklocs()[::2])
            changed = True
    across = [tick.label1.get_window_extent() for axis in (axes.xaxis, axes.zaxis) for tick in _ticks(axis)]
    ticks = _ticks(axes.yaxis)
    free = [
        tick.get_loc()
        for tick in ticks
        if not tick.label1.get_window_extent().padded(1).count_overlaps(across)
    ]
    if len(free) < len(ticks):
        _keep(axes.yaxis, free)
        changed = True
    return changed


def _keep(axis: Axis, ticks: Sequence[float]) -> None:
    axis.set_major_locator(FixedLocator(ticks))


def _axes(axes: Axes3D) -> tuple[Axis, Axis, Axis]:
    return axes.xaxis, axes.yaxis, axes.zaxis


def _ticks(axis: Axis) -> list[Tick]:
    """Return the ticks of an axis that were drawn with a label."""
    low, high = axis.get_view_interval()
    count = len(axis.get_majorticklocs())  # matplotlib keeps ticks that it had before
    return [
        tick for tick in axis.majorTicks[:count] if low <= tick.get_loc() <= high and tick.label1.get_text()
    ]


def _set_zoom(panels: Sequence[Axes3D], box: Sequence[np.ndarray], zoom: float) -> None:
    for axes, sides in zip(panels, box, strict=True):
        axes.set_box_aspect(sides, zoom=zoom)


def _cell_below_title(axes: Axes3D) -> Bbox:
    """Return what the layout gives a panel, less the place of its title, in pixels.

    The axes become a square in it, smaller than the box, so that they can be moved.
    """
    to_pixels = axes.figure.transFigure
    cell = to_pixels.transform_bbox(axes.get_position(original=True))
    cell = Bbox.from_extents(cell.x0, cell.y0, cell.x1, cell.y1 - _title_height(axes))
    side = min(cell.width, cell.height) / 2
    square = Bbox.from_bounds((cell.x0 + cell.x1 - side) / 2, (cell.y0 + cell.y1 - side) / 2, side, side)
    axes.set_position(to_pixels.inverted().transform_bbox(square))
    return cell


def _title_height(axes: Axes3D) -> float:
    title = axes.title
    height = title.get_window_extent().height + 0.5 * title.get_fontsize() * axes.figure.dpi / 72
    return height if title.get_text() else 0.0


def _place_title(axes: Axes3D, cell: Bbox) -> None:
    """Write the title of a panel above its box."""
    title, to_figure = axes.title, axes.figure.transFigure.inverted()
    gap = 0.3 * title.get_fontsize() * axes.figure.dpi / 72
    axes.set_title(title.get_text(), y=0, pad=0)  # with a `y`, matplotlib does not move it any more
    title.set(transform=axes.figure.transFigure, va="bottom")
    title.set_position(to_figure.transform(((cell.x0 + cell.x1) / 2, _content(axes).y1 + gap)))


def _content(axes: Axes3D) -> Bbox:
    """Return what a panel covers without its title, in pixels."""
    corners = np.array(np.meshgrid(axes.get_xlim(), axes.get_ylim(), axes.get_zlim())).reshape(3, -1)
    outline = Bbox.null()
    outline.update_from_data_xy(_pixels(axes, corners.T))
    axes_boxes = [axis.get_tightbbox() for axis in _axes(axes)]
    return Bbox.union([outline, *axes_boxes])


def _shift(axes: Axes3D, shift: np.ndarray) -> None:
    """Move a panel, by pixels."""
    place = axes.figure.transFigure.transform_bbox(axes.get_position()).translated(*shift)
    axes.set_position(axes.figure.transFigure.inverted().transform_bbox(place))


def _reserve(fig: Figure, box: Bbox) -> None:
    """Make a place in pixels a part of the figure: matplotlib does not know where a zoomed box ends."""
    place = fig.transFigure.inverted().transform_bbox(box)
    fig.add_artist(Rectangle(place.p0, place.width, place.height, fill=False, linewidth=0))


def _place_texts(axes: Axes3D, axis: Axis) -> None:
    """Put the tick labels of an axis beside its line, and the axis label beside them.

    matplotlib's distances are proportional to a pad in points plus an offset, but not equal to it.
    """
    start, outward = _line_and_outward(axes, axis)
    gap = GAP * axis.label.get_fontsize() * axes.figure.dpi / 72
    ticks = _ticks(axis)
    widest = gap
    if ticks:
        middles, halves = _extents([tick.label1 for tick in ticks], start, outward)
        marks = axes.transData.transform(np.concatenate([tick.tick1line.get_xydata() for tick in ticks]))
        ratio = ((((marks - start) @ outward).max() + gap + halves) / middles).max()
        widest = (ratio * middles + halves).max()
        axis.set_tick_params(pad=(float(ticks[0].get_pad()) + TICK_OFFSET) * ratio - TICK_OFFSET)  # type: ignore
    axis.label.set_rotation_mode("anchor")
    away = (axes.transData.transform(axis.label.get_position()) - start) @ outward
    half = 0.6 * axis.label.get_fontsize() * axes.figure.dpi / 72
    axis.labelpad = (axis.labelpad + LABEL_OFFSET) * (widest + gap + half) / away - LABEL_OFFSET


def _line_and_outward(axes: Axes3D, axis: Axis) -> tuple[np.ndarray, np.ndarray]:
    """Return a point of the line of an axis, and the unit vector from it to its label, in pixels."""
    start, end = axes.transData.transform(np.column_stack(axis.line.get_data()))
    along = (end - start) / np.hypot(*(end - start))
    outward = np.array([along[1], -along[0]])
    label = axes.transData.transform(axis.label.get_position())
    return start, outward * np.sign((label - start) @ outward)


def _extents(texts: Sequence[Text], start: np.ndarray, outward: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distance of the middle of each text from a line, and half its extent in that direction."""
    boxes = [text.get_window_extent() for text in texts]
    middles = np.array([(np.array(box.p0) + box.p1) / 2 for box in boxes])
    sizes = np.array([box.size for box in boxes])
    return (middles - start) @ outward, sizes @ np.abs(outward) / 2


def _pixels(axes: Axes3D, points: np.ndarray) -> np.ndarray:
    x, y, _ = proj3d.proj_transform(*points.T, axes.get_proj())
    return axes.transData.transform(np.column_stack([x, y]))
