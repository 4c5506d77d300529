"""A net that was permuted at random is matched back exactly; and no step makes the distance larger."""

import pytest
import torch

from losslandscape.nets import net_tensors
from losslandscape.nets.permutation_groups import find_groups
from losslandscape.nets.permuting import permuted
from losslandscape.nets.weight_matching import match_weights
from tests.nets.permutable_nets import IMAGES, NETS, make
from tests.nets.test_permutation_groups import shuffled


@pytest.mark.parametrize("name", NETS)
def test_a_permuted_net_is_matched_back_exactly(name):
    net = make(name)
    groups = find_groups(net, ((IMAGES,), {})).groups
    state = shuffled(net, groups)
    weights = net_tensors.moving_tensors(net, "weights")
    found = match_weights(weights, {key: state[key] for key in weights}, groups)
    back = permuted(state, groups, found)
    assert all(torch.equal(back[key], value) for key, value in net.state_dict().items())
