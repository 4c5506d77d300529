"""Draw a quantity of a 2-D surface file, a trajectory, or the trajectory on the surface.

    python plot_2D.py --surf_file path_to_surf_file --surf_name train_loss
    python plot_2D.py --surf_file path_to_surf_file --surf_name train_acc --vmin 10 --vmax 100 --vlevel 5 --format pdf png
    python plot_2D.py --proj_file path_to_proj_file --dir_file path_to_direction_file
    python plot_2D.py --proj_file path_to_proj_file --dir_file path_to_direction_file --surf_file path_to_surf_file

The first two write `<surf>_<name>_2dcontour.pdf`, `_2dcontourf.pdf`, `_2dheat.pdf` and `_3dsurface.pdf` beside the surface file;
the third `<proj>.pdf`, and the last also `<proj>_<name>_2dcontour_proj.pdf`, beside the projection file.
"""

from __future__ import annotations

import os
import sys
import warnings
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.ticker import LogFormatterSciNotation, LogLocator, MaxNLocator

import figures
import h5_util
from command_line import Parser, add_format_option, sentence
from errors import InputError

VMIN, VMAX, VLEVEL = 0.1, 10.0, 0.5  # the published defaults, levels of a loss
COLOURS = "viridis"
LINE_COLOURS = ListedColormap(colormaps[COLOURS](np.linspace(0, 0.88, 256)))  # its yellow end cannot be seen in a line on white
MOST_LEVELS = 1000  # more lines than a figure has room for; a --vlevel that asks for them is a slip
MISSING_COLOUR = "0.85"
SMALL_GRID = 10_000  # cells beyond which a 3-D surface goes into a PDF as an image, which opens in reasonable time


def main(argv=None) -> None:
    parser = argument_parser()
    args = parser.parse_args(argv)
    if not (args.surf_file or args.proj_file):
        parser.error("give --surf_file, --proj_file, or both")
    output = {"show": args.show, "formats": args.format}
    levels = {"name": args.surf_name, "vmin": args.vmin, "vmax": args.vmax, "vlevel": args.vlevel}
    with sentence(parser), figures.drawn_by(__file__, sys.argv[1:] if argv is None else argv):
        if not args.proj_file:
            plot_2d(args.surf_file, zlim=args.zlim, **levels, **output)
            return
        plot_trajectory(args.proj_file, dir_file=args.dir_file, **output)
        if args.surf_file:
            plot_contour_trajectory(args.surf_file, dir_file=args.dir_file, proj_file=args.proj_file, **levels, **output)


def argument_parser() -> Parser:
    parser = Parser("Draw a 2-D surface, a trajectory, or the trajectory on the surface.")
    parser.add_argument("--surf_file", "-f", default="", help="surface file with two coordinates")
    parser.add_argument("--dir_file", default="", help="PCA direction file: the axes then say the variance that they explain")
    parser.add_argument("--proj_file", default="", help="projection file of a trajectory")
    parser.add_argument("--surf_name", default="train_loss", help="the quantity to draw (default: %(default)s)")
    parser.add_argument("--vmax", type=float, default=VMAX, help="contour levels end before this value (default: %(default)s)")
    parser.add_argument("--vmin", type=float, default=VMIN, help="first contour level (default: %(default)s)")
    parser.add_argument("--vlevel", type=float, default=VLEVEL, help="step between contour levels (default: %(default)s)")
    parser.add_argument("--zlim", type=float, help="cut the 3-D surface off at this height, e.g. 10 (default: no cut)")
    parser.add_argument("--show", action="store_true", help="open the figures in windows as well")
    add_format_option(parser)
    return parser


def plot_2d(
    surf_file, *, name="train_loss", vmin=VMIN, vmax=VMAX, vlevel=VLEVEL, zlim=None, show=False, formats=("pdf",)
) -> list[str]:
    """Draw quantity `name` as contour lines, filled contours, a heat map and a 3-D surface; return the paths written.

    Of a grid with a single row or column there is only a heat map. Raises InputError for a 1-D file, an unknown quantity, a file
    without any finite value, or impossible levels.
    """
    surface = read_grid(surf_file, name)
    scale = choose_scale(surface, name, vmin=vmin, vmax=vmax, vlevel=vlevel)
    _say(surface, name, scale)
    stem = f"{surf_file}_{name}"
    figures_of = {"2dcontour": _contour, "2dcontourf": _contourf, "2dheat": _heat, "3dsurface": _surface3d}
    if not has_cells(surface):
        print(f"{surf_file}: {too_thin(surface)}; only the heat map is drawn.")
        figures_of = {"2dheat": _heat}
    paths = []
    for suffix, draw in figures_of.items():
        options = {"zlim": zlim} if draw is _surface3d else {}
        fig = draw(surface, name, scale, show=show, **options)
        paths += figures.save(fig, f"{stem}_{suffix}", formats, made_by=figures.commands(surface))
    if show:
        figures.show()
    return paths


