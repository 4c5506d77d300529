"""What is not finite gets the values of the plain kernels, though chosen kernels would hide it."""

import itertools
import math

import pytest
import torch
from torch import nn

from losslandscape.data.samples import SampleSet
from losslandscape.evaluate.evaluation import Evaluator, evaluate
from losslandscape.evaluate.joined_layers import JoinedConv


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x):
        return self.norm(self.conv(x)).relu().mean((2, 3))


class Deeper(Net):
    def __init__(self):
        super().__init__()
        self.second = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        return self.second(self.norm(self.conv(x)).relu()).relu().mean((2, 3))


@pytest.fixture
def hidden(monkeypatch) -> list[int]:
    """Make a kernel the fastest that turns what is not finite into zero; list the sizes of its batches."""
    sizes = []
    plain = JoinedConv._plain

    def hiding(layer, x, residual):
        sizes.append(len(x))
        return plain(layer, x, residual).nan_to_num(0.0, 0.0, 0.0)

    monkeypatch.setattr(JoinedConv, "_cudnn", hiding)  # which JoinedConv names as a kernel
    return sizes


def prepared(net: nn.Module, data: SampleSet) -> Evaluator:
    evaluator = Evaluator(net.eval(), {"train": data}, batch_size=3)
    times = itertools.cycle((2.0, 1.0))
    evaluator._forward.kernels._clock = lambda call: next(times)
    with evaluator._forward.gradients(), evaluator._forward.kernels.choosing():
        evaluator._passes["train"].prepare(graph=False)
    return evaluator


def samples() -> SampleSet:
    images = torch.randn(6, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    return SampleSet(((images, torch.arange(6) % 4),))


def assert_right(evaluator: Evaluator, net: nn.Module, data: SampleSet) -> None:
    loss, accuracy = evaluate(net, data)
    values = evaluator.measure()
    assert values["train_loss"] == pytest.approx(loss, nan_ok=True)
    assert values["train_acc"] == pytest.approx(accuracy)


def test_finite_values_come_from_the_chosen_kernel(hidden):
    net, data = Net(), samples()
    evaluator = prepared(net, data)
    hidden.clear()
    assert_right(evaluator, net, data)
    assert hidden == [3, 3]


@pytest.mark.parametrize("name", ["conv.weight", "norm.running_var"])
@torch.no_grad()
def test_a_net_that_is_not_finite(hidden, name):
    net, data = Net(), samples()
    evaluator = prepared(net, data)
    net.state_dict()[name][0] = -1.0 if name == "norm.running_var" else torch.nan
    assert_right(evaluator, net, data)
    assert math.isnan(evaluator.measure()["train_loss"])


@torch.no_grad()
def test_what_overflows_in_a_finite_net(hidden):
    net, data = Net(), samples()
    evaluator = prepared(net, data)
    net.norm.weight *= 3e38
    assert not math.isfinite(evaluate(net, data)[0])
    assert_right(evaluator, net, data)


@torch.no_grad()
def test_one_sample_overflows_where_the_net_and_other_losses_are_finite(hidden):
    net, data = Deeper(), samples()
    data.chunks[0][0][4] *= 1e9
    evaluator = prepared(net, data)
    net.norm.weight *= 1e16
    net.second.weight *= 1e17
    assert not math.isfinite(evaluate(net, data)[0]) and evaluator._forward.is_finite()
    assert_right(evaluator, net, data)


def test_a_sample_that_is_not_finite(hidden):
    net, data = Net(), samples()
    data.chunks[0][0][4] = torch.nan
    evaluator = prepared(net, data)
    hidden.clear()
    assert_right(evaluator, net, data)
    assert not hidden and math.isnan(evaluator.measure()["train_loss"])
