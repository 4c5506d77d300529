"""Surfaces in the plane as panels of a figure: contour lines, filled contours, a heat map, a 3-D surface, and a trajectory on them.

`side_by_side` makes the figure. Each `draw_…` puts quantity `name` of a surface into `axes` and returns what a colour bar takes its colours from, or None where a constant
has none. The same scale in several axes makes surfaces comparable.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.ticker import Formatter, FuncFormatter, MaxNLocator
from matplotlib.transforms import Affine2D

from losslandscape.draw import figures
from losslandscape.draw.contour_levels import SMALLEST, Scale, log_ticks

COLOURS = "viridis"  # even steps for every eye, colour-blind ones too
LINE_COLOURS = ListedColormap(
    colormaps[COLOURS](np.linspace(0, 0.88, 256))
)  # its yellow end cannot be seen in a line on white
MISSING_COLOUR, MISSING_HATCH = "0.85", "0.55"  # hatched: no colour of a map looks like it
SMALL_GRID = (
    10_000  # cells beyond which a 3-D surface goes into a PDF as an image, which opens in reasonable time
)
LABEL_SIZE = 9
HEIGHT_PAD = 3.5  # at least, of the numbers on the axis of heights; matplotlib places their middles, so that long ones need more
SMALLEST_LABELLED = 2  # times its label's length
FEWEST_DIGITS, MOST_DIGITS = 4, 15  # of a level


def values_to_draw(surface, name: str) -> np.ndarray:
    """The values as they are drawn: NaN, and so a hole, where there is nothing to draw."""
    return figures.finite(surface.get(name))


def _on_scale(surface, name: str, scale: Scale) -> np.ndarray:
    """The values as they are drawn, without those that have no logarithm where the scale is one."""
    values = values_to_draw(surface, name)
    return np.where(values > 0, np.maximum(values, SMALLEST), np.nan) if scale.log else values


@figures.styled
@np.errstate(over="ignore")  # as in `figures.save`
def side_by_side(
    surfaces: Sequence,
    titles: Sequence[str],
    name: str,
    scale: Scale,
    draw: Callable,
    *,
    show: bool = False,
    **options,
) -> Figure:
    """A panel for each surface, drawn by one of the functions below with its `options`, one colour bar, and what is missing."""
    in_3d = draw is draw_surface_3d
    fig = figures.new_figure(
        show=show, size=(0.6 + (6.2 if in_3d else 5.8) * len(surfaces), 5.6 if in_3d else 5.2)
    )
    all_axes = fig.subplots(
        1, len(surfaces), squeeze=False, subplot_kw={"projection": "3d"} if in_3d else {}
    )[0]
    for axes, surface, title in zip(all_axes, surfaces, titles, strict=True):
        drawn = draw(axes, surface, name, scale, **options)
        axes.set_title(title, **({"y": 1.0} if in_3d else {}))
    if drawn:
        place = (
            {"shrink": 0.65, "pad": 0.1}
            if in_3d
            else {"extend": _extend(surfaces, name, scale)}
            if draw is draw_heat
            else {}
        )
        add_colour_bar(fig, drawn, all_axes, name, **place)
    missing = [
        f"{title}: {text}" if title else text
        for surface, title in zip(surfaces, titles, strict=True)
        if (text := figures.describe_missing(surface, name))
    ]
    where = "wherever it is known" if missing else "everywhere"
    notes = (
        [f"{figures.label(name)} is {scale.heights[0]:.4g} {where}"]
        if not scale.levels.size and not in_3d
        else []
    )
    notes += missing
    notes += [
        f"{title}: {text}" if title else text
        for surface, title in zip(surfaces, titles, strict=True)
        if scale.log
        and (without := np.count_nonzero(surface.get(name) <= 0))
        and (text := figures.without_logarithm(without))
    ]
    zlim = options.get("zlim")
    notes += (
        [f"cut off at {zlim:g}"]
        if zlim is not None and any((surface.get(name) > zlim).any() for surface in surfaces)
        else []
    )
    figures.footnote(fig, "; ".join(notes))
    if draw is draw_contour:
        label_contours(fig)
    return fig


def add_colour_bar(
    fig: Figure, drawn: ScalarMappable, axes: Axes | Sequence[Axes], name: str, **place
) -> Colorbar:
    bar = fig.colorbar(drawn, ax=axes, label=figures.label(name), **place)
    if isinstance(drawn.norm, LogNorm):  # matplotlib may leave out just those ticks that it would label
        bar.set_ticks(
            log_ticks(bar.vmin, bar.vmax)
        )  # of filled contours it may be shorter than the scale; a tick beyond it would add white
        bar.ax.yaxis.set_major_formatter(_Levels())
    return bar


def _extend(surfaces, name: str, scale: Scale) -> str:
    """Which ends of a colour bar have values beyond them."""
    values = np.concatenate([values_to_draw(surface, name).ravel() for surface in surfaces])
    below, above = (values < scale.norm.vmin).any(), (values > scale.norm.vmax).any()
    return {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[
        bool(below), bool(above)
    ]


def draw_contour(
    axes: Axes, surface, name: str, scale: Scale, *, mark_centre: bool = True
) -> ScalarMappable | None:
    x, y, values = known_part(surface, name, scale)
    drawn = None
    if scale.levels.size:
        _quietly(
            axes.contour,
            x,
            y,
            values,
            levels=scale.levels,
            cmap=LINE_COLOURS,
            norm=scale.norm,
            linewidths=1.3,
        )
        drawn = ScalarMappable(
            scale.norm, LINE_COLOURS
        )  # that of the lines themselves makes a ladder of hairlines of a colour bar
    _finish_plane(axes, surface, mark_centre=mark_centre)
    return drawn


def draw_filled_contour(axes: Axes, surface, name: str, scale: Scale) -> ScalarMappable | None:
    x, y, values = known_part(surface, name, scale)
    drawn = None
    if scale.levels.size >= 2:
        drawn = _quietly(
            axes.contourf, x, y, values, levels=scale.levels, cmap=COLOURS, norm=scale.norm, extend="both"
        )
        drawn.set_edgecolor("face")  # viewers show white seams between the regions of a PDF otherwise
    elif np.isfinite(values).any():
        low = np.nanmin(values)
        step = max(abs(low), 1.0)
        _quietly(axes.contourf, x, y, values, levels=[low - step, np.nanmax(values) + step], cmap=COLOURS)
    _finish_plane(axes, surface)
    return drawn


def draw_heat(axes: Axes, surface, name: str, scale: Scale, *, colours: str = COLOURS) -> ScalarMappable:
    values = np.ma.masked_invalid(_on_scale(surface, name, scale))
    cells = axes.pcolormesh(
        edges(surface.x), edges(surface.y), values, cmap=colours, norm=scale.norm, rasterized=True
    )
    if np.ma.getmaskarray(values).any():
        axes.patch.set(facecolor=MISSING_COLOUR, edgecolor=MISSING_HATCH, hatch="////", linewidth=0)
    _finish_plane(axes, surface, heat=True)
    return cells


def draw_surface_3d(
    axes: Axes, surface, name: str, scale: Scale, *, zlim: float | None = None
) -> ScalarMappable:
    """Height and colour are the value, or its logarithm where the scale has equal ratios and no `zlim` cuts the surface off."""
    x, y, values = known_part(surface, name, scale)
    low, high = scale.heights
    if zlim is not None:
        values, high = np.minimum(values, zlim), min(zlim, high)
    log = scale.log and zlim is None
    if log:
        values, (low, high) = np.log10(values), np.log10(scale.heights)
        axes.zaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.zaxis.set_major_formatter(FuncFormatter(lambda power, _: f"$10^{{{power:g}}}$"))
    else:
        axes.zaxis.set_major_formatter(_Levels())
    norm = Normalize(low, high)
    # Without the counts, matplotlib thins the grid to 50 rows and columns without a word.
    axes.plot_surface(
        *np.meshgrid(x, y),
        values,
        cmap=COLOURS,
        norm=norm,
        rcount=values.shape[0],
        ccount=values.shape[1],
        linewidth=0,
        antialiased=values.size <= SMALL_GRID,
        rasterized=values.size > SMALL_GRID,
    )
    if zlim is not None:
        axes.set_zlim(min(0, low), zlim)
    elif high > low:
        axes.set_zlim(low, high)
    axes.set_xlabel(r"$\alpha$ (x direction)", labelpad=8)
    axes.set_ylabel(r"$\beta$ (y direction)", labelpad=8)
    axes.tick_params(labelsize=10)
    axes.tick_params(axis="z", pad=max(HEIGHT_PAD, _widest(axes.zaxis.get_ticklabels()) / 3 - HEIGHT_PAD))
    axes.locator_params(axis="x", nbins=6)
    axes.locator_params(axis="y", nbins=6)
    return ScalarMappable(scale.norm if log else norm, COLOURS)


def _widest(texts: Sequence[Text]) -> float:
    """The width of the widest of these numbers, in points."""
    for text in texts:
        text.set_position(
            (0, 0)
        )  # in the millions of pixels of a place among huge heights, the width would be lost
    return max(text.get_window_extent().width * 72 / text.figure.dpi for text in texts)


def draw_trajectory(axes: Axes, x: np.ndarray, y: np.ndarray, shares: np.ndarray | None) -> None:
    """Draw a trajectory, and name the directions with the shares of the variance that they explain, if these are known."""
    axes.plot(
        x, y, "-", color="tab:red", linewidth=1.6, marker=".", markersize=6, zorder=5, label="trajectory"
    )
    axes.plot(
        x[:1],
        y[:1],
        "s",
        color="tab:red",
        markersize=7,
        markeredgecolor="white",
        zorder=6,
        label="first checkpoint",
    )
    axes.plot(
        x[-1:],
        y[-1:],
        "*",
        color="tab:red",
        markersize=14,
        markeredgecolor="white",
        zorder=6,
        label="last checkpoint",
    )
    axes.autoscale(True)
    texts = ["x direction", "y direction"]
    if shares is not None and shares.size >= 2:
        texts = [
            f"PCA {i}: {100 * share:.1f} % of the variance" for i, share in enumerate(shares[:2], start=1)
        ]
    axes.set_xlabel(rf"$\alpha$ ({texts[0]})")
    axes.set_ylabel(rf"$\beta$ ({texts[1]})")


def known_part(surface, name: str, scale: Scale) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, y and values, without rows and columns that are empty: a run that began with a coarse grid shows that grid."""
    values = _on_scale(surface, name, scale)
    rows, columns = np.isfinite(values).any(axis=1), np.isfinite(values).any(axis=0)
    if min(np.count_nonzero(rows), np.count_nonzero(columns)) < 2:
        return surface.x, surface.y, values
    return surface.x[columns], surface.y[rows], values[np.ix_(rows, columns)]


