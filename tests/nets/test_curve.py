"""Places on a curve: against de Casteljau's construction, linear interpolation, and the nets at its ends."""

import numpy as np
import pytest
import torch
from torch import nn

from losslandscape.core.errors import InputError
from losslandscape.nets.curve import Curve, point_of, shares


def net(seed: int, dtype: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(seed)
    made = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).to(dtype)
    made[1].running_mean.normal_()
    made.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    return made.eval()


def de_casteljau(points: np.ndarray, t: float) -> np.ndarray:
    while len(points) > 1:
        points = (1 - t) * points[:-1] + t * points[1:]
    return points[0]


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("t", [0, 0.1, 0.5, 0.8, 1])
def test_shares(count, t):
    points = np.random.RandomState(count).randn(count)
    assert np.dot(shares("bezier", t, count), points) == pytest.approx(de_casteljau(points, t))
    straight = np.interp(t, np.linspace(0, 1, count), points)
    assert np.dot(shares("chain", t, count), points) == pytest.approx(straight)


@pytest.mark.parametrize("kind", ["bezier", "chain"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_net_on_a_curve(kind, dtype):
    nets = [net(seed, dtype) for seed in range(4)]
    states = [list(one.state_dict().values()) for one in nets[1:]]
    assert Curve(kind, states).describe() != Curve(kind, states[:2]).describe()
    moved, points = net(0, dtype), [point_of(one, "states") for one in nets]
    arrays = [np.stack([point[i].double().numpy() for point in points]) for i in range(len(points[0]))]
    with Curve(kind, points[1:]).moving(moved, "states") as move:
        for t in (0.7, 0.25):
            move((t,))
            for values, name, tensor in zip(
                arrays, moved.state_dict(), moved.state_dict().values(), strict=True
            ):
                if name in ("mask", "1.num_batches_tracked"):
                    continue
                flat = values.reshape(4, -1)
                place = [np.interp(t, np.linspace(0, 1, 4), column) for column in flat.T]
                if kind == "bezier":
                    place = de_casteljau(flat, t)
                rounding = 1e-6 if dtype is not torch.bfloat16 else 1e-2
                assert tensor.double().flatten().numpy() == pytest.approx(place, rel=rounding, abs=rounding)
            assert torch.equal(moved.mask, nets[0].mask)
        for t, end in ((1.0, nets[-1]), (0.0, nets[0])):
            move((t,))
            for tensor, there in zip(moved.state_dict().values(), end.state_dict().values(), strict=True):
                assert torch.equal(tensor, there)
        move((0.5,))
    for tensor, start in zip(moved.state_dict().values(), nets[0].state_dict().values(), strict=True):
        assert torch.equal(tensor, start)


@pytest.mark.parametrize("t", [-0.1, 1.01, float("nan")])
def test_t_outside(t):
    moved = net(0)
    with Curve("chain", [point_of(net(1), "states")]).moving(moved, "states") as move:
        with pytest.raises(InputError, match=f"t {t:g} is outside of the curve, which runs from 0 to 1"):
            move((t,))


def test_an_unknown_kind():
    with pytest.raises(InputError, match="'spline'; choose one of 'bezier', 'chain'"):
        Curve("spline", [])
