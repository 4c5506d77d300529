"""Drawing again while surface files grow."""

import os
import time
from collections.abc import Callable, Sequence

from losslandscape.core.errors import InputError
from losslandscape.files import h5_util

LOOK_SECONDS = 1.0  # a run saves about as often

FileState = tuple[int, int]  # inode and time of the last change: both differ when a file is replaced


def draw(
    draw_all: Callable[[], object], files: Sequence[str], *, watch: bool, others: Sequence[str] = ()
) -> None:
    """Draw once, or with `watch` at every change of the files until all points of all surfaces are measured.

    A file that does not exist yet, or has nothing to draw, is waited for. Ctrl-C ends the watching; the last
    figures stay.

    Args:
        draw_all: draws all figures.
        files: the surface files. Without any, only Ctrl-C ends the watching.
        watch: whether to draw again.
        others: other files to watch, which do not say whether they are complete.
    """
    if not watch:
        draw_all()
        return
    try:
        _draw_until_complete(draw_all, files, others)
    except KeyboardInterrupt:
        print("watching ended; the figures are those of the last change")


def _draw_until_complete(draw_all: Callable[[], object], files: Sequence[str], others: Sequence[str]) -> None:
    drawn: list[FileState | None] = []
    while True:
        states = [_state(path) for path in [*files, *others]]
        if states != drawn:
            is_complete = bool(files) and None not in states and _are_complete(files)
            _draw_or_wait(draw_all, final=is_complete)
            if is_complete:
                return
            drawn = states
        time.sleep(LOOK_SECONDS)


def _draw_or_wait(draw_all: Callable[[], object], *, final: bool) -> None:
    try:
        draw_all()
    except InputError as error:
        if final:
            raise
        print(f"waiting: {error}", flush=True)


def _state(path: str) -> FileState | None:
    """None if the file does not exist."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns


def _are_complete(files: Sequence[str]) -> bool:
    """Whether every point of every surface is measured."""
    surfaces = [h5_util.read_surface(path) for path in files]
    return all(surface.measured(name).all() for surface in surfaces for name in surface.names)
