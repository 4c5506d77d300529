"""Finds the checkpoints of a training by a pattern of their names, in the order of the training."""

import glob
import os
import re
from collections import Counter
from dataclasses import dataclass
from itertools import compress

import numpy as np

from losslandscape.core.errors import InputError
from losslandscape.core.provenance import Facts
from losslandscape.files import training_order

MIN_CHECKPOINTS = 3  # number of checkpoints of a trajectory: two lie on a line
RESULT = ".h5"  # in the names of all files that this program writes beside a checkpoint
ENDINGS = (".t7", ".pt", ".pth", ".ckpt", ".safetensors", ".bin", ".tar")
SHARD = re.compile(r"-\d+-of-\d+$")  # at the end of the name of a part of a checkpoint
# Words in the names of files beside the weights of a training.
NOT_WEIGHTS = re.compile(r"optim|opt_state|scheduler|rng|scaler|training_args", re.IGNORECASE)


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one training, in order.

    Attributes:
        files: the files, or folders of files.
        numbers: the epoch or the step of each; None if the names do not tell it.
        unit: what the numbers count, `epoch` or `step`.
    """

    files: list[str]
    numbers: np.ndarray | None
    unit: str = "epoch"

    def facts(self) -> Facts:
        """Return what the numbers count, if not epochs, as a fact of a projection."""
        return {} if self.unit == "epoch" else {"unit": self.unit}

    def describe(self) -> str:
        """Return how many checkpoints there are and of which epochs, as the beginning of a line."""
        count = f"{len(self.files)} checkpoints"
        if self.numbers is None:
            return count
        return f"{count}, {self.unit}s {self.numbers[0]:.10g} to {self.numbers[-1]:.10g}"


def is_pattern(name: str) -> bool:
    """Return whether a name is a pattern of files, as `model_*.t7` is, and not an existing file.

    Folders at its beginning that exist are no part of the pattern, as `run[1]` in `run[1]/model_*.t7`.
    """
    existing = name
    while existing and not os.path.exists(existing):
        existing = os.path.dirname(existing)
    return glob.has_magic(name[len(existing) :])


def find(pattern: str, *, least: int, option: str) -> Checkpoints:
    """Return the checkpoints that match a pattern, such as `run/epoch=*-step=*.ckpt`.

    A folder counts as a checkpoint where no file matches. Files that this program wrote do not count.

    Args:
        pattern: names with wildcards. A folder or file whose name equals a part of the pattern is that part,
            also if the part has brackets.
        least: the smallest number of checkpoints.
        option: the option that has the pattern, for the message.

    Raises:
        InputError: if fewer checkpoints match, or some of the names have no number.
    """
    files = matches(pattern)
    if len(files) < least:
        count = f"{len(files)} file{'' if len(files) == 1 else 's'}"
        raise InputError(f"{pattern} matches {count}, and {least} are needed", f"give another {{{option}}}")
    bare = training_order.without_number(files)
    if bare:
        fault = (
            f"{pattern} matches {bare[0]}, whose name has no number, so its place among the others is unknown"
        )
        raise InputError(fault, f"give another {{{option}}}, which leaves it out")
    files = training_order.in_order(files)
    numbers = training_order.numbers(files)
    return Checkpoints(files, numbers.values, numbers.unit)


def find_between(pattern: str, first: int, last: int | None) -> Checkpoints:
    """Return the checkpoints of a trajectory that match a pattern and have numbers from `first` to `last`.

    Raises:
        InputError: as `find`; or there is a limit, and the checkpoints have no numbers.
    """
    found = find(pattern, least=MIN_CHECKPOINTS, option="pattern")
    if first == 0 and last is None:
        return found
    if found.numbers is None:
        fault = f"the names that {pattern} matches do not tell the epochs"
        raise InputError(fault, "leave {start_epoch} and {max_epoch} out")
    kept = (found.numbers >= first) & (found.numbers <= (np.inf if last is None else last))
    if kept.sum() < MIN_CHECKPOINTS:
        fault = f"of {found.describe()}, {kept.sum()} are between these limits"
        raise InputError(
            f"{fault}, and {MIN_CHECKPOINTS} are needed", "give other {start_epoch} and {max_epoch}"
        )
    return Checkpoints(list(compress(found.files, kept)), found.numbers[kept], found.unit)


def matches(pattern: str) -> list[str]:
    """Return the files that fit a pattern, in any order; the folders where no file does."""
    paths = ["/" if pattern.startswith("/") else ""]
    for part in filter(None, pattern.split("/")):
        paths = [match for path in paths for match in _entries(path, part)]
    paths = [path for path in paths if RESULT not in os.path.basename(path)]
    return [path for path in paths if os.path.isfile(path)] or paths


def _entries(folder: str, part: str) -> list[str]:
    """Return the entries of a folder that fit one part of a pattern."""
    inside = os.path.join(folder, part)
    if os.path.lexists(inside):
        return [inside]
    start = os.path.join(glob.escape(folder), "")
    with_literal_brackets = part.replace("[", "[[]")
    return glob.glob(start + part) or glob.glob(start + with_literal_brackets)


def suggest(folder: str) -> str:
    """Return the pattern that most checkpoints in a folder or one level below fit; empty without one."""
    patterns: Counter[str] = Counter()
    for path in sorted([*_below(folder), *(path for inside in _below(folder) for path in _below(inside))]):
        stem, ending = os.path.splitext(os.path.relpath(path, folder))
        if ending not in ENDINGS or not os.path.isfile(path) or NOT_WEIGHTS.search(stem):
            continue
        if SHARD.search(stem):
            stem, ending = os.path.dirname(stem), ""
        if training_order.NUMBER.search(stem):
            # Brackets, braces and quotation marks mean something in a pattern, our messages or a shell.
            patterns[re.sub(r"[]['\"{}]", "?", training_order.NUMBER.sub("*", stem)) + ending] += 1
    return max(patterns, key=patterns.__getitem__, default="")


def _below(folder: str) -> list[str]:
    """Return the paths of everything in a folder that is not hidden."""
    return glob.glob(os.path.join(glob.escape(folder), "*"))
