"""A direction file is used if it was made with the same and fits the net, and refused otherwise."""

import numpy as np
import pytest
import torch
from torch import nn

from losslandscape.core.errors import InputError
from losslandscape.files import h5_util
from losslandscape.nets import direction_file, net_plotter


def write_new(
    path: str, net: nn.Module, *recipes: net_plotter.Recipe, dir_type: str = "weights", same_dir: bool = False
) -> None:
    directions = net_plotter.make_directions(net, dir_type, list(recipes), same_dir=same_dir)
    h5_util.write_directions(path, direction_file.arrays(directions))


def test_direction_file_keeps_what_was_made_and_refuses_another_net(net, tmp_path):
    path = str(tmp_path / "direction.h5")
    torch.manual_seed(3)
    write_new(path, net, *[net_plotter.Recipe(norm="filter")] * 2, dir_type="states")
    torch.manual_seed(3)
    expected = [net_plotter.random_direction(net, "states", norm="filter") for _ in "xy"]
    stored = direction_file.read_direction_file(path, net, "states", dimensions=2)
    assert all(
        torch.equal(s, e)
        for made, kept in zip(expected, stored, strict=True)
        for s, e in zip(made, kept, strict=True)
    )
    with pytest.raises(
        InputError, match=r"0\.weight has shape \[4, 3, 3, 3\], the net's tensor \[4, 3, 2, 2\]"
    ):
        direction_file.read_direction_file(path, nn.Sequential(nn.Conv2d(3, 4, 2)), "states", dimensions=2)
    with pytest.raises(InputError, match="9 tensors, the net has"):
        direction_file.read_direction_file(
            path, nn.Sequential(*list(net), nn.Linear(5, 5)), "states", dimensions=1
        )


def test_same_direction_twice_and_too_few(net, tmp_path):
    path = str(tmp_path / "direction.h5")
    write_new(path, net, net_plotter.Recipe(), same_dir=True)
    x, y = h5_util.read_directions(path)
    assert all(np.array_equal(a, b) for a, b in zip(x, y, strict=True))
    write_new(path, net, net_plotter.Recipe())
    with pytest.raises(InputError, match="one direction"):
        direction_file.read_direction_file(path, net, "weights", dimensions=2)


def test_directions_of_another_origin_are_refused_or_made_anew(net, tmp_path):
    path, recipe = str(tmp_path / "direction.h5"), [net_plotter.Recipe()]

    def find(made_with, overwrite=False):
        return direction_file.find_or_make_directions(
            path, net, "weights", recipe, same_dir=False, made_with=made_with, overwrite=overwrite
        )

    first, new = find({"model_file": "aa"})
    assert new
    h5_util.write_directions(path, direction_file.arrays(first), made_with={"model_file": "aa"})
    again, new = find({"model_file": "aa"})
    assert not new
    assert all(torch.equal(a, b) for a, b in zip(first[0], again[0], strict=True))
    with pytest.raises(InputError, match=r"another model_file \(there aa, here bb\).*overwrite=True"):
        find({"model_file": "bb"})
    assert find({"model_file": "bb"}, overwrite=True)[1]
    assert not find({"model_file": "aa"}, overwrite=True)[1]
    # A file of the published program says nothing about its origin.
    h5_util.write_directions(path, direction_file.arrays(first))
    assert not find({"model_file": "bb"})[1]
