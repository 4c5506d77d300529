"""The matplotlib settings of figures, from the page, the user's matplotlibrc and our defaults.

Sizes of text and lines follow one font size: a figure for a narrow column has small type and thin lines.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import matplotlib
from matplotlib import font_manager, style

from losslandscape.core.errors import InputError
from losslandscape.draw import page_style
from losslandscape.draw.page_style import MIN_SIZE, PUBLISHED_SIZE, Page

# Sizes of text, in multiples of the font size.
SIZES = {
    "axes.titlesize": 1.0,
    "axes.labelsize": 14 / 13,
    "figure.titlesize": 14 / 13,
    "xtick.labelsize": 12 / 13,
    "ytick.labelsize": 12 / 13,
    "legend.fontsize": 12 / 13,
}
FOOTNOTE, CONTOUR_LABEL = 10 / 13, 9 / 13
# Lengths at the published font size, in points; they shrink with it.
LENGTHS = {
    "lines.linewidth": 1.8,
    "lines.markersize": 6.0,
    "axes.linewidth": 0.9,
    "axes.titlepad": 9.0,  # the highest number of the vertical axis is near
    "axes.labelpad": 4.0,
    "xtick.major.width": 0.8,
    "ytick.major.width": 0.8,
    "xtick.major.pad": 4.5,  # the lowest number of the vertical axis is near
    "ytick.major.pad": 3.5,
    "xtick.major.size": 3.5,
    "ytick.major.size": 3.5,
    "xtick.minor.size": 2.0,
    "ytick.minor.size": 2.0,
}
FILES = {
    "pdf.fonttype": 42,  # TrueType: journals refuse Type 3 fonts
    "ps.fonttype": 42,
    "svg.hashsalt": "figure",  # drawing the same figure again writes the same bytes
    "savefig.dpi": 200,
}
# Of the fonts that matplotlib brings along, this is nearest to the Times of papers; LaTeX knows the second.
SERIF = {"font.family": ["serif"], "font.serif": ["STIXGeneral", "Times"], "mathtext.fontset": "stix"}
SANS = {"font.family": ["sans-serif"], "font.sans-serif": ["Arial", "Liberation Sans", "DejaVu Sans"]}
FAMILIES: dict[str, dict[str, Any]] = {"serif": SERIF, "sans-serif": SANS}
OURS = ("font.size", *SIZES, *LENGTHS, *FILES)
LATEX_OWN: dict[str, Any] = {"font.family": ["serif"], "font.serif": ["Computer Modern Roman"]}

P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def rc_context() -> Iterator[None]:
    """Set the settings of the current page inside the block."""
    settings: Any = _settings(page_style.current())  # matplotlib's types list every name
    with matplotlib.rc_context(settings):
        yield


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function that draws: inside, the settings are those of the current page."""

    @wraps(draw)
    def with_settings(*args: P.args, **kwargs: P.kwargs) -> R:
        with rc_context():
            return draw(*args, **kwargs)

    return with_settings


def text_size(ratio: float) -> float:
    """Return `ratio` times the current font size, in points, but never less than can be read."""
    return max(MIN_SIZE, ratio * float(matplotlib.rcParams["font.size"]))


def scaled(length: float) -> float:
    """Return a length in points that was chosen for the published font size, for the current one."""
    return length * float(matplotlib.rcParams["font.size"]) / PUBLISHED_SIZE


def width_of_page(count: int = 1) -> float | None:
    """Return the width in inches of a figure of `count` panels; None for the published look.

    It is that of the page, or a `figure.figsize` of the user's matplotlibrc or style sheets.
    """
    page = page_style.current()
    width = page.width_for(count)
    if width is not None and not (page.width is None and "figure.figsize" in _sheets(page)):
        return width
    figure_sizes = {**_of_user(("figure.figsize",)), **_sheets(page)}
    return float(figure_sizes["figure.figsize"][0]) if "figure.figsize" in figure_sizes else None


def require_possible(page: Page) -> None:
    """Raise `InputError` if a style sheet or the font of a page does not exist."""
    _sheets(page)
    if page.font and page.font not in FAMILIES and page.font not in font_manager.get_font_names():
        raise InputError(
            f"there is no font {page.font!r} here", "give serif, sans-serif or an installed one ({font})"
        )


def _settings(page: Page) -> dict[str, Any]:
    """Return settings for matplotlib; the later ones win."""
    chosen = _of_user(OURS)
    if page.sheet:
        chosen = {key: value for key, value in chosen.items() if key not in SIZES and key not in LENGTHS}
        chosen |= {"font.size": page.sheet.size, **FAMILIES[page.sheet.family]}
    if page.latex:
        chosen |= {"text.usetex": True} | ({} if page.sheet or page.font else LATEX_OWN)
    sheets = _sheets(page)
    chosen |= sheets
    if page.font_size is not None:
        chosen = {key: value for key, value in chosen.items() if key not in SIZES}
        chosen["font.size"] = page.font_size
    if page.font:
        chosen |= FAMILIES.get(page.font, {"font.family": [page.font]})
    if page.svg_text:
        chosen["svg.fonttype"] = "none"
    size = float(chosen.get("font.size", PUBLISHED_SIZE))
    settings: dict[str, Any] = {"font.size": size, **FILES}
    settings |= {key: max(MIN_SIZE, ratio * size) for key, ratio in SIZES.items()}
    settings |= {key: length * size / PUBLISHED_SIZE for key, length in LENGTHS.items()}
    return {**settings, **chosen}


def _of_user(keys: tuple[str, ...]) -> dict[str, Any]:
    """Return the settings that differ from matplotlib's own: those of the user's matplotlibrc or program."""
    params: Any = matplotlib.rcParams
    defaults: Any = matplotlib.rcParamsDefault
    return {key: params[key] for key in keys if params[key] != defaults[key]}


def _sheets(page: Page) -> dict[str, Any]:
    """Return the settings of the style sheets of a page."""
    settings: dict[str, Any] = {}
    for sheet in page.style:
        if sheet in style.library:
            settings.update(style.library[sheet].items())
        elif os.path.isfile(sheet):
            settings.update(matplotlib.rc_params_from_file(sheet, use_default_template=False).items())
        else:
            raise InputError(
                f"there is no style sheet {sheet!r}", "give a file, or one of matplotlib's styles ({style})"
            )
    return settings
