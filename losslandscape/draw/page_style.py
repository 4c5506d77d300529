"""The printed page that figures are made for: its width, type and columns of panels.

A figure is drawn at the width at which it is printed, so that 9 points on the page are 9 points. Without
any choice, figures keep the published look: 6.4 inches for one panel, in type of 13 points.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from losslandscape.core.errors import InputError, require_choice
from losslandscape.draw.setting import Setting

PUBLISHED_SIZE = 13.0  # font size in points without any choice
MIN_SIZE = 6.0  # in points; smaller print is hard to read, and journals refuse it
MIN_WIDTH, MAX_WIDTH = 1.5, 60.0  # of a figure, in inches
BESIDE = 6.0  # width of what stands beside all panels, such as a colour bar, in ems of the type
MIN_PANEL, GOOD_PANEL = 9.5, 12.5  # widths of a panel in ems: what it needs, and what looks well
MAX_COLUMNS = 3  # of panels, without a choice
MAX_HEIGHT = 9.0  # of a figure on a page, in inches; US letter and A4 have about as much text height
MM = 1 / 25.4


@dataclass(frozen=True)
class Paper:
    """Where figures are printed: widths and height in inches, and the type of the figures in points.

    Args:
        column: width of a figure with one panel.
        page: width of a figure with several panels.
        size: font size.
        family: serif or sans-serif.
        height: height that a figure may have.
    """

    column: float
    page: float
    size: float
    family: str = "serif"
    height: float = MAX_HEIGHT


PAPERS = {
    # icml2025.sty: columns of 3.25 in with 0.25 in between, Times of 10 pt, captions of 9 pt
    "icml": Paper(3.25, 6.75, 8),
    # neurips_2024.sty: one column of 5.5 x 9 in, Times of 10 pt
    "neurips": Paper(5.5, 5.5, 9),
    # iclr2025_conference.sty: one column of 5.5 x 9 in, Times of 10 pt
    "iclr": Paper(5.5, 5.5, 9),
    # cvpr.sty: columns of 3.25 in (237.1 pt) with 0.3125 in between, Times of 10 pt, captions of 9 pt
    "cvpr": Paper(3.25, 6.875, 8),
    # IEEEtran: columns of 3.5 in (252 pt), 7.16 in (516 pt) for both, Times of 10 pt; figures of 8 to 10 pt
    "ieee": Paper(3.5, 7.16, 8),
    # Nature's guide to final artwork: 89 and 183 mm, at most 170 mm high, sans serif of 5 to 7 pt
    "nature": Paper(89 * MM, 183 * MM, 7, "sans-serif", 170 * MM),
    # PowerPoint, Keynote: 13.33 x 7.5 in, less a line for the title of the slide
    "slides": Paper(13.33, 13.33, 20, "sans-serif", 6.5),
    # a poster of 48 x 36 in with three columns
    "poster": Paper(15.0, 31.0, 28, "sans-serif", 24.0),
}


@dataclass(frozen=True)
class Page:
    """How figures are printed.

    Args:
        paper: a name in `PAPERS`, which sets width, type and letters; the other arguments override it.
        width: of the figure, in inches.
        font_size: in points, at least 6.
        font: a font family: serif, sans-serif, or the name of an installed font.
        latex: whether LaTeX sets all text, in its own fonts.
        columns: panels in a row.
        letters: whether several panels are named (a), (b), …; None: with `paper` only.
        style: matplotlib style sheets, as names or files. They win over matplotlibrc and `paper`.
        svg_text: whether text in SVG files stays text, which other programs can edit.

    Raises:
        InputError: a value is impossible, or LaTeX is not installed.
    """

    paper: str = ""
    width: float | None = None
    font_size: float | None = None
    font: str = ""
    latex: bool = False
    columns: int | None = None
    letters: bool | None = None
    style: Sequence[str] = ()
    svg_text: bool = False

    def __post_init__(self) -> None:
        if self.paper:
            require_choice("paper", self.paper, tuple(PAPERS))
        if self.width is not None and not MIN_WIDTH <= self.width <= MAX_WIDTH:
            raise InputError(
                f"a figure cannot be {self.width:g} inches wide",
                f"give {MIN_WIDTH:g} to {MAX_WIDTH:g} ({{width}})",
            )
        if self.font_size is not None and not MIN_SIZE <= self.font_size <= 100:
            raise InputError(
                f"type of {self.font_size:g} points cannot be read",
                f"give {MIN_SIZE:g} to 100 ({{font_size}})",
            )
        if self.columns is not None and self.columns < 1:
            raise InputError(
                f"figures cannot have {self.columns} columns of panels", "give 1 or more ({columns})"
            )
        if self.latex:
            require_latex("{latex:True}")

    @property
    def sheet(self) -> Paper | None:
        return PAPERS.get(self.paper)

    @property
    def max_height(self) -> float:
        return self.sheet.height if self.sheet else MAX_HEIGHT

    def has_letters(self, count: int) -> bool:
        """Return whether a figure of `count` panels names them by letters."""
        return count > 1 and (bool(self.paper) if self.letters is None else self.letters)

    def width_for(self, count: int) -> float | None:
        """Return the width of a figure of `count` panels, in inches; None for the published look."""
        if self.width is not None or not self.sheet:
            return self.width
        return self.sheet.column if count == 1 else self.sheet.page

    def columns_for(self, count: int, *, width: float | None, font_size: float) -> int:
        """Return how many of `count` panels stand in a row.

        Args:
            width: of the figure, in inches; None if it is free.
            font_size: in points.

        Raises:
            InputError: the columns that the user wants are too narrow.
        """
        room = 0.0 if width is None else width * 72 / font_size - BESIDE  # in ems
        if self.columns:
            columns = min(self.columns, count)
            if width is not None and room < MIN_PANEL * columns:
                most = max(1, int(room / MIN_PANEL))
                raise InputError(
                    f"{columns} panels of type of {font_size:g} points do not fit beside each other "
                    f"in {width:.3g} inches",
                    f"give at most {most} {{columns}}, or another {{width}} or {{font_size}}",
                )
            return columns
        most = MAX_COLUMNS if width is None else min(MAX_COLUMNS, max(1, int(room / GOOD_PANEL)))
        rows = -(-count // most)
        return -(-count // rows)  # 4 panels stand in 2 rows of 2, not of 3 and 1


def require_latex(what: str) -> None:
    """Raise `InputError` unless LaTeX is installed, which `what` needs."""
    missing = [program for program in ("latex", "dvipng") if not shutil.which(program)]
    if missing:
        raise InputError(
            f"{' and '.join(missing)} of LaTeX cannot be found here", f"install LaTeX, or leave {what} out"
        )


# `with drawn_on(page):` makes every figure inside for a page; `paged` does so for functions with the
# keyword `page`.
_setting = Setting("page", Page())
current, drawn_on, paged = _setting.current, _setting.set_to, _setting.by_keyword
