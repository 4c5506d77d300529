"""Says in words what the file of a surface tells about it: the net, the data, the grid and the directions.

A fact that the file does not hold is an empty text. All texts can be drawn by matplotlib.
"""

import os
import re
import shlex
from typing import Any

import numpy as np

from losslandscape.core import quantity
from losslandscape.draw.labels import escape_mathematics
from losslandscape.draw.surface_title import OWN_DATA, size
from losslandscape.files.file_names import SEED
from losslandscape.files.surface import Surface

LOSSES = {"crossentropy": "cross entropy", "mse": "mean squared error of the probabilities"}
NORMS = {
    "filter": "filter-normalised",
    "layer": "layer-normalised",
    "weight": "weight-normalised",
    "": "not normalised",
}
NAMED = {
    "gradient": "gradient of the loss",
    "hessian": "eigenvectors of the Hessian",
    "sam": "gradient after the ascent step of SAM",
}
FIXED = "biases and batch-norm parameters fixed"
SAMPLES = re.compile(r"([\d,]+) (train|test)\b")


def net(surface: Surface) -> str:
    """Return the name of the net."""
    return escape_mathematics(os.path.basename(str(surface.made_with.get("model", ""))))


def data(surface: Surface, name: str) -> str:
    """Return the data set and the number of samples on which a quantity was measured."""
    facts, options = surface.made_with, _options(surface)
    part = quantity.split(name)[0] or "train"
    data_set = facts.get("dataset", "")
    if data_set == OWN_DATA:
        data_set = options.get(f"{part}loader", "")
    texts = [escape_mathematics(os.path.basename(data_set))]
    count = _samples(surface).get(part, "")
    kind = {"train": "training", "test": "test"}[part]
    texts.append(f"{count} {kind} samples" if count else "")
    split = facts.get("data_split", "1")
    if part == "train" and split != "1":
        texts.append(f"1/{split} of the training set")
    return ", ".join(filter(None, texts))


def loss(surface: Surface) -> str:
    """Return the name of the loss."""
    name = str(surface.made_with.get("loss_name", ""))
    return LOSSES.get(name, escape_mathematics(os.path.basename(name)))


def grid(surface: Surface) -> str:
    """Return the number of points and the range of each axis."""
    if surface.y is None:
        return f"{len(surface.x)} points, α from {_range(surface.x)}"
    points = f"{size(surface.shape)} points"
    if np.array_equal(surface.x[[0, -1]], surface.y[[0, -1]]):
        return f"{points}, α and β from {_range(surface.x)}"
    return f"{points}, α from {_range(surface.x)}, β from {_range(surface.y)}"


def directions(surface: Surface) -> str:
    """Return how the directions were made."""
    options, files = _options(surface), _files(surface)
    axes = "x" if surface.y is None else "xy"
    if surface.made_with.get("over") == "inputs":
        return " and ".join(escape_mathematics(surface.made_with.get(f"{axis} axis", "")) for axis in axes)
    if "model_file2" in files:
        ends = [escape_mathematics(os.path.basename(str(files.get(key, "")))) for key in _ends(surface)]
        return f"from {ends[0]}, at 0, to {' and '.join(ends[1:])}, at 1"
    kinds = {options.get(f"{axis}dir", "random") for axis in axes}
    if kinds <= set(NAMED):
        return " and ".join(NAMED[kind] for kind in sorted(kinds))
    if "dir_file" in options or kinds != {"random"} or not _is_named(surface):
        return ""
    recipes = [_recipe(surface, axis) for axis in axes]
    if len(set(recipes)) == 1:
        texts = ["random", *recipes[0]]
    else:
        texts = [
            "random",
            *(f"{axis} {', '.join(recipe)}" for axis, recipe in zip("αβ", recipes, strict=True)),
        ]
    if options.get("params"):
        texts.append(f"parameters {escape_mathematics(options['params'])} alone")
    if surface.made_with.get("dir_type") == "states":
        texts.append("batch-norm statistics moved as well")
    if options and "~" not in surface.dir_file:  # a name that was cut may lack its number
        index = re.search(r"_idx=(\d+)\.h5$", surface.dir_file)
        texts.append(f"seed {SEED + int(index.group(1) if index else 0)}")
    return ", ".join(texts)


def _is_named(surface: Surface) -> bool:
    """Return whether a command or the name of the direction file says how directions were made."""
    return bool(_options(surface)) or bool(re.search(r"_(weights|states)(_|\.h5)", surface.dir_file))


def _recipe(surface: Surface, axis: str) -> tuple[str, ...]:
    """Return the normalisation of a direction and what it leaves out."""
    norm, ignore = (_option(surface, f"{axis}{word}") for word in ("norm", "ignore"))
    return (NORMS.get(norm, f"normalisation {norm}"), *([FIXED] if ignore == "biasbn" else []))


def _option(surface: Surface, name: str) -> str:
    """Return an option of the command, or as the published program writes it into the name of directions."""
    options = _options(surface)
    if options:
        return options.get(name, "")
    found = re.search(rf"_{name}=([a-z]+)", os.path.basename(surface.dir_file))
    return found.group(1) if found else ""


def _options(surface: Surface) -> dict[str, str]:
    """Return the options of the last command that measured a surface; empty if it is not known."""
    try:
        words = shlex.split(str(_last_run(surface).get("command", "")))
    except ValueError:  # not written by us
        return {}
    options = {"": words[0]} if words and any(word.startswith("--") for word in words) else {}
    for word, following in zip(words, [*words[1:], "--"], strict=False):
        if word.startswith("--"):
            key, equals, value = word[2:].partition("=")
            options[key] = value if equals else "" if following.startswith("--") else following
    return options


def _last_run(surface: Surface) -> dict[str, Any]:
    last = surface.runs[-1] if surface.runs else {}
    return last if isinstance(last, dict) else {}


def _files(surface: Surface) -> dict[str, Any]:
    files = _last_run(surface).get("files")
    return files if isinstance(files, dict) else {}


def _ends(surface: Surface) -> list[str]:
    keys = ["model_file", "model_file2", "model_file3"]
    return [key for key in keys if key in _files(surface)]


def _samples(surface: Surface) -> dict[str, str]:
    """Return the number of samples of each part of the data, as the last check report writes it."""
    for run in reversed([run for run in surface.runs if isinstance(run, dict)]):
        report = run.get("check_report")
        lines = report.get("lines") if isinstance(report, dict) else None
        for line in map(str, lines if isinstance(lines, list) else []):
            if line.startswith("samples: "):
                counts = line.removeprefix("samples: ").partition(";")[0]
                return {part: count for count, part in SAMPLES.findall(counts)}
    return {}


def _range(axis: np.ndarray) -> str:
    return f"{axis[0]:g} to {axis[-1]:g}".replace("-", "\N{MINUS SIGN}")
