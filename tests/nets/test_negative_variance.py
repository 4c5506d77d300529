"""Points where a batch norm has a negative variance are found."""

import numpy as np
import pytest
import torch
from torch import nn

from losslandscape.nets.negative_variance import negative_variances


@pytest.mark.parametrize(
    ("variances", "points", "expected"),
    [
        ([[1.0, 1.0], [0.5, 0.5]], [[0.0], [1.0], [2.0]], []),
        # 1 - 3 a < 0 beyond 1/3.
        (
            [[-3.0, 0.5], [0.0, 0.0]],
            [[0.0], [0.5], [-1.0], [1.0], [2.0]],
            [("1", 0.5), ("1", 1.0), ("1", 2.0)],
        ),
        # 1 + 2 a < 0 below -1/2, where eps just saves it; 1 - a < 0 beyond 1.
        ([[2.0, 2.0], [0.0, -1.0]], [[-1.0], [-0.5], [0.0], [1.0], [1.5]], [("1", -1.0), ("2", 1.5)]),
        ([[-3.0, 0.0], [-3.0, 0.0]], [[1.0]], [("1", 1.0)]),
    ],
)
def test_negative_variances_of_any_layer(variances, points, expected):
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.BatchNorm2d(2))  # running variances are 1
    direction = [torch.zeros_like(tensor, dtype=torch.float32) for tensor in net.state_dict().values()]
    for layer, change in zip("12", variances, strict=True):
        direction[list(net.state_dict()).index(f"{layer}.running_var")] = torch.tensor(change)
    layers, places = negative_variances(net, [direction], np.array(points))
    assert list(zip(layers, places[:, 0].tolist(), strict=True)) == expected
