"""bench/on_gpu.py runs each step in its limit, goes on after a failure, and runs nothing without a GPU."""

import json
import sys

import pytest
import torch

from bench import on_gpu, report
from bench.on_gpu import Step

SLEEP, FAIL, PASS = "import time; time.sleep(60)", "raise SystemExit(3)", "pass"


def step(name: str, code: str, limit: float = 30) -> Step:
    return Step(name, [sys.executable, "-c", code], limit)


def test_all_planned_files_exist(tmp_path):
    tests, *benchmarks, slow_tests = on_gpu.plan(tmp_path)
    assert "tests/evaluate/test_cuda.py" in tests.command
    assert "tests/cli/test_cuda_ranks.py" in slow_tests.command
    for planned in benchmarks:
        assert (report.REPO / planned.command[1]).exists(), planned.name


def test_each_step_has_a_limit_and_a_status():
    steps = [step("slow", SLEEP, 0.2), step("wrong", FAIL), step("right", PASS)]
    outcomes = list(on_gpu.run(steps, budget=60))
    assert [(one.name, one.status) for one in outcomes] == [
        ("slow", "stopped"),
        ("wrong", "failed"),
        ("right", "passed"),
    ]
    assert outcomes[0].seconds < 20


def test_no_step_starts_after_the_budget():
    assert [one.status for one in on_gpu.run([step("late", PASS)], budget=1)] == ["left out"]


def test_the_summary_is_written_and_a_failure_is_the_exit_status(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(report, "machine", dict)
    monkeypatch.setattr(on_gpu, "plan", lambda folder: [step("tests", PASS), step("evaluate", FAIL)])
    assert on_gpu.main([str(tmp_path / "results")]) == 1
    steps = json.loads((tmp_path / "results" / "on_gpu.json").read_text())["steps"]
    assert [row["status"] for row in steps] == ["passed", "failed"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_without_a_gpu_one_sentence_says_so(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        on_gpu.main([str(tmp_path / "results")])
    assert end.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "results").exists()
