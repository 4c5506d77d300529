"""Gradients agree with those that are known in closed form; directions by name follow them."""

import copy

import pytest
import torch
from torch import nn

from losslandscape.core.errors import InputError
from losslandscape.curvature.gradient import SAM_RADIUS, mean_gradient, sam_gradient
from losslandscape.curvature.named_directions import NamedDirections
from losslandscape.data.own_batches import OwnBatches
from losslandscape.data.samples import SampleSet
from losslandscape.evaluate import losses
from tests.curvature.matrices import small_data, small_net

X = torch.randn(30, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
Y = (X[:, 0] > 0.3).double()
DATA = SampleSet(((X, Y),))


def linear() -> nn.Linear:
    torch.manual_seed(2)
    return nn.Linear(4, 1).double()


def test_logistic_regression():
    net = linear()
    probability = torch.sigmoid(X @ net.weight[0] + net.bias).detach()
    expected = {"weight": ((probability - Y) @ X)[None] / len(X), "bias": (probability - Y).mean()[None]}
    for batch_size in (7, 30):
        gradient = mean_gradient(net, DATA, losses.find("bce"), batch_size=batch_size)
        torch.testing.assert_close(gradient, expected)


def weighted(net, batch):
    inputs, weights = batch
    values = net(inputs)[:, 0].square()
    return (weights * values).sum() / weights.sum(), weights.sum()


def test_an_own_loss_whose_samples_have_weights():
    net, weights = linear(), torch.rand(30, dtype=torch.float64)
    gradient = mean_gradient(net, SampleSet(((X, weights),)), losses.find(weighted), batch_size=8)
    outputs = (X @ net.weight[0] + net.bias).detach()
    expected = 2 * (weights * outputs) @ X / weights.sum()
    torch.testing.assert_close(gradient["weight"][0], expected)


def test_batches_of_another_structure():
    parts = OwnBatches.of([[X[:10], Y[:10]], [X[10:], Y[10:]]])
    gradient = mean_gradient(linear(), parts, losses.find("bce"), batch_size=5)
    torch.testing.assert_close(gradient, mean_gradient(linear(), DATA, losses.find("bce"), batch_size=30))


def test_the_gradient_of_sharpness_aware_minimisation_on_a_quadratic():
    """The loss is the mean of (theta . x)^2, whose gradient is A theta."""
    net = nn.Linear(4, 1, bias=False).double()
    theta, matrix = net.weight[0].detach().clone(), 2 * X.T @ X / len(X)
    zero = SampleSet(((X, torch.zeros_like(Y)),))
    gradient = matrix @ theta
    expected = matrix @ (theta + SAM_RADIUS * gradient / gradient.norm())
    found = sam_gradient(net, zero, losses.find("regression_mse"), batch_size=11)
    torch.testing.assert_close(found["weight"][0], expected)
    torch.testing.assert_close(net.weight[0].detach(), theta, rtol=0, atol=0)
    assert (expected - gradient).norm() > 0.01 * gradient.norm()


def test_the_net_is_in_evaluation_mode_and_unchanged_afterwards():
    net, data = small_net().train(), small_data()
    net.conv.weight.requires_grad_(False)
    state = copy.deepcopy(net.state_dict())
    gradient = mean_gradient(net, data, losses.find("crossentropy"), batch_size=10)
    assert net.training and not net.conv.weight.requires_grad
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    evaluated = copy.deepcopy(net).eval().requires_grad_()
    logits = evaluated(data.batch(slice(None)).double())
    nn.functional.cross_entropy(logits, data.labels).backward()
    expected = {name: parameter.grad for name, parameter in evaluated.named_parameters()}
    torch.testing.assert_close(gradient, expected)


def test_a_loss_without_a_gradient_is_refused():
    with pytest.raises(InputError, match="no gradient by the parameters"):
        mean_gradient(linear(), DATA, losses.find(lambda net, batch: batch[0].sum()), batch_size=30)


NET32 = small_net(torch.float32)


def named(*names: str, dir_type: str = "weights") -> NamedDirections:
    how = {"device": torch.device("cpu"), "dir_type": dir_type, "quiet": True}
    return NamedDirections(NET32, {"train": small_data()}, losses.find("crossentropy"), names, **how)


def test_directions_by_name_are_gradients_and_eigenvectors_in_their_order():
    found = named("hessian", "gradient", "hessian", "sam")
    gradient = mean_gradient(NET32, small_data(), losses.find("crossentropy"), batch_size=23)
    torch.testing.assert_close(found.find(1), list(gradient.values()))
    both = [torch.cat([part.flatten() for part in found.find(place)]) for place in (0, 2)]
    assert abs(both[0] @ both[1]) < 1e-4
    (largest,) = [torch.cat([part.flatten() for part in named("sam", "hessian").find(1)])]
    assert abs(largest @ both[0]) > 1 - 1e-4


def test_buffers_do_not_move_along_a_gradient():
    states = small_net().state_dict()
    direction = named("gradient", dir_type="states").find(0)
    for (name, value), part in zip(states.items(), direction, strict=True):
        assert part.shape == value.shape
        assert part.any() == (name in dict(small_net().named_parameters())), name
