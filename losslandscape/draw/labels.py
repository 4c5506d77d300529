"""What figures call quantities, and how they write numbers."""

from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import Formatter

from losslandscape.core import quantity

NAMES = {
    "acc": "accuracy (%)",
    "top5": "top-5 accuracy (%)",
    "penalty": "weight decay penalty",
    "regularised_loss": "loss with penalty",
    "min_eig": "smallest Hessian eigenvalue",
    "max_eig": "largest Hessian eigenvalue",
    "eig_ratio": r"$\lambda_{\min}\,/\,|\lambda_{\max}|$ of the Hessian",
    "eig_abs_ratio": r"$|\lambda_{\min}\,/\,\lambda_{\max}|$ of the Hessian",
}
FEWEST_DIGITS, MOST_DIGITS = 4, 15  # of a level


def label(name: str) -> str:
    """Return what people call the quantity `name` of a surface file.

    >>> label("train_acc"), label("test_own_value")
    ('train accuracy (%)', 'test own value')
    """
    part, value = quantity.split(name)
    return f"{part} {value_label(value)}".strip()


def value_label(value: str) -> str:
    """Return what people call a value, whichever part of the data it belongs to."""
    return NAMES.get(value, escape_mathematics(value.replace("_", " ")))


def escape_mathematics(text: str) -> str:
    """Return a text in which matplotlib sees no formula."""
    return text.replace("$", r"\$")


class LevelFormatter(Formatter):
    """Writes whole numbers at the ticks of an axis.

    matplotlib may write what numbers have in common into a corner, where a 3-D axis has its own numbers.
    """

    def __call__(self, value: float, pos: int | None = None) -> str:
        return level_text(value)

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        return level_texts(np.asarray(values))


def level_texts(levels: np.ndarray) -> list[str]:
    """Return a text for each of ascending levels.

    They have enough digits that rounding moves no level by more than a tenth of the way to its neighbours.

    >>> level_texts(np.array([1234.5005, 1234.501, 1234.5015]))
    ['1234.5005', '1234.501', '1234.5015']
    """
    to_lower = np.diff(levels, prepend=-np.inf)
    to_higher = np.diff(levels, append=np.inf)
    room = np.minimum(to_lower, to_higher) / 10
    digits = FEWEST_DIGITS
    while digits < MOST_DIGITS and not _rounds_within(room, levels, digits):
        digits += 1
    return [level_text(level, digits) for level in levels]


def _rounds_within(room: np.ndarray, levels: np.ndarray, digits: int) -> bool:
    rounded = np.array([float(f"{level:.{digits}g}") for level in levels])
    return bool((np.abs(rounded - levels) <= room).all())


def level_text(value: float, digits: int = FEWEST_DIGITS) -> str:
    """Return a number as a text, with a power of ten where it is large or tiny."""
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.{digits}g}"
    factor, power = f"{value:.{digits - 1}e}".split("e")
    times = "" if float(factor) == 1 else rf"{float(factor):.{digits}g}\times"
    return rf"${times}10^{{{int(power)}}}$"
