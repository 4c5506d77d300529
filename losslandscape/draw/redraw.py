"""Redraws figures while surface files grow."""

import os
import time
from collections.abc import Callable, Sequence

from losslandscape.core.errors import InputError
from losslandscape.files import h5_util

LOOK_SECONDS = 1.0  # between two looks at the files; a run saves about as often

FileState = tuple[int, int]  # inode and time of the last change: both differ when a file is replaced


def draw(
    draw_all: Callable[[], object], files: Sequence[str], *, watch: bool, others: Sequence[str] = ()
) -> None:
    """Draw once, or with `watch` after every change of a file until all surfaces are fully measured.

    While a file does not exist yet or has nothing to draw, print the reason and wait. Ctrl-C ends the watch;
    the last figures stay.

    Args:
        draw_all: a function that draws all figures.
        files: the surface files. If there are none, only Ctrl-C ends the watch.
        watch: whether to redraw when a file changes.
        others: other files to watch; whether they are complete is unknown.
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
    """Return the state of a file; None if the file does not exist."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns


def _are_complete(files: Sequence[str]) -> bool:
    """Return whether every point of every quantity of every surface is measured."""
    surfaces = [h5_util.as_surface(path) for path in files]
    return all(surface.measured(name).all() for surface in surfaces for name in surface.names)
