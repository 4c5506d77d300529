"""What every figure shares: its style, how it is saved, and how it says what is missing.

A reader meets these figures in a paper, beside other people's: type is readable at column width and embedded in the file. A
figure is made without pyplot unless it is to be shown, so drawing works on a machine without a display and leaves nothing open.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.backends import BackendFilter, backend_registry
from matplotlib.figure import Figure
from matplotlib.mathtext import MathTextParser

from losslandscape.core import quantity
from losslandscape.core.errors import InputError, require_choice
from losslandscape.core.provenance import command_line
from losslandscape.core.text import printable
from losslandscape.files.atomic_file import replacing
from losslandscape.files.file_names import FIGURE_FORMATS

if TYPE_CHECKING:
    from losslandscape.draw.contour_levels import Scale
    from losslandscape.draw.tensorboard_log import Log
    from losslandscape.files.surface import Surface

STYLE = {
    "font.size": 13,
    "axes.titlesize": 13,
    "axes.labelsize": 14,
    "xtick.labelsize": 12,
    "ytick.labelsize": 12,
    "legend.fontsize": 12,
    "lines.linewidth": 1.8,
    "axes.linewidth": 0.9,
    "pdf.fonttype": 42,  # TrueType: journals refuse Type 3 fonts
    "svg.hashsalt": "figure",  # the same figure is the same file
    "savefig.dpi": 200,
}
FOOTNOTE_SIZE = 10
# matplotlib overflows near the end of float64's range. A float32 net's loss ends at 1e38: beyond this is as good as infinite.
LARGEST = 1e200

LABELS = {
    "acc": "accuracy (%)",
    "top5": "top-5 accuracy (%)",
    "penalty": "weight decay penalty",
    "regularised_loss": "loss with penalty",
    "min_eig": "smallest Hessian eigenvalue",
    "max_eig": "largest Hessian eigenvalue",
    "eig_ratio": r"$\lambda_{\min}\,/\,|\lambda_{\max}|$ of the Hessian",
    "eig_abs_ratio": r"$|\lambda_{\min}\,/\,\lambda_{\max}|$ of the Hessian",
}

TEXT_PLACE = {
    "pdf": "Subject",
    "png": "Description",
    "svg": "Description",
}  # of a format's metadata, for how the figure was made
UNDATED = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
_drawing: ContextVar[str] = ContextVar("_drawing", default="")
_log: ContextVar[Log | None] = ContextVar("_log", default=None)

styled = matplotlib.rc_context(STYLE)
"""Decorator of a function that draws: the style holds inside it, and the caller's own settings are untouched."""


def label(name: str) -> str:
    """What people call the quantity `name` of a surface file.

    >>> label("train_acc"), label("test_own_value")
    ('train accuracy (%)', 'test own value')
    """
    part, value = quantity.split(name)
    return f"{part} {value_label(value)}".strip()


def value_label(value: str) -> str:
    """What people call a value, of whichever part of the data."""
    return LABELS.get(value, value.replace("_", " ").replace("$", r"\$"))


def finite(values) -> np.ndarray:
    """`values` as float64 with NaN wherever a value is NaN or infinite, so that nothing is drawn there."""
    values = np.asarray(values, dtype=np.float64)
    return np.where(np.abs(values) < LARGEST, values, np.nan)


def has_display() -> bool:
    """Whether matplotlib can open a window here."""
    if matplotlib.get_backend().lower() not in backend_registry.list_builtin(BackendFilter.INTERACTIVE):
        return False
    from matplotlib import pyplot

    try:
        pyplot.switch_backend(matplotlib.get_backend())
    except ImportError:  # a backend was asked for by name, and there is no display for it
        return False
    return True


def new_figure(*, show: bool = False, size: tuple[float, float] = (6.4, 4.8)) -> Figure:
    """An empty figure of `size` inches; with `show`, and where there is a display, one that `show()` will open."""
    if show and has_display():
        from matplotlib import pyplot

        return pyplot.figure(figsize=size, layout="constrained")
    return Figure(figsize=size, layout="constrained")


def show() -> None:
    """Open every figure made with `show=True` and wait until its window is closed; without a display, say so."""
    if not has_display():
        print("There is no display here: the figures were only saved.")
        return
    from matplotlib import pyplot

    pyplot.show()
    pyplot.close("all")


@contextmanager
def drawn_by(program: str, arguments: Iterable[str]) -> Iterator[None]:
    """What is saved inside this block says in its metadata that this command line drew it."""
    token = _drawing.set(command_line(program, arguments))
    try:
        yield
    finally:
        _drawing.reset(token)


@contextmanager
def sent_to_tensorboard(logdir: str) -> Iterator[None]:
    """Inside this block, every figure that is saved and every mesh that is sent also goes to a TensorBoard log, unless `logdir` is empty."""
    if not logdir:
        yield
        return
    from losslandscape.draw.tensorboard_log import Log  # takes seconds to import

    with Log(logdir) as log:
        token = _log.set(log)
        try:
            yield
        finally:
            _log.reset(token)


