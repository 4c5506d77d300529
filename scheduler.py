"""Who measures which point: points are handed out one by one to the ranks that are free, rank 0 among them.

Rank 0's main thread measures like every other rank. A second thread of rank 0, the clerk, hands out points and records
results, so that results reach the file although rank 0 is busy, and no rank waits for another. All waiting is by sleeping:
a core that an MPI library spins on is a core taken from the nets.
"""
import queue
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from mpi4pytorch import Serial

POLL_SECONDS = 0.001  # how long a message between ranks may lie unread
SAVE_SECONDS = 1.0  # how long a result may lie unsaved, unless saving itself is slow
SAVE_SHARE = 0.05  # of the time may go into saving
GRACE_SECONDS = 10  # for rank 0 to save after a signal

SCHEDULES = ("dynamic", "static")
ORDERS = ("coarse", "row")
COARSEST_STRIDE = 16

Values = dict[str, float]


@dataclass(frozen=True)
class Answer:
    """What a rank says of its point: the values measured, or the traceback of the exception that ended its work."""

    values: Values | None
    trace: str = ""


class AllRanksFailed(RuntimeError):
    """No rank is left to measure the points that are missing."""


def ordered(points: Iterable[int], shape: tuple[int, ...], order: str) -> list[int]:
    """Points, as flat C-order indices in `shape`, in the order in which they are to be measured.

    `row` keeps them as they are. `coarse` begins with a lattice of every 16th row and column, then takes every 8th, and so on;
    each lattice has the grid's edges.
    """
    if order == "row":
        return [int(point) for point in points]
    if order != "coarse":
        raise ValueError(f"unknown order {order!r}; choose from {', '.join(ORDERS)}")

    def stride(point: int) -> int:
        strides = [COARSEST_STRIDE]
        for size in reversed(shape):
            point, index = divmod(point, size)
            strides.append(COARSEST_STRIDE if index in (0, size - 1) else index & -index)  # the largest power of 2 that divides it
        return min(strides)
    return sorted(map(int, points), key=lambda point: (-stride(point), point))


def run(points: Sequence[int], measure: Callable[[int], Values], *, record: Callable[[int, Values], None],
        save: Callable[[], None], ranks: Serial, total: int, schedule: str = "dynamic") -> None:
    """Measure every point once on some rank and record its values on rank 0, where alone `points`, `record` and `save` are used.

    `record(point, values)` and `save()` are called by one thread of rank 0, `save` every second or so while there is something
    new, and at the end however the run ends. A rank whose `measure` raises is reported and retires; its point goes to another
    rank. `total` is the number of points of the whole surface, for the progress shown. `schedule` is `dynamic`, where a rank that is
    free gets the next point, or `static`, where each has an even share from the start.

    Returns, on every rank, when nothing is left to measure. Raises `AllRanksFailed` on rank 0 if every rank has retired, and
    what `record` or `save` raise.
    """
    if ranks.rank > 0:
        _work(measure, _mailbox_of_rank_0(ranks))
        return
    clerk = _Clerk(points, record, save, ranks, total, schedule)
    try:
        _work(measure, clerk.exchange)
        clerk.finish()
    except BaseException:
        clerk.stop()
        raise


def _work(measure: Callable[[int], Values], exchange: Callable[[Answer | None], int | None]) -> None:
    """Measure the points that `exchange` gives for our last answer until it gives none, or until `measure` raises."""
    answer = None
    while (point := exchange(answer)) is not None:
        try:
            answer = Answer(measure(point))
        except Exception:
            exchange(Answer(None, traceback.format_exc()))
            return


def _mailbox_of_rank_0(ranks: Serial) -> Callable[[Answer | None], int | None]:
    def exchange(answer: Answer | None) -> int | None:
        ranks.send(answer, 0)
        while (message := ranks.poll()) is None:
            time.sleep(POLL_SECONDS)
        return message[1]
    return exchange


