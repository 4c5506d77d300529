"""A progress bar for computations whose unit of work is a product of a matrix with a vector."""

import sys

from tqdm import tqdm

TERMINAL_INTERVAL, FILE_INTERVAL = 0.5, 10.0  # seconds between updates; each update to a file adds a line


def product_bar(title: str, total: int, *, shown: bool) -> tqdm:
    """Return a bar that counts up to `total` products and disappears at the end."""
    interval = TERMINAL_INTERVAL if sys.stderr.isatty() else FILE_INTERVAL
    return tqdm(total=total, desc=title, unit="product", disable=not shown, leave=False, mininterval=interval)
