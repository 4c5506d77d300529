"""The names of direction and surface files, as in the published program: a name lists the file's options."""

import hashlib
import math
import os
import re
from collections.abc import Sequence

Axis = tuple[float, float, int]  # min, max, number of points
WHOLE_RANGE: Axis = (-1.0, 1.0, 51)  # as published
SEED = 123  # of random directions in the published program; --idx N seeds with SEED + N
FIGURE_FORMATS = ("pdf", "png", "svg", "eps", "pgf")
MAX_PART = 60  # characters of a text of the user, such as --params, in a file name
# The largest number of bytes of a file name. A file system takes 255, and the lock of the file needs 8 of
# them for its ending `.running`. A name that is cut leaves room for the endings of figures too.
MAX_NAME, CUT_NAME = 247, 180
PLAIN = re.compile(rf"[\w.=+,-]{{1,{MAX_PART}}}", re.ASCII)


def axis_fault(low: float, high: float, number: int, form: str) -> str:
    """Return what is wrong with an axis, as the end of a sentence whose subject is the axis; empty if valid.

    Args:
        low, high: the ends of the axis.
        number: the number of points.
        form: the description of a valid axis, for the message.
    """
    if number < 1 or not math.isfinite(high - low):
        return f"is not {form}"
    if low == high and number > 1:
        return f"puts {number} points at one place; give two different ends"
    return ""


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
    axes: str = "",
    params: str = "",
    idx: int = 0,
    sample: int | None = None,
) -> str:
    """Return the name of a direction file, which is in the folder of the checkpoint.

    The arguments are the options of the command line. For options of the published program, the name equals
    the name there. That program does not have `params` and `axes`, and its directions (`xdir`, `ydir`) are
    random or point to another net.
    """
    name = _joined_name(model_file, model_file2) if model_file2 else model_file
    parts = [name, f"_{dir_type}", _kind("xdir", xdir), _flag("xignore", xignore), _flag("xnorm", xnorm)]
    if two_d and model_file3:
        parts.append("_" + _other_name(model_file, model_file3))
    elif two_d:
        # The file of a line over inputs has one direction, where a plane needs two.
        ydirection = _flag("ydir", ydir) if dir_type == "inputs" else _kind("ydir", ydir)
        parts += [ydirection, _flag("yignore", yignore), _flag("ynorm", ynorm)]
        parts.append("_same_dir" if same_dir else "")
    parts.append(_flag("axes", axes))
    parts.append(_flag("params", without_special_characters(params)))
    parts.append(f"_idx={idx}" if idx > 0 else "")
    parts.append("" if sample is None else f"_sample={sample}")
    return "".join(parts) + ".h5"


def _kind(name: str, value: str) -> str:
    return "" if value == "random" else _flag(name, value)


def _flag(name: str, value: str) -> str:
    return f"_{name}={value.replace(':', '')}" if value else ""


def without_special_characters(text: str) -> str:
    """Return a text, such as a regular expression, as a part of a file name.

    If characters are replaced or cut off, a digest of the whole text makes the name unique.
    """
    if not text or PLAIN.fullmatch(text):
        return text
    start = re.sub(r"[^\w.=+,-]", "_", text, flags=re.ASCII)[:MAX_PART]
    return f"{start}~{digest(text)}"


def digest(text: str) -> str:
    """Return eight characters that are different for different texts."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:8]


def model_name(model: str, model_args: Sequence[str] = ()) -> str:
    """Return the name of a net without a checkpoint, for the names of its files.

    >>> model_name("resnet56"), model_name("nets/mine.py:net", ["depth=3"])
    ('resnet56', 'nets_mine.py_net_depth=3')
    """
    plain = re.sub(r"[/\\:]", "_", "_".join([model, *model_args]))
    return without_special_characters(plain.lstrip("._") or "net")


def _joined_name(model_file: str, other: str) -> str:
    folder, name = os.path.split(model_file)
    if folder == os.path.dirname(other):
        return f"{model_file}_{os.path.basename(other)}"
    start = f"{folder}_{name}" if folder else name
    return f"{start}_{_other_name(model_file, other)}"


def _other_name(model_file: str, other: str) -> str:
    """Return the name of a second model, with its folder in front if the two folders differ.

    The folder is relative to the deepest common folder. Underscores replace its slashes, because a slash in
    the name would mean a folder that does not exist.
    """
    folder, name = os.path.split(other)
    if folder == os.path.dirname(model_file):
        return name
    ours = os.path.dirname(model_file).split("/")
    theirs = folder.split("/")
    common = 0
    while common < min(len(ours), len(theirs)) and ours[common] == theirs[common]:
        common += 1
    below = "_".join(part for part in theirs[common:] if part)
    return f"{below}_{name}"


def short_names(paths: Sequence[str]) -> list[str]:
    """Return a name for each file: its last parts, as few as tell all files apart, without the extension.

    >>> short_names(["nets/a/model_1.t7", "nets/b/model_1.t7", "c.t7"])
    ['a/model_1', 'b/model_1', 'c']
    """
    parts = [os.path.splitext(path)[0].split(os.sep) for path in paths]
    names = ["/".join(part[-1:]) for part in parts]
    for count in range(2, max(map(len, parts), default=0) + 1):
        if len(set(names)) == len(set(paths)):
            break
        names = ["/".join(part[-count:]) for part in parts]
    return names


def surface_file_name(
    dir_file: str,
    x: Axis,
    y: Axis | None,
    *,
    raw_data: bool = False,
    data_split: int = 1,
    split_idx: int = 0,
    samples: int | None = None,
) -> str:
    """Return the published program's name for a surface file, with each axis as [min,max,number]."""
    name = f"{dir_file}_{_brackets(x)}"
    if y:
        name += f"x{_brackets(y)}"
    if raw_data:
        name += "_rawdata"
    if data_split > 1:
        name += f"_datasplit={data_split}_splitidx={split_idx}"
    if samples:
        name += f"_samples={samples}"
    return name + ".h5"


def _brackets(axis: Axis) -> str:
    low, high, number = axis
    return f"[{low},{high},{number}]"


def shortened(path: str) -> str:
    """Return a path of a surface; if its file name is too long, it is cut and ends with a digest of it."""
    folder, name = os.path.split(path)
    if len(os.fsencode(name)) <= MAX_NAME:
        return path
    start = os.fsencode(name)[:CUT_NAME].decode(errors="ignore")
    return os.path.join(folder, f"{start}~{digest(path)}.h5")
