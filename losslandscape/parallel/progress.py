"""The progress that a user sees while points are measured: a bar, the time left, and ranks that hang."""

import sys
import time

from tqdm import tqdm

from losslandscape.parallel.assignments import Assignments

# A point is reported if it takes more than so many seconds and so many times the usual time.
SLOW_SECONDS, SLOW_TIMES = 60.0, 20.0


class Progress:
    """Progress of a run on standard error.

    Args:
        total: number of points of the whole surface.
        assignments: points of this run.
        quiet: show warnings only.
    """

    def __init__(self, total: int, assignments: Assignments, *, quiet: bool):
        self._assignments = assignments
        self._estimated = quiet  # whether the estimate of the time is printed already; never if quiet
        self._reported: set[int] = set()  # ranks that were reported as slow
        self._next_look = 0.0
        self._bar = tqdm(
            total=total,
            initial=total - assignments.left,
            unit="point",
            smoothing=0.1,
            disable=quiet,
            mininterval=0.5 if sys.stderr.isatty() else 10,
        )

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
        """Print that a rank has failed at a point."""
        next_step = "another rank tries it at the end" if self._assignments.working else "no rank is left"
        self._write(f"rank {rank} failed at point {point} and measures no more; {next_step}:\n{trace}")

    def report_slow_ranks(self) -> None:
        """Print a warning, once per point, if a rank takes far longer than the others.

        May be called often: it looks about once per second.
        """
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + 1
        for rank, point, seconds, usual in self._assignments.slow(SLOW_SECONDS, SLOW_TIMES):
            if rank not in self._reported:
                self._reported.add(rank)
                self._write(
                    f"warning: rank {rank} has been at point {point} for {seconds:.0f} s, where others take "
                    f"{usual:.2g} s; if it hangs, stop the run (Ctrl-C) and resume with the same command"
                )

    def close(self) -> None:
        self._bar.close()

    @staticmethod
    def _write(text: str) -> None:
        tqdm.write(text, file=sys.stderr)
