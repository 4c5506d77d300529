"""The evaluator on a GPU gives what the plain evaluation gives there, however the samples reach it."""

import math
import re

import pytest
import torch

from losslandscape.data import dataloader
from losslandscape.data.image_set import ImageSet
from losslandscape.data.own_batches import OwnBatches
from losslandscape.evaluate.batch_stream import batches
from losslandscape.evaluate.evaluation import Evaluator, evaluate
from losslandscape.evaluate.fused_net import FusedNet
from losslandscape.nets import model_loader, net_plotter
from losslandscape.nets.moving import moving
from losslandscape.parallel.devices import set_precision
from tests.evaluate.test_fused_net import with_statistics
from tests.helpers import SMALL_BATCH

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")


@pytest.fixture(scope="module")
def digits() -> ImageSet:
    return dataloader.load("digits", "train", datapath="", data_split=4)


@pytest.fixture
def float32_products():
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    set_precision("fp32", torch.device("cuda"))
    yield
    matmul.allow_tf32, cudnn.allow_tf32 = before


@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"graph": False},
        {"memory": 0},
        {"memory": 0, "batch_size": 7},
        {"batch_size": 100},
        {"errors": True},
    ],
    ids=str,
)
def test_the_evaluator_equals_the_plain_evaluation(digits, float32_products, choices):
    net = model_loader.load("resnet20", str(SMALL_BATCH))
    axes = [net_plotter.random_direction(net, "weights", norm="filter", ignore="biasbn")]
    net.cuda()
    evaluator = Evaluator(net, {"train": digits}, **choices)
    with moving(net, axes, "weights") as move:
        for alpha in (0.0, 0.4, -0.7):
            move((alpha,))
            values, (loss, acc) = evaluator.measure(), evaluate(net, digits.to("cuda"))
            assert values["train_loss"] == pytest.approx(loss, rel=1e-5)
            assert values["train_acc"] == pytest.approx(acc, rel=1e-5)


def test_a_point_is_one_graph(digits):
    evaluator = Evaluator(model_loader.load("resnet20").cuda(), {"train": digits}, batch_size=64)
    evaluator.prepare()
    assert evaluator.graphed == ["train"]
    assert "one CUDA graph" in evaluator.describe()


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("tf32", 0.02), ("bf16", 0.1)])
@pytest.mark.parametrize("model", ["resnet20", "resnet20_noshort", "vgg9", "densenet_cifar", "resnet18"])
def test_joined_layers_equal_the_plain_net(float32_products, model, precision, tolerance):
    torch.manual_seed(0)
    net, images = with_statistics(model_loader.build(model)), torch.randn(64, 3, 32, 32).cuda()
    axes = [net_plotter.random_direction(net, "states", norm="layer")]
    net.cuda()  # before the copy is made, which reads the net's tensors where they are then
    dtype = torch.bfloat16 if precision == "bf16" else None
    fused = FusedNet(net, lambda net: net(images[:2]), dtype=dtype, channels_last=True)
    assert fused.joined
    with moving(net, axes, "states") as move, torch.inference_mode():
        expected = []
        for alpha in (0.0, 0.1):
            move((alpha,))
            expected.append(net(images))
        set_precision(precision, torch.device("cuda"))
        for alpha, plain in zip((0.0, 0.1), expected, strict=True):
            move((alpha,))
            fused.refresh()
            with fused.kernels.choosing():
                found = fused(images)
            assert (found - plain).abs().max() <= tolerance * plain.abs().max()
            assert torch.equal(found, fused(images))  # as in later points, with the kernels that were chosen
    assert str(fused.kernels)


def test_a_net_that_waits_for_the_gpu_is_measured_without_a_graph(digits, float32_products):
    class Waiting(torch.nn.Sequential):
        def forward(self, images):
            return super().forward(images) * (1.0 if images.sum().item() > -1e9 else 2.0)

    net = Waiting(model_loader.load("resnet20")).cuda()
    evaluator = Evaluator(net, {"train": digits}, batch_size=64)
    assert evaluator.measure()["train_loss"] == pytest.approx(evaluate(net, digits.to("cuda"))[0], rel=1e-5)
    assert evaluator.graphed == []
    # The failed capture has left nothing behind.
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    assert torch.rand(2, device="cuda").isfinite().all()
    other = Evaluator(model_loader.load("resnet20").cuda(), {"train": digits}, batch_size=64)
    other.prepare()
    assert other.graphed == ["train"]


def test_the_line_of_a_run_names_the_kernels(digits):
    evaluator = Evaluator(model_loader.load("resnet20").cuda(), {"train": digits})
    evaluator.prepare()
    assert re.search(r"21 layers joined \(\d+ [a-z]", evaluator.describe())


@pytest.mark.parametrize("precision", ["", "bf16"])
def test_what_is_not_a_number_is_not_hidden(digits, precision):
    net = model_loader.load("resnet20").cuda()
    evaluator = Evaluator(net, {"train": digits}, precision=precision)
    evaluator.prepare()
    with torch.no_grad():
        net.layer1[0].conv1.weight[0] = torch.nan
    assert math.isnan(evaluator.measure()["train_loss"])


@pytest.mark.parametrize("batch_size", [1, 7, 359, 1000])
def test_streamed_batches_are_the_images(digits, batch_size):
    images, labels = zip(*batches(digits, batch_size, torch.device("cuda")), strict=True)
    assert all(image.is_cuda for image in images)
    torch.testing.assert_close(torch.cat(images).cpu(), digits.batch(slice(None)))
    assert torch.equal(torch.cat(labels).cpu(), digits.labels)


def test_bf16_is_within_a_percent(digits):
    net = model_loader.load("resnet20").cuda()
    loss, _ = evaluate(net, digits.to("cuda"))
    values = Evaluator(net, {"train": digits}, precision="bf16").measure()
    assert values["train_loss"] == pytest.approx(loss, rel=0.01)


@pytest.mark.parametrize("memory", [None, 0])
def test_batches_of_any_structure_are_moved_to_the_gpu(memory):
    graphs = [
        {"x": torch.randn(n, 3), "edges": [torch.eye(n).to_sparse()], "y": (torch.ones(n), {"name": str(n)})}
        for n in (4, 6, 5)
    ]

    def loss(net, batch):
        outputs = torch.sparse.mm(batch["edges"][0], net(batch["x"]))
        return (outputs[:, 0] - batch["y"][0]).square().mean(), len(batch["x"])

    net, data = torch.nn.Linear(3, 1), OwnBatches.of(graphs)
    expected = evaluate(net, data, loss=loss)[0]
    evaluator = Evaluator(net.cuda(), {"train": data}, loss=loss, memory=memory)
    assert evaluator.measure()["train_loss"] == pytest.approx(expected, rel=1e-4)
