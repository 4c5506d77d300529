"""loss-landscape-3d, as its quick start says, but with a copy of the centre."""

import copy

import numpy as np
from loss_landscape_3d import LossLandscapeCalculator, LossLandscapeVisualizer, generate_random_directions
from problem import loader, net
from torch import nn

dir_x, dir_y = generate_random_directions(net, normalize=True)
x_coords = np.linspace(-1, 1, 5)
y_coords = np.linspace(-1, 1, 5)
centre = copy.deepcopy(net.state_dict())
calculator = LossLandscapeCalculator(net, loader, nn.CrossEntropyLoss())
losses = calculator.calculate(x_coords, y_coords, dir_x, dir_y, center_state=centre)
visualizer = LossLandscapeVisualizer(x_coords, y_coords, losses)
visualizer.plot_3d_plotly(title="ResNet-20", save_path="landscape.html")
