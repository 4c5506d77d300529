"""Where on a surface a batch norm's variance is negative, so that the loss is NaN.

Between two nets, and beyond them, the variances of directions of type `states` move like all tensors.
"""

import numpy as np
from torch import nn

from losslandscape.nets import net_tensors
from losslandscape.nets.net_plotter import Direction


def negative_variances(
    net: nn.Module, directions: list[Direction], points: np.ndarray
) -> tuple[list[str], np.ndarray]:
    """The points where the variance of any batch norm is negative.

    Args:
        net: at the centre.
        directions: of type `states`.
        points: (n, number of directions) coordinates.

    Returns:
        the names of the layers, for each point the first in the net's order, and the points
        (m, number of directions), nearest to the centre first.
    """
    layers = np.full(len(points), "", object)
    places = {name: i for i, name in enumerate(net_tensors.moving_tensors(net, "states"))}
    for name, layer in net.named_modules():
        place = places.get(f"{name}.running_var") if net_tensors.is_norm(layer) else None
        if place is None or not hasattr(layer, "eps"):
            continue
        steps = np.stack([direction[place].double().numpy() for direction in directions])
        variances = layer.running_var.double().cpu().numpy() + layer.eps + points @ steps
        layers[(layers == "") & (variances < 0).any(axis=1)] = name
    bad = np.flatnonzero(layers != "")
    bad = bad[np.argsort(np.linalg.norm(points[bad], axis=1), kind="stable")]
    return layers[bad].tolist(), points[bad]
