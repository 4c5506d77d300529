"""A small net with every kind of tensor."""

import pytest
import torch
from torch import nn


@pytest.fixture
def net():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 5))
    nn.init.normal_(net[1].weight)
    net(torch.randn(8, 3, 4, 4))  # gives BN statistics of its own
    return net.eval()
