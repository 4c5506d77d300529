"""Ends a run on Ctrl-C or SIGTERM: all ranks end with the signal's exit status."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from losslandscape.parallel.mpi4pytorch import Serial

GRACE_SECONDS = 10  # the time for which the other ranks wait, so that rank 0 can save and end the job


class Interrupted(BaseException):
    """An exception that is raised on a signal to end. `status` is the exit status for this signal."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise `Interrupted` in the main thread on Ctrl-C and SIGTERM within the block.

    A launcher passes the signal to all ranks; each rank then calls `end_job`. After the first signal both
    signals are ignored, also after the block: a second signal would interrupt the saving.
    """
    interrupted = False

    def stop(number: int, _: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        for handled in handlers:
            signal.signal(handled, signal.SIG_IGN)
        raise Interrupted(number)

    handlers = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        if not interrupted:
            for number, handler in handlers.items():
                signal.signal(number, handler)


def end_job(ranks: Serial, interrupted: Interrupted) -> None:
    """End all ranks with the signal's exit status. Ranks above 0 wait until rank 0 can save and end them."""
    if ranks.rank > 0:
        time.sleep(GRACE_SECONDS)
    ranks.abort(interrupted.status)
