"""Fingerprints of nets that keep more than plain tensors."""

import pytest
import torch
from torch import nn

from losslandscape.measure.landscape import fingerprint_of_net


def packed(seed: int) -> nn.Module:
    """A net of packed weights, which are no tensors in its state."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    return torch.ao.quantization.quantize_dynamic(net, {nn.Linear}, dtype=torch.qint8)


@pytest.mark.filterwarnings("ignore")
def test_quantised_weights_are_in_the_fingerprint_of_a_net():
    assert fingerprint_of_net(packed(0)) == fingerprint_of_net(packed(0)) != fingerprint_of_net(packed(1))
