"""What a careful person would ask about before a long run."""
import numpy as np
from torch import nn

import net_plotter
from dataloader import ImageSet
from evaluation import far_below
from net_plotter import Direction


def warn(net: nn.Module, sets: dict[str, ImageSet], directions: list[Direction], points: np.ndarray, *, dir_type: str, recorded: float | None,
         other_model: bool) -> None:
    """Print a warning for each thing that is likely a mistake, with its usual cause.

    Args:
        net: at the centre of the surface.
        points: (n, number of directions) coordinates of the surface.
        recorded: accuracy in percent that the checkpoint says it has, on the last of `sets`; None if it says none.
        other_model: whether a direction leads to another net.
    """
    if other_model and dir_type == "weights" and any(name.endswith("running_mean") for name in net.state_dict()):
        print("warning: --dir_type weights leaves the BN statistics at those of --model_file, so the loss at the other net is not its own; "
              "use --dir_type states to interpolate")
    if dir_type == "states" and (found := net_plotter.first_negative_variance(net, directions, points)):
        layer, places = found
        print(f"warning: the variance of {layer} is negative at {len(places)} of {len(points)} points, the first at ({', '.join(f'{c:g}' for c in places[0])}): "
              "the loss is NaN there")
    part, data = list(sets.items())[-1]
    if recorded is not None and (accuracy := far_below(net, data, recorded)) is not None:
        print(f"warning: at the centre {accuracy:.1f} % of the {part} images tried are told right, and the checkpoint says {recorded:.1f} %; the usual cause is "
              "preprocessing that differs from the training's: see --raw_data, --mean, --std and --dataset")
