"""Shows progress while points are measured: a bar, the time left, and ranks that hang."""

import sys
import time

from tqdm import tqdm

from losslandscape.parallel.assignments import Assignments

# A point is slow if it takes more than SLOW_SECONDS, and more than SLOW_FACTOR times the median.
SLOW_SECONDS, SLOW_FACTOR = 60.0, 20.0


class Progress:
    """A display that shows the progress of a run on standard error.

    Args:
        total: the number of points of the whole surface, or of those that are measured so far or will be.
        assignments: the points of this run.
        quiet: whether to show only warnings and failures.
    """

    def __init__(self, total: int, assignments: Assignments, *, quiet: bool):
        self._assignments = assignments
        self._estimated = quiet  # whether no estimate of the time is to be printed any more
        self._reported: set[int] = set()  # the ranks that were reported as slow at their present points
        self._next_look = 0.0
        self._bar = tqdm(
            total=total,
            initial=total - assignments.left,
            unit="point",
            smoothing=0.1,
            disable=quiet,
            mininterval=0.5 if sys.stderr.isatty() else 10,
        )

    def extend(self, points: int) -> None:
        """Show that so many further points will be measured."""
        self._bar.total += points
        self._bar.refresh()

    def add(self, rank: int, values: dict[str, float], seconds: float) -> None:
        """Show that a rank has measured a point."""
        self._reported.discard(rank)
        left = self._assignments.left
        if not self._estimated and left:
            self._estimated = True
            rest = tqdm.format_interval(seconds * left / len(self._assignments.working))
            self._write(f"the first point took {seconds:.2g} s; the others will take about {rest}")
        text = " ".join(f"{name} {value:.4g}" for name, value in values.items())
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update()

    def report_failure(self, rank: int, point: int, trace: str) -> None:
        """Print that a rank has failed at a point, and the traceback."""
        next_step = "another rank tries it at the end" if self._assignments.working else "no rank is left"
        self._write(f"rank {rank} failed at point {point} and measures no more; {next_step}:\n{trace}")

    def report_slow_ranks(self) -> None:
        """Print a warning, once per point, if a rank takes far longer than the others.

        The caller may call this often: the ranks are checked at most once per second.
        """
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + 1
        for rank, point, seconds, median in self._assignments.slow(SLOW_SECONDS, SLOW_FACTOR):
            if rank not in self._reported:
                self._reported.add(rank)
                self._write(
                    f"warning: rank {rank} has been at point {point} for {seconds:.0f} s, where others take "
                    f"{median:.2g} s; if it hangs, stop the run (Ctrl-C) and resume with the same command"
                )

    def close(self) -> None:
        self._bar.close()

    @staticmethod
    def _write(text: str) -> None:
        tqdm.write(text, file=sys.stderr)
