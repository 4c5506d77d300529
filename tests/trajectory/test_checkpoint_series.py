"""The files of a series, their order, epochs, places and surfaces."""

import pytest
import torch
from torch import nn

from losslandscape.core.errors import InputError
from losslandscape.trajectory import checkpoint_series


def test_files_are_in_the_order_of_their_numbers(tmp_path):
    for epoch in (10, 9, 1):
        (tmp_path / f"model_{epoch}.t7").touch()
    (tmp_path / "model_5.t7").mkdir()
    assert checkpoint_series.is_pattern("model_*.t7")
    assert not checkpoint_series.is_pattern(str(tmp_path / "model_1.t7"))
    files = checkpoint_series.find(str(tmp_path), "model_*.t7")
    assert [file.rsplit("_")[-1] for file in files] == ["1.t7", "9.t7", "10.t7"]
    assert checkpoint_series.epochs(files).tolist() == [1, 9, 10]
    assert checkpoint_series.epochs(files[::-1]) is None
    assert checkpoint_series.epochs(["a.t7", "b.t7"]) is None
    with pytest.raises(InputError, match="matches 1 file"):
        checkpoint_series.find(str(tmp_path), "model_1.*")


def test_the_place_nearest_to_a_checkpoint():
    torch.manual_seed(0)
    net, last = nn.Linear(3, 4), nn.Linear(3, 4)
    directions = [[torch.randn_like(tensor) for tensor in net.parameters()] for _ in range(2)]
    with torch.no_grad():
        for tensor, origin, d, e in zip(net.parameters(), last.parameters(), *directions, strict=True):
            tensor.copy_(origin + 0.3 * d - 0.2 * e)
    assert checkpoint_series.place(net, last, directions, "weights") == pytest.approx((0.3, -0.2), rel=1e-5)


def test_names_of_surfaces():
    files = ["a/model_1.t7", "b/model_2.t7"]
    beside = checkpoint_series.surface_files(files, "c/plane.h5", "")
    assert beside == {files[0]: "a/model_1.t7_in_plane.h5", files[1]: "b/model_2.t7_in_plane.h5"}
    given = checkpoint_series.surface_files(files, "c/plane.h5", "d/s")
    assert given == {files[0]: "d/s_model_1.t7.h5", files[1]: "d/s_model_2.t7.h5"}
    with pytest.raises(InputError, match="model_1.t7.*surf_file"):
        checkpoint_series.surface_files(["a/model_1.t7", "b/model_1.t7"], "c/plane.h5", "d/s")
