"""A fused net is the same function as the net, wherever the net is moved, and leaves the net alone."""

import pytest
import torch
from torch import nn

from losslandscape.core import large
from losslandscape.data import dataloader
from losslandscape.data.samples import SampleSet
from losslandscape.evaluate import losses
from losslandscape.evaluate.evaluation import Evaluator, evaluate
from losslandscape.evaluate.fused_net import FusedNet
from losslandscape.nets import model_loader, net_plotter
from losslandscape.nets.moving import moving
from tests.helpers import LARGE_BATCH, SMALL_BATCH


def with_statistics(net: nn.Module) -> nn.Module:
    """Batch norms as after a training: none of their tensors is at its default."""
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            if module.track_running_stats:
                nn.init.normal_(module.running_mean, std=0.3)
                nn.init.uniform_(module.running_var, 0.5, 2)
            if module.affine:
                nn.init.normal_(module.weight, 1, 0.2)
                nn.init.normal_(module.bias, std=0.2)
    return net.eval()


@pytest.mark.parametrize(
    ("model", "folded", "channels_last"),
    [
        ("resnet20", 21, True),
        ("resnet20", 21, False),
        ("resnet20_noshort", 19, True),
        ("vgg9", 8, True),
        ("vgg9", 8, False),
        ("densenet_cifar", 58, True),
        pytest.param("resnet50_noshort", 49, True, marks=pytest.mark.slow),
    ],
)
def test_every_kind_of_net(model, folded, channels_last):
    torch.manual_seed(0)
    net = with_statistics(model_loader.build(model))
    images = torch.randn(3, 3, 32, 32)
    fused = FusedNet(net, lambda net: net(images[:2]), channels_last=channels_last)
    assert fused.folded == folded
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with torch.inference_mode():
        torch.testing.assert_close(fused(images), net(images), rtol=1e-4, atol=1e-5)
    axes = [net_plotter.random_direction(net, "states", norm="filter")]
    with moving(net, axes, "states") as move, torch.inference_mode():
        for alpha in (0.3, -0.2):
            move((alpha,))
            fused.refresh()
            torch.testing.assert_close(fused(images), net(images), rtol=1e-3, atol=1e-4)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


class TwoHeads(nn.Module):
    """Batch norms that must not fold: after a convolution that is used twice, and without statistics."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)
        self.twice, self.norm_twice = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
        self.last, self.batch_only = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)
        self.good, self.plain = nn.Conv2d(4, 5, 1, bias=False), nn.BatchNorm2d(5, affine=False)

    def forward(self, images):
        read_twice = self.conv(images)
        maps = self.norm(read_twice) + read_twice
        maps = self.norm_twice(self.twice(self.norm_twice(self.twice(maps))))
        return self.plain(self.good(self.batch_only(self.last(maps)))).mean((2, 3))


class DependsOnData(nn.Module):
    """torch.fx cannot trace a branch on values."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3))

    def forward(self, images):
        return self.layers(images if images.mean() > 0 else -images)


class DependsOnNumber(nn.Module):
    """A trace of it is another function: it has only the path of the first run."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.runs = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), 0

    def forward(self, images):
        self.runs += 1
        maps = self.norm(self.conv(images))
        return (-maps if self.runs == 1 else maps).mean((2, 3))


@pytest.mark.parametrize(("kind", "folded"), [(TwoHeads, 1), (DependsOnData, 0), (DependsOnNumber, 0)])
def test_nets_that_fold_in_part_or_not_at_all(kind, folded):
    torch.manual_seed(0)
    net, images = with_statistics(kind()), torch.randn(6, 3, 4, 4)
    fused = FusedNet(net, lambda net: net(images[:2]))
    assert fused.folded == folded
    with torch.inference_mode():
        torch.testing.assert_close(fused(images), net(images), rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def digits():
    return dataloader.load("digits", "train", datapath="", data_split=16)


@pytest.mark.slow
@pytest.mark.parametrize("loss_name", ["crossentropy", "mse"])
def test_evaluator_equals_the_plain_evaluation(digits, loss_name):
    net = model_loader.load("resnet20", str(SMALL_BATCH))
    axes = [net_plotter.random_direction(net, "weights", norm="filter", ignore="biasbn")]
    evaluator = Evaluator(net, {"train": digits, "test": digits}, loss=loss_name)
    with moving(net, axes, "weights") as move:
        for alpha in (0.0, 0.4, -0.7):
            move((alpha,))
            loss, acc = evaluate(net, digits, loss=loss_name)
            expected = {"train_loss": loss, "train_acc": acc, "test_loss": loss, "test_acc": acc}
            assert evaluator.measure() == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_bf16_is_within_a_percent_near_the_minimum():
    test_set = dataloader.load(
        "digits", "test", datapath=""
    )  # its loss is not as near to 0 as the training set's
    net = model_loader.load("resnet20", str(LARGE_BATCH))
    values = Evaluator(net, {"test": test_set}, precision="bf16").measure()
    loss, acc = evaluate(net, test_set)
    assert values["test_loss"] == pytest.approx(loss, rel=0.01)
    assert values["test_loss"] != pytest.approx(loss, rel=1e-6)  # it did compute in bf16
    assert values["test_acc"] == pytest.approx(acc, abs=1)


@pytest.mark.slow
def test_batch_size_does_not_change_the_values(digits):
    net = model_loader.load("resnet20", str(SMALL_BATCH))
    values = [Evaluator(net, {"train": digits}, batch_size=size).measure() for size in (1, 7, 89, 1000)]
    assert all(value == pytest.approx(values[0], rel=1e-5) for value in values)


class TiedHeads(nn.Module):
    """The second layer is called first and has the first's weights."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(48, 48), nn.Linear(48, 48)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.a(self.b(x.flatten(1)))


