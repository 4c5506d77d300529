"""Each lattice holds the coarser ones, and cubics are predicted exactly."""

import numpy as np
import pytest

from losslandscape.files.lattices import first_stride, lattice, on_lattice, predicted


def test_each_lattice_holds_the_coarser_one_and_the_ends():
    for size in (1, 2, 6, 7, 20, 33, 50, 51):
        for stride in (1, 2, 4, 8):
            fine, coarse = lattice(size, stride), lattice(size, 2 * stride)
            assert set(coarse) <= set(fine) and {0, size - 1} <= set(coarse)
        assert list(lattice(size, 1)) == list(range(size))


def test_the_coarsest_lattice_has_seven_points_on_a_long_axis():
    sizes = {6: 1, 11: 1, 12: 2, 33: 4, 51: 8, 1000: 16}
    assert {size: first_stride((size,)) for size in sizes} == sizes
    assert first_stride((3, 51)) == 8 and first_stride((13, 51)) == 2


@pytest.mark.parametrize("shape", [(33,), (50,), (33, 20), (3, 51), (1, 40)])
def test_cubics_are_predicted_exactly(shape):
    places = np.meshgrid(*(np.arange(size) / size for size in shape), indexing="ij")
    cubic = np.prod([1 + place - 3 * place**3 for place in places], axis=0)
    stride = first_stride(shape) // 2
    known = np.where(on_lattice(shape, 2 * stride), cubic, np.nan)
    new = on_lattice(shape, stride)
    assert predicted(known, stride)[new] == pytest.approx(cubic[new], abs=1e-9)
    assert np.isnan(predicted(known, stride)[~new]).all()


def test_a_height_that_is_not_finite_is_felt_only_by_its_neighbours():
    heights = np.zeros((33, 33))
    heights[16, 16] = np.inf
    lost = np.argwhere(np.isnan(predicted(heights, 1)))
    assert [16, 16] in lost.tolist() and lost.min() == 13 and lost.max() == 19
