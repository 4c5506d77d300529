"""The net and the images that every peer gets. bench/peers.py makes the file with them."""

import os

import torch
from torch.utils.data import DataLoader, TensorDataset

_given = torch.load(os.environ["PEERS_PROBLEM"], weights_only=False)
net, images, labels = _given["net"], _given["images"], _given["labels"]
_batch_size = len(labels) if "PEERS_WHOLE" in os.environ else _given["batch size"]
loader = DataLoader(TensorDataset(images, labels), batch_size=_batch_size)

net.train("PEERS_TRAINING" in os.environ)