def test_tied_weights_follow_the_net():
    torch.manual_seed(0)
    net, images = TiedHeads().eval(), torch.randn(6, 3, 4, 4)
    fused = FusedNet(net, lambda net: net(images[:2]))
    with torch.no_grad():
        net.a.weight.add_(1)
    fused.refresh()
    with torch.inference_mode():
        torch.testing.assert_close(fused(images), net(images), rtol=1e-4, atol=1e-4)


class Flattens(nn.Module):
    """As tutorials write it: `view` needs the net's own memory layout."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Linear(64, 3)

    def forward(self, images):
        maps = self.norm(self.conv(images)).relu()
        return self.last(maps.view(maps.size(0), -1))


class Volumes(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.last = nn.Conv3d(1, 4, 2), nn.BatchNorm3d(4), nn.Linear(4, 3)

    def forward(self, images):
        return self.last(self.norm(self.conv(images[:, None])).relu().mean((2, 3, 4)))


class OwnNorm(nn.Module):
    """A trace could take what is computed from buffers and listed parameters for constants."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = (
            nn.Conv2d(3, 4, 1),
            nn.BatchNorm2d(4),
        )  # which fold, so that there is a trace to be wrong
        self.scales = nn.Parameter(
            torch.linspace(0.2, 1.5, 4)
        )  # what is added to all classes alike, a loss does not see
        self.register_buffer("running_mean", torch.zeros(4))
        self.register_buffer("running_var", torch.ones(4))

    def forward(self, images):
        scale = (self.running_var + 1e-5).rsqrt()
        named = dict(self.named_parameters())
        return (
            self.norm(self.conv(images)).mean((2, 3)) * scale
            - self.running_mean * scale
            + named["scales"].exp()
        )


def with_old_norm(kind):
    def make():
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3))
        kind(net[0])
        return net

    return make


@pytest.mark.parametrize(
    "make",
    [
        Flattens,
        Volumes,
        OwnNorm,
        with_old_norm(nn.utils.weight_norm),
        with_old_norm(nn.utils.spectral_norm),
        with_old_norm(nn.utils.parametrizations.weight_norm),
    ],
)
@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_other_layouts_and_computed_tensors_follow_the_net(make):
    torch.manual_seed(0)
    net, data = with_statistics(make()), SampleSet(((torch.randn(9, 3, 4, 4), torch.arange(9) % 3),))
    evaluator = Evaluator(net, {"train": data})
    torch.manual_seed(1)
    axes = [net_plotter.random_direction(net, "states", norm="layer")]
    with moving(net, axes, "states") as move:
        for alpha in (0.4, -0.3, 0.0):
            move((alpha,))
            assert evaluator.measure()["train_loss"] == pytest.approx(evaluate(net, data)[0], rel=1e-5)


