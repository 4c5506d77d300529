"""Landscaper, as its quick start says, with its own random directions. The loss is that of all images."""

from landscaper import LossLandscape
from landscaper.utils import generate_random_orthogonal_directions
from problem import loader, net
from torch import nn

criterion = nn.CrossEntropyLoss()


def average_loss(model, data):
    total, count = 0.0, 0
    for sample, label in data:
        total += criterion(model(sample), label) * len(label)
        count += len(label)
    return total / count


directions = generate_random_orthogonal_directions(net, n=2)
landscape = LossLandscape.compute(net, loader, directions, average_loss, steps=5, dim=2, device="cpu")
landscape.save("landscape.npz")
landscape.show()
