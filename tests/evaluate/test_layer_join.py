"""A net with joined layers is the same function as the net, and joins what it can, no more."""

import operator

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from losslandscape.evaluate import kernels
from losslandscape.evaluate.fused_net import FusedNet
from losslandscape.evaluate.joined_layers import JoinedBlock, JoinedConv
from losslandscape.nets import model_loader, net_plotter
from losslandscape.nets.models import MODELS
from losslandscape.nets.moving import moving
from tests.evaluate.test_fused_net import with_statistics

LARGE = ("wrn", "resnet101", "resnet110", "resnet152", "densenet161", "densenet169", "densenet201")
QUICK = ("vgg9", "resnet20", "resnet20_noshort", "densenet_cifar")


def weight_of(model: str) -> list[pytest.MarkDecorator]:
    if model in QUICK:
        return []
    return [pytest.mark.nightly if model.startswith(LARGE) else pytest.mark.slow]


def joined_copy(net: nn.Module, images: torch.Tensor, *, channels_last: bool = True) -> FusedNet:
    return FusedNet(net, lambda net: net(images[:2]), channels_last=channels_last)


def blocks_of(fused: FusedNet) -> int:
    return sum(isinstance(module, JoinedBlock) for module in fused.module.modules())


def assert_same(fused: FusedNet, net: nn.Module, images: torch.Tensor) -> None:
    with torch.inference_mode():
        expected, found = net(images.clone()), fused(images.clone())
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def assert_follows(fused: FusedNet, net: nn.Module, images: torch.Tensor) -> None:
    """Assert that the copy is the same function where the net is, and where it moves."""
    assert_same(fused, net, images)
    torch.manual_seed(1)
    axes = [net_plotter.random_direction(net, "states", norm="layer")]
    with moving(net, axes, "states") as move:
        for alpha in (0.1, -0.05):
            move((alpha,))
            fused.refresh()
            assert_same(fused, net, images)


@pytest.mark.parametrize("model", [pytest.param(model, marks=weight_of(model)) for model in MODELS])
def test_all_built_in_nets(model):
    torch.manual_seed(0)
    net, images = with_statistics(model_loader.build(model)), torch.randn(3, 3, 32, 32)
    fused = joined_copy(net, images)
    # Each of these batch norms is folded into a convolution, which joins, or it joins itself.
    assert fused.joined == sum(isinstance(module, nn.BatchNorm2d) for module in net.modules())
    assert_follows(fused, net, images)


@pytest.mark.parametrize(
    ("model", "blocks"),
    [("resnet20", 7), ("resnet20_noshort", 0), pytest.param("resnet56", 25, marks=pytest.mark.slow)],
)
def test_residual_blocks_with_an_identity_shortcut_are_joined_whole(model, blocks):
    torch.manual_seed(0)
    net, images = with_statistics(model_loader.build(model)), torch.randn(2, 3, 32, 32)
    assert blocks_of(joined_copy(net, images)) == blocks


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "joined", "blocks"),
    [("resnet18", 20, 5), ("mobilenet_v2", 52, 0), ("mobilenet_v3_small", 52, 0)],
)
def test_nets_of_torchvision(model, joined, blocks):
    torch.manual_seed(0)
    models = pytest.importorskip("torchvision").models
    net, images = with_statistics(getattr(models, model)()), torch.randn(3, 3, 64, 64)
    fused = joined_copy(net, images)
    assert (fused.joined, blocks_of(fused)) == (joined, blocks)
    assert_follows(fused, net, images)


def concatenations(fused: FusedNet) -> int:
    return sum(node.target is torch.cat for node in fused.module.graph.nodes)


@pytest.mark.parametrize(("available", "left"), [(True, 0), (False, 58)])
def test_our_kernel_reads_densenets_maps_where_they_are(monkeypatch, available, left):
    monkeypatch.setattr(kernels, "available", lambda device: available)
    torch.manual_seed(0)
    net, images = with_statistics(model_loader.build("densenet_cifar")), torch.randn(3, 3, 32, 32)
    fused = joined_copy(net, images)
    assert concatenations(fused) == left
    assert_follows(fused, net, images)


