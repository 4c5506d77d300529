"""gradfield, as its README says, over [-1, 1] squared."""

from gradfield import model_loss_fn, render, sample_grid
from problem import images, labels, net
from torch import nn

landscape = model_loss_fn(model=net, loss_fn=nn.CrossEntropyLoss(), inputs=images, targets=labels)
field = sample_grid(landscape, x_range=(-1, 1), y_range=(-1, 1), resolution=5)
render(field, title="ResNet-20", open_browser=False)