def edges(centres) -> np.ndarray:
    """The borders, one more than `centres`, of the cells around grid points.

    >>> edges([0.0, 1.0, 3.0]).tolist()
    [-0.5, 0.5, 2.0, 4.0]
    """
    centres = np.asarray(centres, dtype=np.float64)
    if centres.size == 1:
        return centres + [-0.5, 0.5]
    middle = (centres[:-1] + centres[1:]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def set_aspect(axes: Axes, width: float, height: float, *, adjustable: str) -> None:
    """Equal lengths on both axes, unless that would leave a sliver of a figure."""
    if width > 0 and height > 0 and max(width / height, height / width) <= 4:
        axes.set_aspect("equal", adjustable=adjustable)


def _finish_plane(axes: Axes, surface, *, heat: bool = False, mark_centre: bool = True) -> None:
    """Labels, limits, aspect and the mark of the minimiser."""
    axes.set_xlabel(r"$\alpha$ (x direction)")
    axes.set_ylabel(r"$\beta$ (y direction)")
    x, y = (edges(surface.x), edges(surface.y)) if heat else (surface.x, surface.y)
    axes.set_xlim(x.min(), x.max())
    axes.set_ylim(y.min(), y.max())
    set_aspect(axes, np.ptp(x), np.ptp(y), adjustable="box")
    axes.locator_params(nbins=6)
    if mark_centre and x.min() <= 0 <= x.max() and y.min() <= 0 <= y.max():
        axes.plot(0, 0, "+", color="white", markersize=12, markeredgewidth=4, zorder=4, clip_on=False)
        axes.plot(0, 0, "+", color="black", markersize=11, markeredgewidth=1.8, zorder=4, clip_on=False)


def label_contours(fig: Figure) -> None:
    """Write its level on each contour line of a finished figure where there is room: no label overlaps another, the centre's mark or the frame."""
    fig.draw_without_rendering()  # the layout decides how large the axes are, and so where labels meet
    for axes in fig.axes:
        for lines in (
            drawn for drawn in axes.collections if isinstance(drawn, ContourSet) and not drawn.filled
        ):
            style = {
                "fontsize": LABEL_SIZE,
                "fmt": dict(zip(lines.levels, level_texts(lines.levels), strict=True)),
                "colors": "0.15",
            }
            pieces = [
                axes.transData.transform(piece)
                for path in lines.get_paths()
                for piece in path.to_polygons(closed_only=False)
            ]
            tried = axes.clabel(lines, inline=False, **style)
            places = _places_with_room(axes, tried, pieces)
            for text in tried:
                text.remove()
            axes.clabel(lines, manual=places, inline=True, inline_spacing=3, **style)


def _places_with_room(axes: Axes, texts: list[Text], pieces: list[np.ndarray]) -> list[tuple[float, float]]:
    """Where labels may stay, of contours whose pieces are given in pixels: one that is hardly larger than its label would vanish behind it, and
    a label through which another goes could be that one's.
    """
    taken = [line.get_window_extent() for line in axes.lines]
    places = []
    for text in texts:
        box, middle = text.get_window_extent().padded(2), axes.transData.transform(text.get_position())
        contour = min(pieces, key=lambda piece, middle=middle: np.hypot(*(piece - middle).T).min())
        large = np.ptp(contour, axis=0).max() > SMALLEST_LABELLED * max(box.width, box.height)
        inside = axes.bbox.contains(box.x0, box.y0) and axes.bbox.contains(box.x1, box.y1)
        if (
            large
            and inside
            and not any(box.overlaps(other) for other in taken)
            and not _is_crossed(text, middle, [piece for piece in pieces if piece is not contour])
        ):
            taken.append(box)
            places.append(text.get_position())
    return places


def _is_crossed(text: Text, middle: np.ndarray, pieces: list[np.ndarray]) -> bool:
    """Whether one of the contours, in pixels, goes through a text that is turned around its middle."""
    rotation = text.get_rotation()
    text.set_rotation(0)
    upright = text.get_window_extent()
    text.set_rotation(rotation)
    turn = Affine2D().rotate_deg_around(*middle, -rotation)
    return any(Path(turn.transform(piece)).intersects_bbox(upright, filled=False) for piece in pieces)


class _Levels(Formatter):
    """Texts of levels at the ticks of an axis: matplotlib's own may leave a common part to a corner of the axes, where a 3-D axis has its numbers."""

    def __call__(self, value: float, pos: int | None = None) -> str:
        return _level(value)

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        return level_texts(np.asarray(values))


def level_texts(levels: np.ndarray) -> list[str]:
    """A text for each of ascending levels, with so many digits that rounding moves none by more than a tenth of the way to its neighbours.

    >>> level_texts(np.array([1234.5005, 1234.501, 1234.5015]))
    ['1234.5005', '1234.501', '1234.5015']
    """
    room = np.minimum(np.diff(levels, prepend=-np.inf), np.diff(levels, append=np.inf)) / 10
    digits = next(
        (
            n
            for n in range(FEWEST_DIGITS, MOST_DIGITS)
            if (np.abs([float(f"{level:.{n}g}") - level for level in levels]) <= room).all()
        ),
        MOST_DIGITS,
    )
    return [_level(level, digits) for level in levels]


def _level(value: float, digits: int = FEWEST_DIGITS) -> str:
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.{digits}g}"
    factor, power = f"{value:.{digits - 1}e}".split("e")
    factor = "" if float(factor) == 1 else rf"{float(factor):.{digits}g}\times"
    return rf"${factor}10^{{{int(power)}}}$"


def _quietly(draw, x, y, values, **options):
    """Contours of a surface full of holes may have no line at all: the footnote tells of the holes, a warning adds nothing."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No contour levels were found")
        return draw(x, y, np.ma.masked_invalid(values), **options)
