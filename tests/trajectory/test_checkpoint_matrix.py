"""The pieces of the matrix, of any size, make up the checkpoints' differences from the last one."""

import numpy as np
import pytest
import torch

from losslandscape.core.errors import InputError
from losslandscape.nets import model_loader, net_tensors
from losslandscape.trajectory import checkpoint_matrix
from tests.trajectory.checkpoints import stacked


@pytest.mark.slow
@pytest.mark.parametrize("dir_type", net_tensors.DIRECTION_TYPES)
def test_pieces_of_any_size(run, dir_type):
    net = model_loader.build("resnet20")
    matrix = checkpoint_matrix.read([f"run/model_{epoch}.t7" for epoch in range(7)], net, dir_type)
    assert len(matrix.mapped) == 7
    expected, _ = stacked(dir_type)
    for memory in (7 * 4 * 100_003, 2**30):
        pieces = list(matrix.pieces(memory=memory))
        np.testing.assert_array_equal(np.concatenate(pieces, axis=1), expected)
    vector = np.arange(expected.shape[1], dtype=np.float32)
    direction = [torch.from_numpy(values) for values in matrix.direction(vector)]
    assert np.array_equal(matrix.vector(direction), vector)


def test_cut():
    sizes = {"a": 5, "empty": 0, "b": 1, "c": 7}
    entries = [(name, i) for name, size in sizes.items() for i in range(size)]
    for width in range(1, 15):
        parts = list(checkpoint_matrix.cut(sizes, width))
        widths = [sum(stop - start for _, start, stop in part) for part in parts]
        assert widths[:-1] == [width] * (len(parts) - 1)
        assert [
            (name, i) for part in parts for name, start, stop in part for i in range(start, stop)
        ] == entries


def test_a_checkpoint_that_changes_after_it_was_checked(run):
    net = model_loader.build("resnet20")
    matrix = checkpoint_matrix.read([f"run/model_{epoch}.t7" for epoch in range(3)], net, "weights")
    torch.save({"state_dict": net.state_dict()}, "run/model_1.t7")
    with pytest.raises(InputError, match="run/model_1.t7: was changed"):
        next(matrix.pieces())
