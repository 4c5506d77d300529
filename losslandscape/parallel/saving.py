"""Saves results soon, but not so often that saving takes much of the time."""

import sys
import time
from collections.abc import Callable

from tqdm import tqdm

SAVE_SECONDS = 1.0  # a result stays unsaved for at most about this long, unless saving itself is slow
SAVE_SHARE = 0.05  # of the time, at most, goes into saving


class Saver:
    """Calls `save` about every second while there are new results.

    A full disk (`OSError`) may have room again later: it is reported once, and saving is tried again.
    """

    def __init__(self, save: Callable[[], None]):
        self._save = save
        self._unsaved = self._failed = False
        self._next = 0.0  # time of the next save, at the earliest

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
        self._next = end + max(SAVE_SECONDS, (end - start) / SAVE_SHARE)

    def finish(self) -> None:
        """Save results that are not saved yet. Here an `OSError` is raised."""
        if self._unsaved:
            self._save()
            self._unsaved = False

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
