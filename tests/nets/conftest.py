"""Nets for several files."""

import pytest
import torch
from torch import nn

from losslandscape.nets import model_loader


@pytest.fixture
def net():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 5))
    nn.init.normal_(net[1].weight)
    net(torch.randn(8, 3, 4, 4))  # gives BN statistics of its own
    return net.eval()


@pytest.fixture
def resnet() -> nn.Module:
    """A ResNet-20 with other numbers in every tensor than a new one."""
    torch.manual_seed(1)
    net = model_loader.build("resnet20")
    with torch.no_grad():
        for name, value in net.state_dict().items():
            value.copy_(7) if name.endswith("num_batches_tracked") else value.add_(torch.rand_like(value))
    return net
