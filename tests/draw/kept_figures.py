"""Figures that are looked at instead of saved."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from matplotlib.figure import Figure

from losslandscape.draw import figures


@contextmanager
def figures_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Figure]]:
    """The figures that are drawn inside this block, instead of files."""
    kept = []
    with monkeypatch.context() as patch:
        patch.setattr(figures, "save", lambda fig, stem, formats, **_: kept.append(fig) or [])
        yield kept


def words(fig: Figure) -> list[str]:
    """All texts in a figure and at its axes."""
    fig.draw_without_rendering()
    texts = [text for axes in fig.axes for text in [*axes.texts, axes.xaxis.label, axes.yaxis.label]]
    return [text.get_text() for text in [*texts, *fig.texts]]
