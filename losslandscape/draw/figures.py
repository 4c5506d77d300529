"""Makes, saves and shows figures in one style for papers.

Text is readable at column width, and its fonts are embedded in the file. Pyplot makes only the figures that
are to be shown, so that all other drawing works without a display and leaves no figure open.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends import BackendFilter, backend_registry
from matplotlib.figure import Figure

from losslandscape.core.errors import require_choice
from losslandscape.draw.figure_metadata import metadata
from losslandscape.files.atomic_file import replacing
from losslandscape.files.file_names import FIGURE_FORMATS
from losslandscape.files.writable import require_writable

STYLE: dict[Any, Any] = {
    "font.size": 13,
    "axes.titlesize": 13,
    "axes.labelsize": 14,
    "xtick.labelsize": 12,
    "ytick.labelsize": 12,
    "legend.fontsize": 12,
    "lines.linewidth": 1.8,
    "axes.linewidth": 0.9,
    "pdf.fonttype": 42,  # TrueType: journals refuse Type 3 fonts
    "svg.hashsalt": "figure",  # drawing the same figure again writes the same bytes
    "savefig.dpi": 200,
}
FOOTNOTE_SIZE = 10

Observer = Callable[[str, Figure], object]
_observer: ContextVar[Observer | None] = ContextVar("_observer", default=None)

styled = matplotlib.rc_context(STYLE)
"""Decorator for a function that draws: it sets the style inside the function and restores settings after."""

# matplotlib divides by the range of the values, which may be tiny.
overflow_ignored = np.errstate(over="ignore")


def new_figure(*, show: bool = False, size: tuple[float, float] = (6.4, 4.8)) -> Figure:
    """Return an empty figure.

    Args:
        show: whether `show()` opens the figure, if there is a display.
        size: the width and height in inches.
    """
    if show and has_display():
        from matplotlib import pyplot  # only here: the import is slow, and looks for a display

        return pyplot.figure(figsize=size, layout="constrained")
    return Figure(figsize=size, layout="constrained")


def footnote(fig: Figure, text: str | None) -> None:
    """Write a text in small type below the axes; do nothing if it is empty or None."""
    if text:
        fig.supxlabel(text, x=0.99, ha="right", fontsize=FOOTNOTE_SIZE, color="0.35")


def require_writable_figures(
    stem: str, endings: Iterable[str], formats: Iterable[str], *, advice: str
) -> None:
    """Raise `InputError` unless the figures `<stem>_<ending>.<format>` can be written.

    Args:
        advice: what the user can do, as for `InputError`.
    """
    longest = max(endings, key=lambda ending: len(os.fsencode(ending)))
    for name in formats:
        require_writable(f"{stem}_{longest}.{name}", advice)


@contextmanager
def each_saved(observer: Observer) -> Iterator[None]:
    """Call `observer(name, figure)` for each figure that is saved inside the block."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


@overflow_ignored
def save(
    fig: Figure,
    stem: str | os.PathLike[str],
    formats: str | Iterable[str] = ("pdf",),
    *,
    made_by: Iterable[str] = (),
) -> list[str]:
    """Write a figure in one format or several, and print each path.

    A file is either complete or not written.

    Args:
        stem: the files are `<stem>.<format>`.
        made_by: the commands that measured what the figure shows, for the metadata.

    Returns:
        The paths of the files.
    """
    stem, made_by = os.fspath(stem), list(made_by)
    names = [formats] if isinstance(formats, str) else formats
    paths = []
    for name in dict.fromkeys(names):
        require_choice("format", name, FIGURE_FORMATS)
        path = f"{stem}.{name}"
        about = metadata(name, stem, made_by)
        with matplotlib.rc_context(STYLE), replacing(path) as part:
            fig.savefig(part, format=name, metadata=about, bbox_inches="tight", pad_inches=0.08)
        print(f"saved {path}")
        paths.append(path)
    if observer := _observer.get():
        observer(os.path.basename(stem), fig)
    return paths


def show() -> None:
    """Open every figure made with `show=True`, and wait until all windows are closed."""
    if not has_display():
        print("There is no display here: the figures were only saved.")
        return
    from matplotlib import pyplot  # only here: the import is slow, and looks for a display

    pyplot.show()
    pyplot.close("all")


def has_display() -> bool:
    """Return whether matplotlib can open a window here."""
    backend = matplotlib.get_backend()
    if backend.lower() not in backend_registry.list_builtin(BackendFilter.INTERACTIVE):
        return False
    from matplotlib import pyplot  # only here: the import is slow, and looks for a display

    try:
        pyplot.switch_backend(backend)
    except ImportError:  # the user chose this backend, and it has no display
        return False
    return True
