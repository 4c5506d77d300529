"""The losses along a path say where the plane misleads most."""

import numpy as np

from losslandscape.files.projection import Projection
from losslandscape.trajectory.projected_path import describe_losses


def test_losses_that_are_not_numbers():
    path = Projection(
        "p.h5",
        np.arange(4.0),
        np.arange(4.0),
        true_loss=np.array([np.nan, 3, 2, 1]),
        projected_loss=np.array([1, np.inf, 2.1, 1]),
    )
    text = describe_losses(path)
    assert "1 of 4 checkpoints have a loss that is NaN" in text
    assert "at checkpoint 2: inf where the checkpoint has 3; it is within 10 % at 2 of 4 checkpoints" in text