def send_mesh(title: str, surface, name: str, scale: Scale) -> None:
    """Send a 2-D surface to the TensorBoard log, if there is one."""
    if log := _log.get():
        log.add_mesh(f"{title}/{name}", surface, name, scale)


def titles_and_stem(
    files: Sequence[str | Surface], titles: Sequence[str], stem: str
) -> tuple[list[str], str]:
    """The titles and the beginning of the names of figures that show these surface files, or surfaces, side by side.

    Raises `InputError` if there are titles, but not one for each file, two that are equal, or one with mathematics that cannot be read.
    """
    files = [getattr(file, "called", file) for file in files]
    if titles and len(titles) != len(files):
        raise InputError(
            f"--title has {len(titles)} texts for {len(files)} surface files; give one for each, from Python as titles="
        )
    for title in titles:
        try:
            MathTextParser("agg").parse(title)
        except ValueError as error:
            raise InputError(
                f"--title {title!r} has mathematics between its $ that cannot be read; write \\$ for a dollar sign"
            ) from error
    stem = stem or (files[0] if len(files) == 1 else f"{files[0]}_compared")
    if len(files) == 1:
        return list(titles) or [""], stem
    own = [os.path.basename(file) for file in files]
    told = list(titles) or [
        name.replace("$", r"\$") for name in (own if len(set(own)) == len(own) else files)
    ]
    if len(set(told)) < len(told):
        raise InputError(
            f"two surfaces have the title {next(title for title in told if told.count(title) > 1)!r}; give --title, or titles= from Python, "
            "with a text of its own for each"
        )
    return told, stem


@np.errstate(
    over="ignore"
)  # matplotlib's own divisions by the tiny range of tiny values, of what lies outside it
def save(
    fig: Figure,
    stem: str | os.PathLike,
    formats: str | Iterable[str] = ("pdf",),
    *,
    made_by: Iterable[str] = (),
) -> list[str]:
    """Write `fig` as `<stem>.<format>` for each of `formats`, or for the only one, print each path, and return the paths.

    Its metadata hold its name and the commands that made it: those that measured what it shows (`made_by`), then the one that draws.
    The file appears whole or not at all: it is written under another name in the same folder and then renamed.
    """
    paths = []
    for name in dict.fromkeys([formats] if isinstance(formats, str) else formats):
        require_choice("format", name, FIGURE_FORMATS)
        path = f"{os.fspath(stem)}.{name}"
        about = {
            "Title": os.path.basename(stem),
            TEXT_PLACE[name]: "\n".join(dict.fromkeys(filter(None, [*made_by, _drawing.get()]))),
        }
        metadata = {
            place: "\n".join(map(printable, text.split("\n"))) for place, text in about.items() if text
        } | UNDATED.get(name, {})
        with matplotlib.rc_context(STYLE), replacing(path) as part:
            fig.savefig(part, format=name, metadata=metadata, bbox_inches="tight", pad_inches=0.08)
        print(f"saved {path}")
        paths.append(path)
    if log := _log.get():
        log.add_figure(os.path.basename(stem), fig)
    return paths


def commands(*surfaces) -> list[str]:
    """The command of the last run that measured each surface, as far as the files know it."""
    last_runs = [surface.runs[-1] for surface in surfaces if surface.runs]
    return [str(run["command"]) for run in last_runs if isinstance(run, dict) and "command" in run]


def describe_missing(surface, name: str, *, largest: float = LARGEST) -> str | None:
    """What a figure of `name` cannot show: points not computed yet and, apart from them, results that are NaN or infinite, or too large: from `largest` on."""
    measured = surface.measured(name)
    total, waiting = measured.size, int(np.count_nonzero(~measured))
    values = surface.get(name)
    lost = int(np.count_nonzero(measured & ~np.isfinite(values)))
    too_large = int(np.count_nonzero(measured & np.isfinite(values) & (np.abs(values) >= largest)))
    parts = []
    if waiting:
        parts.append(f"{waiting} of {total} points ({_percent(waiting, total)} %) not computed yet")
    if lost:
        parts.append(f"{lost} {'point' if lost == 1 else 'points'} NaN or infinite")
    if too_large:
        parts.append(
            f"{too_large} {'point' if too_large == 1 else 'points'} too large to draw, {largest:g} or beyond"
        )
    return "; ".join(parts) or None


def without_logarithm(count: int) -> str:
    """That so many values have no place on a log scale."""
    return f"zero or negative at {count} {'point, which has' if count == 1 else 'points, which have'} no logarithm"


def _percent(part: int, total: int) -> str:
    """A whole number, except that some is never shown as none, nor some as all."""
    share = 100 * part / total
    if 0 < share < 1:
        return "<1"
    return ">99" if 99 < share < 100 else f"{share:.0f}"


def footnote(fig: Figure, text: str | None) -> None:
    """Put `text`, if there is any, in small type under the axes."""
    if text:
        fig.supxlabel(text, x=0.99, ha="right", fontsize=FOOTNOTE_SIZE, color="0.35")
