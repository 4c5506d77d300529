"""Finds the points of a surface where a batch norm's variance plus `eps` is negative, so the loss is NaN.

Directions of type `states` move variances like all other tensors, so a step may make them negative.
"""

import numpy as np
from torch import nn

from losslandscape.nets import net_tensors
from losslandscape.nets.net_plotter import Direction


def negative_variances(
    net: nn.Module, directions: list[Direction], points: np.ndarray
) -> tuple[list[str], np.ndarray]:
    """Return the points where variance plus `eps` is negative in any channel of any batch norm.

    Args:
        net: the net at the centre.
        directions: directions of type `states`.
        points: (n, number of directions) coordinates.

    Returns:
        for each such point the name of the first such layer, in the net's order; and the points
        (m, number of directions). Both are sorted by distance from the centre, nearest first.
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
