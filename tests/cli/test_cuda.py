"""The evaluator on a GPU gives what the plain evaluation gives there, however the images reach it; and who
shares a GPU.
"""

from types import SimpleNamespace

import pytest
import torch

from losslandscape.core.errors import InputError
from losslandscape.data import dataloader
from losslandscape.measure.batch_stream import batches
from losslandscape.measure.evaluation import Evaluator, evaluate
from losslandscape.nets import model_loader, net_plotter
from losslandscape.nets.moving import moving
from losslandscape.parallel import devices
from losslandscape.parallel.devices import set_precision
from losslandscape.parallel.mpi4pytorch import Serial
from tests.helpers import SMALL_BATCH

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")


@pytest.fixture
def digits():
    return dataloader.load("digits", "train", datapath="", data_split=4)


@pytest.fixture
def float32_products():
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    set_precision("fp32", torch.device("cuda"))
    yield
    matmul.allow_tf32, cudnn.allow_tf32 = before


@needs_gpu
@pytest.mark.parametrize(
    "choices",
    [{}, {"graph": False}, {"memory": 0}, {"memory": 0, "batch_size": 7}, {"batch_size": 100}],
    ids=str,
)
def test_evaluator_equals_the_plain_evaluation(digits, float32_products, choices):
    net = model_loader.load("resnet20", str(SMALL_BATCH))
    axes = [net_plotter.random_direction(net, "weights", norm="filter", ignore="biasbn")]
    net.cuda()
    evaluator = Evaluator(net, {"train": digits}, **choices)
    with moving(net, axes, "weights") as move:
        for alpha in (0.0, 0.4, -0.7):
            move((alpha,))
            loss, acc = evaluate(net, digits.to("cuda"))
            assert evaluator.measure() == pytest.approx({"train_loss": loss, "train_acc": acc}, rel=1e-5)


@needs_gpu
def test_a_point_is_one_graph(digits):
    evaluator = Evaluator(model_loader.load("resnet20").cuda(), {"train": digits}, batch_size=64)
    evaluator.prepare()
    assert evaluator.graphed == ["train"]
    assert "one CUDA graph a point" in evaluator.describe()


@needs_gpu
@pytest.mark.parametrize("batch_size", [1, 7, 359, 1000])
def test_streamed_batches_are_the_images(digits, batch_size):
    images, labels = zip(*batches(digits, batch_size, torch.device("cuda")), strict=True)
    assert all(image.is_cuda for image in images)
    torch.testing.assert_close(torch.cat(images).cpu(), digits.batch(slice(None)))
    assert torch.equal(torch.cat(labels).cpu(), digits.labels)


@needs_gpu
def test_bf16_is_within_a_percent(digits):
    net = model_loader.load("resnet20").cuda()
    loss, _ = evaluate(net, digits.to("cuda"))
    assert Evaluator(net, {"train": digits}, precision="bf16").measure()["train_loss"] == pytest.approx(
        loss, rel=0.01
    )


class NodeOf(Serial):
    """A rank of a node whose ranks see the GPUs with these UUIDs."""

    def __init__(self, local_rank, uuids):
        self.rank = self.local_rank = local_rank
        self.size = self.local_size = len(uuids)
        self._uuids = uuids

    def gather_node(self, value):
        assert value == self._uuids[self.local_rank]
        return self._uuids


@pytest.mark.parametrize(
    ("uuids", "sharers", "warned"),
    [
        (["a", "b", "c"], [1, 1, 1], False),  # also where each rank sees one GPU only, as number 0
        (["a", "b", "a"], [2, 1, 2], True),
        (["a", "a"], [2, 2], True),
    ],
)
def test_ranks_that_share_a_gpu_are_counted_and_warned(monkeypatch, capsys, uuids, sharers, warned):
    for rank, uuid in enumerate(uuids):
        monkeypatch.setattr(
            torch.cuda, "get_device_properties", lambda _, uuid=uuid: SimpleNamespace(uuid=uuid)
        )
        assert devices.sharers(NodeOf(rank, uuids), torch.device("cuda", 0)) == sharers[rank]
    assert ("share" in capsys.readouterr().out) == warned


@pytest.mark.parametrize(("gpus", "numbers"), [(4, [0, 1, 2, 3, 0]), (1, [0, 0]), (3, [0, 1, 2])])
def test_ranks_take_gpus_in_turn(monkeypatch, gpus, numbers):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "set_device", lambda _: None)
    taken = [devices.choose(True, NodeOf(rank, ["gpu"] * len(numbers))).index for rank in range(len(numbers))]
    assert taken == numbers


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_no_gpu_is_said():
    with pytest.raises(InputError, match="no CUDA device"):
        devices.choose(True, Serial())
