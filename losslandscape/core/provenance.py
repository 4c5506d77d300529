"""What made a file: facts that must be the same when a run goes on with it, and a record of each run that wrote it.

A name such as `model_300.t7_weights_xnorm=filter.h5` tells what a file was meant to be. It does not tell that the checkpoint of
that name has been trained anew since. Fingerprints do.
"""

import hashlib
import os
import platform
import shlex
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version

import numpy as np

from losslandscape import __version__
from losslandscape.core.errors import InputError

DIGITS = 16  # of a fingerprint: 64 bits tell any two files of a project apart
PACKAGES = ("torch", "numpy", "h5py")

Facts = dict[str, str]


def fingerprint_of_file(path: str) -> str:
    """Of the bytes of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:DIGITS]


def fingerprint_of_arrays(arrays: Iterable[np.ndarray]) -> str:
    """Of values, types and shapes of arrays; not of their layout in memory."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        for part in (
            array if array.ndim > 1 else (array,)
        ):  # by parts, as a copy of all images may not fit in memory
            digest.update(np.ascontiguousarray(part))
    return digest.hexdigest()[:DIGITS]


def require_same(path: str, found: Facts, asked: Facts, advice: str) -> None:
    """Raise `InputError`, naming what differs, unless the facts that both have are equal."""
    differences = [
        f"{name} (there {found[name]}, here {value})"
        for name, value in asked.items()
        if found.get(name, value) != value
    ]
    if differences:
        raise InputError(f"{path!r} was made with another {', '.join(differences)}; {advice}")


def command_line(program: str, arguments: Iterable[str]) -> str:
    """The command that runs a program again, as its user started it.

    Args:
        program: the file of the command, such as `plot_surface.py`.
    """
    started = ["python", os.path.basename(program)]
    if sys.argv[0].startswith("losslandscape "):  # set by losslandscape/__main__.py
        started = sys.argv[0].split()
    return shlex.join([*started, *arguments])


def record_of_run(program: str, arguments: list[str], **facts: object) -> dict[str, object]:
    """Who runs what, when and with which versions: plain values for a file."""
    return {
        "command": command_line(program, arguments),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": platform.node(),
        "folder": os.getcwd(),
        "python": platform.python_version(),
        "losslandscape": __version__,
        **{name: version(name) for name in PACKAGES},
        **facts,
    }


def keep_aside(path: str) -> str:
    """Rename a file so that its name is free; returns the new name, the first free one of PATH.old, PATH.old2, …"""
    number = 1
    while os.path.lexists(aside := f"{path}.old{number if number > 1 else ''}"):
        number += 1
    os.rename(path, aside)
    return aside
