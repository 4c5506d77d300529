"""Draw loss, accuracy and error along one direction.

    python plot_1D.py --surf_file path_to_surf_file
    python plot_1D.py --surf_file path_to_surf_file --log --xmin -0.5 --xmax 0.5 --format pdf png
    python plot_1D.py --prefix path_to_surf_files --idx_min 1 --idx_max 10

The first two write, beside the surface file, `<surf>_1d_loss_acc[_log].pdf`, `<surf>_1d_train_loss[_log].pdf` and
`<surf>_1d_train_err.pdf`; the last draws the repeats `<prefix>_1.h5` to `<prefix>_10.h5` in `<prefix>_1d_loss_err_repeat.pdf`.
"""

from __future__ import annotations

import os
import sys

import numpy as np

import figures
import h5_util
from command_line import Parser, add_format_option, sentence
from errors import InputError

LOSS_COLOUR, ACCURACY_COLOUR = "tab:blue", "tab:red"
LINES = {"train": "-", "test": "--"}


def main(argv=None) -> None:
    parser = argument_parser()
    args = parser.parse_args(argv)
    if bool(args.surf_file) == bool(args.prefix):
        parser.error("give one of --surf_file and --prefix")
    options = {
        "xmin": args.xmin,
        "xmax": args.xmax,
        "loss_max": args.loss_max,
        "log": args.log,
        "show": args.show,
        "formats": args.format,
    }
    with sentence(parser), figures.drawn_by(__file__, sys.argv[1:] if argv is None else argv):
        if args.prefix:
            plot_repeats(args.prefix, idx_min=args.idx_min, idx_max=args.idx_max, **options)
        else:
            plot_1d(args.surf_file, **options)


def argument_parser() -> Parser:
    parser = Parser("Draw loss, accuracy and error along one direction.")
    parser.add_argument("--surf_file", "-f", default="", help="surface file with one coordinate")
    parser.add_argument("--log", action="store_true", help="logarithmic scale for the loss")
    parser.add_argument("--xmin", type=float, help="left end of the axis (default: the file's whole range, not -1)")
    parser.add_argument("--xmax", type=float, help="right end of the axis (default: the file's whole range, not 1)")
    parser.add_argument("--loss_max", type=float, default=5, help="top of the loss axis, unless --log (default: %(default)s)")
    parser.add_argument("--show", action="store_true", help="open the figures in windows as well")
    parser.add_argument("--prefix", default="", help="draw the repeats <prefix>_<idx>.h5 in one figure")
    parser.add_argument("--idx_min", type=int, default=1, help="first repeat (default: %(default)s)")
    parser.add_argument("--idx_max", type=int, default=10, help="last repeat, included (default: %(default)s)")
    add_format_option(parser)
    return parser


def plot_1d(surf_file, *, xmin=None, xmax=None, loss_max=5, log=False, show=False, formats=("pdf",)) -> list[str]:
    """Draw every 1-D figure that the file's quantities allow; return the paths written.

    Raises InputError for a 2-D file, and for one with neither a loss nor an accuracy.
    """
    surface = read_line(surf_file)
    _say_missing(surface)
    options = {"xmin": xmin, "xmax": xmax, "show": show, "formats": formats}
    paths = _plot_loss_acc(surface, loss_max=loss_max, log=log, **options)
    if _names(surface, "loss"):
        paths += _plot_loss(surface, loss_max=loss_max, log=log, **options)
    if _names(surface, "acc"):
        paths += _plot_err(surface, **options)
    if show:
        figures.show()
    return paths


def plot_loss_acc(surf_file, *, xmin=None, xmax=None, loss_max=5, log=False, show=False, formats=("pdf",)) -> list[str]:
    """Loss on the left axis and accuracy on the right one, training solid and test dashed: `<surf>_1d_loss_acc[_log]`."""
    surface = read_line(surf_file)
    _say_missing(surface)
    paths = _plot_loss_acc(surface, xmin=xmin, xmax=xmax, loss_max=loss_max, log=log, show=show, formats=formats)
    if show:
        figures.show()
    return paths


def plot_repeats(prefix, *, idx_min=1, idx_max=10, xmin=None, xmax=None, loss_max=5, log=False, show=False, formats=("pdf",)):
    """Loss and error of `<prefix>_{idx_min}.h5` to `<prefix>_{idx_max}.h5`, thin, and their mean, thick, where the grids agree.

    Writes `<prefix>_1d_loss_err_repeat` and returns its paths. Raises InputError naming the first file that is missing.
    """
    if idx_max < idx_min:
        raise InputError(f"--idx_max {idx_max} is less than --idx_min {idx_min}")
    files = [f"{prefix}_{index}.h5" for index in range(idx_min, idx_max + 1)]
    for path in files:
        if not os.path.exists(path):
            raise InputError(f"{path} does not exist; --idx_min {idx_min} --idx_max {idx_max} need it")
    surfaces = [read_line(path) for path in files]
    for surface in surfaces:
        _say_missing(surface)
    paths = _plot_repeats(surfaces, prefix, xmin=xmin, xmax=xmax, loss_max=loss_max, log=log, show=show, formats=formats)
    if show:
        figures.show()
    return paths


