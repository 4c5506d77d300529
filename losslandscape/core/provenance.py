"""Facts about how a file was made, which must not differ when a run resumes it, and a record of each run.

A file name such as `model_300.t7_weights_xnorm=filter.h5` contains the name of a checkpoint. If the
checkpoint is trained again, its name stays, and only its fingerprint differs.
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
from losslandscape.core.weight_files import files_of

DIGITS = 16  # hexadecimal digits of a fingerprint: 64 bits distinguish all files of a project
PACKAGES = ("torch", "numpy", "h5py")

RANDOM_DATA = (
    "if the data is drawn at random, seed its own generator, so that every run gets the same samples"
)

Facts = dict[str, str]


def fingerprint_of_file(path: str) -> str:
    """Return the fingerprint of a checkpoint's bytes: of its file, or of all files that hold its weights.

    Raises:
        InputError: the path is a folder without one checkpoint, or only a part of one.
    """
    digests = []
    for part in files_of(path):
        with open(part, "rb") as file:
            digests.append(hashlib.file_digest(file, "sha256"))
    if len(digests) == 1:
        return digests[0].hexdigest()[:DIGITS]
    return hashlib.sha256(b"".join(digest.digest() for digest in digests)).hexdigest()[:DIGITS]


def fingerprint_of_arrays(arrays: Iterable[np.ndarray]) -> str:
    """Return the fingerprint of arrays, from their values, types and shapes. Layout in memory is ignored."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        # Row by row: a copy of all images may not fit in memory.
        rows = array if array.ndim > 1 else [array]
        for row in rows:
            digest.update(np.ascontiguousarray(row).data)
    return digest.hexdigest()[:DIGITS]


def require_same(path: str, file_facts: Facts, run_facts: Facts, advice: str) -> None:
    """Refuse a file whose facts differ from the facts of this run.

    Args:
        path: the file.
        file_facts: the facts that the file holds.
        run_facts: the facts of this run. A fact that only one side has is not compared.
        advice: what the user can do, as for `InputError`.

    Raises:
        InputError: facts differ. The message names each differing fact.
    """
    differing = [name for name, value in run_facts.items() if file_facts.get(name, value) != value]
    if not differing:
        return
    if any(name.endswith(" samples") for name in differing):
        advice = f"{RANDOM_DATA}; or {advice}"
    differences = [f"{name} (there {file_facts[name]}, here {run_facts[name]})" for name in differing]
    raise InputError(f"{path!r} was made with another {', '.join(differences)}", advice)


def command_line(program: str, arguments: Iterable[str]) -> str:
    """Return the command that runs a program again, as its user started it.

    Args:
        program: the file of the command, such as `plot_surface.py`.
        arguments: the words after the program.
    """
    words = ["python", os.path.basename(program)]
    if sys.argv[0].startswith("losslandscape "):  # set by losslandscape/__main__.py
        words = sys.argv[0].split()
    return shlex.join([*words, *arguments])


def record_of_run(program: str, arguments: list[str], **facts: object) -> dict[str, object]:
    """Return the command, time, host, folder and versions of this run, and `facts`."""
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
