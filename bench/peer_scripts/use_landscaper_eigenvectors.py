"""Landscaper, as its quick start says, along eigenvectors of the Hessian, here on 32 images."""

from landscaper import LossLandscape, PyHessian
from problem import images, labels, loader, net
from torch import nn

criterion = nn.CrossEntropyLoss()


def average_loss(model, data):
    total, count = 0.0, 0
    for sample, label in data:
        total += criterion(model(sample), label) * len(label)
        count += len(label)
    return total / count


hessian = PyHessian(net, criterion, [(images[:32], labels[:32])], "cpu")
eigenvalues, directions = hessian.eigenvalues(top_n=2)
landscape = LossLandscape.compute(net, loader, directions, average_loss, steps=5, dim=2, device="cpu")
landscape.save("landscape.npz")
landscape.show()