class Concatenates(nn.Module):
    """A batch norm and a ReLU of maps that something else may need, too."""

    def __init__(self, more):
        super().__init__()
        self.norm, self.other, self._more = nn.BatchNorm2d(8), nn.BatchNorm2d(8), more

    def forward(self, x):
        a = x.sin()
        maps = torch.cat([a, x], 1)
        return self._more(self, a, maps)


@pytest.mark.parametrize(
    ("more", "left"),
    [
        (lambda net, a, maps: F.relu(net.norm(maps)), 0),
        (lambda net, a, maps: F.relu(net.norm(maps)) + maps, 1),
        (lambda net, a, maps: F.relu(net.norm(maps)) + F.relu(net.other(maps)), 1),
        (lambda net, a, maps: net.norm(maps), 1),
        (lambda net, a, maps: F.relu(net.norm(maps)) + 0 * a.mul_(2).mean(), 1),
        (lambda net, a, maps: (a.mul_(2), F.relu(net.norm(maps)))[1], 1),
    ],
)
def test_maps_that_something_else_needs_stay_concatenated(monkeypatch, more, left):
    monkeypatch.setattr(kernels, "available", lambda device: True)
    torch.manual_seed(0)
    net, images = with_statistics(Concatenates(more)), torch.randn(3, 4, 8, 8)
    fused = FusedNet(net, lambda net: net(images[:2]), channels_last=True)
    if fused.joined:
        assert concatenations(fused) == left
    assert_follows(fused, net, images)


class Layers(nn.Module):
    """Two 3x3 convolutions `a` and `b` of four channels, a norm and a ReLU; a test says how they are used."""

    def __init__(self, forward, **form):
        super().__init__()
        form = {"padding": 1, **form}
        self.a, self.b = nn.Conv2d(4, 4, 3, **form), nn.Conv2d(4, 4, 3, **form)
        self.norm, self.relu = nn.BatchNorm2d(4), nn.ReLU(inplace=True)
        self._forward = forward

    def forward(self, x):
        return self._forward(self, x)


def write_between(net, x):
    a = net.a(x)
    x.relu_()
    return a + x


def write_into_the_other_term(net, x):
    a = net.a(x)
    a += net.b(x)
    b = F.relu(a)
    a -= 1
    return a * b


def add_to_the_shortcut(net, x):
    shortcut = net.a(x)
    total = shortcut.add_(net.b(x))
    return total * shortcut


def use_after_a_relu_in_place(net, x):
    a = net.a(x)
    net.relu(a)
    return a + net.b(x)


def preactivation(net, x):
    out = net.relu(net.norm(x))
    return net.b(F.relu(net.a(out))) + x


def preactivation_shortcut_of_the_relu(net, x):
    out = net.norm(x).relu_()
    return F.relu(net.b(out)) + out


