"""Makes, saves and shows figures for the current page (`page_style`), with panels in rows.

Fonts are embedded in the files. Pyplot makes only the figures that are to be shown, so that all other drawing
works without a display and leaves no figure open.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from io import BytesIO
from string import ascii_lowercase
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends import BackendFilter, backend_registry
from matplotlib.figure import Figure

from losslandscape.core.errors import InputError, require_choice
from losslandscape.draw import figure_details, page_layout, page_style, type_settings
from losslandscape.draw.figure_metadata import COMMAND_FIELD, metadata
from losslandscape.draw.type_settings import FOOTNOTE, rc_context, text_size, width_of_page
from losslandscape.files.atomic_file import replacing
from losslandscape.files.file_names import FIGURE_FORMATS
from losslandscape.files.writable import require_writable

SPARE_HEIGHT = 1.4  # of figures whose height is fitted to their panels: room for titles and notes
Layout = Literal["constrained", "compressed"]
Observer = Callable[[str, Figure], object]
styled, scaled = type_settings.styled, type_settings.scaled
_observer: ContextVar[Observer | None] = ContextVar("_observer", default=None)

# matplotlib divides by the range of the values, which may be tiny.
overflow_ignored = np.errstate(over="ignore")


def new_figure(
    *,
    show: bool = False,
    size: tuple[float, float] = (6.4, 4.8),
    count: int = 1,
    layout: Layout = "constrained",
) -> Figure:
    """Return an empty figure.

    Args:
        show: whether `show()` opens the figure, if there is a display.
        size: the width and height in inches; a page with a width of its own keeps only their ratio.
        count: the number of panels.
        layout: "compressed" for panels of a fixed aspect, which then stand close together.
    """
    width = width_of_page(count)
    if width is not None:
        size = width, min(width * size[1] / size[0], page_style.current().max_height)
    if show and has_display():
        from matplotlib import pyplot  # only here: the import is slow, and looks for a display

        fig = pyplot.figure(figsize=size, layout=layout)
    else:
        fig = Figure(figsize=size, layout=layout)
    _write_footnote(fig, figure_details.current().footnote)
    return fig


def new_panels(
    titles: Sequence[str],
    *,
    panel: tuple[float, float],
    margin: float = 0.0,
    show: bool = False,
    layout: Layout = "constrained",
    **subplots: Any,
) -> tuple[Figure, list[Axes]]:
    """Return an empty figure with a panel per title, in rows as the page wants them.

    Args:
        titles: of the panels; an empty one may get a letter.
        panel: width and height in inches of a panel without a page.
        margin: width in inches of what stands beside all panels, such as a colour bar.
        subplots: further arguments of matplotlib's `Figure.subplots`.

    Raises:
        InputError: the page wants more columns than it has room for.
    """
    page, count = page_style.current(), len(titles)
    font_size = float(matplotlib.rcParams["font.size"])
    columns = page.columns_for(count, width=width_of_page(count), font_size=font_size)
    rows = -(-count // columns)
    size = margin + panel[0] * columns, panel[1] * rows * (SPARE_HEIGHT if layout == "compressed" else 1)
    fig = new_figure(show=show, size=size, count=count, layout=layout)
    grid = fig.subplots(rows, columns, squeeze=False, **subplots).ravel()
    for spare in grid[count:]:
        spare.remove()
    for index, (axes, title) in enumerate(zip(grid, titles, strict=False)):
        letter = f"({ascii_lowercase[index % 26]})" if page.has_letters(count) else ""
        axes.set_title(f"{letter} {title}".strip())
    return fig, list(grid[:count])


def name_outermost(panels: Sequence[Axes]) -> None:
    """Keep the labels of equal axes only at the left and below, where nothing else stands."""
    places = [place for axes in panels if (place := axes.get_subplotspec())]
    for axes, place in zip(panels, places, strict=True):
        if not place.is_first_col():
            axes.set_ylabel("")
        is_above = any(
            other.colspan.start == place.colspan.start and other.rowspan.start > place.rowspan.start
            for other in places
        )
        if is_above:
            axes.set_xlabel("")


def footnote(fig: Figure, text: str | None) -> None:
    """Write a text in small type below the axes, unless it is empty or the user gives another."""
    if figure_details.current().footnote is None:
        _write_footnote(fig, text)


def _write_footnote(fig: Figure, text: str | None) -> None:
    if text:
        fig.supxlabel(text, x=0.99, ha="right", fontsize=text_size(FOOTNOTE), color="0.35")


def require_writable_figures(
    stem: str, endings: Iterable[str], formats: Iterable[str], *, advice: str
) -> None:
    """Raise `InputError` unless the figures `<stem>_<ending>.<format>` can be written.

    Args:
        advice: what the user can do, as for `InputError`.
    """
    longest = max(endings, key=lambda ending: len(os.fsencode(ending)))
    for name in formats:
        _require_writer(name)
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
    with rc_context():
        frame = page_layout.fit(fig, full_width=width_of_page() is not None)
    paths = []
    for name in dict.fromkeys(names):
        require_choice("format", name, FIGURE_FORMATS)
        _require_writer(name)
        path = f"{stem}.{name}"
        about = metadata(name, stem, made_by) if name in COMMAND_FIELD else None
        with rc_context(), replacing(path) as part:
            _write(fig, part, name, stem, bbox_inches=frame, metadata=about)
        print(f"saved {path}")
        paths.append(path)
    if observer := _observer.get():
        observer(os.path.basename(stem), fig)
    return paths


def _require_writer(file_format: str) -> None:
    """Raise `InputError` if a format needs LaTeX to measure its text, and there is none."""
    program = str(matplotlib.rcParams["pgf.texsystem"])
    if file_format == "pgf" and not shutil.which(program):
        raise InputError(f"pgf needs {program} of LaTeX, which cannot be found here", "give another {format}")


def _write(fig: Figure, path: str, file_format: str, stem: str, **options: Any) -> None:
    options |= {"format": file_format, "pad_inches": 0}
    if file_format == "eps":  # it would have its date, and the name that the file has while it is written
        buffer = BytesIO()
        fig.savefig(buffer, **options)
        with open(path, "wb") as file:
            file.write(re.sub(rb"%%CreationDate: .*\n", b"", buffer.getvalue(), count=1))
    elif file_format == "pgf":
        _write_pgf(fig, path, stem, **options)
    else:
        fig.savefig(path, **options)


def _write_pgf(fig: Figure, path: str, stem: str, *, metadata: object, **options: Any) -> None:
    """Write TeX commands to `path`, and the images that they name, `<stem>-img0.png` and so on, beside it."""
    folder, name = os.path.split(stem)
    with tempfile.TemporaryDirectory(prefix=".", suffix=".part", dir=folder or ".") as scratch:
        fig.savefig(os.path.join(scratch, f"{name}.pgf"), **options)
        os.replace(os.path.join(scratch, f"{name}.pgf"), path)
        for image in os.listdir(scratch):
            os.replace(os.path.join(scratch, image), os.path.join(folder, image))


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
