"""The groups of a net are right if all of their permutations leave its function unchanged, and none lacks."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from losslandscape.core.errors import InputError
from losslandscape.nets import net_tensors
from losslandscape.nets.permutation_groups import Group, find_groups
from losslandscape.nets.permuting import Permutation, permuted
from tests.nets.permutable_nets import IMAGES, NETS, make


def shuffled(net: nn.Module, groups: list, seed: int = 0) -> dict[str, Tensor]:
    generator = np.random.default_rng(seed)
    permutations = [random_permutation(group, generator) for group in groups]
    return permuted(net_tensors.moving_tensors(net, "states"), groups, permutations)


def random_permutation(group: Group, generator: np.random.Generator) -> Permutation:
    same = Permutation.identity(group)
    inner = tuple(generator.permuted(rows, axis=1) for rows in same.inner)
    return Permutation(generator.permutation(same.outer), inner)


@pytest.mark.parametrize("name", NETS)
def test_all_neurons_can_change_places(name):
    net = make(name).double()
    images = IMAGES.double()
    groups = find_groups(net, ((images,), {})).groups
    _, count, neurons = NETS[name]
    assert (len(groups), sum(group.size for group in groups)) == (count, neurons)
    before = net(images)
    state = shuffled(net, groups)
    assert all(not state[group.name].equal(net.state_dict()[group.name]) for group in groups)
    net.load_state_dict({**net.state_dict(), **state})
    assert (net(images) - before).abs().max() < 1e-12 * before.abs().max()


def test_heads_change_places_as_wholes_and_channels_within_them():
    groups = find_groups(make("attention"), ((IMAGES,), {})).groups
    (heads,) = [group for group in groups if group.name == "attention.in_proj_weight"]
    assert [part.shape for part in heads.parts] == [(4, 6), (4, 6)]
    queries_and_keys, values = (part.sites["attention.in_proj_weight", (0,)] for part in heads.parts)
    assert queries_and_keys[1, 0].tolist() == [6, 30] and values[1, 0].tolist() == [54]
    assert ("attention.out_proj.weight", (1,)) in heads.parts[1].sites


def test_groups_of_a_group_norm_are_blocks():
    groups = find_groups(make("convolutions"), ((IMAGES,), {})).groups
    (blocks,) = [group for group in groups if ("conv1.weight", (0,)) in group.parts[0].sites]
    assert [part.shape for part in blocks.parts] == [(3, 4)]


class Odd(nn.Module):
    """A net with a grouped convolution and a running sum over channels, between layers with usual ones."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.grouped = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=2)
        self.middle, self.summed, self.last = nn.Linear(8, 6), nn.Linear(6, 5), nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.grouped(self.first(x).relu()).mean((2, 3))
        return self.last(self.summed(self.middle(x).relu().softmax(1)).cumsum(1))


def test_what_cannot_be_permuted_is_said_and_the_rest_is_permuted():
    found = find_groups(Odd().eval(), ((IMAGES,), {}))
    assert [(group.name, group.size) for group in found.groups] == [("middle.weight", 6)]
    assert list(found.refused) == ["convolution", "cumsum"]
    assert {"first.weight", "grouped.weight"} <= set(found.refused["convolution"])
    assert {"summed.weight", "summed.bias"} == set(found.refused["cumsum"])


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) if x.sum() > 0 else x


def test_a_net_that_cannot_be_traced_is_refused():
    with pytest.raises(InputError, match="torch.fx cannot trace the net, a Branching"):
        find_groups(Branching(), ((torch.ones(2, 3),), {}))
