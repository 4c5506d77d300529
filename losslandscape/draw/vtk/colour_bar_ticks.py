"""The values that a colour bar names: few, round, and spread over its height."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from losslandscape.draw.vtk.sheet import LOG_OFFSET, is_flat

FEWEST, MOST = 4, 8  # ticks of a logarithm
# Multiples of powers of ten, few to many.
MULTIPLES = ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10)))


def height_ticks(low: float, high: float, *, log: bool) -> list[tuple[float, str]]:
    """Return heights of ticks, and the values there as texts.

    Args:
        low, high: the heights at the ends of the bar.
        log: whether heights are ln(value + 0.1).
    """
    if is_flat(low, high):
        value = np.exp(low) - LOG_OFFSET if log else low
        return [(low, f"{value:.3g}")]
    values = _round_values(low, high) if log else np.asarray(MaxNLocator(nbins=6).tick_values(low, high))
    heights = np.log(values + LOG_OFFSET) if log else values
    return [
        (float(height), f"{value:.6g}")
        for height, value in zip(heights, values, strict=True)
        if low <= height <= high
    ]


def _round_values(low: float, high: float) -> np.ndarray:
    """Powers of ten whose logarithms lie between `low` and `high`, and more values where these are few."""
    powers = 10.0 ** np.arange(-1, np.ceil(high / np.log(10)) + 1)
    for multiples in MULTIPLES:
        values = np.outer(powers, multiples).ravel()
        heights = np.log(values + LOG_OFFSET)
        values = values[(heights >= low) & (heights <= high)]
        if len(values) >= FEWEST:
            break
    stride = -(-len(values) // MOST) or 1
    return values[::stride]
