"""Every missing point is measured once and recorded, by any number of ranks, whatever fails."""

import json
import queue
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from losslandscape.parallel import progress, saving, scheduler
from losslandscape.parallel.assignments import SCHEDULES
from losslandscape.parallel.mpi4pytorch import Serial
from losslandscape.parallel.signals import Interrupted
from tests.helpers import REPO, mpirun
from tests.parallel.scheduler_job import Recorder


class ThreadRank(Serial):
    """A rank that is a thread of this process, for hundreds of runs in seconds."""

    def __init__(self, rank: int, mailboxes: list[queue.SimpleQueue]):
        self.rank, self.size, self._mailboxes = rank, len(mailboxes), mailboxes

    def send(self, message, rank):
        self._mailboxes[rank].put((self.rank, message))

    def poll(self):
        try:
            return self._mailboxes[self.rank].get_nowait()
        except queue.Empty:
            return None


def run_in_threads(points, seconds, fail_at=None, schedule="dynamic", more=tuple) -> Recorder:
    """Run the scheduler with a rank for each of `seconds` per point. Rank r fails at its `fail_at[r]`-th
    point.

    The recorder also has the points that any rank measured, in `measured`.
    """
    mailboxes = [queue.SimpleQueue() for _ in seconds]
    results = Recorder(len(points))
    results.measured = []

    def work(rank):
        done = 0

        def measure(point):
            nonlocal done
            if (fail_at or {}).get(rank) == done:
                raise MemoryError(f"rank {rank} has no memory")
            done += 1
            time.sleep(seconds[rank])
            results.measured.append(point)
            return {"value": point**2, "rank": rank}

        scheduler.run(points, measure, results, ThreadRank(rank, mailboxes), schedule=schedule, more=more)

    threads = [threading.Thread(target=work, args=[rank], daemon=True) for rank in range(1, len(seconds))]
    for thread in threads:
        thread.start()
    try:
        work(0)
    finally:
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive(), "a rank was not dismissed"
    assert mailboxes[0].empty(), "rank 0 left messages unread"
    return results


def points_by_rank(results: Recorder, ranks: int) -> list[int]:
    measured_by = [values["rank"] for _, values in results.recorded]
    return [measured_by.count(rank) for rank in range(ranks)]


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 4])
def test_real_ranks_measure_each_point_once_also_when_one_fails(ranks):
    job = {"points": 40, "seconds": [0.02] * ranks, "fail_at": {"2": 1}}
    script = str(REPO / "tests" / "parallel" / "scheduler_job.py")
    command = [*mpirun(ranks), sys.executable, script, json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    recorded = json.loads(done.stdout)["recorded"]
    assert sorted(point for point, _ in recorded) == list(range(40))
    assert all(values["value"] == point**2 for point, values in recorded)
    assert {values["rank"] for _, values in recorded} == set(range(ranks))
    if ranks == 4:
        assert "rank 2 failed at point" in done.stderr and "rank 2 has no memory" in done.stderr


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_further_points_are_asked_for_when_all_are_measured(schedule):
    """Each batch is complete before the next is asked for, also when a rank fails."""
    batches, complete = [range(10, 13), [20], range(30, 50)], []

    def more():
        complete.append(len(results_so_far))
        return batches.pop(0) if batches else []

    results_so_far: list = []
    original = Recorder.set
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Recorder, "set", lambda self, *pair: (results_so_far.append(pair), original(self, *pair))[1]
        )
        results = run_in_threads(range(5), [0, 0.001, 0], {1: 2}, schedule, more)
    assert complete == [5, 8, 9, 29]
    assert sorted(point for point, _ in results.recorded) == [*range(5), 10, 11, 12, 20, *range(30, 50)]


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(
    points=st.lists(st.integers(0, 10**6), unique=True, max_size=60),
    schedule=st.sampled_from(SCHEDULES),
    data=st.data(),
)
def test_any_points_on_any_ranks_are_measured_once_each_whatever_fails(points, schedule, data):
    seconds = data.draw(st.lists(st.sampled_from([0.0, 0.0002, 0.001]), min_size=1, max_size=6))
    ranks = st.integers(0, len(seconds) - 1)
    fail_at = data.draw(st.dictionaries(ranks, st.integers(0, 8), max_size=len(seconds) - 1))
    results = run_in_threads(points, seconds, fail_at, schedule)
    values = {point: values["value"] for point, values in results.recorded}
    assert len(results.recorded) == len(points)
    assert values == {point: point**2 for point in points}
    assert sorted(results.measured) == sorted(points)


