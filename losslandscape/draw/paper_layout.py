"""Divides a figure of a paper into blocks of panels: a block per kind, whose panels stand in rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_lowercase

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from losslandscape.core.errors import InputError
from losslandscape.draw import figures, page_style
from losslandscape.draw.type_settings import width_of_page

TEXT_ABOVE_AND_BELOW = 5.0  # ems that the title and the texts of an axis need
KEY_BELOW = 4.5  # ems that a colour bar or a legend below needs
TEXT_BESIDE = 4.0  # ems left of a panel
ASPECT = 0.8  # height by width of a panel, in the mean
SLACK = 1.25  # of the height, which is fitted to the panels at the end
GAP = 0.06  # between panels, by their width: tick labels of neighbours do not read as one
MIN_HEIGHT = 5.0  # of a panel, in ems


@dataclass(frozen=True)
class Block:
    """Panels of one kind.

    Args:
        titles: of the panels, without letters.
        aspects: height by width of each panel.
    """

    titles: Sequence[str]
    aspects: Sequence[float]

    @property
    def aspect(self) -> float:
        return max(self.aspects)


@dataclass(frozen=True)
class Place:
    """The panels of a block in a figure.

    Args:
        panels: their axes.
        letters: of the panels; empty if they have none.
        columns: panels in a row.
        key: where the colour bar or the legend of the block stands: right or bottom.
        aspect: height by width of a panel, or of the highest.
    """

    panels: list[Axes]
    letters: list[str]
    columns: int
    key: str
    aspect: float


def columns_of(counts: Sequence[int]) -> tuple[int, int]:
    """Return how many panels of a kind stand in a row, and how many kinds stand beside each other.

    There are as many columns as look well, or more if the figure would become too high for the page.

    Args:
        counts: the numbers of panels of each kind.

    Raises:
        InputError: the page wants more columns than it has room for.
    """
    page, most, total = page_style.current(), max(counts), sum(counts)
    font_size = float(matplotlib.rcParams["font.size"])
    width = width_of_page(total)
    if most == 1:
        return 1, page.columns_for(total, width=width, font_size=font_size)
    if page.columns or width is None:
        return page.columns_for(most, width=width, font_size=font_size), 1
    room = width * 72 / font_size - page_style.BESIDE
    fewest, largest = (max(1, int(room / panel)) for panel in (page_style.GOOD_PANEL, page_style.MIN_PANEL))
    for columns in range(min(fewest, most), min(largest, most) + 1):
        panel = panel_width(columns, 1, total) * 72 / font_size
        rows = sum(-(-count // columns) for count in counts)
        if rows * (TEXT_ABOVE_AND_BELOW + ASPECT * panel) * font_size / 72 <= page.max_height:
            break
    rows = -(-most // columns)
    return -(-most // rows), 1


def panel_width(columns: int, beside: int, total: int) -> float:
    """Return the width of a panel, nearly, in inches."""
    em = float(matplotlib.rcParams["font.size"]) / 72
    width = width_of_page(total) or 6.4
    across = columns * beside
    keys = page_style.BESIDE if beside == 1 else 0.0
    return (width - keys * em) / across - TEXT_BESIDE * em


def lay_out(blocks: Sequence[Block]) -> tuple[Figure, list[Place]]:
    """Return a figure with the panels of each block.

    Raises:
        InputError: the panels do not fit the page.
    """
    counts = [len(block.titles) for block in blocks]
    total = sum(counts)
    columns, beside = columns_of(counts)
    bands = [list(range(start, min(start + beside, len(blocks)))) for start in range(0, len(blocks), beside)]
    ratios: list[float] = []
    heights = [max(blocks[i].aspect for i in band) for band in bands]
    for band, height in zip(bands, heights, strict=True):
        rows = max(-(-counts[i] // columns) for i in band)
        ratios += [height] * rows
    texts = TEXT_ABOVE_AND_BELOW + (KEY_BELOW if beside > 1 else 0)
    fig = _figure(ratios, panel_width(columns, beside, total), total, texts=texts)
    if any(len(set(block.aspects)) > 1 for block in blocks):
        fig.set_layout_engine("constrained", wspace=GAP)  # else the lowest panel sets the height of a row
    grid = fig.add_gridspec(len(ratios), columns * beside, height_ratios=ratios)
    has_letters, number, row = page_style.current().has_letters(total), 0, 0
    places = []
    for band, height in zip(bands, heights, strict=True):
        for offset, i in enumerate(band):
            panels, letters = [], []
            for index, title in enumerate(blocks[i].titles):
                axes = fig.add_subplot(grid[row + index // columns, offset * columns + index % columns])
                if has_letters:
                    letters.append(letter(number))
                axes.set_anchor("N")
                axes.set_title(" ".join(filter(None, [f"({letter(number)})" if has_letters else "", title])))
                panels.append(axes)
                number += 1
            places.append(Place(panels, letters, columns, "right" if beside == 1 else "bottom", height))
        row += max(-(-counts[i] // columns) for i in band)
    return fig, places


def letter(number: int) -> str:
    """Return the name of a panel.

    >>> letter(0), letter(25), letter(26)
    ('a', 'z', 'aa')
    """
    more, rest = divmod(number, len(ascii_lowercase))
    return (letter(more - 1) if more else "") + ascii_lowercase[rest]


def _figure(ratios: Sequence[float], width: float, count: int, *, texts: float) -> Figure:
    """Return an empty figure that is high enough for rows of panels of this width.

    Args:
        ratios: height by width of the panels of each row.
        width: of a panel, in inches.
        count: the number of panels.
        texts: what texts and keys need above and below each row, in ems.
    """
    em = float(matplotlib.rcParams["font.size"]) / 72
    all_texts = len(ratios) * texts * em
    least = all_texts + MIN_HEIGHT * em * len(ratios)
    most = page_style.current().max_height
    if least > most:
        raise InputError(
            f"{len(ratios)} rows of panels need {least:.2g} inches, and the page is {most:.2g} high",
            "give fewer surface files or {kinds}, or a smaller {font_size}",
        )
    height = min(most, SLACK * (all_texts + width * sum(ratios)))
    page_width = width_of_page(count) or 6.4
    fig = figures.new_figure(size=(page_width, height), count=count, layout="compressed")
    engine = fig.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(wspace=GAP)
    return fig
