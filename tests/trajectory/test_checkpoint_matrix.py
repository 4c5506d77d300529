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


def rows(matrix) -> np.ndarray:
    return np.concatenate(list(matrix.pieces(memory=40)), axis=1)


def test_adapters_and_nets_with_their_own_loading(tmp_path):
    """Their files have other names, or fewer tensors, than the net."""

    class Adapted(torch.nn.Linear):
        def __init__(self):
            super().__init__(3, 2)
            self.lora_A = torch.nn.Parameter(torch.zeros(1, 3))

    def renaming(_, state, prefix, *rest):
        if prefix + "w" in state:
            state[prefix + "weight"] = state.pop(prefix + "w")

    torch.manual_seed(0)
    adapted, renamed = Adapted(), torch.nn.Linear(3, 1, bias=False)
    renamed.register_load_state_dict_pre_hook(renaming)
    for net, key in ((adapted, "lora_A"), (renamed, "w")):
        files = []
        for epoch in range(3):
            files.append(str(tmp_path / f"{key}_{epoch}.pt"))
            torch.save({key: torch.arange(3.0)[None] * epoch}, files[-1])
        matrix = checkpoint_matrix.read(files, net, "weights")
        expected = np.arange(3.0) * np.array([[-2.0], [-1.0], [0.0]])
        moved = rows(matrix)[:, rows(matrix).any(0)]
        np.testing.assert_array_equal(moved, expected[:, 1:])
        matrix.load_into(net, files[1])
        assert (net.lora_A if key == "lora_A" else net.weight).tolist() == [[0.0, 1.0, 2.0]]


def test_folders(tmp_path):
    net, files = torch.nn.Linear(3, 1, bias=False), []
    for epoch in range(3):
        files.append(str(tmp_path / f"checkpoint-{epoch}"))
        (tmp_path / f"checkpoint-{epoch}").mkdir()
        torch.save({"weight": torch.ones(1, 3) * epoch}, f"{files[-1]}/pytorch_model.bin")
    matrix = checkpoint_matrix.read(files, net, "weights")
    (tmp_path / "checkpoint-1" / "surface.h5").write_bytes(b"x")
    assert rows(matrix).tolist() == [[-2.0] * 3, [-1.0] * 3, [0.0] * 3]
