"""A step of a training is the step of a plain loop, and a GPU replays it as a graph."""

import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from losslandscape.data import dataloader
from losslandscape.data.image_set import ImageSet
from losslandscape.nets import model_loader
from losslandscape.trajectory import training, training_step
from losslandscape.trajectory.training_step import TrainingStep
from tests.recorded_call import RecordedCall

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
RECIPE = dict(lr=0.1, momentum=0.9, weight_decay=5e-4)


@pytest.fixture(scope="module")
def noise() -> ImageSet:
    """27 small images of random pixels: three batches of 8, and one of 3."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (27, 3, 8, 6), dtype=torch.uint8, generator=generator)
    return ImageSet(pixels, torch.arange(27) % 10, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))


@pytest.fixture(scope="module")
def digits() -> ImageSet:
    """The digits of four classes."""
    data = dataloader.load("digits", "train", datapath="")
    few = data.labels < 4
    return dataclasses.replace(data, images=data.images[few], labels=data.labels[few])


def small_net(*, dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.AvgPool2d(2),
        nn.Conv2d(3, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(256, 10),
    )
    training.initialise(net)
    return net


def train(net, data, *, optimizer="sgd", augmented=True, epochs=(1, 2), batch_size=8, lr=0.1, **choices):
    """Train for some epochs, and return the step."""
    made = training.make_optimizer(net, optimizer, **{**RECIPE, "lr": lr})
    step = TrainingStep(net, data, made, loss_name="crossentropy", augmented=augmented, **choices)
    for epoch in epochs:
        generator = training.epoch_generator(0, epoch)
        table, sizes = training.draw_epoch(len(data), batch_size, generator, augmented=augmented)
        torch.manual_seed(generator.initial_seed())
        step.start_epoch(table, lr)
        for size in sizes:
            step(size)
    return step


def train_plainly(net, data, *, augmented, epochs=(1, 2), batch_size=8):
    """Train image by image as the published program would, with the same random numbers."""
    optimizer = torch.optim.SGD(net.parameters(), nesterov=True, **RECIPE)
    net.train()
    for epoch in epochs:
        generator = training.epoch_generator(0, epoch)
        torch.manual_seed(generator.initial_seed())
        total, wrong = torch.zeros(()), 0
        for chosen in torch.randperm(len(data), generator=generator).split(batch_size):
            images = data.images[chosen].float() / 255
            if augmented:
                images = plain_windows(images, generator)
            mean, std = (torch.tensor(values)[:, None, None] for values in (data.mean, data.std))
            logits, labels = net((images - mean) / std), data.labels[chosen]
            losses = F.cross_entropy(logits, labels, reduction="none")
            optimizer.zero_grad()
            losses.mean().backward()
            optimizer.step()
            total += losses.detach().sum()
            wrong += int((logits.argmax(1) != labels).sum())
    return total.item() / len(data), 100 * wrong / len(data)


def plain_windows(images, generator):
    height, width = images.shape[2:]
    corners = torch.randint(9, (2, len(images)), generator=generator)
    mirrored = torch.randint(2, (len(images),), generator=generator)
    windows = []
    for image, top, left, mirror in zip(F.pad(images, [4] * 4), *corners, mirrored, strict=True):
        window = image[:, top : top + height, left : left + width]
        windows.append(window.flip(2) if mirror else window)
    return torch.stack(windows)


def state_of(net):
    return torch.cat([tensor.cpu().double().flatten() for tensor in net.state_dict().values()])


@pytest.mark.parametrize("augmented", [True, False])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_the_step_is_that_of_a_plain_loop_bit_by_bit(noise, augmented, dropout):
    net, plain = small_net(dropout=dropout), small_net(dropout=dropout)
    step = train(net, noise, augmented=augmented)
    assert (step.loss, step.error) == train_plainly(plain, noise, augmented=augmented)
    assert torch.equal(state_of(net), state_of(plain))


def test_the_border_of_a_crop_is_black_before_normalisation():
    class Seen(nn.Linear):
        def forward(self, images):
            self.values = images.unique().tolist()
            return super().forward(images.flatten(1))

    white = torch.full((64, 3, 8, 8), 255, dtype=torch.uint8)
    data = ImageSet(white, torch.zeros(64, dtype=torch.long), (0.5,) * 3, (0.25,) * 3)
    net = Seen(192, 2)
    train(net, data, batch_size=64, epochs=[1])
    assert net.values == [-2, 2]


def test_training_learns(digits):
    net = small_net()
    first = train(net, digits, epochs=[1], batch_size=64, augmented=False).loss
    last = train(net, digits, epochs=[2, 3, 4], batch_size=64, augmented=False)
    assert last.loss < first and last.loss < 0.1 and last.error < 3


def test_bf16_learns_as_float32_and_keeps_weights_in_float32(digits):
    losses = {}
    for precision in ("", "fp32", "bf16"):
        net = small_net()
        step = train(net, digits, epochs=[1, 2], batch_size=64, augmented=False, precision=precision)
        assert {parameter.dtype for parameter in net.parameters()} == {torch.float32}
        losses[precision] = step.loss
    assert losses["fp32"] == losses[""] != losses["bf16"]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg9", "resnet20", "resnet20_noshort", "densenet121"])
def test_nets_train_in_the_memory_layout_of_gpus(name):
    torch.manual_seed(0)
    net = model_loader.build(name)
    training.initialise(net)
    images = torch.randn(4, 3, 32, 32)
    gradients = []
    for layout in (torch.contiguous_format, torch.channels_last):
        other = copy.deepcopy(net).double().to(memory_format=layout)
        other(images.double().contiguous(memory_format=layout)).square().sum().backward()
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in other.parameters()]))
    assert torch.dist(*gradients) < 1e-6 * gradients[0].norm()


def test_replayed_steps_train_on_each_batch_once(noise, monkeypatch):
    """The step of a GPU with a stand-in for its graphs, which are captured once for each size and rate."""
    captured = []

    class Replayed(RecordedCall):
        def __init__(self, function, *, warm_up):
            assert not warm_up  # which would train on a batch more
            captured.append(function)
            super().__init__(function, warm_up=warm_up)

    monkeypatch.setattr(training_step, "CapturedCall", Replayed)
    monkeypatch.setattr(TrainingStep, "_can_capture", lambda step: True)
    net, plain = small_net(), small_net()
    step = train(net, noise, epochs=[1, 2, 3])
    train_plainly(plain, noise, augmented=True, epochs=[1, 2, 3])
    assert torch.equal(state_of(net), state_of(plain))
    assert len(captured) == 2
    table, sizes = training.draw_epoch(27, 8, training.epoch_generator(0, 3), augmented=True)
    step.start_epoch(table, 0.01)
    for size in sizes:
        step(size)
    assert len(captured) == 4


@needs_cuda
@pytest.mark.parametrize("optimizer", training.OPTIMIZERS)
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_captured_step_is_the_plain_step(noise, optimizer, dropout):
    """Dropout draws the same numbers in a graph, because replays continue the default generator."""
    states = []
    for graph in (True, False):
        net = small_net(dropout=dropout).cuda().to(memory_format=torch.channels_last)
        step = train(net, noise.to("cuda"), optimizer=optimizer, lr=0.01, epochs=range(1, 4), graph=graph)
        assert {size: call.captured for size, call in step._graphs.items()} == (
            {8: True, 3: True} if graph else {}
        )
        states.append(state_of(net))
    assert torch.dist(*states) < 1e-3 * states[0].norm()


@needs_cuda
def test_a_new_learning_rate_reaches_the_graph(noise):
    net = small_net().cuda()
    step = train(net, noise.to("cuda"))
    before = [parameter.clone() for parameter in net.parameters()]
    table, sizes = training.draw_epoch(27, 8, training.epoch_generator(0, 3), augmented=True)
    step.start_epoch(table, 0.0)
    for size in sizes:
        step(size)
    assert all(map(torch.equal, before, net.parameters()))
