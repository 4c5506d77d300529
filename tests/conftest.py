"""Tests draw without a display, and hypothesis sets no time limits, which a busy machine would break."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.helpers import user_modules_forgotten

os.environ["MPLBACKEND"] = "agg"
hypothesis.settings.register_profile("busy machine", deadline=None)
hypothesis.settings.load_profile("busy machine")


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    """Modules of the user are not known to the next test, which may have others of their names."""
    with user_modules_forgotten():
        yield


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def drawn(inside: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The figures that a test draws, by the stems of their names; none is written to a file."""
    from losslandscape.draw import figures  # only here: most tests need no matplotlib

    by_stem = {}

    def keep(fig: Any, stem: str, *_: object, **__: object) -> list[str]:
        by_stem[stem] = fig
        return [stem]

    monkeypatch.setattr(figures, "save", keep)
    return by_stem
