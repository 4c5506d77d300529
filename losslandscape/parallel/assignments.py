"""Which points are waiting, and which rank holds which."""

import time
from collections import deque
from collections.abc import Iterator, Sequence

SCHEDULES = ("dynamic", "static")


class Assignments:
    """The points of a run, from waiting over held to done.

    A rank holds at most two points: the one that it measures and the next one, so it never waits for rank 0
    in between. Near the end it gets no second point if the other ranks will have measured everything before
    it gets there.

    Args:
        points: to be measured, in order.
        ranks: number of ranks.
        schedule: `dynamic` gives the next point to the next free rank, `static` an even share to each rank
            beforehand.

    Attributes:
        left: number of points without a result.
        working: the ranks that have not failed.
    """

    def __init__(self, points: Sequence[int], ranks: int, schedule: str):
        if schedule not in SCHEDULES:
            raise ValueError(f"unknown schedule {schedule!r}; choose from {', '.join(SCHEDULES)}")
        dynamic = schedule == "dynamic"
        self.left = len(points)
        self.working = set(range(ranks))
        self._for_any_rank = deque(points if dynamic else ())
        self._shares = [deque(() if dynamic else points[rank::ranks]) for rank in range(ranks)]
        self._held: list[deque[int]] = [deque() for _ in range(ranks)]  # the first of each is being measured
        self._idle: set[int] = set()
        self._rates = [0.0] * ranks  # points per second, by each rank's last point
        self._started = [0.0] * ranks  # when each rank began its point

    @property
    def idle(self) -> set[int]:
        """The ranks that wait for a point."""
        return self._idle & self.working

    def add_idle(self, rank: int) -> None:
        """The rank is ready for its first point."""
        self._idle.add(rank)

    def finish(self, rank: int, seconds: float) -> int:
        """The rank has measured its point in so many seconds. Returns the point."""
        point = self._held[rank].popleft()
        self.left -= 1
        self._rates[rank] = 1 / max(seconds, 1e-6)
        self._started[rank] = time.monotonic()
        if not self._held[rank]:
            self._idle.add(rank)
        return point

    def fail(self, rank: int) -> int:
        """The rank failed at its point and works no more; its points go to others. Returns the point.

        That point comes last: if the point is at fault, all others will have been measured.
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
        """The (rank, point) pairs to send now: a point for each idle rank, then second points."""
        for rank in sorted(self.idle):
            if (point := self._take(rank)) is not None:
                self._idle.remove(rank)
                self._started[rank] = time.monotonic()
                yield rank, point
        rate = sum(self._rates)
        for rank in sorted(self.working - self._idle):
            if self._may_hold_another(rank, rate) and (point := self._take(rank)) is not None:
                yield rank, point

    def slow(self, seconds: float, times: float) -> Iterator[tuple[int, int, float, float]]:
        """Ranks at one point for longer than `seconds`, and so many times longer than usual.

        Yields (rank, point, its seconds until now, the usual seconds).
        """
        known = sorted(1 / rate for rate in self._rates if rate)
        if not known:
            return
        usual = known[len(known) // 2]
        for rank in sorted(self.working - self._idle):
            taken = time.monotonic() - self._started[rank]
            if self._held[rank] and taken > max(seconds, times * usual):
                yield rank, self._held[rank][0], taken, usual

    def _take(self, rank: int) -> int | None:
        points = self._shares[rank] or self._for_any_rank
        if not points:
            return None
        point = points.popleft()
        self._held[rank].append(point)
        return point

    def _may_hold_another(self, rank: int, rate: float) -> bool:
        """Whether the rank measures two points before all ranks together measure all that is left."""
        return len(self._held[rank]) == 1 and 2 * rate < self.left * self._rates[rank]