def plot_trajectory(proj_file, *, dir_file="", show=False, formats=("pdf",)) -> list[str]:
    """Draw a projected trajectory alone, as `<proj_file>`; `dir_file` tells the variance that each axis explains."""
    x, y = h5_util.read_projection(proj_file)
    paths = figures.save(_trajectory(x, y, explained(dir_file), show=show), proj_file, formats)
    if show:
        figures.show()
    return paths


def plot_contour_trajectory(
    surf_file, *, name="train_loss", dir_file="", proj_file, vmin=VMIN, vmax=VMAX, vlevel=VLEVEL, show=False, formats=("pdf",)
) -> list[str]:
    """Draw the contours of a surface under a trajectory, as `<proj_file>_<name>_2dcontour_proj`; return the paths written."""
    surface = read_grid(surf_file, name)
    if not has_cells(surface):
        raise InputError(f"{surf_file}: {too_thin(surface)}")
    x, y = h5_util.read_projection(proj_file)
    shares = explained(dir_file)
    scale = choose_scale(surface, name, vmin=vmin, vmax=vmax, vlevel=vlevel)
    _say(surface, name, scale)
    # Coordinates mean nothing along other directions. Files are moved and renamed, so this can only be said, not refused.
    if not os.path.basename(proj_file).startswith(os.path.basename(surface.dir_file)):
        print(f"{surf_file} was made along the directions {surface.dir_file!r}; check that {proj_file} was projected on them.")
    outside = (x < surface.x.min()) | (x > surface.x.max()) | (y < surface.y.min()) | (y > surface.y.max())
    if outside.any():
        print(f"{proj_file}: {np.count_nonzero(outside)} of {outside.size} checkpoints lie outside the surface's grid.")
    fig = _contour(surface, name, scale, show=show, mark_centre=False)  # the last checkpoint is there
    _draw_trajectory(fig, x, y, shares)
    paths = figures.save(fig, f"{proj_file}_{name}_2dcontour_proj", formats, made_by=figures.commands(surface))
    if show:
        figures.show()
    return paths


def read_grid(surf_file, name):
    """The surface of a 2-D file that has something of quantity `name` to draw."""
    surface = h5_util.read_surface(surf_file)
    if surface.y is None:
        raise InputError(f"{surf_file} is 1-D; use plot_1D.py")
    if np.isnan(drawn_values(surface, name)).all():
        raise InputError(f"{surf_file} has no finite {name} to draw ({figures.describe_missing(surface, name)})")
    return surface


def has_cells(surface) -> bool:
    """Whether contours and surfaces can be drawn at all: they live between the points."""
    return min(np.unique(surface.x).size, np.unique(surface.y).size) >= 2


def too_thin(surface) -> str:
    return f"a contour or a 3-D surface needs at least 2x2 points, and this grid is {len(surface.x)}x{len(surface.y)} (x by y)"


def explained(dir_file) -> np.ndarray | None:
    """The share of the variance that each direction of `dir_file` explains, if a file is given and knows it."""
    return h5_util.read_explained_variance(dir_file) if dir_file else None


@dataclass(frozen=True)
class Scale:
    """Contour levels, the colours that go with them, and whether they were fitted to the data; a constant has no levels."""

    levels: np.ndarray
    norm: Normalize
    fitted: bool


