"""Nets that torch.compile, DataParallel or torch.jit wraps are measured like the nets inside."""

import copy
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from losslandscape import InputError, loss_surface
from losslandscape.curvature.hess_vec_prod import Curvature
from losslandscape.data import user_data
from losslandscape.nets import model_loader
from losslandscape.nets.net_plotter import random_direction
from losslandscape.nets.wrappers import traced_in_training, unwrapped

IMAGES = torch.randn(12, 1, 6, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(12) % 3
DATA = (IMAGES, LABELS)


def plain_net() -> nn.Module:
    """A trained-looking net: its batch norm has statistics of its own."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.ConvTranspose2d(4, 6, 3, groups=1),
        nn.Flatten(),
        nn.Linear(216, 3),
    )
    net[1].running_mean.normal_()
    net[1].running_var.uniform_(0.5, 2)
    return net.eval()


def jit(how: str, net: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated
        return torch.jit.script(net) if how == "script" else torch.jit.trace(net, IMAGES[:2])


def compiled_inside(net: nn.Module) -> nn.Module:
    net[0] = torch.compile(net[0], backend="aot_eager")
    return net


def compiled_in_place(net: nn.Module) -> nn.Module:
    net.compile(backend="aot_eager")
    return net


WAYS = {
    "compile": lambda net: torch.compile(net, backend="eager"),
    "compile of DataParallel": lambda net: torch.compile(nn.DataParallel(net), backend="aot_eager"),
    "a compiled part": compiled_inside,
    "compiled in place": compiled_in_place,
    "DataParallel": nn.DataParallel,
    "script": lambda net: jit("script", net),
    "trace": lambda net: jit("trace", net),
}


def losses_by_a_plain_loop(steps: list[float]) -> list[float]:
    net = plain_net()
    direction = random_direction_of(net)
    losses = []
    for step in steps:
        moved = copy.deepcopy(net)
        with torch.no_grad():
            for parameter, part in zip(moved.parameters(), direction, strict=True):
                parameter += step * part
            losses.append(float(F.cross_entropy(moved(IMAGES), LABELS)))
    return losses


def random_direction_of(net: nn.Module) -> list[torch.Tensor]:
    torch.manual_seed(123)
    return random_direction(net, "weights", norm="filter", ignore="biasbn")


@pytest.mark.parametrize("way", WAYS)
def test_surfaces_are_those_of_a_plain_loop(way):
    net = WAYS[way](plain_net())
    before = copy.deepcopy(unwrapped(net).state_dict())
    surface = loss_surface(net, DATA, x=(-1, 1, 3), quiet=True)
    np.testing.assert_allclose(surface.get("train_loss"), losses_by_a_plain_loop([-1, 0, 1]), rtol=1e-5)
    for name, value in unwrapped(net).state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("way", WAYS)
def test_curvature_is_that_of_the_net_inside(way):
    samples = user_data.as_samples(DATA, name="train")
    expected = Curvature(plain_net(), samples)
    matrix = Curvature(WAYS[way](plain_net()), samples)
    vectors = torch.randn(2, expected.dimension)
    for _ in range(3):  # torch.jit compiles in the second call
        torch.testing.assert_close(matrix(vectors), expected(vectors), rtol=1e-4, atol=1e-5)


def test_the_filters_of_a_scripted_transposed_convolution():
    """They lie along its second axis, as in the layer itself."""
    layer = nn.ConvTranspose2d(4, 6, 3, groups=2)
    expected = random_direction_of(layer)
    for part, other in zip(expected, random_direction_of(jit("script", layer)), strict=True):
        assert torch.equal(part, other)


def test_what_cannot_be_unwrapped_is_said():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frozen = torch.jit.freeze(jit("script", plain_net()))
    with pytest.raises(InputError, match="torch.jit.freeze"):
        loss_surface(frozen, DATA, quiet=True)


class Listed(nn.Module):
    """A module in a list, which itself has no forward."""

    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleList([nn.Linear(36, 3), nn.Dropout()])

    def forward(self, images):
        values = images.flatten(1)
        for part in self.parts:
            values = part(values)
        return values


@pytest.mark.parametrize("make", [plain_net, Listed])
def test_a_net_that_was_traced_in_training_mode_is_warned_about(make, capsys):
    for how, training, is_warned in (("trace", True, True), ("trace", False, False), ("script", True, False)):
        net = jit(how, make().train(training))
        assert traced_in_training(net) == is_warned
        loss_surface(net, DATA, x=(0, 1, 2))
        assert ("call eval() before the net is traced" in capsys.readouterr().out) == is_warned


def test_what_torch_export_makes_is_refused():
    exported = torch.export.export(plain_net(), (IMAGES[:2],)).module()
    with pytest.raises(InputError, match="torch.export"):
        loss_surface(exported, DATA, quiet=True)


def test_statistics_of_scripted_batch_norms_are_not_recomputed():
    with pytest.raises(InputError, match="torch.jit has compiled the net"):
        loss_surface(jit("script", plain_net()), DATA, bn_samples=12, quiet=True)


class NotTwice(torch.autograd.Function):
    @staticmethod
    def forward(context, values):
        return values.clone()

    @staticmethod
    def backward(context, gradient):
        raise RuntimeError("no second derivative")


def test_a_scripted_part_is_named_as_a_cause():
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 3), jit("script", nn.Sequential(nn.ReLU())))
    net.register_forward_hook(lambda net, inputs, outputs: NotTwice.apply(outputs))
    with pytest.raises(InputError, match="torch.jit has compiled"):
        Curvature(net, user_data.as_samples(DATA, name="train"))


def test_a_net_by_name_is_unwrapped(inside):
    (inside / "nets.py").write_text(
        "import torch\n"
        "NET = torch.nn.Linear(2, 3)\n"
        "def compiled(): return torch.compile(torch.nn.Linear(2, 3), backend='eager')\n"
        "def same(): return torch.nn.DataParallel(NET)\n"
    )
    assert list(model_loader.load("nets.py:compiled").state_dict()) == ["weight", "bias"]
    model_loader.load("nets.py:same")
    with pytest.raises(InputError, match="same net as before"):
        model_loader.load("nets.py:same")
