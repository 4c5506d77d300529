"""What the tests of several commands need."""

from pathlib import Path

import pytest

from tests.cli.own_net import OWN_CODE


@pytest.fixture
def own(inside: Path) -> Path:
    """A working folder with the user's own net and data, which `OWN` names."""
    (inside / "mine.py").write_text(OWN_CODE)
    return inside
