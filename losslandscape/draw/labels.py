"""Names of quantities and formats of numbers in figures."""

from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import Formatter

from losslandscape.core import quantity
from losslandscape.files.surface import Surface

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
# The same where no mathematics is set, as in a page.
PLAIN_NAMES = {
    "eig_ratio": "λmin / |λmax| of the Hessian",
    "eig_abs_ratio": "|λmin / λmax| of the Hessian",
}
MIN_DIGITS, MAX_DIGITS = 4, 15  # significant digits of a contour level or tick


def label(name: str) -> str:
    """Return the display name of the quantity `name` of a surface file.

    >>> label("train_acc"), label("test_own_value")
    ('train accuracy (%)', 'test own value')
    """
    part, value = quantity.split(name)
    return f"{part} {value_label(value)}".strip()


def page_label(name: str) -> str:
    """Return the display name of a quantity as plain text, without mathematics.

    >>> page_label("train_acc"), page_label("test_$")
    ('train accuracy (%)', 'test $')
    """
    part, value = quantity.split(name)
    text = PLAIN_NAMES.get(value) or NAMES.get(value) or value.replace("_", " ")
    return f"{part} {text}".strip()


def value_label(value: str) -> str:
    """Return the display name of a value, without the part of the data (train or test)."""
    return NAMES.get(value, escape_mathematics(value.replace("_", " ")))


def axis_labels(surface: Surface, *usual: str) -> list[str]:
    """Return the texts beside the axes: what moves along them if the file says so, such as inputs."""
    texts = []
    for axis, symbol, text in zip("xy", (r"$\alpha$", r"$\beta$"), usual, strict=False):
        moved = str(surface.made_with.get(f"{axis} axis", ""))
        texts.append(f"{symbol}: {escape_mathematics(moved)}" if moved else text)
    return texts


def escape_mathematics(text: str) -> str:
    """Escape dollar signs, so that matplotlib does not read the text as a formula."""
    return text.replace("$", r"\$")


class LevelFormatter(Formatter):
    """A tick formatter that writes every number in full.

    matplotlib's own formatter may move a common factor or offset to a corner, where it would cover the tick
    labels of a 3-D axis.
    """

    def __call__(self, value: float, pos: int | None = None) -> str:
        return level_text(value)

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        texts = level_texts(np.asarray(values), alike=True)
        return [self.fix_minus(text) for text in texts]


def level_texts(levels: np.ndarray, *, alike: bool = False) -> list[str]:
    """Return a text for each level; `levels` must be ascending.

    The digits suffice for rounding errors of at most a tenth of the distance to the nearest level. With
    `alike`, if one level needs a power of ten, all are written with one.

    >>> level_texts(np.array([1234.5005, 1234.501, 1234.5015]))
    ['1234.5005', '1234.501', '1234.5015']
    >>> level_texts(np.array([1.0, 10.0, 1e4]), alike=True)
    ['$10^{0}$', '$10^{1}$', '$10^{4}$']
    """
    to_lower = np.diff(levels, prepend=-np.inf)
    to_higher = np.diff(levels, append=np.inf)
    tolerance = np.minimum(to_lower, to_higher) / 10
    digits = MIN_DIGITS
    while digits < MAX_DIGITS and not _rounds_within(tolerance, levels, digits):
        digits += 1
    powers = alike and any(_needs_power(level) for level in levels)
    return [level_text(level, digits, power=powers) for level in levels]


def _rounds_within(tolerance: np.ndarray, levels: np.ndarray, digits: int) -> bool:
    rounded = np.array([float(f"{level:.{digits}g}") for level in levels])
    return bool((np.abs(rounded - levels) <= tolerance).all())


def level_text(value: float, digits: int = MIN_DIGITS, *, power: bool = False) -> str:
    """Return a number as text.

    It has a power of ten with `power`, and if its magnitude is below 1e-3 or at least 1e4.
    """
    if value == 0 or not (power or _needs_power(value)):
        return f"{value:.{digits}g}"
    factor, exponent = f"{value:.{digits - 1}e}".split("e")
    times = "" if float(factor) == 1 else rf"{float(factor):.{digits}g}\times"
    return rf"${times}10^{{{int(exponent)}}}$"


def _needs_power(value: float) -> bool:
    return value != 0 and not 1e-3 <= abs(value) < 1e4
