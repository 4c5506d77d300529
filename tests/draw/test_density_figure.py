"""The figure of a spectral density."""

import numpy as np
import pytest

from losslandscape.curvature.density import Density
from losslandscape.draw.density_figure import draw_density
from losslandscape.draw.page_style import Page, drawn_on
from tests.draw.drawn_text import text_faults


def density(centres=(0.0, -2.0, 30.0), shares=(0.999, 2e-5, 1e-5)) -> Density:
    grid = np.linspace(-5, 40, 500)
    distances = grid - np.array(centres)[:, None]
    values = np.array(shares) @ np.exp(-(distances**2) / 0.18) / 0.752
    nodes = np.zeros((4, 60))
    return Density(grid, values, 0.2 * values, nodes, nodes + 1 / 60, 0.3, 0.05, 0.05, True)


@pytest.mark.parametrize(
    ("width", "size"),
    [(3.25, 8), *(pytest.param(*one, marks=pytest.mark.slow) for one in ((5.5, 9), (13.3, 18)))],
)
def test_texts_at_every_width(drawn, width, size):
    page = Page(width=width, font_size=size)
    with drawn_on(page):
        draw_density(density(), "d", name="Hessian of the mean loss", count=270_000, known=[30.0, -2.0])
    assert text_faults(drawn["d"], page) == []
    ticks = [text.get_text() for text in drawn["d"].axes[0].get_yticklabels()]
    assert len(ticks) >= 3 and all("10^{" in text for text in ticks)
    assert [text.get_text() for text in drawn["d"].legends[0].get_texts()] == ["outermost eigenvalues"]


def test_a_density_that_is_not_finite(drawn):
    lost = density(shares=(np.nan,) * 3)
    draw_density(lost, "d", name="Hessian", count=9)
    assert "not finite" in drawn["d"].get_supxlabel()