@pytest.mark.parametrize(
    ("forward", "joined", "blocks"),
    [
        (lambda net, x: F.relu(x + net.b(F.relu(net.a(x)))), 2, 1),
        (lambda net, x: net.relu(net.b(net.relu(net.a(x))) + x), 2, 1),
        (lambda net, x: F.relu(x + net.a(F.relu(net.a(x)))), 2, 1),  # one convolution, called twice
        (lambda net, x: F.relu(x + net.b(F.relu(net.a(2 * x)))), 2, 0),  # not the block's input
        (lambda net, x: x + net.b(F.relu(net.a(x))), 2, 0),  # no ReLU at the end
        (lambda net, x: F.relu(net.a(x)) + net.a(x), 2, 0),  # each call is a node of its own
        (lambda net, x: (lambda a: F.relu(a) + a)(net.a(x)), 1, 0),  # used twice
        (lambda net, x: (lambda a: a + a)(net.a(x)), 1, 0),
        (lambda net, x: F.relu(net.a(x) + net.b(x).mean((2, 3), keepdim=True)), 2, 0),  # broadcast
        (lambda net, x: F.relu(net.a(F.avg_pool2d(x, 8)) + x), 1, 0),  # broadcast, to more
        (lambda net, x: F.relu(net.a(x) + F.max_pool2d(net.b(x).sin(), 1)), 2, 0),  # the term comes later
        (lambda net, x: F.relu(net.a(x) + 1), 1, 0),  # a sum with a number
        (lambda net, x: torch.add(net.a(x), x, alpha=2), 1, 0),
        (lambda net, x: net.a(x).double() + x.double(), 1, 0),
        (lambda net, x: F.relu(net.a(x) + x.double()).float(), 1, 0),  # the sum changes the dtype
        (write_between, 1, 0),
        (write_into_the_other_term, 2, 0),
        (add_to_the_shortcut, 2, 0),
        (use_after_a_relu_in_place, 2, 0),
        (preactivation, 3, 0),
        (preactivation_shortcut_of_the_relu, 2, 0),
        (lambda net, x: net.norm(x) + net.b(x), 1, 0),  # a norm without a ReLU
    ],
)
def test_nets_of_users(forward, joined, blocks):
    torch.manual_seed(0)
    net, images = with_statistics(Layers(forward)), torch.randn(3, 4, 8, 8)
    for channels_last in (True, False):
        fused = joined_copy(net, images, channels_last=channels_last)
        assert (fused.joined, blocks_of(fused)) == (joined, blocks)
        assert_follows(fused, net, images)


@pytest.mark.parametrize(
    "relu",
    [
        F.relu,
        torch.relu,
        torch.relu_,
        operator.methodcaller("relu"),
        operator.methodcaller("relu_"),
        lambda x: F.relu(x, inplace=True),
        lambda x: F.relu(x, True),
    ],
)
def test_every_way_to_write_a_relu(relu):
    torch.manual_seed(0)
    net, images = Layers(lambda net, x: relu(net.a(x))).eval(), torch.randn(3, 4, 8, 8)
    fused = joined_copy(net, images)
    (joined,) = (module for module in fused.module.modules() if isinstance(module, JoinedConv))
    assert joined.relu
    assert_follows(fused, net, images)


@pytest.mark.parametrize(
    ("form", "joined"),
    [
        ({"groups": 4}, 2),
        ({"dilation": 2, "padding": 2}, 2),
        ({"padding": "same"}, 0),
        ({"padding_mode": "circular"}, 0),
    ],
)
def test_convolutions_of_other_forms(form, joined):
    torch.manual_seed(0)
    net = Layers(lambda net, x: F.relu(x + net.b(F.relu(net.a(x)))), **form).eval()
    images = torch.randn(3, 4, 8, 8)
    fused = joined_copy(net, images)
    assert (fused.joined, blocks_of(fused)) == (joined, 0)
    assert_follows(fused, net, images)


@pytest.mark.parametrize(("layer", "joined"), [("a", 1), ("relu", 2)])
def test_layers_with_hooks_do_not_join(layer, joined):
    torch.manual_seed(0)
    net, images = Layers(lambda net, x: net.relu(net.b(F.relu(net.a(x))))).eval(), torch.randn(3, 4, 8, 8)
    net.get_submodule(layer).register_forward_hook(lambda module, inputs, output: output - 0.1)
    fused = joined_copy(net, images)
    assert fused.joined == joined
    assert_follows(fused, net, images)


def test_gradients_go_through_joined_layers():
    torch.manual_seed(0)
    net, images = with_statistics(Layers(preactivation)), torch.randn(3, 4, 8, 8)
    fused = joined_copy(net, images)
    inputs = [images.clone().requires_grad_() for _ in range(2)]
    gradients = [
        torch.autograd.grad(run(x).square().sum(), x)[0] for run, x in zip((net, fused), inputs, strict=True)
    ]
    torch.testing.assert_close(*gradients)