def read_line(surf_file):
    """The surface of a 1-D file that has something to draw."""
    surface = h5_util.read_surface(surf_file)
    if surface.y is not None:
        raise InputError(f"{surf_file} is 2-D; use plot_2D.py")
    names = _names(surface, "loss") + _names(surface, "acc")
    if not names:
        raise InputError(f"{surf_file} has no loss or accuracy to draw; it has {', '.join(surface.names) or 'no quantity'}")
    if not any(np.isfinite(_drawn(surface, name)).any() for name in names):
        raise InputError(f"{surf_file} has no finite value to draw ({names[0]}: {figures.describe_missing(surface, names[0])})")
    return surface


@figures.styled
def _plot_loss_acc(surface, *, xmin, xmax, loss_max, log, show, formats):
    fig = figures.new_figure(show=show)
    axes = fig.add_subplot()
    lines = []
    for name in _names(surface, "loss"):
        lines += _line(axes, surface, name, colour=LOSS_COLOUR, log=log)
    _loss_axis(axes, lines, loss_max=loss_max, log=log, path=surface.path)
    right = axes.twinx()
    for name in _names(surface, "acc"):
        lines += _line(right, surface, name, colour=ACCURACY_COLOUR)
    _percent_axis(right, "accuracy (%)")
    for side, quantity in ((axes, "loss"), (right, "acc")):
        if not _names(surface, quantity):
            side.yaxis.set_visible(False)
    _finish(fig, axes, [surface], ("loss", "acc"), xmin=xmin, xmax=xmax)
    _legend(fig, lines)
    return figures.save(fig, f"{surface.path}_1d_loss_acc{'_log' if log else ''}", formats, made_by=figures.commands(surface))


@figures.styled
def _plot_loss(surface, *, xmin, xmax, loss_max, log, show, formats):
    fig = figures.new_figure(show=show)
    axes = fig.add_subplot()
    lines = [line for name in _names(surface, "loss") for line in _line(axes, surface, name, colour=LOSS_COLOUR, log=log)]
    _loss_axis(axes, lines, loss_max=loss_max, log=log, path=None, colour="black")
    _finish(fig, axes, [surface], ("loss",), xmin=xmin, xmax=xmax)
    _legend(fig, lines)
    return figures.save(fig, f"{surface.path}_1d_train_loss{'_log' if log else ''}", formats, made_by=figures.commands(surface))


@figures.styled
def _plot_err(surface, *, xmin, xmax, show, formats):
    fig = figures.new_figure(show=show)
    axes = fig.add_subplot()
    lines = [line for name in _names(surface, "acc") for line in _line(axes, surface, name, colour=ACCURACY_COLOUR, error=True)]
    _percent_axis(axes, "error (%)", colour="black")
    _finish(fig, axes, [surface], ("acc",), xmin=xmin, xmax=xmax)
    _legend(fig, lines)
    return figures.save(fig, f"{surface.path}_1d_train_err", formats, made_by=figures.commands(surface))


@figures.styled
def _plot_repeats(surfaces, prefix, *, xmin, xmax, loss_max, log, show, formats):
    fig = figures.new_figure(show=show)
    axes = fig.add_subplot()
    right = axes.twinx()
    same_grid = all(np.array_equal(surface.x, surfaces[0].x) for surface in surfaces)
    losses, legend = [], []
    for side, quantity, colour in ((axes, "loss", LOSS_COLOUR), (right, "acc", ACCURACY_COLOUR)):
        for name in (f"train_{quantity}", f"test_{quantity}"):
            having = [surface for surface in surfaces if name in surface.names]
            style = {"colour": colour, "log": log and side is axes, "error": side is right}
            faint = 0.5 if same_grid else 0.8
            lines = [line for one in having for line in _line(side, one, name, alpha=faint, width=0.9, **style)]
            if having and same_grid:
                values = np.stack([_drawn(surface, name, log=style["log"], error=style["error"]) for surface in having])
                # A mean over fewer repeats than its neighbours' would jump where nothing changes: only where all are there.
                lines = [*lines, *_draw(side, surfaces[0].x, values.mean(axis=0), name, width=2.4, **style)]
            losses += lines if side is axes else []
            legend += lines[-1:]
    _loss_axis(axes, losses, loss_max=loss_max, log=log, path=prefix)
    _percent_axis(right, "error (%)")
    _finish(fig, axes, surfaces, ("loss", "acc"), xmin=xmin, xmax=xmax)
    axes.set_title(f"{len(surfaces)} repeats" + (" and their mean" if same_grid and len(surfaces) > 1 else ""))
    _legend(fig, legend)
    return figures.save(fig, f"{prefix}_1d_loss_err_repeat", formats, made_by=figures.commands(*surfaces))


