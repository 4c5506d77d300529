"""The nets are the published ones: names, shapes, order, counts, function, and initial draws."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

from losslandscape.nets import model_loader
from losslandscape.nets.models import MODELS
from losslandscape.nets.models.resnet import resnet_cifar
from tests.golden.fill_state import fill

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "nets.json").read_text())

# Counted on the published nets.
PARAMETERS = {
    "vgg9": 2789706,
    "densenet121": 6956298,
    "resnet18": 11173962,
    "resnet18_noshort": 11000138,
    "resnet34": 21282122,
    "resnet34_noshort": 21108298,
    "resnet50": 23520842,
    "resnet50_noshort": 20744266,
    "resnet101": 42512970,
    "resnet101_noshort": 39736394,
    "resnet152": 58156618,
    "resnet152_noshort": 55380042,
    "resnet20": 272474,
    "resnet20_noshort": 269722,
    "resnet32_noshort": 464154,
    "resnet44_noshort": 658586,
    "resnet50_16_noshort": 755802,
    "resnet56": 855770,
    "resnet56_noshort": 853018,
    "resnet110": 1730714,
    "resnet110_noshort": 1727962,
    "wrn56_2": 3412394,
    "wrn56_2_noshort": 3401770,
    "wrn56_4": 13628234,
    "wrn56_4_noshort": 13586506,
    "wrn56_8": 54470282,
    "wrn56_8_noshort": 54304906,
    "wrn110_2_noshort": 6893482,
    "wrn110_4_noshort": 27537226,
}

RESNETS = [
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    *("resnet20", "resnet32", "resnet44", "resnet50_16", "resnet56", "resnet110"),
    *("wrn56_2", "wrn56_4", "wrn56_8", "wrn110_2", "wrn110_4"),
]
OTHERS = [
    *("vgg9", "vgg16", "vgg19"),
    *("densenet121", "densenet161", "densenet169", "densenet201", "densenet_cifar"),
]

# Of each kind one small net; the others take longer and differ in numbers of layers and channels.
SMALL = ["vgg9", "densenet_cifar", "resnet18", "resnet50_noshort", "resnet20", "resnet20_noshort", "wrn56_2"]


def marked(names, mark) -> list:
    """The names as parameters, where those of larger nets are marked."""
    return [name if name in SMALL else pytest.param(name, marks=mark) for name in names]


@pytest.fixture(scope="module")
def digits_44() -> tuple[torch.Tensor, torch.Tensor]:
    """One 32nd of the training digits, made from scikit-learn's 8x8 images without our loader."""
    digits = load_digits()
    chosen = np.random.RandomState(0).choice(1437, 1437 // 32, replace=False)
    images = np.kron(digits.images[chosen] / 16, np.ones((4, 4)))[:, None].repeat(3, axis=1)
    return torch.from_numpy((images - 0.3053) / 0.3761).float(), torch.from_numpy(digits.target[chosen])


def on_meta(name: str) -> nn.Module:
    """The net without memory or draws, for questions about its structure."""
    with torch.device("meta"):
        return MODELS[name]().eval()


def test_every_published_name_is_there_and_no_other():
    assert sorted(MODELS) == sorted([*OTHERS, *RESNETS, *(f"{name}_noshort" for name in RESNETS)])


@pytest.mark.parametrize("name", marked(GOLDEN, pytest.mark.slow))
def test_golden_names_shapes_loss_and_accuracy(name, digits_44, tmp_path):
    golden, (images, labels) = GOLDEN[name], digits_44
    file = tmp_path / "model_1.t7"
    torch.save({"state_dict": fill(golden["shapes"]), "epoch": 1, "acc": 10.0}, file)
    net = model_loader.load(name, str(file))
    file.unlink()
    assert [(key, list(value.shape)) for key, value in net.state_dict().items()] == list(
        golden["shapes"].items()
    )
    with torch.no_grad():
        logits = net(images)
    loss = F.cross_entropy(logits.double(), labels).item()
    accuracy = 100 * (logits.argmax(1) == labels).double().mean().item()
    assert loss == pytest.approx(golden["loss"], rel=1e-3)
    assert accuracy == pytest.approx(golden["acc"], abs=1e-3)


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_counts(name):
    assert sum(parameter.numel() for parameter in on_meta(name).parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", [name for name in MODELS if name.endswith("_noshort")])
def test_noshort_is_the_net_less_its_shortcuts(name):
    bare = {key: value.shape for key, value in on_meta(name).state_dict().items()}
    whole = {key: value.shape for key, value in on_meta(name.removesuffix("_noshort")).state_dict().items()}
    assert list(bare.items()) == [item for item in whole.items() if "shortcut" not in item[0]]


@pytest.mark.parametrize("name", marked(MODELS, pytest.mark.nightly))
def test_a_published_checkpoint_loads_into_the_same_function(name, tmp_path):
    """The file is as the published training saved it, every second one from `DataParallel`."""
    prefix = "module." if list(MODELS).index(name) % 2 else ""
    file = tmp_path / "model_300.t7"
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(5))
    torch.manual_seed(0)
    net = model_loader.build(name).eval()
    state = {prefix + key: value for key, value in net.state_dict().items()}
    torch.save({"acc": 93.5, "epoch": 300, "state_dict": state}, file)
    with torch.no_grad():
        expected = net(images)
        assert expected.shape == (2, 10)
        del net, state
        assert torch.equal(model_loader.load(name, str(file))(images), expected)
    file.unlink()


@pytest.mark.parametrize("name", marked(MODELS, pytest.mark.nightly))
def test_traceable(name):
    traced = torch.fx.symbolic_trace(on_meta(name))
    assert traced(torch.empty(2, 3, 32, 32, device="meta")).shape == (2, 10)


@pytest.mark.parametrize("name", ["resnet20", "resnet18_noshort", "resnet56", "vgg9", "densenet_cifar"])
def test_the_same_seed_makes_the_same_net(name):
    states = []
    for _ in range(2):
        torch.manual_seed(123)
        states.append((MODELS[name]().state_dict(), torch.get_rng_state()))
    (first, after_first), (second, after_second) = states
    assert torch.equal(after_first, after_second)
    for a, b in zip(first.values(), second.values(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("shortcut", [True, False])
def test_resnet20_draws_its_layers_in_the_published_order(shortcut):
    """The layers are written out here: a block's convolutions, then its shortcut; last the linear layer."""
    torch.manual_seed(123)
    weights = [nn.Conv2d(3, 16, 3, bias=False).weight]
    for inputs, outputs in ((16, 16), (16, 32), (32, 64)):
        for block in range(3):
            weights.append(nn.Conv2d(inputs if block == 0 else outputs, outputs, 3, bias=False).weight)
            weights.append(nn.Conv2d(outputs, outputs, 3, bias=False).weight)
            if shortcut and block == 0 and inputs != outputs:
                weights.append(nn.Conv2d(inputs, outputs, 1, bias=False).weight)
    linear = nn.Linear(64, 10)
    after = torch.get_rng_state()

    torch.manual_seed(123)
    net = resnet_cifar(20, shortcut=shortcut)
    assert torch.equal(torch.get_rng_state(), after)
    built = [parameter for parameter in net.parameters() if parameter.dim() > 1]
    for ours, theirs in zip(built, [*weights, linear.weight], strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(net.linear.bias, linear.bias)


@pytest.mark.parametrize("name", ["vgg9", "densenet_cifar", "resnet50", "resnet50_noshort"])
def test_draws_are_those_of_the_layers_in_the_order_of_the_state_dict(name):
    torch.manual_seed(7)
    net = MODELS[name]()
    after = torch.get_rng_state()
    torch.manual_seed(7)
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            drawn = layer.weight.clone()
            layer.reset_parameters()
            assert torch.equal(layer.weight, drawn)
    assert torch.equal(torch.get_rng_state(), after)


def test_bottleneck_without_shortcut_ends_without_relu_and_the_basic_block_with_one():
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    for name, negative in (
        ("resnet50_noshort", True),
        ("resnet50", False),
        ("resnet20_noshort", False),
        ("resnet20", False),
    ):
        net = MODELS[name]().eval()
        with torch.no_grad():
            assert (net.layer1(F.relu(net.bn1(net.conv1(images)))).min().item() < 0) == negative, name


@pytest.mark.parametrize("depth", [2, 18, 21])
def test_a_depth_that_three_stages_cannot_have_is_refused(depth):
    with pytest.raises(ValueError, match=f"depth={depth}"):
        resnet_cifar(depth)
