"""The names of quantities.

A name is `<part>_<value>`, such as train_loss. A quantity that does not belong to a part of the data has a
name without a part, such as penalty.
"""

from collections.abc import Iterable

PARTS = ("train", "test")
PERCENTAGES = ("acc", "top5")
# The quantities that come first in every list, in this order.
FIRST = ("train_loss", "train_acc", "test_loss", "test_acc")
# Endings of names of uncertainties: `train_loss_se` is the standard error of `train_loss`.
UNCERTAINTIES = ("_se", "_diff_se", "_residual")
LOG_RATIO = 100  # highest by lowest: above this ratio, evenly spaced levels miss the low losses


def split(name: str) -> tuple[str, str]:
    """Return the part of the data, which may be empty, and the value.

    >>> split("test_top5"), split("max_eig")
    (('test', 'top5'), ('', 'max_eig'))
    """
    part, underscore, value = name.partition("_")
    return (part, value) if part in PARTS and underscore and value else ("", name)


def is_loss(name: str) -> bool:
    """Whether the quantity is a loss, such as `train_loss` or `train_regularised_loss`."""
    return name.split("_")[-1] == "loss"


def is_percentage(name: str) -> bool:
    """Whether the values of the quantity range from 0 to 100."""
    return split(name)[1] in PERCENTAGES


def is_logarithmic(low: float, high: float) -> bool:
    """Whether contours of a quantity from `low` to `high`, which is no percentage, are logarithmic."""
    return low > 0 and high / LOG_RATIO > low


def standard_error(name: str, *, of_difference: bool = False) -> str:
    """Return the name of the standard error of a quantity, or of its difference from the centre."""
    return f"{name}_diff_se" if of_difference else f"{name}_se"


def shown(names: Iterable[str]) -> list[str]:
    """Return the quantities that have figures of their own: all except uncertainties, training loss first."""
    names = set(names)
    uncertainties = {f"{name}{ending}" for name in names for ending in UNCERTAINTIES}
    return sorted(names - uncertainties, key=_rank)


def _rank(name: str) -> tuple[int, str]:
    return (FIRST.index(name) if name in FIRST else len(FIRST), name)