def _names(surface, quantity: str) -> list[str]:
    """The training and test quantities ("loss" or "acc") that the file has."""
    return [name for name in (f"train_{quantity}", f"test_{quantity}") if name in surface.names]


def _drawn(surface, name, *, log=False, error=False) -> np.ndarray:
    """The values of `name` as they are drawn: NaN, and so a gap, where there is nothing to draw."""
    values = figures.finite(surface.get(name))
    if error:
        values = 100 - values
    return np.where(values > 0, values, np.nan) if log else values


def _line(axes, surface, name, *, colour, log=False, error=False, width=None, alpha=None):
    values = _drawn(surface, name, log=log, error=error)
    return _draw(axes, surface.x, values, name, colour=colour, error=error, width=width, alpha=alpha)


def _draw(axes, x, y, name, *, colour, log=False, error=False, width=None, alpha=None):
    """One line of `axes`; a point without neighbours would not show in a line, so it gets a marker."""
    split, quantity = name.split("_")
    known = np.pad(np.isfinite(y), 1)
    alone = np.flatnonzero(known[1:-1] & ~known[:-2] & ~known[2:])
    return axes.plot(
        x,
        y,
        LINES[split],
        color=colour,
        linewidth=width,
        alpha=alpha,
        marker="o" if alone.size else None,
        markersize=4,
        markevery=alone.tolist(),
        label=f"{split} {'error' if error else {'loss': 'loss', 'acc': 'accuracy'}[quantity]}",
    )


def _loss_axis(axes, lines, *, loss_max, log, path, colour=LOSS_COLOUR) -> None:
    """Scale the loss axis: 0 to `loss_max`, or the data's own range if all of it would be out of sight.

    `path` names the file in the line printed then; None prints nothing.
    """
    axes.set_ylabel("loss", color=colour)
    axes.tick_params(axis="y", labelcolor=colour)
    values = np.concatenate([line.get_ydata() for line in lines] or [[]])
    values = values[np.isfinite(values)]
    if log:
        if lines and not values.size:
            raise InputError("no loss is positive, so a log scale has nothing to show; leave --log out")
        axes.set_yscale("log")
    elif values.size and not values.min() < loss_max:
        if path is not None:
            print(f"{path}: no loss is below --loss_max {loss_max:g}, so the axis follows the data.")
    else:
        axes.set_ylim(min(0, values.min(initial=0)), loss_max)
    if values.size:
        axes.margins(y=0.05)


def _percent_axis(axes, text, *, colour=ACCURACY_COLOUR) -> None:
    axes.set_ylabel(text, color=colour)
    axes.tick_params(axis="y", labelcolor=colour)
    axes.set_ylim(-2, 102)  # a line at 0 or 100 is not hidden by the frame


def _finish(fig, axes, surfaces, quantities, *, xmin, xmax) -> None:
    """The x axis, the mark of the minimiser, and the footnote about what is missing."""
    low = min(surface.x.min() for surface in surfaces) if xmin is None else xmin
    high = max(surface.x.max() for surface in surfaces) if xmax is None else xmax
    if low > high:
        raise InputError(f"xmin {low:g} is greater than xmax {high:g}")
    if low == high:
        low, high = low - 0.5, high + 0.5
    axes.set_xlim(low, high)
    axes.set_xlabel(r"$\alpha$")
    if low < 0 < high:
        axes.axvline(0, color="0.8", linewidth=1, zorder=0)
    axes.grid(True, axis="y", color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    texts = dict.fromkeys(text for surface in surfaces for text in _missing(surface, quantities))
    figures.footnote(fig, "\n".join(list(texts)[:3] + (["and more missing in other repeats"] if len(texts) > 3 else [])))


def _legend(fig, lines) -> None:
    """Above the axes, where it hides no part of a curve."""
    fig.legend(handles=lines, loc="outside upper center", ncols=2, frameon=False)


def _missing(surface, quantities=("loss", "acc")) -> list[str]:
    """What the file's losses and accuracies lack, each sentence once, with the names that it is true of."""
    drawn = [name for quantity in quantities for name in _names(surface, quantity)]
    names_of = {}
    for name in drawn:
        text = figures.describe_missing(surface, name)
        if text:
            names_of.setdefault(text, []).append(name)
    return [text if len(names) == len(drawn) else f"{', '.join(names)}: {text}" for text, names in names_of.items()]


def _say_missing(surface) -> None:
    for text in _missing(surface):
        print(f"{surface.path}: {text}.")


if __name__ == "__main__":
    main()
