"""The orthonormal plane through three nets: distances, angles, and the nets at their places."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from losslandscape.core.errors import InputError
from losslandscape.nets import plane
from losslandscape.nets.moving import moving
from losslandscape.nets.net_plotter import target_direction


def nets(dtype: torch.dtype = torch.float32) -> list[nn.Module]:
    made = []
    for seed in range(3):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(8, 9), nn.BatchNorm1d(9), nn.Linear(9, 3)).to(dtype)
        net[1].running_var.uniform_(1, 9)
        made.append(net.eval())
    return made


def weights(net: nn.Module) -> np.ndarray:
    return np.concatenate([p.detach().double().numpy().ravel() for p in net.parameters()])


@pytest.mark.parametrize("dir_type", ["weights", "states"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_distances_of_marks_are_those_of_weights(dir_type, dtype):
    three = nets(dtype)
    directions = [target_direction(three[0], other, dir_type) for other in three[1:]]
    places = plane.places(three[0], dir_type, directions)
    for i, j in itertools.combinations(range(3), 2):
        distance = np.linalg.norm(weights(three[i]) - weights(three[j]))
        assert np.hypot(*np.subtract(places[i], places[j])) == pytest.approx(distance, rel=1e-6)


@pytest.mark.parametrize("dir_type", ["weights", "states"])
def test_axes(dir_type):
    three = nets()
    directions = [target_direction(three[0], other, dir_type) for other in three[1:]]
    axes = plane.orthonormal(three[0], dir_type, directions)
    names = dict(three[0].named_parameters() if dir_type == "weights" else three[0].state_dict())
    parameters = {name for name, _ in three[0].named_parameters()}
    x, y = (
        np.concatenate(
            [p.double().numpy().ravel() for p, n in zip(axis, names, strict=True) if n in parameters]
        )
        for axis in axes
    )
    assert np.array([x @ x, y @ y, x @ y]) == pytest.approx([1, 1, 0], abs=1e-6)
    with moving(three[0], axes, dir_type) as move:
        for net, place in zip(three[1:], plane.places(three[0], dir_type, directions)[1:], strict=True):
            move(place)
            assert weights(three[0]) == pytest.approx(weights(net), abs=1e-6)
            if dir_type == "states":  # each net is whole at its place
                assert torch.allclose(three[0][1].running_var, net[1].running_var, rtol=1e-6)


def test_nets_that_span_no_plane():
    a, b, c = nets()
    to_b = target_direction(a, b, "weights")
    with pytest.raises(InputError, match="two of the three nets are equal"):
        plane.places(a, "weights", [to_b, target_direction(a, a, "weights")])
    with pytest.raises(InputError, match="lie on one line"):
        plane.places(a, "weights", [to_b, [2 * part for part in to_b]])
    with pytest.raises(InputError, match="lie on one line"):
        plane.orthonormal(a, "weights", [to_b, to_b])
