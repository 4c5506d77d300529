"""A training's checkpoints, ready to be projected."""

import shutil
from pathlib import Path

import pytest

from tests.helpers import GOLDEN


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder `run` with seven checkpoints, in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(GOLDEN / "resnet20_digits_bs=64", "run")
    return Path("run")
