"""Titles of surfaces, from the facts in their files: the net, its checkpoint, the data and the grid."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from losslandscape.core.errors import InputError
from losslandscape.files.surface import Surface
from losslandscape.files.training_order import differing_parts

OWN_DATA = "trainloader"  # the name of data that a file of the user has


def surface_title(surface: Surface) -> str:
    """Return a title such as "resnet56 (model_300.t7) on cifar10".

    Without the record of a run, as in a file of the published program, it is the file's name.
    """
    model = surface.made_with.get("model", "")
    if not model:
        return os.path.basename(surface.called).removesuffix(".h5")
    checkpoints = _checkpoints(surface)
    named = os.path.splitext(checkpoints)[0] == model
    title = (
        os.path.basename(model) if named or not checkpoints else f"{os.path.basename(model)} ({checkpoints})"
    )
    data = surface.made_with.get("dataset", OWN_DATA)
    return title if data == OWN_DATA else f"{title} on {os.path.basename(data)}"


def page_title(surface: Surface) -> str:
    """Return the title of a page about one surface, such as "Loss landscape of resnet56 on cifar10"."""
    title = surface_title(surface)
    return f"Loss landscape of {title}" if surface.made_with.get("model") else title


def _checkpoints(surface: Surface) -> str:
    """Return the names of the checkpoints that the last run read: of one, or the ends of an interpolation."""
    last = surface.runs[-1] if surface.runs and isinstance(surface.runs[-1], dict) else {}
    files = last.get("files")
    if not isinstance(files, dict):
        return ""
    paths = [files.get(key) for key in ("model_file", "model_file2", "model_file3")]
    return " to ".join(os.path.basename(str(path)) for path in paths if path)


def surface_subtitle(surface: Surface) -> str:
    """Return the size and the ranges of a grid, and the part of the data if not all was used."""
    parts = [f"{size(surface.shape)} points", _range("α", surface.x)]
    if surface.y is not None:
        parts.append(_range("β", surface.y))
    split = surface.made_with.get("data_split", "1")
    if split != "1":
        parts.append(f"1/{split} of the data")
    return ", ".join(parts)


def size(shape: tuple[int, ...]) -> str:
    """Return the size of a grid, x first."""
    return "×".join(str(number) for number in reversed(shape))


def _range(symbol: str, values: np.ndarray) -> str:
    return f"{symbol} from {values.min():g} to {values.max():g}".replace("-", "−")


def all_titles(surfaces: Sequence[Surface], titles: Sequence[str] = ()) -> list[str]:
    """Return a title per surface: `titles`, or those of `surface_title`, or files if these are equal.

    Raises:
        InputError: the number of titles is not that of the surfaces.
    """
    count = len(surfaces)
    if titles and len(titles) != count:
        fault = f"there are {len(titles)} titles for {count} surface files"
        raise InputError(fault, "give one for each ({titles})")
    own = list(titles) or [surface_title(surface) for surface in surfaces]
    if titles or len(set(own)) == count:
        return own
    return [name.removesuffix(".h5") for name in differing_parts([surface.called for surface in surfaces])]
