"""Saves results soon, but not so often that saving takes much of the time."""

import sys
import time
from collections.abc import Callable

from tqdm import tqdm

SAVE_SECONDS = 1.0  # the time between two saves, unless saving is slow
MAX_SAVE_SHARE = 0.05  # of the time goes into saving


class Saver:
    """A saver that calls `save` about every second while there are new results.

    After an `OSError`, such as a full disk, a warning is printed once, and saving is tried again later.
    """

    def __init__(self, save: Callable[[], None]):
        self._save = save
        self._unsaved = self._failed = False
        self._next = 0.0  # the earliest time of the next save

    def add(self) -> None:
        """Note that there is a new result."""
        self._unsaved = True

    def save_when_due(self) -> None:
        if not self._unsaved or time.monotonic() < self._next:
            return
        start = time.monotonic()
        try:
            self._save()
        except OSError as error:
            self._report(error)
        else:
            self._unsaved = False
            self._report(None)
        end = time.monotonic()
        self._next = end + max(SAVE_SECONDS, (end - start) / MAX_SAVE_SHARE)

    def finish(self) -> None:
        """Save results that are not saved yet; an `OSError` is raised here."""
        if self._unsaved:
            self._save()
            self._unsaved = False
            self._report(None)

    def _report(self, error: OSError | None) -> None:
        if error and not self._failed:
            reason = error.strerror or error
            text = (
                f"warning: the results cannot be saved ({reason}); measuring continues, saving is tried again"
            )
            tqdm.write(text, file=sys.stderr)
        if self._failed and not error:
            tqdm.write("the results are saved again", file=sys.stderr)
        self._failed = error is not None
