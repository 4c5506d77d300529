"""A small net and its data, as a user's own code: commands with them take a tenth of a second."""

OWN_CODE = """
import torch
from torch import nn

def data():
    generator = torch.Generator().manual_seed(3)
    return torch.randn(40, 4, generator=generator), torch.arange(40) % 3

def net(width=5):
    torch.manual_seed(5)
    net = nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 3))
    for parameter in net.parameters():
        nn.init.normal_(parameter)
    return net
"""
OWN = ["--dataset", "mine.py:data", "--model", "mine.py:net"]