class _Clerk:
    """The thread of rank 0 that alone knows which points are waiting and which are out."""

    def __init__(self, points: Sequence[int], record: Callable[[int, Values], None], save: Callable[[], None], ranks: Serial, total: int, schedule: str):
        if schedule not in SCHEDULES:
            raise ValueError(f"unknown schedule {schedule!r}; choose from {', '.join(SCHEDULES)}")
        self._record, self._save, self._ranks = record, save, ranks
        self._for_all = deque(points if schedule == "dynamic" else ())  # points that any rank may take
        self._shares = [deque(points[rank::ranks.size] if schedule == "static" else ()) for rank in range(ranks.size)]
        self._left = len(points)
        self._out: dict[int, tuple[int, float]] = {}  # rank -> the point that it measures, and since when
        self._free: deque[int] = deque()  # ranks that wait for a point
        self._working = set(range(ranks.size))  # ranks that have not retired
        self._own_answers: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        self._own_points: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._unsaved = self._estimated = False
        self._next_save = 0.0
        self._thread = threading.Thread(target=self._serve, name="clerk", daemon=True)
        self._bar = tqdm(total=total, initial=total - len(points), unit="point", smoothing=0.1,
                         mininterval=0.5 if sys.stderr.isatty() else 10)
        self._thread.start()

    def exchange(self, answer: Answer | None) -> int | None:
        """What rank 0's measuring thread calls, as other ranks send a message and wait for the reply."""
        self._own_answers.put(answer)
        return self._own_points.get()

    def finish(self) -> None:
        """Wait for the other ranks' last points; raise what went wrong in the thread."""
        self._thread.join()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Wait for no more points, only for what is measured to be saved."""
        self._stop.set()
        self._thread.join()

    def _serve(self) -> None:
        try:
            while self._left:
                if self._stop.is_set():
                    return
                for rank, answer in self._arrived():
                    self._take(rank, answer)
                self._hand_out()
                self._save_when_due()
                if not self._working:
                    return
            self._save_now()
        except BaseException as error:  # raised again by `finish` in the main thread
            self._error = error
        finally:
            self._end()

    def _arrived(self) -> Iterator[tuple[int, Answer | None]]:
        """Answers that have come, after a wait of at most one poll for the first."""
        with suppress(queue.Empty):
            yield 0, self._own_answers.get(timeout=POLL_SECONDS if self._ranks.size > 1 else 0.1)
        while (message := self._ranks.poll()) is not None:
            yield message

    def _take(self, rank: int, answer: Answer | None) -> None:
        point, since = self._out.pop(rank, (None, 0.0))
        if answer is None:
            self._free.append(rank)
        elif answer.values is None:
            self._retire(rank, point, answer.trace)
        else:
            self._free.append(rank)
            self._record(point, answer.values)
            self._unsaved = True
            self._left -= 1
            self._show(answer.values, time.monotonic() - since)

    def _retire(self, rank: int, point: int, trace: str) -> None:
        self._working.discard(rank)
        self._for_all.extendleft([point, *reversed(self._shares[rank])])
        self._shares[rank].clear()
        fate = "the point goes to another rank" if self._working else "no rank is left"
        tqdm.write(f"rank {rank} failed at point {point} and measures no more; {fate}:\n{trace}", file=sys.stderr)
        self._reply(rank, None)

    def _show(self, values: Values, seconds: float) -> None:
        if not self._estimated and self._left:
            self._estimated = True
            whole = tqdm.format_interval(seconds * self._left / len(self._working))
            tqdm.write(f"the first point took {seconds:.2g} s; the others will take about {whole}", file=sys.stderr)
        self._bar.set_postfix_str(" ".join(f"{name} {value:.4g}" for name, value in values.items()), refresh=False)
        self._bar.update()

    def _hand_out(self) -> None:
        for _ in range(len(self._free)):
            rank = self._free.popleft()
            points = self._shares[rank] or self._for_all
            if points:
                self._out[rank] = points.popleft(), time.monotonic()
                self._reply(rank, self._out[rank][0])
            else:
                self._free.append(rank)

    def _reply(self, rank: int, point: int | None) -> None:
        if rank == 0:
            self._own_points.put(point)
        else:
            self._ranks.send(point, rank)

    def _save_when_due(self) -> None:
        if self._unsaved and time.monotonic() >= self._next_save:
            self._save_now()

    def _save_now(self) -> None:
        begin = time.monotonic()
        if self._unsaved:
            self._unsaved = False
            self._save()
        self._next_save = time.monotonic() + max(SAVE_SECONDS, (time.monotonic() - begin) / SAVE_SHARE)

    def _end(self) -> None:
        try:
            self._save_now()
            if self._error is None and not self._working:
                self._error = AllRanksFailed(f"every rank failed; {self._left} points are not measured")
        except BaseException as error:
            self._error = self._error or error
        self._bar.close()
        if not self._stop.is_set():
            self._send_home()

    def _send_home(self) -> None:
        """Tell every rank that has not retired, as soon as it asks, that there is nothing more to measure."""
        for rank in self._free:
            self._reply(rank, None)
        asking = self._working - set(self._free)
        while asking and not self._stop.is_set():
            for rank, _ in self._arrived():
                asking.discard(rank)
                self._reply(rank, None)


class Interrupted(BaseException):
    """The program was asked to end by a signal; `status` is the exit status that says so."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


@contextmanager
def interruptible(ranks: Serial) -> Iterator[None]:
    """Within the block, Ctrl-C and SIGTERM raise `Interrupted` in rank 0's main thread, so that what is measured is saved.

    A launcher passes the signal to all ranks: the others give rank 0 time to save and to end the job before they end themselves.
    """
    def stop(number: int, _: Any) -> None:
        if ranks.rank > 0:
            time.sleep(GRACE_SECONDS)
        raise Interrupted(number)
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
