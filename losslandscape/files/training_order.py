"""The order of a training's files, and the epoch or step of each, read from their names.

Folders that all paths begin with do not count: `run_3/checkpoint-10/model.pt` and
`run_3/checkpoint-20/model.pt` have the numbers 10 and 20.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# An integer; after "=" also a decimal, as in `val_loss=0.23`.
NUMBER = re.compile(r"(?<==)\d+\.\d+|\d+", re.ASCII)
# What a number counts, by the word in front of it. In a folder `checkpoint-500` it counts steps, as in those
# of transformers' trainer.
WORDS = {
    "epoch": r"epochs?[\W_]{0,2}",
    "step": r"(?:steps?|iter|iterations?|batch)[\W_]{0,2}|(?:^|/)checkpoint-(?=\d+(?:/|$))",
}
UNITS = {
    unit: re.compile(f"(?:{word})({NUMBER.pattern})", re.ASCII | re.IGNORECASE)
    for unit, word in WORDS.items()
}
LARGEST = 2**53  # larger numbers, such as digests, are neither epochs nor steps


@dataclass(frozen=True)
class Numbers:
    """What the names of a training's files say about their place in the training.

    Attributes:
        values: an increasing number for each file; None if the names do not have one.
        unit: what the numbers count, `epoch` or `step`.
    """

    values: np.ndarray | None
    unit: str = "epoch"


def differing_parts(paths: Sequence[str]) -> list[str]:
    """Return the paths without the folders that all of them begin with.

    >>> differing_parts(["run/10/model.pt", "run/20/model.pt"])
    ['10/model.pt', '20/model.pt']
    """
    split = [path.split("/") for path in paths]
    common = len(os.path.commonprefix([parts[:-1] for parts in split]))
    return ["/".join(parts[common:]) for parts in split]


def in_order(paths: Sequence[str]) -> list[str]:
    """Return the paths in the order of the training: by epoch, then by step, then by all numbers in them.

    >>> in_order(["step=9-epoch=2.pt", "step=1-epoch=10.pt", "step=3-epoch=2.pt"])
    ['step=3-epoch=2.pt', 'step=9-epoch=2.pt', 'step=1-epoch=10.pt']
    """
    keys = {path: _key(part) for path, part in zip(paths, differing_parts(paths), strict=True)}
    return sorted(paths, key=keys.__getitem__)


def _key(part: str) -> tuple[float, float, list[float], str]:
    named = [_named(part, unit) for unit in UNITS]
    epoch, step = (-1 if number is None else number for number in named)
    return epoch, step, _all_numbers(part), part


def _named(part: str, unit: str) -> float | None:
    """Return the number that a path names as its epoch or its step."""
    match = UNITS[unit].search(part)
    return _number(match[1]) if match else None


def _all_numbers(part: str) -> list[float]:
    return [_number(text) for text in NUMBER.findall(part)]


def _number(text: str) -> float:
    return float(text) if "." in text else int(text)


def without_number(paths: Sequence[str]) -> list[str]:
    """Return the paths that have no number where others have one, as `last.ckpt` beside `epoch=1.ckpt`."""
    stems = _without_common_ending(differing_parts(paths))
    bare = [path for path, stem in zip(paths, stems, strict=True) if not NUMBER.search(stem)]
    return bare if len(bare) < len(paths) else []


def _without_common_ending(parts: list[str]) -> list[str]:
    """Return the paths without their ending, such as `.t7`, if all have the same."""
    split = [os.path.splitext(part) for part in parts]
    return [stem for stem, _ in split] if len({ending for _, ending in split}) == 1 else parts


def numbers(paths: Sequence[str]) -> Numbers:
    """Return the epoch or the step of each path of a training.

    The number after the word epoch is used. If epochs are missing or repeat, the number after step is used.
    If neither differs from path to path, the first number that increases is used, and counts epochs.

    Args:
        paths: the paths, in the order of the training.
    """
    parts = differing_parts(paths)
    differs = False
    for unit in UNITS:
        named = [_named(part, unit) for part in parts]
        differs |= len(set(named)) > 1
        if _increase(named):
            return Numbers(np.array(named), unit)
    rows = [] if differs else [_all_numbers(part) for part in parts]
    if len({len(row) for row in rows}) == 1:
        for column in zip(*rows, strict=True):
            if _increase(column):
                return Numbers(np.array(column))
    return Numbers(None)


def _increase(values: Sequence[float | None]) -> bool:
    known = [value for value in values if value is not None]
    is_complete = len(known) == len(values) and known[-1] < LARGEST
    return is_complete and all(a < b for a, b in zip(known[:-1], known[1:], strict=True))
