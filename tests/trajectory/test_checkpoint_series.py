"""The files of a series, their places and surfaces."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from losslandscape.core.errors import InputError
from losslandscape.trajectory import checkpoint_series


def test_a_pattern_is_tried_here_and_then_in_the_folder(inside):
    for name in ("model_10.t7", "model_9.t7", "run/model_2.t7", "run/model_1.t7"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    assert checkpoint_series.find("run", "model_*.t7").files == ["model_9.t7", "model_10.t7"]
    assert checkpoint_series.find("run", "model_[12].t7").files == ["run/model_1.t7", "run/model_2.t7"]
    with pytest.raises(InputError, match="matches 1 file.*model_file"):
        checkpoint_series.find("", "model_1*")


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


@pytest.mark.parametrize("surf_file", ["", "d/s"])
@pytest.mark.parametrize(
    "files",
    [
        ["checkpoint-10/model.safetensors", "checkpoint-20/model.safetensors"],
        ["run/a_b/c.pt", "run/a/b_c.pt", "run/a/c.pt"],
        [f"run/{'long' * 50}{i}.pt" for i in range(12)],
        [f"run/{'ä' * 120}{i}/model.pt" for i in range(12)],
        [f"{'f' * 250}/{i}/{'m' * 250}" for i in range(3)],
    ],
)
def test_surfaces_have_distinct_names_that_fit_into_a_folder(files, surf_file):
    plane = f"{files[-1]}_weights_xnorm=filter.h5_[-1.0,1.0,3]x[-1.0,1.0,3].h5"
    paths = list(checkpoint_series.surface_files(files, plane, surf_file).values())
    assert len(set(paths)) == len(files)
    for path, file in zip(paths, files, strict=True):
        assert os.path.dirname(path) == (os.path.dirname(file) if not surf_file else "d")
        assert len(os.fsencode(os.path.basename(path + ".running"))) <= 255


def test_surfaces_of_checkpoints_of_one_name():
    files = ["run/checkpoint-10/model.safetensors", "run/checkpoint-20/model.safetensors"]
    expected = ["d/s_checkpoint-10_model.safetensors.h5", "d/s_checkpoint-20_model.safetensors.h5"]
    assert list(checkpoint_series.surface_files(files, "plane.h5", "d/s").values()) == expected
