"""Checks that a file can be written, before the hours of work whose results it will hold."""

import os

from losslandscape.core.errors import InputError


def require_writable(path: str, advice: str, *, ending: str = "") -> None:
    """Raise `InputError` unless a file of this name can be written, as far as the file system says.

    Its folder must exist and be writable, and must take names and paths of this length.

    Args:
        path: the file.
        advice: what the user can do, as for `InputError`.
        ending: the longest ending of the names of files that are written beside it.
    """
    folder, name = os.path.split(os.path.realpath(path))  # `replacing` writes where a link points to
    if not os.path.isdir(folder):
        shown = os.path.dirname(path) or folder
        raise InputError(f"the folder {shown!r} of {name!r} does not exist", f"make it, or {advice}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"the folder {folder!r} of {name!r} cannot be written to", advice)
    for what, text, most in (
        ("name", name, os.pathconf(folder, "PC_NAME_MAX")),
        ("path", os.path.join(folder, name), os.pathconf(folder, "PC_PATH_MAX") - 1),  # it counts the end
    ):
        length = len(os.fsencode(text + ending))
        if 0 <= most < length:  # a negative number is no limit
            size, room = length - len(ending), most - len(ending)
            fault = f"{path!r} cannot be written: its {what} has {size} bytes, and {room} are possible there"
            raise InputError(fault, advice)
