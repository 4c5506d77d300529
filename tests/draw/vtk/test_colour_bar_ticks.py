"""Ticks of a colour bar."""

import numpy as np

from losslandscape.draw.vtk.colour_bar_ticks import height_ticks


def texts(ticks):
    return [text for _, text in ticks]


def test_ticks_are_round_values_at_their_heights():
    assert height_ticks(0.2, 9.7, log=False) == [(2, "2"), (4, "4"), (6, "6"), (8, "8")]


def test_ticks_of_a_logarithm_are_powers_of_ten():
    ticks = height_ticks(np.log(0.11), np.log(5e5), log=True)
    assert texts(ticks) == [f"$10^{{{power}}}$" for power in range(-1, 6)]
    values = [np.exp(height) - 0.1 for height, _ in ticks]
    assert np.allclose(values, [0.1, 1, 10, 100, 1e3, 1e4, 1e5])


def test_ticks_of_offset_values_are_told_apart():
    ticks = texts(height_ticks(1000.0003, 1000.0197, log=False))
    assert len(set(ticks)) == len(ticks) >= 3
    assert "1000.005" in ticks


def test_there_are_neither_many_nor_few():
    assert len(height_ticks(-2, 70, log=True)) <= 8
    assert len(height_ticks(np.log(0.5), np.log(0.9), log=True)) >= 3


def test_equal_heights_get_one_tick():
    assert height_ticks(np.log(2.4), np.log(2.4), log=True) == [(np.log(2.4), "2.3")]
