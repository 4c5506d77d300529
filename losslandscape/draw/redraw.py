"""Drawing again while surface files grow."""

import os
import time
from collections.abc import Callable, Sequence

from losslandscape.core.errors import InputError
from losslandscape.files import h5_util

LOOK_SECONDS = 1.0  # rank 0 saves about as often


def draw(
    draw_all: Callable[[], object], files: Sequence[str], *, watch: bool, others: Sequence[str] = ()
) -> None:
    """Draw once, or with `watch` again whenever one of the surface files has changed, until every point of all of them is measured.

    Files of `others`, which do not tell whether they are complete, are looked at likewise; where there are no surface files, until Ctrl-C. While it
    watches, a file that is not there yet, or has nothing to draw, is waited for. Ctrl-C ends it: the last figures stay.
    """
    if not watch:
        draw_all()
        return
    seen = None
    try:
        while True:
            now = [_state(path) for path in [*files, *others]]
            if now != seen:
                done = bool(files) and _complete(files) and None not in now
                _draw_or_wait(draw_all, final=done)
                if done:
                    return
                seen = now
            time.sleep(LOOK_SECONDS)
    except KeyboardInterrupt:
        print("watching ended; the figures are those of the last change")


def _draw_or_wait(draw_all: Callable[[], object], *, final: bool) -> None:
    try:
        draw_all()
    except InputError as error:
        if final:
            raise
        print(f"waiting: {error}", flush=True)


def _state(path: str) -> tuple[int, int] | None:
    """What changes whenever a file is replaced; None if there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def _complete(files: Sequence[str]) -> bool:
    """Whether every file is there with all its points. What is no surface file is left for drawing to refuse."""
    surfaces = [h5_util.read_surface(path) for path in files if os.path.exists(path)]
    return len(surfaces) == len(files) and all(
        surface.measured(name).all() for surface in surfaces for name in surface.names
    )
