"""Keeps track of the points that wait to be measured, and of the points that each rank holds."""

import time
from collections import deque
from collections.abc import Iterator, Sequence

SCHEDULES = ("dynamic", "static")


class Assignments:
    """The points of a run. Each point first waits, then a rank holds it, then it is done.

    A rank holds at most two points, the one that it measures and the next one, so that it never waits for
    rank 0. Near the end a slow rank gets no second point: not if all ranks together would measure all that is
    left before this rank alone had measured two points.

    Args:
        points: the points to measure, in order.
        ranks: number of ranks.
        schedule: `dynamic` gives the next point to the next free rank; `static` gives each rank an even share
            at the start.

    Attributes:
        left: number of points without a result.
        working: the ranks that have not failed.
    """

    def __init__(self, points: Sequence[int], ranks: int, schedule: str):
        if schedule not in SCHEDULES:
            raise ValueError(f"unknown schedule {schedule!r}; choose from {', '.join(SCHEDULES)}")
        self._dynamic = schedule == "dynamic"
        self.left = 0
        self.working = set(range(ranks))
        self._for_any_rank: deque[int] = deque()
        self._shares: list[deque[int]] = [deque() for _ in range(ranks)]
        self._held: list[deque[int]] = [deque() for _ in range(ranks)]  # the first of each is being measured
        self._idle: set[int] = set()
        self._rates = [0.0] * ranks  # points per second, from each rank's last point
        self._started = [0.0] * ranks  # when each rank began its point
        self.add(points)

    @property
    def idle(self) -> set[int]:
        """The ranks that wait for a point."""
        return self._idle & self.working

    def add(self, points: Sequence[int]) -> None:
        """Add points to measure, after those that wait."""
        self.left += len(points)
        working = sorted(self.working)
        if self._dynamic:
            self._for_any_rank.extend(points)
            return
        for i, rank in enumerate(working):
            self._shares[rank].extend(points[i :: len(working)])

    def add_idle(self, rank: int) -> None:
        """Record that the rank is ready for its first point."""
        self._idle.add(rank)

    def finish(self, rank: int, seconds: float) -> int:
        """Record that the rank has measured its point in this many seconds, and return the point."""
        point = self._held[rank].popleft()
        self.left -= 1
        self._rates[rank] = 1 / max(seconds, 1e-6)
        self._started[rank] = time.monotonic()
        if not self._held[rank]:
            self._idle.add(rank)
        return point

    def fail(self, rank: int) -> int:
        """Record that the rank failed at its point, and return the point. Other ranks get the rank's points.

        The failed point is tried again last, so that a point that always fails does not keep others from
        being measured.
        """
        point = self._held[rank].popleft()
        self.working.discard(rank)
        self._rates[rank] = 0.0
        self._for_any_rank.extendleft(reversed([*self._held[rank], *self._shares[rank]]))
        self._for_any_rank.append(point)
        self._held[rank].clear()
        self._shares[rank].clear()
        return point

    def hand_out(self) -> Iterator[tuple[int, int]]:
        """Yield the (rank, point) pairs to send now: a point for each idle rank, then second points."""
        for rank in sorted(self.idle):
            point = self._take(rank)
            if point is not None:
                self._idle.remove(rank)
                self._started[rank] = time.monotonic()
                yield rank, point
        total_rate = sum(self._rates)
        for rank in sorted(self.working - self._idle):
            if not self._may_hold_another(rank, total_rate):
                continue
            point = self._take(rank)
            if point is not None:
                yield rank, point

    def slow(self, seconds: float, factor: float) -> Iterator[tuple[int, int, float, float]]:
        """Yield the ranks whose present point has taken over `seconds`, and over `factor` times the median.

        Yields (rank, point, seconds since the rank began it, median seconds of all ranks' last points).
        """
        durations = sorted(1 / rate for rate in self._rates if rate)
        if not durations:
            return
        median = durations[len(durations) // 2]
        for rank in sorted(self.working - self._idle):
            taken = time.monotonic() - self._started[rank]
            if self._held[rank] and taken > max(seconds, factor * median):
                yield rank, self._held[rank][0], taken, median

    def _take(self, rank: int) -> int | None:
        points = self._shares[rank] or self._for_any_rank
        if not points:
            return None
        point = points.popleft()
        self._held[rank].append(point)
        return point

    def _may_hold_another(self, rank: int, total_rate: float) -> bool:
        """Whether the rank can measure two points before all ranks together have measured the rest."""
        return len(self._held[rank]) == 1 and 2 * total_rate < self.left * self._rates[rank]
