"""On Ctrl-C or SIGTERM, save the measured points, then end all ranks with the signal's exit status."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from losslandscape.parallel.mpi4pytorch import Serial

GRACE_SECONDS = 10  # for rank 0 to save and to end the job


class Interrupted(BaseException):
    """A signal asked the program to end. `status` is the exit status for this signal."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


@contextmanager
def interruptible() -> Iterator[None]:
    """Within the block, Ctrl-C and SIGTERM raise `Interrupted` in the main thread.

    A launcher passes the signal to all ranks; each then calls `end_job`. After the first signal both signals
    are ignored, also after the block: a second one would interrupt the saving.
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
    """End all ranks with the signal's exit status. The other ranks give rank 0 time to save and do this."""
    if ranks.rank > 0:
        time.sleep(GRACE_SECONDS)
    ranks.abort(interrupted.status)
