"""The colour bar at every size: legible, complete, and as slim as its texts."""

import numpy as np
import pytest

from losslandscape.draw.vtk.colour_bar import colour_bar, ink, letter_height
from losslandscape.draw.vtk.colours import Colours

COLOURS = Colours(0.0, 10.0, 0.0, 10.0, "turbo")
TICKS = [(0.0, "0"), (5.0, "5"), (10.0, "10")]
SIZES = [(200, 200), (600, 1200), (2400, 800), (1600, 1200), (8000, 6000)]


def strip(size, colours=COLOURS, label="train loss"):
    return colour_bar(colours, label, TICKS, size=size)


@pytest.mark.parametrize("size", SIZES)
def test_letters_are_neither_minute_nor_huge(size):
    letters = letter_height(*size)
    assert letters >= 10
    assert letters <= max(10, 0.03 * max(size))


@pytest.mark.parametrize("size", SIZES[:-1])
def test_the_bar_fits_and_is_not_cut(size):
    picture = strip(size)
    height, width, _ = picture.shape
    assert height == size[1] and 0 < width <= 0.4 * size[0]
    inked = picture[..., 3] > 0
    assert not inked[[0, -1]].any() and not inked[:, [0, -1]].any()
    assert 0.3 * height < np.ptp(np.nonzero(inked)[0]) < 0.8 * height


def test_texts_are_sharp():
    """Letters are drawn at the size of the picture: many of their pixels are full ink."""
    picture = strip((600, 1200))
    dark = (picture[..., :3] < 80).all(axis=2) & (picture[..., 3] > 0)
    assert np.mean(picture[dark][:, 3] > 200) > 0.2


@pytest.mark.parametrize("size", [(40, 600), (600, 30), (16, 16)])
def test_without_room_there_is_no_bar(size):
    assert strip(size).shape == (size[1], 0, 4)


def test_heights_beyond_the_ends_are_shown_by_arrows():
    """An arrow's tip is narrower than the bar."""

    def top_width(colours):
        coloured = (np.ptp(strip((600, 600), colours)[..., :3].astype(int), axis=2) > 60).sum(axis=1)
        return coloured[np.nonzero(coloured)[0][0]]

    assert top_width(Colours(0, 10, 0, 50, "turbo")) < top_width(COLOURS)


def test_ink_is_readable_on_the_background():
    assert ink(np.zeros(3)) > ink(np.ones(3)) == ink(None)
