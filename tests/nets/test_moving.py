"""A moved net is where it should be to the last digit, and comes back as it was."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from losslandscape.nets import net_plotter, net_tensors
from losslandscape.nets.moving import moving


@pytest.mark.parametrize("dir_type", net_tensors.DIRECTION_TYPES)
def test_moving_starts_from_a_snapshot_and_comes_back(net, dir_type):
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    axes = [net_plotter.random_direction(net, dir_type) for _ in "xy"]
    with moving(net, axes, dir_type) as move:
        for alpha, beta in itertools.product((-0.5, 1.0), (0.25, 2.0)):
            move((alpha, beta))
            for (name, tensor), a, b in zip(
                net_tensors.moving_tensors(net, dir_type).items(), *axes, strict=True
            ):
                if tensor.is_floating_point():
                    np.testing.assert_allclose(
                        tensor, before[name] + alpha * a + beta * b, rtol=1e-5, atol=1e-6
                    )
        with pytest.raises(ZeroDivisionError), moving(net, axes, dir_type) as again:
            again((1.0, 1.0))
            raise ZeroDivisionError
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_other_precisions_move_as_exactly_as_they_can(dtype):
    """Directions are float32; the moved net is the sum of float64 numbers, rounded once."""
    torch.manual_seed(0)
    net = nn.Linear(20, 30).to(dtype)
    before = [tensor.clone() for tensor in net.parameters()]
    x, y = (net_plotter.random_direction(net, "weights", norm="filter") for _ in "xy")
    assert {d.dtype for d in x + y} == {torch.float32}
    assert x[0].norm(dim=1).tolist() == pytest.approx(before[0].float().norm(dim=1).tolist(), rel=1e-5)
    with moving(net, [x, y], "weights") as move:
        move((0.3, -0.7))
        for tensor, w, a, b in zip(net.parameters(), before, x, y, strict=True):
            exact = w.double() + 0.3 * a.double() - 0.7 * b.double()
            half_a_step = exact.abs() * torch.finfo(dtype).eps / 2 + torch.finfo(dtype).smallest_normal
            rounding = 1e-6 if dtype != torch.float64 else 1e-15
            assert ((tensor.double() - exact).abs() <= half_a_step + rounding).all()
    assert all(
        torch.equal(tensor.double(), w.double()) for tensor, w in zip(net.parameters(), before, strict=True)
    )


def test_whole_numbers_and_truth_values_stay():
    def numbers(w: float, k: int, b: bool) -> nn.Module:
        values = {
            "b": torch.tensor([b]),
            "k": torch.full((2, 2), k, dtype=torch.int8),
            "w": torch.full((2, 2), w),
        }
        return nn.ParameterDict(
            {name: nn.Parameter(value, requires_grad=False) for name, value in values.items()}
        )

    net = numbers(1.0, 1, True)
    assert [bool(d.any()) for d in net_plotter.random_direction(net, "weights")] == [False, False, True]
    difference = net_plotter.target_direction(net, numbers(0.0, 3, False), "weights")
    assert [d.flatten()[0].item() for d in difference] == [-1, 2, -1]
    with moving(net, [difference], "weights") as move:
        move((1.0,))
        assert [bool(tensor.all()) for tensor in net.parameters()] == [True, True, False]
        assert (net["k"] == 1).all()


def test_what_no_direction_moves_is_left_alone(net):
    last_layer = net_plotter.random_direction(net, "weights", params="3")
    with moving(net, [last_layer], "weights") as move, torch.no_grad():
        net[0].bias.fill_(5)
        move((1.0,))
    assert (net[0].bias == 5).all()
    with moving(net, [[torch.zeros_like(tensor) for tensor in net.parameters()]], "weights") as move:
        move((1.0,))


def test_one_dimension_and_the_far_end_of_an_interpolation(net):
    other = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 5)).eval()
    towards = net_plotter.target_direction(net, other, "states")
    with moving(net, [towards], "states") as move:
        move((1.0,))
        images = torch.randn(2, 3, 4, 4)
        torch.testing.assert_close(net(images), other(images))
