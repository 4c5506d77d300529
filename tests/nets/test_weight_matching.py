"""A net that was permuted at random is matched back exactly. Other nets reach what plain code reaches."""

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import nn

from losslandscape.nets import net_tensors
from losslandscape.nets.permutation_groups import find_groups
from losslandscape.nets.permuting import permuted
from losslandscape.nets.weight_matching import assignment, match_weights
from tests.nets.permutable_nets import IMAGES, NETS, make
from tests.nets.test_permutation_groups import shuffled


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n == "vgg9" else n for n in NETS]
)
def test_a_permuted_net_is_matched_back_exactly(name):
    net = make(name)
    groups = find_groups(net, ((IMAGES,), {})).groups
    state = shuffled(net, groups)
    weights = net_tensors.moving_tensors(net, "weights")
    found = match_weights(weights, {key: state[key] for key in weights}, groups)
    back = permuted(state, groups, found)
    assert all(torch.equal(back[key], value) for key, value in net.state_dict().items())


def plain_matching(one: list, other: list, seed: int) -> list[np.ndarray]:
    """Algorithm 1 of Ainsworth et al. for layers (weight, bias) in float64, written for MLPs alone."""
    hidden = len(one) - 1
    orders = [np.arange(len(bias)) for _, bias in one[:-1]]
    generator, goes_on = np.random.default_rng(seed), True
    while goes_on:
        goes_on = False
        for layer in generator.permutation(hidden):
            before = np.arange(one[layer][0].shape[1]) if layer == 0 else orders[layer - 1]
            after = np.arange(len(one[-1][1])) if layer == hidden - 1 else orders[layer + 1]
            scores = one[layer][0] @ other[layer][0][:, before].T + np.outer(one[layer][1], other[layer][1])
            scores += one[layer + 1][0].T @ other[layer + 1][0][after]
            _, order = linear_sum_assignment(-scores)
            places = np.arange(len(order))
            if scores[places, order].sum() > scores[places, orders[layer]].sum() + 1e-9:
                orders[layer], goes_on = order, True
    return orders


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_different_mlps_reach_what_plain_code_reaches(seed):
    def mlp() -> nn.Module:
        return nn.Sequential(
            *(nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 25), nn.ReLU()),
            nn.Linear(25, 4),
        )

    torch.manual_seed(seed)
    nets = mlp(), mlp()
    groups = find_groups(nets[0], ((torch.randn(2, 12),), {})).groups
    found = match_weights(*(net_tensors.moving_tensors(net, "weights") for net in nets), groups, seed=seed)
    layers = [
        [(layer.weight.double().detach().numpy(), layer.bias.double().detach().numpy()) for layer in net[::2]]
        for net in nets
    ]
    expected = plain_matching(*layers, seed)
    assert [permutation.inner[0][0].tolist() for permutation in found] == [
        order.tolist() for order in expected
    ]
    assert all(permutation.moved > 10 for permutation in found)


def test_blocks_and_their_neurons_are_assigned_together():
    similarity = np.zeros((2, 2, 2, 2))  # block of the target, neuron there, block of the net, neuron there
    similarity[0, :, 1, :] = [[0, 3], [3, 0]]
    similarity[1, :, 0, :] = [[2, 0], [0, 2]]
    similarity[0, :, 0, :] = [[4, 0], [0, 0]]
    found = assignment([similarity], np.zeros((2, 2)))
    assert found.outer.tolist() == [1, 0]
    assert found.inner[0].tolist() == [[1, 0], [0, 1]]
    kept = assignment([similarity], np.diag([9.0, 9.0]))
    assert kept.outer.tolist() == [0, 1]