def test_more_ranks_than_points():
    results = run_in_threads(range(2), [0.001] * 4)
    assert sorted(point for point, _ in results.recorded) == [0, 1]


def test_fast_ranks_measure_more():
    slow, *fast = points_by_rank(run_in_threads(range(60), [0.08, 0.01, 0.01]), 3)
    assert slow < min(fast)


def test_static_shares_are_even_although_speeds_are_not():
    assert points_by_rank(run_in_threads(range(20), [0.03, 0.001], schedule="static"), 2) == [10, 10]


def test_a_rank_that_fails_is_reported_and_its_point_goes_to_another(capsys):
    results = run_in_threads(range(20), [0.01] * 3, {0: 2, 2: 3})
    assert sorted(point for point, _ in results.recorded) == list(range(20))
    printed = capsys.readouterr().err
    for rank in (0, 2):
        assert f"rank {rank} failed at point" in printed
        assert f"MemoryError: rank {rank} has no memory" in printed


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_all_ranks_failing_ends_whatever_they_held(schedule):
    with pytest.raises(scheduler.AllRanksFailed, match="25 points"):
        run_in_threads(range(30), [0.0, 0.001, 0.001], {0: 2, 1: 1, 2: 2}, schedule)


def test_a_point_that_no_rank_can_measure_leaves_the_others_measured():
    results = Recorder(10)

    def measure(point):
        if point == 0:
            raise ValueError("point 0 cannot be measured")
        return {"value": point}

    mailboxes = [queue.SimpleQueue() for _ in range(2)]
    other = threading.Thread(target=scheduler.run, args=[[], measure, None, ThreadRank(1, mailboxes)])
    other.start()
    with pytest.raises(scheduler.AllRanksFailed, match="1 points are not measured"):
        scheduler.run(range(10), measure, results, ThreadRank(0, mailboxes))
    other.join(10)
    assert sorted(point for point, _ in results.recorded) == list(range(1, 10))


def test_results_are_saved_while_a_long_point_is_measured(monkeypatch):
    monkeypatch.setattr(saving, "SAVE_SECONDS", 0.05)
    saved = threading.Event()

    class Watched(Recorder):
        def save(self):
            super().save()
            if self.recorded:
                saved.set()

    def measure(point):
        if point == 1:
            assert saved.wait(10), "point 0 was not saved while point 1 was measured"
        return {"value": point}

    results = Watched(2)
    scheduler.run([0, 1], measure, results, Serial())
    assert results.recorded == [(0, {"value": 0}), (1, {"value": 1})]


def test_an_interruption_saves_what_is_recorded():
    def measure(point):
        if point == 3:
            raise Interrupted(15)
        return {"value": point}

    results = Recorder(9)
    with pytest.raises(Interrupted) as caught:
        scheduler.run(range(9), measure, results, Serial())
    assert caught.value.status == 143
    assert [point for point, _ in results.recorded] == [0, 1, 2]
    assert results.saves[-1] == 3


@pytest.mark.parametrize("broken", ["set", "save"])
def test_a_failure_to_record_or_to_save_at_the_end_is_raised(broken):
    def fail(*_):
        raise OSError("no space left")

    results = Recorder(3)
    setattr(results, broken, fail)
    with pytest.raises(OSError, match="no space left"):
        scheduler.run(range(3), lambda point: {"value": point}, results, Serial())


@pytest.mark.slow
def test_a_rank_that_hangs_is_reported_once(monkeypatch, capsys):
    monkeypatch.setattr(progress, "SLOW_SECONDS", 0.5)
    run_in_threads(range(40), [0.002, 0.002, 2.5])
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning: rank" in line]
    assert len(warnings) == 1
    assert "rank 2 has been at point" in warnings[0]


@pytest.mark.slow
def test_points_that_are_slow_on_all_ranks_are_not_reported(monkeypatch, capsys):
    monkeypatch.setattr(progress, "SLOW_SECONDS", 0.1)
    run_in_threads(range(6), [0.3, 0.4])
    assert "warning" not in capsys.readouterr().err


def test_nothing_to_do():
    results = Recorder(0)
    scheduler.run([], lambda point: pytest.fail("there is no point to measure"), results, Serial())
    assert (results.recorded, results.saves) == ([], [])


def test_an_unknown_schedule_is_refused():
    with pytest.raises(ValueError, match="lazy"):
        scheduler.run([0], lambda point: {}, Recorder(1), Serial(), schedule="lazy")
