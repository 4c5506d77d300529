"""pylandscape, as its docstrings say. It uses the first batch of the loader, so all images are in one."""

import torch
from problem import loader, net
from pylandscape import Surface
from torch import nn
from torch.utils.data import DataLoader

whole = DataLoader(loader.dataset, batch_size=len(loader.dataset))
surface = Surface(net, nn.CrossEntropyLoss(), whole, device=torch.device("cpu"))
a, b, losses = surface.random_surface(lams=(-1, 1), steps=5)