def choose_scale(surface, name, *, vmin=VMIN, vmax=VMAX, vlevel=VLEVEL) -> Scale:
    """The levels vmin, vmin + vlevel, … below vmax; if fewer than three lie within the data, levels that fit it instead.

    The defaults are levels of a loss: for another quantity they count as not given.
    """
    if not vmin < vmax:
        raise InputError(f"vmin {vmin:g} is not less than vmax {vmax:g}")
    if not vlevel > 0:
        raise InputError(f"vlevel {vlevel:g} is not positive")
    if (vmax - vmin) / vlevel > MOST_LEVELS:
        raise InputError(f"vlevel {vlevel:g} makes more than {MOST_LEVELS} levels from vmin {vmin:g} to vmax {vmax:g}")
    values = drawn_values(surface, name)
    low, high = np.nanmin(values), np.nanmax(values)
    meant = name.endswith("_loss") or (vmin, vmax, vlevel) != (VMIN, VMAX, VLEVEL)
    levels = np.arange(vmin, vmax, vlevel)
    if meant and np.count_nonzero((levels > low) & (levels < high)) >= 3:
        return Scale(levels, Normalize(levels[0], levels[-1]), fitted=False)
    if not high - low > 1e-12 * max(abs(low), abs(high)):
        return Scale(np.array([]), Normalize(low, high), fitted=True)
    norm = Normalize(low, high)
    levels = MaxNLocator(nbins=12).tick_values(low, high)
    if name.endswith("_loss") and low > 0 and high / low > 1e3:  # even steps would all lie at the top of such a range
        norm = LogNorm(low, high)
        levels = 10 ** MaxNLocator(nbins=10).tick_values(np.log10(low), np.log10(high))
    return Scale(levels[(levels > low) & (levels < high)], norm, fitted=True)


def drawn_values(surface, name) -> np.ndarray:
    """The values as they are drawn: NaN, and so a hole, where there is nothing to draw."""
    return figures.finite(surface.get(name))


@figures.styled
def _contour(surface, name, scale, *, show, mark_centre=True):
    fig, axes = _plane(surface, name, scale, show=show)
    x, y, values = _known_part(surface, name)
    if scale.levels.size:
        lines = _quietly(axes.contour, x, y, values, levels=scale.levels, cmap=LINE_COLOURS, norm=scale.norm, linewidths=1.3)
        axes.clabel(lines, lines.levels[:: 1 if len(lines.levels) <= 12 else 2], fontsize=9, fmt="%.3g", colors="0.15")
        # The colour bar of lines alone is a ladder of hairlines: this one shows the scale that they are taken from.
        fig.colorbar(ScalarMappable(scale.norm, LINE_COLOURS), ax=axes, label=figures.label(name))
    _finish_plane(axes, surface, mark_centre=mark_centre)
    return fig


@figures.styled
def _contourf(surface, name, scale, *, show):
    fig, axes = _plane(surface, name, scale, show=show)
    x, y, values = _known_part(surface, name)
    if scale.levels.size >= 2:
        filled = _quietly(axes.contourf, x, y, values, levels=scale.levels, cmap=COLOURS, norm=scale.norm, extend="both")
        filled.set_edgecolor("face")  # viewers show white seams between the regions of a PDF otherwise
        ticks = {"ticks": LogLocator(numticks=8), "format": LogFormatterSciNotation()} if isinstance(scale.norm, LogNorm) else {}
        fig.colorbar(filled, ax=axes, label=figures.label(name), **ticks)
    elif np.isfinite(values).any():
        low = np.nanmin(values)
        step = max(abs(low), 1.0)
        _quietly(axes.contourf, x, y, values, levels=[low - step, np.nanmax(values) + step], cmap=COLOURS)
    _finish_plane(axes, surface)
    return fig


@figures.styled
def _heat(surface, name, scale, *, show):
    fig, axes = _plane(surface, name, scale, show=show)
    values = np.ma.masked_invalid(drawn_values(surface, name))
    cells = axes.pcolormesh(edges(surface.x), edges(surface.y), values, cmap=COLOURS, norm=scale.norm, rasterized=True)
    fig.colorbar(cells, ax=axes, label=figures.label(name), extend=_extend(values, scale.norm))
    axes.set_facecolor(MISSING_COLOUR)
    _finish_plane(axes, surface, heat=True)
    return fig


