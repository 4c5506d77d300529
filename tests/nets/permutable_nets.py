"""Nets whose neurons can change places, of each kind of layer, and a sample for each."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from losslandscape.nets.models import MODELS
from losslandscape.nets.models.densenet import DenseNet
from losslandscape.nets.models.resnet import resnet_cifar


def mlp() -> nn.Module:
    return nn.Sequential(
        *(nn.Flatten(), nn.Linear(3072, 24), nn.ReLU(), nn.Linear(24, 16), nn.LayerNorm(16), nn.GELU()),
        nn.Linear(16, 10),
    )


class Attention(nn.Module):
    """A vision transformer of one layer with `nn.MultiheadAttention`."""

    def __init__(self, width: int = 24, heads: int = 4):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 8, stride=8)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.places = nn.Parameter(torch.randn(1, 17, width))
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 40), nn.GELU(), nn.Linear(40, width))
        self.head = nn.Linear(width, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = self.patches(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.places
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return self.head((x + self.mlp(self.norm2(x)))[:, 0])


class Convolutions(nn.Module):
    """Group norms, a depthwise convolution, gates for channels, and a shortcut that pads with zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(3, 12, 3, padding=1), nn.GroupNorm(3, 12)
        self.depthwise = nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.gate = nn.Linear(12, 12)
        self.conv2, self.norm2 = nn.Conv2d(12, 20, 3, padding=1), nn.BatchNorm2d(20)
        self.scale = nn.Parameter(torch.randn(20, 1, 1))
        self.up = nn.ConvTranspose2d(20, 6, 2, stride=2)
        self.head = nn.Linear(6 * 16, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = F.silu(self.norm1(self.conv1(images)))
        x = self.depthwise(x) * torch.sigmoid(self.gate(x.mean((2, 3))))[:, :, None, None]
        x = F.relu(self.norm2(self.conv2(x)) + F.pad(x, (0, 0, 0, 0, 0, 8))) * self.scale
        return self.head(F.adaptive_avg_pool2d(self.up(x).relu(), 4).flatten(1))


def timm_vit() -> nn.Module:
    timm = __import__("timm")
    return timm.models.VisionTransformer(32, 8, embed_dim=24, depth=2, num_heads=3, num_classes=10)


def torchvision_vit() -> nn.Module:
    torchvision = __import__("torchvision")
    return torchvision.models.VisionTransformer(32, 8, 2, 4, 24, 48, num_classes=10)


# By name: a function that makes the net, the number of groups, and that of neurons.
NETS: dict[str, tuple[Callable[[], nn.Module], int, int]] = {
    "mlp": (mlp, 2, 40),
    "vgg9": (MODELS["vgg9"], 8, 1408),
    "resnet8": (partial(resnet_cifar, 8), 6, 16 * 2 + 32 * 2 + 64 * 2),
    "resnet20": (MODELS["resnet20"], 12, 16 * 4 + 32 * 4 + 64 * 4),
    "resnet20_noshort": (MODELS["resnet20_noshort"], 19, 16 * 7 + 32 * 6 + 64 * 6),
    "densenet": (partial(DenseNet, (1, 2, 1, 1), growth=4), 14, 8 + 5 * 16 + 5 * 4 + 6 + 7 + 5),
    "attention": (Attention, 3, 24 + 2 * 24 + 40),
    "convolutions": (Convolutions, 3, 12 + 8 + 6),
    "timm_vit": (timm_vit, 5, 24 + 2 * (2 * 24 + 96)),
    "torchvision_vit": (torchvision_vit, 5, 24 + 2 * (2 * 24 + 48)),
}
IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def make(name: str, seed: int = 0) -> nn.Module:
    """Return a net in evaluation mode, with other numbers in every tensor than a new one."""
    torch.manual_seed(seed)
    net = NETS[name][0]().eval()
    with torch.no_grad():
        for key, value in net.state_dict().items():
            if value.is_floating_point():
                noise = torch.rand_like(value) if key.endswith("var") else 0.05 * torch.randn_like(value)
                value.add_(noise)
    return net
