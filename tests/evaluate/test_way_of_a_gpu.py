"""The evaluator's way on a GPU, on a CPU: stand-ins replace CUDA graphs, the GPU's clock and cuDNN's kernels.

tests/evaluate/test_cuda.py runs the same on a GPU.
"""

import time

import pytest
import torch

from losslandscape.data import dataloader
from losslandscape.evaluate import batch_size, data_pass, evaluation, kernel_choice
from losslandscape.evaluate.evaluation import Evaluator, evaluate
from losslandscape.evaluate.joined_layers import JoinedConv
from losslandscape.nets import model_loader, net_plotter
from losslandscape.nets.moving import moving
from tests.helpers import SMALL_BATCH
from tests.recorded_call import RecordedCall


def seconds(call, *, runs=1):
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


@pytest.fixture
def gpu(monkeypatch) -> list[int]:
    """Take the way of a GPU; list the sizes of the batches that the stand-in of cuDNN's kernel computes."""
    sizes = []

    def cudnn(layer, x, residual):
        sizes.append(len(x))
        return layer._plain(x, residual)

    def clock(call):
        call()
        return 1.0 if "_plain" in str(call) else 0.5

    monkeypatch.setattr(Evaluator, "_on_cuda", True)
    for module in (evaluation, data_pass, batch_size):
        monkeypatch.setattr(module, "CapturedCall", RecordedCall)
    monkeypatch.setattr(batch_size, "device_seconds", seconds)
    monkeypatch.setattr(kernel_choice.KernelChoice.__init__, "__defaults__", (clock,))
    monkeypatch.setattr(JoinedConv, "_cudnn", cudnn)
    return sizes


def test_all_points_use_the_kernels_that_were_chosen(gpu):
    data = dataloader.load("digits", "train", datapath="", data_split=32)
    net = model_loader.load("resnet20", str(SMALL_BATCH))
    axes = [net_plotter.random_direction(net, "weights", norm="filter", ignore="biasbn")]
    evaluator = Evaluator(net, {"train": data})
    evaluator.prepare()
    assert evaluator.graphed == ["train"]
    assert "21 layers joined (" in evaluator.describe() and "cudnn" in evaluator.describe()
    gpu.clear()
    with moving(net, axes, "weights") as move:
        for alpha in (0.0, 0.4, -0.7):
            move((alpha,))
            values, (loss, acc) = evaluator.measure(), evaluate(net, data)
            assert values["train_loss"] == pytest.approx(loss, rel=1e-5)
            assert values["train_acc"] == pytest.approx(acc)
    assert sum(gpu) >= 9 * len(data)  # in the graph


def refuse(memo):
    raise RuntimeError("this net cannot be copied")


@pytest.mark.parametrize("can_be_copied", [True, False])
@pytest.mark.parametrize("choices", [{}, {"bn_samples": 64}], ids=str)
def test_a_graph_reads_the_present_tensors(gpu, can_be_copied, choices):
    """Here of a net with computed weights, also with batch norms that are estimated again."""
    data = dataloader.load("digits", "train", datapath="", data_split=32)
    net = model_loader.load("resnet20", str(SMALL_BATCH))
    torch.nn.utils.parametrizations.weight_norm(net.conv1)
    torch.nn.utils.parametrizations.weight_norm(net.linear)
    if not can_be_copied:
        net.__deepcopy__ = refuse
    axes = [net_plotter.random_direction(net, "weights", norm="filter", ignore="biasbn")]
    evaluator = Evaluator(net, {"train": data}, batch_size=20, **choices)
    with moving(net, axes, "weights") as move:
        for alpha in (0.0, 0.4, -0.7):
            move((alpha,))
            values, (loss, acc) = evaluator.measure(), evaluate(net, data)
            assert values["train_loss"] == pytest.approx(loss, rel=1e-5)
            assert values["train_acc"] == pytest.approx(acc)
    assert evaluator.graphed == ["train"]
