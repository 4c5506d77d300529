"""Checks whether the checkpoints and directions of a surface still exist and are unchanged."""

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
# By the flag of a checkpoint that a direction leads to, the fact that holds the checkpoint's fingerprint.
FACT_OF = {"model_file2": "x direction", "model_file3": "y direction"}

States = dict[str, tuple[str, str]]  # by flag, the path of a file and its state


def find_directions(surface: Surface) -> tuple[str, str]:
    """Find the direction file of a surface: at its recorded path, or beside the surface.

    Returns:
        The path, which is empty if there is no such file, and one of the states above.
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
    """Return the checkpoints in the record of a run with their states, by flag.

    Args:
        run: the record of the run.
        facts: the facts of the surface and of its directions, with the fingerprints of checkpoints.
    """
    files = run.get("files")
    if not isinstance(files, dict):
        return {}
    states = {}
    for flag, file in files.items():
        fingerprint = facts.get(flag, "") or _target_fingerprint(flag, facts)
        states[str(flag)] = (str(file), _state(str(file), fingerprint))
    return states


def _target_fingerprint(flag: str, facts: Facts) -> str:
    """Return the fingerprint of the checkpoint that a direction leads to; empty if the facts lack it."""
    direction = str(facts.get(FACT_OF.get(flag, ""), ""))
    return direction.removeprefix("to ") if direction.startswith("to ") else ""


def _state(file: str, fingerprint: str) -> str:
    if not os.path.exists(file):
        return GONE
    if not fingerprint:
        return UNKNOWN
    try:
        return UNCHANGED if fingerprint_of_file(file) == fingerprint else CHANGED
    except (OSError, InputError):
        return UNREADABLE


def changed_nets(states: States, run: dict[str, Any]) -> list[str]:
    """Return a sentence for each checkpoint that has changed, is gone or cannot be read."""
    host, here = run.get("host"), platform.node()
    elsewhere = f" (the last run was on {host}, this is {here})" if host and host != here else ""
    faults = {
        GONE: f"is not there any more{elsewhere}",
        CHANGED: "has changed since this surface was made: trained again, or overwritten; "
        "no run will resume this surface with it",
        UNREADABLE: "cannot be read, so nobody knows whether it is still the same",
    }
    return [f"--{flag} {file} {faults[state]}" for flag, (file, state) in states.items() if state in faults]


def changed_directions(dir_file: str, state: str) -> list[str]:
    """Return a sentence if the direction file has changed since the surface was made."""
    if state != CHANGED:
        return []
    return [f"{dir_file} holds other directions than this surface was made with"]
