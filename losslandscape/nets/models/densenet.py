"""Densely connected nets for 32x32 images (Huang et al., arXiv 1608.06993), with bottleneck layers.

A dense layer concatenates its output before its input. A checkpoint's weights depend on this order of the
channels.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DenseLayer(nn.Module):
    """A layer that maps (n, inputs, h, w) to (n, growth + inputs, h, w) through 4 * growth inner channels."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, 4 * growth, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(F.relu(self.bn1(x)))
        out = self.conv2(F.relu(self.bn2(out)))
        return torch.cat([out, x], 1)


class Transition(nn.Module):
    """A layer that maps (n, inputs, h, w) to (n, outputs, h / 2, w / 2)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(inputs)
        self.conv = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(self.conv(F.relu(self.bn(x))), 2)


class DenseNet(nn.Module):
    """A net that maps images (n, 3, 32, 32) to logits (n, classes).

    Args:
        blocks: the number of dense layers in each of the four dense blocks.
        growth: the number of channels that a dense layer adds.
        classes: the number of classes.
    """

    def __init__(self, blocks: Sequence[int], *, growth: int, classes: int = 10) -> None:
        super().__init__()
        first, second, third, fourth = blocks
        channels = 2 * growth
        self.conv1 = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        self.dense1, self.trans1, channels = _dense_and_transition(channels, first, growth=growth)
        self.dense2, self.trans2, channels = _dense_and_transition(channels, second, growth=growth)
        self.dense3, self.trans3, channels = _dense_and_transition(channels, third, growth=growth)
        self.dense4 = _dense(channels, fourth, growth=growth)
        channels += fourth * growth
        self.bn = nn.BatchNorm2d(channels)
        self.linear = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(x)
        out = self.trans1(self.dense1(out))
        out = self.trans2(self.dense2(out))
        out = self.trans3(self.dense3(out))
        out = F.relu(self.bn(self.dense4(out)))
        return self.linear(torch.flatten(F.avg_pool2d(out, 4), 1))


def densenet(depth: int) -> DenseNet:
    """Build the net of this depth in table 1 of Huang et al., with a stem for 32x32 images.

    Raises:
        KeyError: for a depth other than 121, 161, 169 or 201.
    """
    blocks, growth = {
        121: ((6, 12, 24, 16), 32),
        161: ((6, 12, 36, 24), 48),
        169: ((6, 12, 32, 32), 32),
        201: ((6, 12, 48, 32), 32),
    }[depth]
    return DenseNet(blocks, growth=growth)


def densenet_cifar() -> DenseNet:
    """Build DenseNet-121 with only 12 channels more per layer, which trains quickly on CIFAR."""
    return DenseNet((6, 12, 24, 16), growth=12)


def _dense(inputs: int, count: int, *, growth: int) -> nn.Sequential:
    return nn.Sequential(*(DenseLayer(inputs + i * growth, growth) for i in range(count)))


def _dense_and_transition(inputs: int, count: int, *, growth: int) -> tuple[nn.Sequential, Transition, int]:
    """Return a dense block, the transition that halves its channels, and the number of channels left."""
    dense = _dense(inputs, count, growth=growth)
    outputs = (inputs + count * growth) // 2
    return dense, Transition(inputs + count * growth, outputs), outputs
