"""What the name of a surface file's quantity says: `<part>_<value>`, such as train_loss, or a value of no part of the data, such as penalty."""

from __future__ import annotations

from collections.abc import Iterable

PARTS = ("train", "test")
PERCENTAGES = ("acc", "top5")
FIRST = ("train_loss", "train_acc", "test_loss", "test_acc")


def split(name: str) -> tuple[str, str]:
    """Part of the data and value.

    >>> split("test_top5"), split("max_eig")
    (('test', 'top5'), ('', 'max_eig'))
    """
    part, underscore, value = name.partition("_")
    return (part, value) if part in PARTS and underscore and value else ("", name)


def is_loss(name: str) -> bool:
    """Whether it is a loss, which is better when lower: `train_loss`, `train_regularised_loss`."""
    return name.split("_")[-1] == "loss"


def is_percentage(name: str) -> bool:
    return split(name)[1] in PERCENTAGES


def standard_error(name: str, *, of_difference: bool = False) -> str:
    """The name of a quantity's standard error, or of that of its difference from the centre."""
    return f"{name}_diff_se" if of_difference else f"{name}_se"


def shown(names: Iterable[str]) -> list[str]:
    """The quantities that have figures and numbers of their own, training loss first: not those that say how sure another one is."""
    names = set(names)
    doubts = {f"{name}{suffix}" for name in names for suffix in ("_se", "_diff_se", "_residual")}
    return sorted(names - doubts, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))
