"""Every missing point is measured once and recorded, by any number of ranks, whatever fails on the way."""

import json
import queue
import signal
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from losslandscape.parallel import scheduler
from losslandscape.parallel.mpi4pytorch import Serial
from tests.helpers import REPO, mpirun


def run_job(ranks: int, **job) -> tuple[subprocess.CompletedProcess, dict]:
    done = subprocess.run(
        [
            *mpirun(ranks),
            sys.executable,
            str(REPO / "tests" / "parallel" / "scheduler_job.py"),
            json.dumps(job),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done, json.loads(done.stdout)


def assert_each_once(recorded, points: int) -> None:
    assert sorted(point for point, _ in recorded) == list(range(points))
    assert all(values["value"] == point**2 for point, values in recorded)


@pytest.mark.parametrize("ranks", [1, 2, 5])
def test_each_point_once_and_every_rank_works(ranks):
    done, result = run_job(ranks, points=40, seconds=[0.02] * ranks)
    assert done.returncode == 0, done.stderr
    assert_each_once(result["recorded"], 40)
    assert {values["rank"] for _, values in result["recorded"]} == set(range(ranks))


def test_more_ranks_than_points():
    done, result = run_job(4, points=2, seconds=[0.01] * 4)
    assert done.returncode == 0, done.stderr
    assert_each_once(result["recorded"], 2)


def test_fast_ranks_measure_more():
    _, result = run_job(3, points=60, seconds=[0.08, 0.01, 0.01])
    by_rank = [sum(values["rank"] == rank for _, values in result["recorded"]) for rank in range(3)]
    assert by_rank[0] < min(by_rank[1:])


@pytest.mark.parametrize("raise_at", [{"1": 0}, {"0": 0}, {"0": 2, "2": 3}], ids=str)
def test_a_rank_that_raises_is_reported_and_its_point_goes_to_another(raise_at):
    done, result = run_job(3, points=20, seconds=[0.02] * 3, raise_at=raise_at)
    assert done.returncode == 0, done.stderr
    assert_each_once(result["recorded"], 20)
    for rank in raise_at:
        assert f"rank {rank} failed at point" in done.stderr
        assert f"MemoryError: rank {rank} has no memory" in done.stderr


def test_all_ranks_failing_ends_with_the_error_and_keeps_what_was_measured():
    done, result = run_job(2, points=10, seconds=[0.01] * 2, raise_at={"0": 2, "1": 1})
    assert done.returncode != 0
    assert "AllRanksFailed: every rank failed; 7 points are not measured" in done.stderr
    assert len(result["recorded"]) == 3
    assert result["saves"][-1] == 3


def test_a_point_that_no_rank_can_measure_keeps_none_of_the_others():
    done, result = run_job(2, points=10, seconds=[0.01] * 2, bad=0)
    assert done.returncode != 0 and "1 points are not measured" in done.stderr
    assert sorted(point for point, _ in result["recorded"]) == list(range(1, 10))


def serial(points, measure, record, save):
    scheduler.run(points, measure, record=record, save=save, ranks=Serial(), total=len(points))


def test_results_are_saved_while_a_long_point_is_measured(monkeypatch):
    monkeypatch.setattr(scheduler, "SAVE_SECONDS", 0.05)
    saved, recorded = threading.Event(), []

    def measure(point):
        if point == 1:
            assert saved.wait(10), "point 0 was not saved while point 1 was measured"
        return {"value": point}

    serial(
        [0, 1], measure, lambda *result: recorded.append(result), lambda: saved.set() if recorded else None
    )
    assert recorded == [(0, {"value": 0}), (1, {"value": 1})]


def test_an_interruption_saves_what_is_recorded():
    recorded, saves = [], []

    def measure(point):
        if point == 3:
            raise scheduler.Interrupted(15)
        return {"value": point}

    with pytest.raises(scheduler.Interrupted) as caught:
        serial(
            range(9), measure, lambda point, _: recorded.append(point), lambda: saves.append(len(recorded))
        )
    assert caught.value.status == 143
    assert recorded == [0, 1, 2]
    assert saves[-1] == 3


def test_a_second_signal_does_not_end_the_saving():
    """In a process of its own, as signals are ignored from the first one on."""
    code = """
import os, signal, threading, time
from losslandscape.parallel import scheduler
from losslandscape.parallel.mpi4pytorch import Serial
recorded, saved = [], []

def save():
    time.sleep(0.5)
    saved[:] = recorded

def measure(point):
    if point == 3:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
        os.kill(os.getpid(), signal.SIGINT)
    return {"value": point}

try:
    with scheduler.interruptible():
        scheduler.run(range(9), measure, record=lambda point, _: recorded.append(point), save=save, ranks=Serial(), total=9)
except scheduler.Interrupted as signal_:
    print(signal_.status, recorded, saved)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["130 [0, 1, 2] [0, 1, 2]"], done.stderr


def test_signals_are_heeded_again_after_an_undisturbed_block():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with scheduler.interruptible():
        assert signal.getsignal(signal.SIGTERM) is not before[1]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


@pytest.mark.parametrize("broken", ["record", "save"])
def test_a_failure_to_record_or_to_save_at_the_end_is_raised(broken):
    def fail(*_):
        raise OSError("no space left")

    callbacks = {"record": lambda *_: None, "save": lambda: None, broken: fail}
    with pytest.raises(OSError, match="no space left"):
        serial(range(3), lambda point: {"value": point}, **callbacks)


def test_a_full_disk_is_said_once_and_saving_goes_on_when_there_is_room(monkeypatch, capsys):
    monkeypatch.setattr(scheduler, "SAVE_SECONDS", 0.01)
    recorded, saved, tries = [], [], []

    def save():
        tries.append(len(recorded))
        if len(tries) <= 3:
            raise OSError(28, "No space left on device")
        saved.append(len(recorded))

    def measure(point):
        time.sleep(0.05)
        return {"value": point}

    serial(range(12), measure, lambda point, _: recorded.append(point), save)
    assert saved[-1] == 12
    said = capsys.readouterr().err
    assert said.count("cannot be saved (No space left on device)") == 1
    assert said.count("are saved again") == 1


def test_a_rank_that_hangs_is_reported_once(monkeypatch, capsys):
    monkeypatch.setattr(scheduler, "SILENT_SECONDS", 0.5)
    run_in_threads(range(40), [0.002, 0.002, 2.5], {}, "dynamic")
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning: rank" in line]
    assert len(warnings) == 1
    assert "rank 2 has been at point" in warnings[0]


def test_slow_points_that_all_ranks_have_are_not_reported(monkeypatch, capsys):
    monkeypatch.setattr(scheduler, "SILENT_SECONDS", 0.1)
    run_in_threads(range(6), [0.3, 0.4], {}, "dynamic")
    assert "warning" not in capsys.readouterr().err


def test_nothing_to_do():
    serial(
        [],
        lambda point: pytest.fail("there is no point to measure"),
        pytest.fail,
        lambda: pytest.fail("nothing to save"),
    )


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


def run_in_threads(points, seconds, fail_at, schedule):
    """Run the scheduler on as many ranks as there are `seconds` a point; rank r raises at its `fail_at[r]`-th point."""
    mailboxes = [queue.SimpleQueue() for _ in seconds]
    recorded, measured = [], []

    def work(rank):
        done = 0

        def measure(point):
            nonlocal done
            if fail_at.get(rank) == done:
                raise MemoryError
            done += 1
            time.sleep(seconds[rank])
            measured.append(point)
            return {"value": point**2}

        scheduler.run(
            points,
            measure,
            record=lambda *result: recorded.append(result),
            save=lambda: None,
            ranks=ThreadRank(rank, mailboxes),
            total=len(points),
            schedule=schedule,
        )

    threads = [threading.Thread(target=work, args=[rank], daemon=True) for rank in range(1, len(seconds))]
    for thread in threads:
        thread.start()
    try:
        work(0)
    finally:
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive(), "a rank was not sent home"
    assert all(box.empty() for box in mailboxes[:1]), "rank 0 left messages unread"
    return recorded, measured


@settings(max_examples=150, deadline=None)
@given(
    points=st.lists(st.integers(0, 10**6), unique=True, max_size=60),
    schedule=st.sampled_from(scheduler.SCHEDULES),
    data=st.data(),
)
def test_any_points_on_any_ranks_are_measured_once_each_whatever_fails(points, schedule, data):
    seconds = data.draw(st.lists(st.sampled_from([0.0, 0.0002, 0.001]), min_size=1, max_size=6))
    fail_at = data.draw(
        st.dictionaries(st.integers(0, len(seconds) - 1), st.integers(0, 8), max_size=len(seconds) - 1)
    )
    recorded, measured = run_in_threads(points, seconds, fail_at, schedule)
    assert sorted(recorded) == [(point, {"value": point**2}) for point in sorted(points)]
    assert sorted(measured) == sorted(points)


@pytest.mark.parametrize("schedule", scheduler.SCHEDULES)
def test_all_ranks_failing_ends_whatever_they_held(schedule):
    with pytest.raises(scheduler.AllRanksFailed, match="25 points"):
        run_in_threads(range(30), [0.0, 0.001, 0.001], {0: 2, 1: 1, 2: 2}, schedule)


def test_static_shares_are_even_although_speeds_are_not():
    _, result = run_job(2, points=20, seconds=[0.03, 0.001], schedule="static")
    assert [sum(values["rank"] == rank for _, values in result["recorded"]) for rank in range(2)] == [10, 10]


@given(st.lists(st.integers(1, 70), min_size=1, max_size=2), st.data())
def test_coarse_order_has_every_point_once(shape, data):
    size = 1
    for length in shape:
        size *= length
    missing = sorted(data.draw(st.sets(st.integers(0, size - 1), max_size=50)))
    ordered = scheduler.ordered(missing, tuple(shape), "coarse")
    assert sorted(ordered) == missing == scheduler.ordered(missing, tuple(shape), "row")


def test_coarse_order_spans_the_grid_early():
    """After 1/16 of the points the largest gap between measured rows, and between columns, is 8 of 51 or less."""
    first = scheduler.ordered(range(51 * 51), (51, 51), "coarse")[: 51 * 51 // 16]
    for lines in ({point // 51 for point in first}, {point % 51 for point in first}):
        ends = sorted(lines)
        assert ends[0] == 0 and ends[-1] == 50
        assert max(b - a for a, b in zip(ends, ends[1:], strict=False)) <= 8


def test_unknown_order_and_schedule_are_refused():
    with pytest.raises(ValueError, match="diagonal"):
        scheduler.ordered([0], (1,), "diagonal")
    with pytest.raises(ValueError, match="lazy"):
        scheduler.run(
            [0],
            lambda point: {},
            record=lambda *_: None,
            save=lambda: None,
            ranks=Serial(),
            total=1,
            schedule="lazy",
        )
