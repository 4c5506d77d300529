"""Every missing point is measured once and recorded, by any number of ranks, whatever fails on the way."""
import json
import subprocess
import sys
import threading

import pytest

import scheduler
from mpi4pytorch import Serial
from tests.helpers import REPO, mpirun


def run_job(ranks: int, **job) -> tuple[subprocess.CompletedProcess, dict]:
    done = subprocess.run([*mpirun(ranks), sys.executable, str(REPO / "tests" / "scheduler_job.py"), json.dumps(job)],
                          capture_output=True, text=True, timeout=60)
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


def serial(points, measure, record, save):
    scheduler.run(points, measure, record=record, save=save, ranks=Serial(), total=len(points))


def test_results_are_saved_while_a_long_point_is_measured(monkeypatch):
    monkeypatch.setattr(scheduler, "SAVE_SECONDS", 0.05)
    saved, recorded = threading.Event(), []

    def measure(point):
        if point == 1:
            assert saved.wait(10), "point 0 was not saved while point 1 was measured"
        return {"value": point}
    serial([0, 1], measure, lambda *result: recorded.append(result), lambda: saved.set() if recorded else None)
    assert recorded == [(0, {"value": 0}), (1, {"value": 1})]


def test_an_interruption_saves_what_is_recorded():
    recorded, saves = [], []

    def measure(point):
        if point == 3:
            raise scheduler.Interrupted(15)
        return {"value": point}
    with pytest.raises(scheduler.Interrupted) as caught:
        serial(range(9), measure, lambda point, _: recorded.append(point), lambda: saves.append(len(recorded)))
    assert caught.value.status == 143
    assert recorded == [0, 1, 2]
    assert saves[-1] == 3


@pytest.mark.parametrize("broken", ["record", "save"])
def test_a_failure_to_record_or_save_is_raised(broken):
    def fail(*_):
        raise OSError("no space left")
    callbacks = {"record": lambda *_: None, "save": lambda: None, broken: fail}
    with pytest.raises(OSError, match="no space left"):
        serial(range(3), lambda point: {"value": point}, **callbacks)


def test_nothing_to_do():
    serial([], lambda point: pytest.fail("there is no point to measure"), pytest.fail, lambda: pytest.fail("nothing to save"))
