"""Hands out the points of a surface one by one, as ranks become free.

Rank 0's main thread measures like every other rank. Its second thread, the clerk, hands out points and
records results, so that no rank waits while rank 0 measures. Threads sleep while they wait, because the wait
of an MPI library takes a whole core.
"""

import queue
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from losslandscape.parallel.assignments import Assignments
from losslandscape.parallel.mpi4pytorch import Serial
from losslandscape.parallel.progress import Progress
from losslandscape.parallel.saving import Saver

POLL_SECONDS = 0.001  # the longest time for which a message between ranks stays unread

Values = dict[str, float]


class Results(Protocol):
    """A store that keeps results, such as a surface file."""

    @property
    def size(self) -> int:
        """The number of points, measured or not, except those that may stay unmeasured."""

    def set(self, point: int, values: Values) -> None:
        """Keep the values of a point."""

    def save(self) -> None:
        """Write all values to the disk."""


@dataclass(frozen=True)
class Answer:
    """An answer, which holds the values and seconds of a rank's point, or the traceback of its failure."""

    values: Values | None
    seconds: float = 0.0
    trace: str = ""


class AllRanksFailed(RuntimeError):
    """An error that is raised if no rank is left to measure the missing points."""


def run(
    points: Sequence[int],
    measure_at: Callable[[int], Values],
    results: Results,
    ranks: Serial,
    *,
    schedule: str = "dynamic",
    quiet: bool = False,
    more: Callable[[], Sequence[int]] = tuple,
) -> None:
    """Measure every point once, on any rank, and put its values into `results` on rank 0.

    Only rank 0 uses `points`, `results` and `more`. Its second thread calls `results.set`, `results.save` and
    `more`. The results are saved about every second while there are new ones, and at the end, however the run
    ends.

    If `measure_at` raises on a rank, the error is printed, the rank measures no more, and another rank tries
    the point at the end. A failed rank other than rank 0 returns at once. All other ranks return when no
    point is left.

    Args:
        points: the flat indices of the points, in the order in which they are handed out.
        measure_at: measures a point on this rank, and returns its values.
        results: the store that keeps and saves the values.
        ranks: the ranks that measure.
        schedule: `dynamic` or `static`, as in `assignments.Assignments`.
        quiet: whether to show only warnings and failures.
        more: is called whenever all points are measured, and returns further points; none at the end.

    Raises:
        AllRanksFailed: on rank 0, if every rank has failed.
        OSError: on rank 0, if results cannot be saved at the end. Other errors of `results` are raised too.
    """
    if ranks.rank > 0:
        _measure_for_rank_0(measure_at, ranks)
        return
    clerk = _Clerk(Assignments(points, ranks.size, schedule), results, ranks, more, quiet=quiet)
    try:
        _measure(measure_at, clerk.own_answers.put, clerk.own_points.get)
        clerk.join()
    except BaseException:
        clerk.stop()
        raise


def _measure(
    measure_at: Callable[[int], Values],
    answer: Callable[[Answer | None], None],
    next_point: Callable[[], int | None],
) -> None:
    """Report that this rank is ready, then measure points until no point is left or a point fails."""
    answer(None)
    while (point := next_point()) is not None:
        start = time.monotonic()
        try:
            values = measure_at(point)
        except Exception:
            answer(Answer(None, trace=traceback.format_exc()))
            return
        answer(Answer(values, time.monotonic() - start))


def _measure_for_rank_0(measure_at: Callable[[int], Values], ranks: Serial) -> None:
    """Measure the points that rank 0 sends, and send the answers to rank 0."""

    def send(answer: Answer | None) -> None:
        ranks.send(answer, 0)

    def next_point() -> int | None:
        while (message := ranks.poll()) is None:
            time.sleep(POLL_SECONDS)
        _, point = message
        return point

    _measure(measure_at, send, next_point)


class _Clerk:
    """A clerk: the thread of rank 0 that hands out points and records results."""

    def __init__(
        self,
        assignments: Assignments,
        results: Results,
        ranks: Serial,
        more: Callable[[], Sequence[int]],
        *,
        quiet: bool,
    ):
        self.own_answers: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        self.own_points: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._assignments, self._results, self._ranks, self._more = assignments, results, ranks, more
        self._progress = Progress(results.size, assignments, quiet=quiet)
        self._saver = Saver(results.save)
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, name="clerk", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait until the clerk has ended, and raise the error that ended it, if any."""
        self._thread.join()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Save the results and end the clerk, without waiting for points that are being measured."""
        self._stop.set()
        self._thread.join()

    def _serve(self) -> None:
        try:
            self._work()
        except BaseException as error:  # `join` raises it in the main thread
            self._error = error
        finally:
            self._end()

    def _work(self) -> None:
        while self._has_points() and self._assignments.working and not self._stop.is_set():
            for rank, answer in self._arrived():
                self._take(rank, answer)
                self._hand_out()
            self._saver.save_when_due()
            self._progress.report_slow_ranks()

    def _has_points(self) -> bool:
        """Return whether points are left, after a call for more if there are none."""
        if not self._assignments.left and (points := self._more()):
            self._assignments.add(points)
            self._progress.extend(len(points))
            self._hand_out()
        return bool(self._assignments.left)

    def _hand_out(self) -> None:
        for rank, point in self._assignments.hand_out():
            self._send(point, rank)

    def _arrived(self) -> Iterator[tuple[int, Answer | None]]:
        """Yield the answers that have arrived, after a wait of at most 0.1 seconds."""
        alone = self._ranks.size == 1
        with suppress(queue.Empty):
            yield 0, self.own_answers.get(timeout=0.1 if alone else POLL_SECONDS)
        while (message := self._ranks.poll()) is not None:
            yield message

    def _take(self, rank: int, answer: Answer | None) -> None:
        if answer is None:
            self._assignments.add_idle(rank)
        elif answer.values is None:
            point = self._assignments.fail(rank)
            self._progress.report_failure(rank, point, answer.trace)
        else:
            point = self._assignments.finish(rank, answer.seconds)
            self._results.set(point, answer.values)
            self._saver.add()
            self._progress.add(rank, answer.values, answer.seconds)

    def _send(self, point: int | None, rank: int) -> None:
        if rank == 0:
            self.own_points.put(point)
        else:
            self._ranks.send(point, rank)

    def _end(self) -> None:
        try:
            self._saver.finish()
            if self._error is None and not self._assignments.working:
                self._error = AllRanksFailed(
                    f"every rank failed; {self._assignments.left} points are not measured"
                )
        except BaseException as error:
            self._error = self._error or error
        self._progress.close()
        if not self._stop.is_set():
            self._dismiss()

    def _dismiss(self) -> None:
        """Tell all working ranks that no point is left, once all are ready, or at once after an error."""
        working = self._assignments.working
        late = working - self._assignments.idle if self._error is None else set()
        while late and not self._stop.is_set():
            late -= {rank for rank, _ in self._arrived()}
        for rank in working:
            self._send(None, rank)
