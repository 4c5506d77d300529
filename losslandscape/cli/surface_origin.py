"""Checks whether the checkpoints and directions of a surface still exist, and are still the same."""

import os
import platform
from itertools import chain
from typing import Any

from losslandscape.core.errors import InputError
from losslandscape.core.provenance import Facts, fingerprint_of_arrays, fingerprint_of_file
from losslandscape.files import h5_util
from losslandscape.files.surface import Surface

UNCHANGED, CHANGED, GONE = "unchanged", "another one now", "gone"
UNREADABLE, UNKNOWN = "cannot be read", "not checked"
# The facts of a direction file with the fingerprints of the nets that its directions point to, by flag.
AXIS_OF = {"model_file2": "x direction", "model_file3": "y direction"}

States = dict[str, tuple[str, str]]  # a file and its state, by the flag of the file


def find_directions(surface: Surface) -> tuple[str, str]:
    """Find the direction file of a surface: at its recorded path, or beside the surface.

    Returns:
        The path, empty if there is no such file; and one of the states above.
    """
    beside = os.path.join(os.path.dirname(surface.path), os.path.basename(surface.dir_file))
    for path in (surface.dir_file, beside):
        if path and os.path.isfile(path):
            return path, _state_of_directions(path, surface)
    return "", GONE


def _state_of_directions(dir_file: str, surface: Surface) -> str:
    expected = surface.made_with.get("directions")
    if not expected:
        return UNKNOWN
    try:
        directions = h5_util.read_directions(dir_file)
    except InputError:
        return UNREADABLE
    used = directions[: len(surface.shape)]  # a line uses only x
    return UNCHANGED if fingerprint_of_arrays(chain(*used)) == expected else CHANGED


def nets(run: dict[str, Any], facts: Facts) -> States:
    """Return the checkpoints in the record of a run, with their states.

    Args:
        run: the record of the run.
        facts: facts of the surface and of its directions, which include fingerprints of checkpoints.
    """
    files = run.get("files")
    if not isinstance(files, dict):
        return {}
    states = {}
    for flag, file in files.items():
        target = str(facts.get(AXIS_OF.get(flag, ""), ""))
        fingerprint = facts.get(flag) or (target.removeprefix("to ") if target.startswith("to ") else "")
        states[str(flag)] = (str(file), _state(str(file), fingerprint))
    return states


def _state(file: str, fingerprint: str) -> str:
    if not os.path.isfile(file):
        return GONE
    if not fingerprint:
        return UNKNOWN
    try:
        return UNCHANGED if fingerprint_of_file(file) == fingerprint else CHANGED
    except OSError:
        return UNREADABLE


def changed_nets(states: States, run: dict[str, Any]) -> list[str]:
    """Return a sentence for each checkpoint that has changed since the surface was made."""
    host, here = run.get("host"), platform.node()
    elsewhere = f" (the last run was on {host}, this is {here})" if host and host != here else ""
    faults = {
        GONE: f"is not there any more{elsewhere}",
        CHANGED: "is another checkpoint than the one that this surface was made with: trained again since, "
        "or overwritten; no run will resume this surface with it",
        UNREADABLE: "cannot be read, so nobody knows whether it is still the same",
    }
    return [f"--{flag} {file} {faults[state]}" for flag, (file, state) in states.items() if state in faults]


def changed_directions(dir_file: str, state: str) -> list[str]:
    """Return a sentence if the direction file has changed since the surface was made."""
    if state != CHANGED:
        return []
    return [f"{dir_file} holds other directions than this surface was made with"]