@figures.styled
def _surface3d(surface, name, scale, *, show, zlim):
    fig = figures.new_figure(show=show, size=(7, 5.6))
    axes = fig.add_subplot(projection="3d")
    x, y, values = _known_part(surface, name)
    low = np.nanmin(values)
    norm = Normalize(low, np.nanmax(values))
    if zlim is not None:
        if not zlim > low:
            raise InputError(f"zlim {zlim:g} is below every value of {name} (the least is {low:.3g})")
        values = np.minimum(values, zlim)
        norm = Normalize(low, min(zlim, np.nanmax(values)))
        axes.set_zlim(min(0, low), zlim)
    # Without the counts, matplotlib thins the grid to 50 rows and columns without a word.
    drawn = axes.plot_surface(
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
    fig.colorbar(drawn, ax=axes, shrink=0.65, pad=0.1, label=figures.label(name))
    axes.set_xlabel(r"$\alpha$ (x direction)", labelpad=8)
    axes.set_ylabel(r"$\beta$ (y direction)", labelpad=8)
    axes.tick_params(labelsize=10)
    axes.locator_params(nbins=6)
    notes = [figures.describe_missing(surface, name)]
    notes += [f"cut off at {zlim:g}"] if zlim is not None and (surface.get(name) > zlim).any() else []
    figures.footnote(fig, "; ".join(filter(None, notes)))
    return fig


@figures.styled
def _trajectory(x, y, shares, *, show):
    fig = figures.new_figure(show=show)
    axes = fig.add_subplot()
    _set_aspect(axes, np.ptp(x), np.ptp(y), adjustable="datalim")
    axes.grid(True, color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    _draw_trajectory(fig, x, y, shares)
    return fig


@figures.styled
def _draw_trajectory(fig, x, y, shares) -> None:
    """Draw the trajectory in the figure's first axes and name its directions there."""
    axes = fig.axes[0]
    axes.plot(x, y, "-", color="tab:red", linewidth=1.6, marker=".", markersize=6, zorder=5, label="trajectory")
    axes.plot(x[:1], y[:1], "s", color="tab:red", markersize=7, markeredgecolor="white", zorder=6, label="first checkpoint")
    axes.plot(x[-1:], y[-1:], "*", color="tab:red", markersize=14, markeredgecolor="white", zorder=6, label="last checkpoint")
    axes.autoscale(True)
    texts = ["x direction", "y direction"]
    if shares is not None and shares.size >= 2:
        texts = [f"PCA {i}: {100 * share:.1f} % of the variance" for i, share in enumerate(shares[:2], start=1)]
    axes.set_xlabel(rf"$\alpha$ ({texts[0]})")
    axes.set_ylabel(rf"$\beta$ ({texts[1]})")
    handles, labels = axes.get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False, columnspacing=1, handletextpad=0.4)


def _plane(surface, name, scale, *, show):
    """A figure with the plane's axes, and below them what is missing."""
    fig = figures.new_figure(show=show, size=(6.4, 5.2))
    axes = fig.add_subplot()
    axes.set_xlabel(r"$\alpha$ (x direction)")
    axes.set_ylabel(r"$\beta$ (y direction)")
    notes = [figures.describe_missing(surface, name)]
    if not scale.levels.size:
        notes.insert(0, f"{figures.label(name)} is {scale.norm.vmin:.4g} everywhere")
    figures.footnote(fig, "; ".join(filter(None, notes)))
    return fig, axes


def _finish_plane(axes, surface, *, heat=False, mark_centre=True) -> None:
    """Limits, aspect and the mark of the minimiser."""
    x, y = (edges(surface.x), edges(surface.y)) if heat else (surface.x, surface.y)
    axes.set_xlim(x.min(), x.max())
    axes.set_ylim(y.min(), y.max())
    _set_aspect(axes, np.ptp(x), np.ptp(y), adjustable="box")
    axes.locator_params(nbins=6)
    if mark_centre and x.min() <= 0 <= x.max() and y.min() <= 0 <= y.max():
        axes.plot(0, 0, "+", color="white", markersize=12, markeredgewidth=4, zorder=4, clip_on=False)
        axes.plot(0, 0, "+", color="black", markersize=11, markeredgewidth=1.8, zorder=4, clip_on=False)


def _set_aspect(axes, width, height, *, adjustable) -> None:
    """Equal lengths on both axes, unless that would leave a sliver of a figure."""
    if width > 0 and height > 0 and max(width / height, height / width) <= 4:
        axes.set_aspect("equal", adjustable=adjustable)


def _known_part(surface, name):
    """x, y and values, without rows and columns that are empty: a run that began with a coarse grid shows that grid."""
    values = drawn_values(surface, name)
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


def _extend(values, norm) -> str:
    """Which ends of a colour bar have values beyond them."""
    below, above = values.min() < norm.vmin, values.max() > norm.vmax
    return {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[bool(below), bool(above)]


def _quietly(draw, x, y, values, **options):
    """Contours of a surface full of holes may have no line at all: the footnote tells of the holes, a warning adds nothing."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No contour levels were found")
        return draw(x, y, np.ma.masked_invalid(values), **options)


def _say(surface, name, scale) -> None:
    """Print what a reader of the figures must know."""
    missing = figures.describe_missing(surface, name)
    if missing:
        print(f"{surface.path}: {name}: {missing}.")
    if scale.fitted and scale.levels.size and has_cells(surface):
        low, high = scale.levels[0], scale.levels[-1]
        print(f"{surface.path}: vmin, vmax and vlevel do not suit {name}; the levels go from {low:.4g} to {high:.4g} instead.")


if __name__ == "__main__":
    main()
