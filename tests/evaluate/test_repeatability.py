"""What does not give the same loss again is found, and told from what does."""

import pytest
import torch
from torch import nn

from losslandscape.data.user_data import as_samples
from losslandscape.evaluate import losses
from losslandscape.evaluate.repeatability import Repeatability, examine
from tests.evaluate.unsteady import (
    Base,
    Counting,
    Dropping,
    Observing,
    Own,
    Remembering,
    contrastive,
    data,
    noisy,
)


def examined(net, loss="crossentropy") -> Repeatability:
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    result = examine(net, as_samples(data()), losses.find(loss))
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    return result


@pytest.mark.parametrize("net", [Base(), Counting(), Base().bfloat16()], ids=["plain", "counts", "bfloat16"])
def test_ordinary_nets_pass(net):
    result = examined(net) if net.linear.weight.dtype == torch.float32 else None
    if result is None:
        inputs, labels = data()
        result = examine(net, as_samples((inputs.bfloat16(), labels)), losses.find("crossentropy"))
    assert result.is_repeatable
    assert not (result.has_state or result.draws_random_numbers or result.depends_on_batches)


@pytest.mark.parametrize("net, changed", [(Observing(), "largest"), (Remembering(), "hidden")])
def test_state_is_found(net, changed):
    result = examined(net)
    assert result.is_repeatable and result.has_state and not result.draws_random_numbers
    assert result.changed == (changed,)


@pytest.mark.parametrize("net, loss", [(Dropping(), "crossentropy"), (Base(), noisy)])
def test_random_numbers_are_found(net, loss):
    result = examined(net, loss)
    assert result.is_repeatable and result.draws_random_numbers
    assert not (result.has_state or result.depends_on_batches)


def test_the_largest_and_smallest_weights_stay():
    net = Base().half()
    smallest, largest = 6e-8, torch.finfo(torch.float16).max
    with torch.no_grad():
        net.linear.weight[0] = torch.tensor([smallest, largest, -largest])
    before = net.linear.weight.clone()
    inputs, labels = data()
    examine(net, as_samples((inputs.half(), labels)), losses.find("crossentropy"))
    assert torch.equal(net.linear.weight, before)


def test_a_generator_of_the_loss_is_found():
    assert not examined(Base(), Own()).is_repeatable


def test_dependence_on_batches_is_found():
    assert examined(Base(), contrastive).depends_on_batches

    def with_a_small_term(net, batch):
        return 1 + 1e-3 * contrastive(net, batch)

    assert examined(Base(), with_a_small_term).depends_on_batches
    without_statistics = nn.Sequential(Base(), nn.BatchNorm1d(2, track_running_stats=False))
    assert examined(without_statistics).depends_on_batches
