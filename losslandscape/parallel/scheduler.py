"""Who measures which point: points are handed out one by one as ranks become free, rank 0 among them.

Rank 0's main thread measures like every other rank. A second thread of rank 0, the clerk, hands out points and records
results, so that results reach the file although rank 0 is busy, and no rank waits for another. A rank holds the point after the one
that it measures, so that it goes on at once when it has answered, except near the end, when that point may be done sooner by another.
All waiting is by sleeping: a core that an MPI library spins on is a core taken from the nets.
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

from losslandscape.parallel.mpi4pytorch import Serial

POLL_SECONDS = 0.001  # how long a message between ranks may lie unread
SAVE_SECONDS = 1.0  # how long a result may lie unsaved, unless saving itself is slow
SAVE_SHARE = 0.05  # of the time may go into saving
GRACE_SECONDS = 10  # for rank 0 to save and to end the job after a signal
SILENT_SECONDS, SILENT_TIMES = (
    60.0,
    20.0,
)  # a point that takes longer, and so many times longer than others do, is reported

SCHEDULES = ("dynamic", "static")
ORDERS = ("coarse", "row")
COARSEST_STRIDE = 16

Values = dict[str, float]


@dataclass(frozen=True)
class Answer:
    """What a rank says of its point: the values measured and the seconds that took, or the traceback of the exception that ended its work."""

    values: Values | None
    seconds: float = 0.0
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
            strides.append(
                COARSEST_STRIDE if index in (0, size - 1) else index & -index
            )  # the largest power of 2 that divides it
        return min(strides)

    return sorted(map(int, points), key=lambda point: (-stride(point), point))


def run(
    points: Sequence[int],
    measure: Callable[[int], Values],
    *,
    record: Callable[[int, Values], None],
    save: Callable[[], None],
    ranks: Serial,
    total: int,
    schedule: str = "dynamic",
    quiet: bool = False,
) -> None:
    """Measure every point once on some rank and record its values on rank 0, where alone `points`, `record` and `save` are used.

    `record(point, values)` and `save()` are called by one thread of rank 0, `save` every second or so while there is something
    new, and at the end however the run ends. A rank whose `measure` raises is reported and retires; another rank tries its point when
    all others are measured. `total` is the number of points of the whole surface, for the progress shown. `schedule` is `dynamic`, where a rank that is
    free gets the next point, or `static`, where each has an even share from the start. `quiet` shows no progress, only warnings.

    Returns, on every rank, when nothing is left to measure. Raises `AllRanksFailed` on rank 0 if every rank has retired, and
    what `record` or `save` raise; an `OSError` of `save` (a full disk) only if it is there at the end too.
    """
    if ranks.rank > 0:
        _work_for_rank_0(measure, ranks)
        return
    clerk = _Clerk(points, record, save, ranks, total, schedule, quiet)
    try:
        clerk.work(measure)
        clerk.finish()
    except BaseException:
        clerk.stop()
        raise


def _work(
    measure: Callable[[int], Values], tell: Callable[[Answer | None], None], ask: Callable[[], int | None]
) -> None:
    """Tell the clerk that we are there, then measure the points that it gives until it gives none, or until `measure` raises."""
    tell(None)
    while (point := ask()) is not None:
        begin = time.monotonic()
        try:
            values = measure(point)
        except Exception:
            tell(Answer(None, trace=traceback.format_exc()))
            return
        tell(Answer(values, time.monotonic() - begin))


def _work_for_rank_0(measure: Callable[[int], Values], ranks: Serial) -> None:
    def ask() -> int | None:
        while (message := ranks.poll()) is None:
            time.sleep(POLL_SECONDS)
        return message[1]

    _work(measure, lambda answer: ranks.send(answer, 0), ask)


class _Clerk:
    """The thread of rank 0 that alone knows which points are waiting and which are out."""

    def __init__(
        self,
        points: Sequence[int],
        record: Callable[[int, Values], None],
        save: Callable[[], None],
        ranks: Serial,
        total: int,
        schedule: str,
        quiet: bool,
    ):
        if schedule not in SCHEDULES:
            raise ValueError(f"unknown schedule {schedule!r}; choose from {', '.join(SCHEDULES)}")
        self._record, self._save, self._ranks = record, save, ranks
        self._for_all = deque(points if schedule == "dynamic" else ())  # points that any rank may take
        self._shares = [
            deque(points[rank :: ranks.size] if schedule == "static" else ()) for rank in range(ranks.size)
        ]
        self._left = len(points)
        self._held: list[deque[int]] = [
            deque() for _ in range(ranks.size)
        ]  # points that are out, by rank; the first is being measured
        self._rates = [0.0] * ranks.size  # points a second, by each rank's last point
        self._rate = 0.0  # their sum
        self._idle: set[int] = set()  # ranks that wait for a point
        self._since = [0.0] * ranks.size  # when each rank began with its point
        self._silent: set[int] = set()  # ranks that have been reported as such
        self._next_look = 0.0
        self._working = set(range(ranks.size))  # ranks that have not retired
        self._own_answers: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        self._own_points: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._unsaved = self._save_failed = False
        self._estimated = quiet  # whether it has been said how long it will take
        self._next_save = 0.0
        self._thread = threading.Thread(target=self._serve, name="clerk", daemon=True)
        self._bar = tqdm(
            total=total,
            initial=total - len(points),
            unit="point",
            smoothing=0.1,
            disable=quiet,
            mininterval=0.5 if sys.stderr.isatty() else 10,
        )
        self._thread.start()

    def work(self, measure: Callable[[int], Values]) -> None:
        """Rank 0's own measuring, in the thread that calls."""
        _work(measure, self._own_answers.put, self._own_points.get)

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
                    self._hand_out(rank)
                if self._for_all and self._idle:  # a rank that retired left its points
                    for rank in sorted(self._idle):
                        self._hand_out(rank)
                self._save_when_due()
                self._report_silent_ranks()
                if not self._working:
                    return
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
        if answer is None:
            self._idle.add(rank)
        elif answer.values is None:
            self._retire(rank, answer.trace)
        else:
            self._record(self._held[rank].popleft(), answer.values)
            self._unsaved = True
            self._left -= 1
            self._set_rate(rank, 1 / max(answer.seconds, 1e-6))
            self._since[rank] = time.monotonic()
            self._silent.discard(rank)
            if not self._held[rank]:
                self._idle.add(rank)
            self._show(answer.values, answer.seconds)

    def _retire(self, rank: int, trace: str) -> None:
        point = self._held[rank].popleft()
        self._working.discard(rank)
        self._set_rate(rank, 0.0)
        self._for_all.extendleft(reversed([*self._held[rank], *self._shares[rank]]))
        self._for_all.append(
            point
        )  # the last: should it be the point's fault, all others will have been measured
        self._held[rank].clear()
        self._shares[rank].clear()
        fate = "another rank tries it at the end" if self._working else "no rank is left"
        tqdm.write(
            f"rank {rank} failed at point {point} and measures no more; {fate}:\n{trace}", file=sys.stderr
        )

    def _show(self, values: Values, seconds: float) -> None:
        if not self._estimated and self._left:
            self._estimated = True
            whole = tqdm.format_interval(seconds * self._left / len(self._working))
            tqdm.write(
                f"the first point took {seconds:.2g} s; the others will take about {whole}", file=sys.stderr
            )
        self._bar.set_postfix_str(
            " ".join(f"{name} {value:.4g}" for name, value in values.items()), refresh=False
        )
        self._bar.update()

    def _hand_out(self, rank: int) -> None:
        """Give the rank a point if it has none, and one to go on with."""
        while (
            rank in self._working
            and (points := self._shares[rank] or self._for_all)
            and (rank in self._idle or self._may_hold_another(rank))
        ):
            point = points.popleft()
            if rank in self._idle:
                self._idle.remove(rank)
                self._since[rank] = time.monotonic()
            self._held[rank].append(point)
            self._reply(rank, point)

    def _may_hold_another(self, rank: int) -> bool:
        """Whether the rank, at its last speed, will have measured two points before all ranks together have measured all."""
        return len(self._held[rank]) == 1 and 2 * self._rate < self._left * self._rates[rank]

    def _set_rate(self, rank: int, rate: float) -> None:
        self._rate += rate - self._rates[rank]
        self._rates[rank] = rate

    def _reply(self, rank: int, point: int | None) -> None:
        if rank == 0:
            self._own_points.put(point)
        else:
            self._ranks.send(point, rank)

    def _report_silent_ranks(self) -> None:
        """Say which ranks have been at one point for far longer than the others take."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + 1
        known = sorted(1 / rate for rate in self._rates if rate)
        if not known:
            return
        usual = known[len(known) // 2]
        for rank in self._working - self._idle - self._silent:
            if self._held[rank] and now - self._since[rank] > max(SILENT_SECONDS, SILENT_TIMES * usual):
                self._silent.add(rank)
                tqdm.write(
                    f"warning: rank {rank} has been at point {self._held[rank][0]} for {now - self._since[rank]:.0f} s, where others take "
                    f"{usual:.2g} s; if it hangs, stop the run (Ctrl-C) and start the same command again",
                    file=sys.stderr,
                )

    def _save_when_due(self) -> None:
        if not self._unsaved or time.monotonic() < self._next_save:
            return
        begin = time.monotonic()
        try:
            self._save()
            self._unsaved = False
        except (
            OSError
        ) as error:  # a full disk may have room again before the end, when it is tried for the last time
            if not self._save_failed:
                tqdm.write(
                    f"warning: the results cannot be saved ({error.strerror or error}); measuring goes on, and saving is tried again",
                    file=sys.stderr,
                )
            self._save_failed = True
        else:
            if self._save_failed:
                tqdm.write("the results are saved again", file=sys.stderr)
            self._save_failed = False
        self._next_save = time.monotonic() + max(SAVE_SECONDS, (time.monotonic() - begin) / SAVE_SHARE)

    def _end(self) -> None:
        try:
            if self._unsaved:
                self._save()
            if self._error is None and not self._working:
                self._error = AllRanksFailed(f"every rank failed; {self._left} points are not measured")
        except BaseException as error:
            self._error = self._error or error
        self._bar.close()
        if not self._stop.is_set():
            self._send_home()

    def _send_home(self) -> None:
        """Tell every rank that has not retired that there is nothing more to measure, after the first word of each."""
        late = self._working - self._idle if self._error is None else set()
        while late and not self._stop.is_set():
            late -= {rank for rank, _ in self._arrived()}
        for rank in self._working:
            self._reply(rank, None)


class Interrupted(BaseException):
    """The program was asked to end by a signal; `status` is the exit status that says so."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


@contextmanager
def interruptible() -> Iterator[None]:
    """Within the block, Ctrl-C and SIGTERM raise `Interrupted` in the main thread, so that rank 0 saves what is measured.

    A launcher passes the signal to all ranks; each then calls `end_job`. From the first signal on both are ignored, after the block too: a
    second one would end the saving.
    """
    interrupted = False

    def stop(number: int, _: Any) -> None:
        nonlocal interrupted
        interrupted = True
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        if not interrupted:
            for number, handler in before.items():
                signal.signal(number, handler)


def end_job(ranks: Serial, interrupted: Interrupted) -> None:
    """End all ranks with the signal's exit status; ranks but the first give that one time to do it."""
    if ranks.rank > 0:
        time.sleep(GRACE_SECONDS)
    ranks.abort(interrupted.status)
