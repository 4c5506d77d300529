"""Tests draw without a display, and hypothesis sets no time limits, which a busy machine would break."""

import os
from pathlib import Path

import hypothesis
import pytest

os.environ["MPLBACKEND"] = "agg"
hypothesis.settings.register_profile("busy machine", deadline=None)
hypothesis.settings.load_profile("busy machine")


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