class WritesIntoItsInput(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(4, 3)

    def forward(self, x):
        x -= 0.3
        x *= 1.5
        return self.last(x)


def test_a_net_that_writes_into_its_input_leaves_the_data_alone():
    inputs, labels = torch.randn(9, 4), torch.arange(9) % 3
    before, net = inputs.clone(), WritesIntoItsInput()
    data = SampleSet(((inputs, labels),))
    evaluator = Evaluator(net, {"train": data})
    with torch.no_grad():
        expected = float(nn.functional.cross_entropy(net(before.clone()), labels))
    assert [evaluator.measure()["train_loss"] for _ in range(3)] == pytest.approx([expected] * 3, rel=1e-6)
    assert torch.equal(inputs, before)


class Tied(nn.Module):
    """A tied convolution before a batch norm, a mask with large numbers, and a branch that is nearly zero."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.other, self.last = (
            nn.Conv2d(3, 4, 1),
            nn.BatchNorm2d(4),
            nn.Conv2d(3, 4, 1),
            nn.Linear(4, 3),
        )
        self.other.weight = self.conv.weight
        self.scale = nn.Parameter(torch.tensor(1e-5))

    def forward(self, images):
        features = self.other(images) + self.scale * self.norm(self.conv(images))
        return self.last(features.mean((2, 3))).masked_fill(torch.tensor([False, False, True]), -1e9)


def test_a_fold_that_shows_in_small_numbers_only_is_right_where_the_net_moves():
    torch.manual_seed(0)
    net, data = with_statistics(Tied()), SampleSet(((torch.randn(9, 3, 4, 4), torch.arange(9) % 2),))
    evaluator = Evaluator(net, {"train": data})
    with torch.no_grad():
        net.scale.fill_(3)
    assert evaluator.folded == 1
    assert evaluator.measure()["train_loss"] == pytest.approx(evaluate(net, data)[0], rel=1e-5)


def test_a_loss_that_looks_into_the_net_sees_the_net():
    torch.manual_seed(0)
    net, data = (
        with_statistics(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3))),
        SampleSet(((torch.randn(9, 3, 4, 4), torch.arange(9) % 3),)),
    )

    def penalised(net, batch):
        outputs = net(batch[0])
        penalty = 1e-4 * sum(parameter.square().sum() for parameter in net.parameters())
        return (
            nn.functional.cross_entropy(outputs, batch[1]) + penalty,
            len(batch[0]),
            {"acc": 100 * (outputs.argmax(1) == batch[1]).float().mean()},
        )

    def plain(net, batch):
        return nn.functional.cross_entropy(net(batch[0]), batch[1])

    for loss, folded in ((penalised, 0), (plain, 1)):
        evaluator = Evaluator(net, {"train": data}, loss=losses.find(loss))
        with torch.no_grad():
            expected = loss(net, data.chunks[0])
        assert evaluator.folded == folded
        assert evaluator.measure()["train_loss"] == pytest.approx(
            float(expected[0] if isinstance(expected, tuple) else expected), rel=1e-5
        )


class OfItsOwnPrecision(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(4, 3)

    def forward(self, x):
        return self.last(x.float() / 255)


def test_bf16_of_a_net_that_makes_float32_itself_is_autocast():
    torch.manual_seed(0)
    net, data = (
        OfItsOwnPrecision(),
        SampleSet(((torch.randint(256, (9, 4), dtype=torch.uint8), torch.arange(9) % 3),)),
    )
    found = Evaluator(net, {"train": data}, precision="bf16").measure()["train_loss"]
    expected = evaluate(net, data)[0]
    assert found == pytest.approx(expected, rel=0.01) and found != expected


def test_a_large_net_is_copied_only_if_batch_norms_fold(monkeypatch):
    monkeypatch.setattr(large, "LARGE", 10)
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten()]
    images = torch.randn(2, 3, 8, 8)
    plain, normed = nn.Sequential(layers[0], layers[2]), with_statistics(nn.Sequential(*layers))
    for net, copied in ((plain, False), (normed, True)):
        fused = FusedNet(net.eval(), lambda run: run(images))
        assert fused.copied == copied and fused.folded == int(copied)


def test_scripted_nets_are_measured():
    torch.manual_seed(0)
    data = SampleSet(((torch.randn(9, 3, 4, 4), torch.arange(9) % 3),))
    net = with_statistics(
        nn.Sequential(
            torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))),
            nn.Flatten(),
            nn.Linear(16, 3),
        )
    )
    assert Evaluator(net, {"train": data}).measure()["train_loss"] == pytest.approx(
        evaluate(net, data)[0], rel=1e-5
    )
