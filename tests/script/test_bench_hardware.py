"""bench/hardware.py counts operations and bytes of a net as they are counted by hand."""

import torch
from torch import nn

from bench.hardware import Cost, Peaks, Work, cost_of, peaks_of


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.linear = nn.Linear(4, 10)

    def forward(self, images):
        maps = self.first(images).relu()
        maps = (self.second(maps) + maps).relu()
        return self.linear(maps.mean((2, 3)).view(len(maps), 4))


def test_the_cost_of_a_residual_net():
    net, pixels = Residual().eval(), 8 * 8
    cost = cost_of(net, net, torch.rand(1, 3, 8, 8))
    assert cost.flops == 2 * (pixels * 9 * (3 * 4 + 4 * 4) + 4 * 10)
    first, second = 3 * pixels + 4 * pixels, 3 * 4 * pixels  # input and output; and the residual
    mean, linear = 4 * pixels + 4, 4 + 10
    assert cost.activations == first + second + mean + linear
    assert cost.weights == sum(tensor.numel() for tensor in net.parameters())


def test_weights_are_read_once_for_each_batch():
    cost = Cost(flops=1, activations=100, weights=640)
    assert cost.bytes("", 64) == 4 * 110
    assert cost.bytes("bf16", 1) == 2 * 740


def test_peaks_are_the_fastest_work():
    works = {"product": Work(8.0, print, ""), "convolution": Work(9.0, print, ""), "copy": Work(6.0, print)}
    assert peaks_of(works, {"product": 2.0, "convolution": 3.0, "copy": 2.0}) == Peaks({"": 4.0}, 3.0)
