"""Convert numbers and texts for a page: JSON does not have NaN, and texts from a file must be escaped."""

from collections.abc import Iterable
from html import escape

import numpy as np

from losslandscape.draw.labels import page_label
from losslandscape.draw.web.grid import Grid

FLOAT32_DIGITS = 7  # significant digits; a graphics card does not keep more


def listed(values: np.ndarray, *, digits: int = 15) -> list:
    """Return an array as nested lists, with None for each value that is not finite."""
    if values.ndim > 1:
        return [listed(row, digits=digits) for row in values]
    return [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in values]


def as_html(text: str) -> str:
    """Return a text with its HTML characters escaped."""
    return escape(text, quote=False)


def html_label(name: str) -> str:
    """Return the label of a quantity as HTML."""
    return as_html(page_label(name))


def value_texts(values: dict[str, np.ndarray]) -> list:
    """Return values as texts, in lists nested like the arrays, with one inner list of texts per point."""
    write = np.vectorize("{:.5g}".format, otypes=[object])
    return np.stack([write(array) for array in values.values()], axis=-1).tolist()


def value_lines(names: Iterable[str], texts: Iterable[str]) -> str:
    """Return lines of HTML, each with the label of a quantity and its text."""
    return "<br>".join(f"{html_label(name)} = {text}" for name, text in zip(names, texts, strict=True))


def customdata_lines(names: Iterable[str]) -> str:
    """Return the lines of a hover template whose values plotly takes from the `customdata` of the point."""
    names = list(names)
    return value_lines(names, [f"%{{customdata[{i}]}}" for i in range(len(names))])


def point_values(grid: Grid) -> dict[str, list[list[float | str]]]:
    """Return the values of each quantity at each point, by label as HTML; the script writes them as texts.

    Plotly swaps row and column of a surface's `customdata`, so a hover template would show wrong values.
    """
    return {html_label(name): _rounded(values) for name, values in grid.values.items()}


def _rounded(values: np.ndarray) -> list[list[float | str]]:
    """Return values of five digits as nested lists; texts in place of numbers that JSON does not have."""
    return [[float(f"{v:.5g}") if np.isfinite(v) else f"{v:g}" for v in row] for row in values]
