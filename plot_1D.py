"""Draw loss, accuracy and error along one direction, of one surface file or of several.

    python plot_1D.py --surf_file path_to_surf_file
    python plot_1D.py --surf_file path_to_surf_file --log --xmin -0.5 --xmax 0.5 --format pdf png
    python plot_1D.py --surf_file small.h5 large.h5 --title "batch 128" "batch 8192" --out batch_sizes
    python plot_1D.py --surf_file growing_surf_file --watch
    python plot_1D.py --prefix path_to_surf_files --idx_min 1 --idx_max 10

A surface gets `<surf>_1d_loss_acc[_log].pdf`, `<surf>_1d_train_loss[_log].pdf` and `<surf>_1d_train_err.pdf` beside its file, several surfaces
these side by side on one scale as `<out>_1d_…`. The last command draws the repeats `<prefix>_1.h5` to `<prefix>_10.h5` in
`<prefix>_1d_loss_err_repeat.pdf`. What the figures show is also told in numbers (docs/metrics.md).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import numpy as np

import figures
import h5_util
import surface_metrics
import watching
from command_line import Parser, add_comparison_options, add_figure_options, finite, sentence
from errors import InputError

LOSS_COLOUR, ACCURACY_COLOUR = "tab:blue", "tab:red"
LINES = {"train": "-", "test": "--"}
MARK_SIZE = 10  # of what is written above a minimiser
SPREAD = 0.18  # opacity of the band of one standard deviation around a mean


def main(argv=None) -> None:
    parser = argument_parser()
    args = parser.parse_args(argv)
    if bool(args.surf_file) == bool(args.prefix):
        parser.error("give one of --surf_file and --prefix")
    if args.prefix and (args.title or args.out):
        parser.error("--title and --out are for --surf_file; leave them out with --prefix")
    options = {
        "xmin": args.xmin,
        "xmax": args.xmax,
        "loss_max": args.loss_max,
        "log": args.log,
        "show": args.show,
        "formats": args.format,
        "json_file": args.json,
    }

    def draw() -> None:
        if args.prefix:
            plot_repeats(args.prefix, idx_min=args.idx_min, idx_max=args.idx_max, **options)
        else:
            plot_1d(*args.surf_file, titles=args.title, out=args.out, **options)

    with sentence(parser), figures.drawn_by(__file__, sys.argv[1:] if argv is None else argv), figures.sent_to_tensorboard(args.tensorboard):
        watching.draw(draw, args.surf_file or repeat_files(args.prefix, args.idx_min, args.idx_max), watch=args.watch)


def argument_parser() -> Parser:
    parser = Parser(__doc__)
    parser.add_argument("--surf_file", "-f", nargs="+", default=[], metavar="FILE", help="surface file with one coordinate; several are drawn side by side")
    parser.add_argument("--log", action="store_true", help="logarithmic scale for the loss")
    parser.add_argument("--xmin", type=finite, help="left end of the axis (default: the file's whole range, not -1)")
    parser.add_argument("--xmax", type=finite, help="right end of the axis (default: the file's whole range, not 1)")
    parser.add_argument("--loss_max", type=finite, default=5, help="top of the loss axis, unless --log (default: %(default)s)")
    parser.add_argument("--prefix", default="", help="draw the repeats <prefix>_<idx>.h5 in one figure")
    parser.add_argument("--idx_min", type=int, default=1, help="first repeat (default: %(default)s)")
    parser.add_argument("--idx_max", type=int, default=10, help="last repeat, included (default: %(default)s)")
    add_comparison_options(parser)
    add_figure_options(parser)
    return parser


def plot_1d(*surf_files: str, titles: Sequence[str] = (), out: str = "", xmin=None, xmax=None, loss_max=5, log=False, json_file="", show=False,
            formats=("pdf",)) -> list[str]:
    """Draw every 1-D figure that the files' quantities allow, several files side by side; return the paths written.

    Numbers that describe the curves are printed, and written to `json_file`. Raises InputError for a 2-D file, and for one with neither a
    loss nor an accuracy.
    """
    surfaces = [read_line(path) for path in surf_files]
    titles, stem = figures.titles_and_stem(surf_files, titles, out)
    _say_missing(surfaces)
    scale = {"loss_max": loss_max, "log": log}
    kinds = {f"1d_loss_acc{'_log' if log else ''}": (("loss", "acc"), scale), f"1d_train_loss{'_log' if log else ''}": (("loss",), scale),
             "1d_train_err": (("err",), {})}
    has = {"loss": any(_names(surface, "loss") for surface in surfaces), "err": any(_names(surface, "acc") for surface in surfaces)}
    paths = []
    for suffix, (shown, options) in kinds.items():
        if len(shown) > 1 or has[shown[0]]:
            fig = _side_by_side(surfaces, titles, shown, xmin=xmin, xmax=xmax, show=show, **options)
            paths += figures.save(fig, f"{stem}_{suffix}", formats, made_by=figures.commands(*surfaces))
    names = [name for name in ("train_loss", "test_loss") if any(name in surface.names for surface in surfaces)]
    surface_metrics.tell(surfaces, titles, names, json_file=json_file)
    if show:
        figures.show()
    return paths


def plot_repeats(prefix, *, idx_min=1, idx_max=10, xmin=None, xmax=None, loss_max=5, log=False, json_file="", show=False, formats=("pdf",)):
    """Loss and error of `<prefix>_{idx_min}.h5` to `<prefix>_{idx_max}.h5`, thin, and where the grids agree their mean, thick, with a band of one
    standard deviation.

    Writes `<prefix>_1d_loss_err_repeat` and returns its paths. Raises InputError naming the first file that is missing.
    """
    files = repeat_files(prefix, idx_min, idx_max)
    for path in files:
        if not os.path.exists(path):
            raise InputError(f"{path} does not exist; --idx_min {idx_min} --idx_max {idx_max} need it")
    surfaces = [read_line(path) for path in files]
    _say_missing(surfaces)
    fig = _repeats(surfaces, prefix, xmin=xmin, xmax=xmax, loss_max=loss_max, log=log, show=show)
    paths = figures.save(fig, f"{prefix}_1d_loss_err_repeat", formats, made_by=figures.commands(*surfaces))
    names = [name for name in ("train_loss", "test_loss") if any(name in surface.names for surface in surfaces)]
    surface_metrics.tell(surfaces, [""] * len(surfaces), names, json_file=json_file)
    if show:
        figures.show()
    return paths


def repeat_files(prefix: str, idx_min: int, idx_max: int) -> list[str]:
    if idx_max < idx_min:
        raise InputError(f"--idx_max {idx_max} is less than --idx_min {idx_min}")
    return [f"{prefix}_{index}.h5" for index in range(idx_min, idx_max + 1)]


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
def _side_by_side(surfaces, titles, shown: tuple[str, ...], *, xmin, xmax, show, loss_max=None, log=False):
    """A panel for each surface, with the quantities `shown` ("loss", "acc", "err") against the axes on its left and right, on one scale."""
    fig = figures.new_figure(show=show, size=(1.4 + 5 * len(surfaces), 4.8))
    all_axes = fig.subplots(1, len(surfaces), squeeze=False, sharey=True)[0]
    lines, losses = [], []
    for axes, surface, title in zip(all_axes, surfaces, titles, strict=True):
        sides = [axes, *(axes.twinx() for _ in shown[1:])]
        for side, quantity in zip(sides, shown, strict=True):
            names = _names(surface, "acc" if quantity == "err" else quantity)
            lines += [line for name in names for line in _line(side, surface, name, colour=LOSS_COLOUR if quantity == "loss" else ACCURACY_COLOUR,
                                                               log=log and quantity == "loss", error=quantity == "err")]
            if quantity == "loss":
                losses += [line for line in lines if line.axes is side]
            else:
                _percent_axis(side, {"acc": "accuracy (%)", "err": "error (%)"}[quantity], colour=ACCURACY_COLOUR if len(shown) > 1 else "black")
            if not names:
                side.yaxis.set_visible(False)
        axes.set_title(title, pad=20)  # above the marks
        _finish(axes, [surface], xmin=xmin, xmax=xmax)
    if "loss" in shown:
        both = len(shown) > 1
        for axes in all_axes:
            _loss_axis(axes, losses, loss_max=loss_max, log=log, path=surfaces[0].path if both and axes is all_axes[0] else None,
                       colour=LOSS_COLOUR if both else "black")
    for axes in fig.axes:
        axes.label_outer(remove_inner_ticks=False) if axes in all_axes else _hide_inner_right(axes, all_axes[-1])
    quantities = tuple("acc" if quantity == "err" else quantity for quantity in shown)
    _footnote(fig, surfaces, titles, quantities)
    _legend(fig, lines)
    return fig


def _hide_inner_right(axes, last) -> None:
    """The right axis of a panel is told by the last panel alone."""
    if axes.get_position().x1 < last.get_position().x1:
        axes.set_ylabel("")
        axes.tick_params(labelright=False)


@figures.styled
def _repeats(surfaces, prefix, *, xmin, xmax, loss_max, log, show):
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
                mean, spread = values.mean(axis=0), values.std(axis=0)
                lines = [*lines, *_draw(side, surfaces[0].x, mean, name, width=2.4, **style)]
                low = np.where(mean > spread, mean - spread, np.nan) if style["log"] else mean - spread
                side.fill_between(surfaces[0].x, low, mean + spread, color=colour, alpha=SPREAD, linewidth=0)
            losses += lines if side is axes else []
            legend += lines[-1:]
    _loss_axis(axes, losses, loss_max=loss_max, log=log, path=prefix)
    _percent_axis(right, "error (%)")
    _finish(axes, surfaces, xmin=xmin, xmax=xmax)
    _footnote(fig, surfaces, [""] * len(surfaces), ("loss", "acc"))
    axes.set_title(f"{len(surfaces)} repeats" + (", their mean and standard deviation" if same_grid and len(surfaces) > 1 else ""), pad=20)
    _legend(fig, legend)
    return fig


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
    axes.tick_params(axis="y", which="both", labelcolor=colour)
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
    axes.tick_params(axis="y", which="both", labelcolor=colour)
    axes.set_ylim(-2, 102)  # a line at 0 or 100 is not hidden by the frame


def _finish(axes, surfaces, *, xmin, xmax) -> None:
    """The x axis, and the marks of the minimisers: at 0, and of an interpolation at 1 too."""
    low = min(surface.x.min() for surface in surfaces) if xmin is None else xmin
    high = max(surface.x.max() for surface in surfaces) if xmax is None else xmax
    if low > high:
        raise InputError(f"xmin {low:g} is greater than xmax {high:g}")
    if low == high:
        low, high = low - 0.5, high + 0.5
    axes.set_xlim(low, high)
    axes.set_xlabel(r"$\alpha$")
    marks = {0.0: "minimiser"}
    if all(map(surface_metrics.interpolates, surfaces)):
        marks = {0.0: "first minimiser", 1.0: "second minimiser"}
    for place, text in marks.items():
        if low < place < high:
            axes.axvline(place, color="0.75", linewidth=1, zorder=0)
            axes.annotate(text, (place, 1), xycoords=("data", "axes fraction"), xytext=(0, 3), textcoords="offset points", ha="center", va="bottom",
                          fontsize=MARK_SIZE, color="0.45")
    axes.grid(True, axis="y", color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)


def _footnote(fig, surfaces, titles, quantities) -> None:
    """What is missing, in the three first sentences that differ."""
    texts = dict.fromkeys(f"{title}: {text}" if title else text
                          for surface, title in zip(surfaces, titles, strict=True) for text in _missing(surface, quantities))
    figures.footnote(fig, "\n".join(list(texts)[:3] + (["and more missing in other files"] if len(texts) > 3 else [])))


def _legend(fig, lines) -> None:
    """Above the axes, where it hides no part of a curve; panels share its entries."""
    by_label = {line.get_label(): line for line in lines}
    fig.legend(handles=list(by_label.values()), loc="outside upper center", ncols=2 if len(fig.axes) <= 2 else 4, frameon=False)


def _missing(surface, quantities=("loss", "acc")) -> list[str]:
    """What the file's losses and accuracies lack, each sentence once, with the names that it is true of."""
    drawn = [name for quantity in quantities for name in _names(surface, quantity)]
    names_of = {}
    for name in drawn:
        text = figures.describe_missing(surface, name)
        if text:
            names_of.setdefault(text, []).append(name)
    return [text if len(names) == len(drawn) else f"{', '.join(names)}: {text}" for text, names in names_of.items()]


def _say_missing(surfaces) -> None:
    for surface in surfaces:
        for text in _missing(surface):
            print(f"{surface.path}: {text}.")


if __name__ == "__main__":
    main()
