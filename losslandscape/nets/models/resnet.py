"""Residual nets for 32x32 images, with or without their shortcut connections.

They come from He et al., "Deep Residual Learning" (arXiv 1512.03385), in the two shapes of the loss-landscape
paper: four stages of 64 to 512 channels (ResNet-18 to 152), and three stages of 16 to 64 channels for CIFAR
(ResNet-20 to 110). Nets of three stages may be k times wider (Zagoruyko and Komodakis, 1605.07146). The paper
compares nets with and without shortcuts, so the shortcut is an option of each block.

The order in which modules are constructed must not change: the initial weights are random draws, and the
random directions are drawn after them from the same generator.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """A block of two 3x3 convolutions, which ends with a ReLU with and without the shortcut."""

    expansion = 1

    def __init__(self, inputs: int, width: int, *, stride: int, shortcut: bool) -> None:
        super().__init__()
        self.conv1 = _conv(inputs, width, 3, stride=stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = _shortcut(inputs, width, stride=stride) if shortcut else None

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.shortcut is not None:
            out = out + self.shortcut(x)
        return F.relu(out)


class Bottleneck(nn.Module):
    """A block of 1x1, 3x3 and 1x1 convolutions, of which the last has four times as many channels."""

    expansion = 4

    def __init__(self, inputs: int, width: int, *, stride: int, shortcut: bool) -> None:
        super().__init__()
        outputs = self.expansion * width
        self.conv1 = _conv(inputs, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, 3, stride=stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = _conv(width, outputs, 1)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.shortcut = _shortcut(inputs, outputs, stride=stride) if shortcut else None

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        if self.shortcut is None:
            return out  # no ReLU, unlike the basic block: the published checkpoints were trained so
        return F.relu(out + self.shortcut(x))


class ResNet(nn.Module):
    """A net that maps images (n, 3, 32, 32) to logits (n, classes).

    Args:
        block: `BasicBlock` or `Bottleneck`.
        blocks: the number of blocks per stage; each stage but the first halves the map's height and width.
        width: the channels of the stem and of the first stage's 3x3 convolutions; each later stage doubles
            them.
        shortcut: whether the blocks have shortcut connections.
        classes: the number of classes.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        blocks: Sequence[int],
        *,
        width: int,
        shortcut: bool = True,
        classes: int = 10,
    ) -> None:
        super().__init__()
        self.conv1 = _conv(3, width, 3)
        self.bn1 = nn.BatchNorm2d(width)
        self.stages = len(blocks)
        inputs = width
        for stage, count in enumerate(blocks):
            layers = []
            for i in range(count):
                stride = 2 if stage > 0 and i == 0 else 1
                layers.append(block(inputs, width * 2**stage, stride=stride, shortcut=shortcut))
                inputs = block.expansion * width * 2**stage
            self.add_module(f"layer{stage + 1}", nn.Sequential(*layers))
        self.linear = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        for stage in range(self.stages):
            out = self.get_submodule(f"layer{stage + 1}")(out)
        size = 32 // 2 ** (self.stages - 1)  # width of the last map: 8 after three stages, 4 after four
        out = F.avg_pool2d(out, size)
        return self.linear(torch.flatten(out, 1))


def resnet(depth: int, *, shortcut: bool = True) -> ResNet:
    """Build a four-stage net; `depth` counts convolutions and the linear layer.

    Raises:
        KeyError: for a depth other than 18, 34, 50, 101 or 152.
    """
    kinds: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, ...]]] = {
        18: (BasicBlock, (2, 2, 2, 2)),
        34: (BasicBlock, (3, 4, 6, 3)),
        50: (Bottleneck, (3, 4, 6, 3)),
        101: (Bottleneck, (3, 4, 23, 3)),
        152: (Bottleneck, (3, 8, 36, 3)),
    }
    block, blocks = kinds[depth]
    return ResNet(block, blocks, width=64, shortcut=shortcut)


def resnet_cifar(depth: int, *, widen: int = 1, shortcut: bool = True) -> ResNet:
    """Build a three-stage net of (depth - 2) / 6 basic blocks per stage.

    The stages have 16, 32 and 64 channels, times `widen`.

    Raises:
        ValueError: the depth is not 6n + 2 with n of at least 1.
    """
    if depth < 8 or depth % 6 != 2:
        raise ValueError(
            f"depth={depth} is not 6n + 2: a stem, three stages of 2n layers, and a linear layer"
        )
    return ResNet(BasicBlock, [(depth - 2) // 6] * 3, width=16 * widen, shortcut=shortcut)


def _conv(inputs: int, outputs: int, size: int, *, stride: int = 1) -> nn.Conv2d:
    """Return a convolution without a bias, because a BN follows; stride 1 keeps the map's size."""
    return nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2, bias=False)


def _shortcut(inputs: int, outputs: int, *, stride: int) -> nn.Sequential:
    """Return the identity if input and output have one shape, else a 1x1 convolution and a BN."""
    if stride == 1 and inputs == outputs:
        return nn.Sequential()
    return nn.Sequential(_conv(inputs, outputs, 1, stride=stride), nn.BatchNorm2d(outputs))
