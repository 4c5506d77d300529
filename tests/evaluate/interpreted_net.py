"""A net whose joined layers run our kernels, in Triton's interpreter. `test_joined_layers.py` runs it."""

import itertools

import torch
import torch.nn.functional as F
from torch import nn

from losslandscape.evaluate.fused_net import FusedNet
from losslandscape.nets import net_plotter
from losslandscape.nets.moving import moving
from tests.evaluate.kernels.interpreter import bfloat16_products, loops  # noqa: F401 - fixtures
from tests.evaluate.test_fused_net import with_statistics


class AllKinds(nn.Module):
    """A residual block, a convolution whose sum is with another, and a batch norm before a ReLU."""

    def __init__(self):
        super().__init__()
        self.stem, self.a, self.b = (nn.Conv2d(16, 16, 3, padding=1) for _ in range(3))
        self.c, self.d, self.norm = nn.Conv2d(16, 32, 3, 2, 1), nn.Conv2d(16, 32, 1, 2), nn.BatchNorm2d(64)

    def forward(self, x):
        x = self.stem(x)
        x = F.relu(self.b(F.relu(self.a(x))) + x)
        x = F.relu(self.c(x) + self.d(x))
        return F.relu(self.norm(torch.cat([x, x.sin()], 1))).mean((2, 3))


def run(allow_tf32: bool) -> tuple[float, str]:
    """Return the largest error where the net has moved to, and the kernels that were chosen."""
    torch.backends.cudnn.allow_tf32 = allow_tf32
    torch.manual_seed(0)
    net, images = with_statistics(AllKinds()), torch.randn(3, 16, 8, 8)
    fused = FusedNet(net, lambda net: net(images[:2]), channels_last=True)
    countdown = itertools.count(0, -1)
    fused.kernels._clock = lambda call: float(next(countdown))  # our kernels are the last of each list
    with torch.no_grad(), fused.kernels.choosing():
        fused(images)
    axes = [net_plotter.random_direction(net, "states", norm="layer")]
    with moving(net, axes, "states") as move, torch.no_grad():
        move((0.3,))
        fused.refresh()
        expected = net(images)
        return float((fused(images) - expected).abs().max() / expected.abs().max()), str(fused.kernels)


def test_exact():
    error, chosen = run(allow_tf32=False)
    assert (
        chosen == " (1 apart, 1 triton, 5 triton taps)"
    )  # five convolutions and a batch norm; the block rounds to TF32
    assert error < 1e-5


def test_tf32():
    error, chosen = run(allow_tf32=True)
    assert chosen == " (1 triton, 1 triton block, 3 triton rows, 2 triton taps)"
    assert 1e-6 < error < 2e-3
