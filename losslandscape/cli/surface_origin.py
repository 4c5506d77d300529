"""Whether the checkpoints and directions that a surface was made with are still there, and still the same."""

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
# A direction file holds, under these names, the fingerprints of the nets that its directions point to.
AXIS_OF = {"model_file2": "x direction", "model_file3": "y direction"}

States = dict[str, tuple[str, str]]  # a file and its state, by the flag that named it


def find_directions(surface: Surface) -> tuple[str, str]:
    """Return the direction file of a surface, where it was or beside the surface, and its state.

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
    used = directions[: len(surface.shape)]  # a line has one
    return UNCHANGED if fingerprint_of_arrays(chain(*used)) == expected else CHANGED


def nets(run: dict[str, Any], facts: Facts) -> States:
    """Return the checkpoints that a run names.

    Args:
        run: the record of the run.
        facts: what the surface and its directions were made with, fingerprints of checkpoints among it.
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
    """Return a sentence for each checkpoint that is not the one that the surface was made with."""
    host, here = run.get("host"), platform.node()
    elsewhere = f" (the last run was on {host}, this is {here})" if host and host != here else ""
    says = {
        GONE: f"is not there any more{elsewhere}",
        CHANGED: "is another checkpoint than the one that this surface was made with: trained again since, "
        "or overwritten; no run will resume this surface with it",
        UNREADABLE: "cannot be read, so nobody knows whether it is still the same",
    }
    return [f"--{flag} {file} {says[state]}" for flag, (file, state) in states.items() if state in says]


def changed_directions(dir_file: str, state: str) -> list[str]:
    """Return a sentence if the direction file is not the one that the surface was made with."""
    if state != CHANGED:
        return []
    return [f"{dir_file} holds other directions than this surface was made with"]
