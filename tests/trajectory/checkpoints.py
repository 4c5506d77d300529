"""The checkpoints of the golden training, read whole."""

from functools import cache

import numpy as np
import torch
from torch import Tensor

from losslandscape.nets import model_loader, net_tensors
from losslandscape.nets.state_loading import load_state
from tests.helpers import GOLDEN

CHECKPOINTS = GOLDEN / "resnet20_digits_bs=64"


@cache
def stacked(dir_type: str) -> tuple[np.ndarray, dict[str, Tensor]]:
    """All checkpoints minus the last one, as float64 rows, and the tensors of the last one."""
    net, rows = model_loader.build("resnet20"), []
    for epoch in range(7):
        saved = torch.load(CHECKPOINTS / f"model_{epoch}.t7", weights_only=True)
        load_state(net, saved["state_dict"], what="")
        tensors = net_tensors.moving_tensors(net, dir_type)
        parts = [t.double().numpy().ravel() for t in tensors.values() if t.is_floating_point()]
        rows.append(np.concatenate(parts))
    return np.array(rows) - rows[-1], tensors
