"""Films that are drawn quickly."""

import pytest

from losslandscape.draw import film, film_screen


def shrink_films(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make films of few and coarse frames, as if ffmpeg were not installed."""
    monkeypatch.setattr(film_screen, "DPI", 40)
    monkeypatch.setattr(film, "DPI", 40)
    monkeypatch.setattr(film, "SECONDS", 1)
    monkeypatch.setattr(film, "LAST_SECONDS", 0)
    monkeypatch.setattr(film, "FRAMES_PER_SECOND", 5)
    monkeypatch.setattr(film, "ffmpeg", lambda: None)
