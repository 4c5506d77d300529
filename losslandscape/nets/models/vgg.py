"""VGG nets for 32x32 images: convolutions with batch normalisation, then one hidden linear layer.

They come from Simonyan and Zisserman (arXiv 1409.1556), reduced to CIFAR as in the loss-landscape paper: each
convolution keeps its bias beside the BN, and the hidden layer is as wide as the last map has channels.
"""

from typing import Literal

import torch
from torch import Tensor, nn

Pattern = list[int | Literal["M"]]

# Output channels of each 3x3 convolution; "M" halves the height and width of the map.
PATTERNS: dict[int, Pattern] = {
    9: [64, 64, "M", 128, 128, "M", *[256] * 3, "M"],
    16: [64, 64, "M", 128, 128, "M", *[256] * 3, "M", *[512] * 3, "M", *[512] * 3, "M"],
    19: [64, 64, "M", 128, 128, "M", *[256] * 4, "M", *[512] * 4, "M", *[512] * 4, "M"],
}


class VGG(nn.Module):
    """A net that maps images (n, 3, 32, 32) to logits (n, classes).

    Args:
        pattern: the output channels of each convolution in order, with "M" for a 2x2 max pooling.
        classes: the number of classes.
    """

    def __init__(self, pattern: Pattern, *, classes: int = 10) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs, size = 3, 32
        for entry in pattern:
            if entry == "M":
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
                size = (size + 1) // 2
            else:
                layers += [nn.Conv2d(inputs, entry, 3, padding=1), nn.BatchNorm2d(entry), nn.ReLU()]
                inputs = entry
        self.features = nn.Sequential(*layers)
        self.fc = nn.Sequential(nn.Linear(inputs * size * size, inputs), nn.BatchNorm1d(inputs), nn.ReLU())
        self.classifier = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.fc(torch.flatten(self.features(x), 1)))


def vgg(depth: int) -> VGG:
    """Build the net of this depth in `PATTERNS`.

    Raises:
        KeyError: for a depth other than 9, 16 or 19.
    """
    return VGG(PATTERNS[depth])
