"""The published program's names for direction and surface files, which tell what a file was made with."""

import hashlib
import math
import os
import re

Axis = tuple[float, float, int]  # min, max, number of points
WHOLE_RANGE: Axis = (-1.0, 1.0, 51)  # as published
FIGURE_FORMATS = ("pdf", "png", "svg")
LONGEST_PARAMS = 60  # characters of a --params in a file's name
PLAIN = re.compile(rf"[\w.=+,-]{{1,{LONGEST_PARAMS}}}", re.ASCII)


def axis_fault(low: float, high: float, number: int, form: str) -> str:
    """What is wrong with an axis, which should be `form`, as a predicate of what was given; empty if nothing is."""
    if number < 1 or not math.isfinite(high - low):
        return f"is not {form}"
    return f"puts {number} points at one place; give two different ends" if low == high and number > 1 else ""


def direction_file_name(
    model_file: str,
    dir_type: str,
    *,
    model_file2: str = "",
    model_file3: str = "",
    two_d: bool = False,
    xdir: str = "random",
    xignore: str = "",
    xnorm: str = "",
    ydir: str = "random",
    yignore: str = "",
    ynorm: str = "",
    same_dir: bool = False,
    params: str = "",
    idx: int = 0,
) -> str:
    """The name of a direction file: beside the checkpoint, and telling what it was made with. It is the published program's, which knows neither `params`
    nor directions (`xdir`, `ydir`) other than random ones and those to other nets.
    """
    name = _joined_name(model_file, model_file2) if model_file2 else model_file
    name += f"_{dir_type}" + _kind("xdir", xdir) + _flag("xignore", xignore) + _flag("xnorm", xnorm)
    if two_d and model_file3:
        name += "_" + _other_name(model_file, model_file3)
    elif two_d:
        name += (
            _kind("ydir", ydir)
            + _flag("yignore", yignore)
            + _flag("ynorm", ynorm)
            + ("_same_dir" if same_dir else "")
        )
    return name + _flag("params", _for_a_file_name(params)) + (f"_idx={idx}" if idx > 0 else "") + ".h5"


def _kind(name: str, value: str) -> str:
    return "" if value == "random" else _flag(name, value)


def _for_a_file_name(regex: str) -> str:
    """A regular expression with what file names cannot have replaced, and a digest that tells it from others that end the same."""
    if not regex or PLAIN.fullmatch(regex):
        return regex
    return (
        re.sub(r"[^\w.=+,-]", "_", regex, flags=re.ASCII)[:LONGEST_PARAMS]
        + "~"
        + hashlib.sha256(regex.encode()).hexdigest()[:8]
    )


def _flag(name: str, value: str) -> str:
    return f"_{name}={value}" if value else ""


def _joined_name(model_file: str, other: str) -> str:
    if os.path.dirname(model_file) == os.path.dirname(other):
        return f"{model_file}_{os.path.basename(other)}"
    folder, name = os.path.split(model_file)
    return (f"{folder}_{name}" if folder else name) + "_" + _other_name(model_file, other)


def _other_name(model_file: str, other: str) -> str:
    """Name of a second model: its file name, after its folder (below the deepest common one) where that is another.

    Slashes of deeper folders become underscores: the name is that of a file, not of a folder that does not exist.
    """
    folder, name = os.path.split(other)
    if folder == os.path.dirname(model_file):
        return name
    common = []
    for ours, theirs in zip(os.path.dirname(model_file).split("/"), folder.split("/"), strict=False):
        if ours != theirs:
            break
        common.append(ours)
    below = "_".join(part for part in folder.split("/")[len(common) :] if part)
    return f"{below}_{name}"


def surface_file_name(
    dir_file: str, x: Axis, y: Axis | None, *, raw_data: bool = False, data_split: int = 1, split_idx: int = 0
) -> str:
    """The published program's name for a surface file; an axis prints as [min,max,number]."""
    name = f"{dir_file}_[{x[0]},{x[1]},{x[2]}]" + (f"x[{y[0]},{y[1]},{y[2]}]" if y else "")
    if raw_data:
        name += "_rawdata"
    if data_split > 1:
        name += f"_datasplit={data_split}_splitidx={split_idx}"
    return name + ".h5"


def natural_order(path: str) -> list[tuple[int, str]]:
    """A key for sorting in which numbers count as numbers.

    >>> sorted(["model_10.t7", "model_9.t7"], key=natural_order)
    ['model_9.t7', 'model_10.t7']
    """
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path)]
