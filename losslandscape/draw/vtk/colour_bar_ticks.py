"""Chooses the tick values of a colour bar: few, round, and spread over its height."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from losslandscape.draw.labels import level_text, level_texts
from losslandscape.draw.vtk.sheet import LOG_OFFSET, is_flat

LINEAR = MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10])
MIN_TICKS, MAX_TICKS = 4, 8  # number of ticks on a logarithmic bar
# Multiples of each power of ten; a later tuple gives more ticks.
MULTIPLES = ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10)))


def height_ticks(low: float, high: float, *, log: bool) -> list[tuple[float, str]]:
    """Return the heights of the ticks, each with its value as text.

    Args:
        low, high: the heights at the ends of the bar.
        log: whether heights are ln(value + 0.1).
    """
    if is_flat(low, high):
        value = np.exp(low) - LOG_OFFSET if log else low
        return [(low, level_text(float(value), 3))]
    values = _round_values(low, high) if log else np.asarray(LINEAR.tick_values(low, high))
    heights = np.log(values + LOG_OFFSET) if log else values
    inside = (low <= heights) & (heights <= high)
    texts = level_texts(values[inside], alike=log)
    return list(zip(heights[inside].tolist(), texts, strict=True))


def _round_values(low: float, high: float) -> np.ndarray:
    """Return powers of ten, with multiples if they are few, whose heights lie from `low` to `high`."""
    powers = 10.0 ** np.arange(-1, np.ceil(high / np.log(10)) + 1)
    for multiples in MULTIPLES:
        values = np.outer(powers, multiples).ravel()
        heights = np.log(values + LOG_OFFSET)
        values = values[(heights >= low) & (heights <= high)]
        if len(values) >= MIN_TICKS:
            break
    stride = -(-len(values) // MAX_TICKS) or 1
    return values[::stride]
