"""loss-landscapes, as its README says. There the option is `normalize`, which the function does not have."""

import loss_landscapes
import loss_landscapes.metrics
from problem import images, labels, net
from torch import nn

metric = loss_landscapes.metrics.Loss(nn.CrossEntropyLoss(), images, labels)
losses = loss_landscapes.random_plane(net, metric, steps=5, normalization="filter")
