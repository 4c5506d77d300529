"""Two nets are aligned by weights and by activations, and what cannot be aligned is refused."""

import pytest
import torch
from torch import nn

import losslandscape
from bench.alignment import digits, trained_mlp
from losslandscape.core.errors import InputError
from losslandscape.data.samples import SampleSet
from losslandscape.draw.loss_shape import barrier
from losslandscape.evaluate import alignment, losses
from losslandscape.evaluate.alignment import align
from tests.nets.permutable_nets import make
from tests.nets.test_permutation_groups import shuffled

LOSS = losses.find("crossentropy")
GENERATOR = torch.Generator().manual_seed(0)
DATA = SampleSet(((torch.randn(100, 3, 32, 32, generator=GENERATOR), torch.zeros(100).long()),))


def permuted_copy(net: nn.Module, name: str) -> nn.Module:
    other = make(name)
    groups = align(net, net, DATA, LOSS).groups
    other.load_state_dict({**other.state_dict(), **shuffled(net, groups)})
    return other


@pytest.mark.parametrize("match", alignment.MATCHES)
@pytest.mark.parametrize("name", ["mlp", "resnet8", "attention", "convolutions"])
def test_a_permuted_net_is_matched_back_exactly(name, match):
    net = make(name)
    other = permuted_copy(net, name)
    before = {key: value.clone() for key, value in other.state_dict().items()}
    aligned = align(net, other, DATA, LOSS, match=match)
    assert aligned.distances[0] > 0 == aligned.distances[1]
    assert all(torch.equal(aligned.net.state_dict()[key], value) for key, value in net.state_dict().items())
    assert all(torch.equal(other.state_dict()[key], value) for key, value in before.items())
    assert aligned.change < 1e-5 and aligned.moved > 0


def test_a_wrong_permutation_is_refused(monkeypatch):
    net = make("mlp")

    def wrong(state, groups, permutations):
        return {**state, "1.bias": state["1.bias"].flip(0)}

    monkeypatch.setattr(alignment, "permuted", wrong)
    with pytest.raises(InputError, match="does not compute the same function"):
        align(net, net, DATA, LOSS)


def test_nets_of_two_models_are_refused():
    with pytest.raises(InputError, match="tensor '1.weight' is of shape .24, 3072. in one net and missing"):
        align(make("mlp"), make("attention"), DATA, LOSS)


def test_a_net_without_hidden_neurons_is_refused():
    net = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))
    with pytest.raises(InputError, match="no neurons"):
        align(net, net, DATA, LOSS)


@pytest.mark.slow
def test_mlps_of_width_512_have_less_than_half_the_barrier():
    data = digits()
    net, other = (trained_mlp(data["train"], seed, epochs=10) for seed in (0, 1))
    heights = []
    for target in (other, *(losslandscape.align(net, other, data, match=m).net for m in alignment.MATCHES)):
        surface = losslandscape.loss_surface(net, data, x=(0, 1, 11), target=target, quiet=True)
        heights.append(barrier(surface.x, surface.get("train_loss")))
    assert heights[0] > 0.1 and max(heights[1:]) < heights[0] / 2
