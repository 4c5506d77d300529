"""bench/training.py runs, and its ways train on all images."""

import json

import pytest

from bench import training


@pytest.mark.slow
def test_a_short_trial(tmp_path, capsys):
    file = tmp_path / "training.json"
    training.main(["--nets", "resnet20:8", "--images", "16", "--repeats", "1", "--out", str(file)])
    rows = json.loads(file.read_text())["rows"]
    assert [row["way"] for row in rows][:2] == ["plain loop", "one net, fp32"]
    assert all(row["images/s"] == pytest.approx(16 / row["s an epoch"]) for row in rows)
    assert rows[0]["x plain loop"] == 1
