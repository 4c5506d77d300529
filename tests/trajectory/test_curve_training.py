"""The training of bends: its gradient, its resumption, its randomness, and what it is for."""

import copy

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from losslandscape.core.errors import InputError
from losslandscape.data.samples import Samples, as_batch, gather
from losslandscape.evaluate import losses
from losslandscape.evaluate.evaluation import evaluate
from losslandscape.nets.curve import Curve, point_of, shares
from losslandscape.trajectory.curve_training import CurvePlan, CurveTraining, shuffled
from losslandscape.trajectory.training import epoch_generator

CROSSENTROPY = losses.find("crossentropy")


def mlp(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(64, 24), nn.ReLU(), nn.Dropout(0.1), nn.Linear(24, 10))


def digits() -> Samples:
    images, labels = load_digits(return_X_y=True)
    inputs = torch.tensor(images[:600], dtype=torch.float32) / 16
    return gather([as_batch((inputs, torch.tensor(labels[:600])))], are_own=False)


def trained(seed: int, data: Samples, steps: int = 150) -> nn.Module:
    net, ((inputs, labels),) = mlp(seed), data.chunks
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(inputs), labels).backward()
        optimizer.step()
    return net.eval()


@pytest.mark.parametrize("kind", ["bezier", "chain"])
@pytest.mark.parametrize("bends", [1, 2])
def test_a_step_is_the_gradient_of_the_bends(kind, bends):
    """By finite differences, in float64, of the loss at the t of the step, with weight decay."""
    data, decay = digits().take(torch.arange(20)), 0.3
    data = data.with_chunks((x.double(), y) for x, y in data.chunks)
    nets = [mlp(seed).double() for seed in (0, 1)]
    for net in nets:
        net[2].p = 0.0
    plan = CurvePlan(kind, bends, epochs=1, lr=1.0, momentum=0.0, weight_decay=decay, batch_size=20, seed=4)
    training = CurveTraining(nets[0], nets[1], data, CROSSENTROPY, plan)
    before = copy.deepcopy(training.bends)
    list(training.run())
    generator = epoch_generator(4, 1)
    shuffled(data, 20, generator)
    t = float(torch.rand((), generator=generator))

    def loss_at(points: list[list[torch.Tensor]]) -> float:
        """The loss at phi(t) and its penalty, by the definition of the curve."""
        ends = [list(net.state_dict().values()) for net in nets]
        weights = shares(kind, t, bends + 2)
        place = copy.deepcopy(nets[0])
        parts = zip(ends[0], *points, ends[1], strict=True)
        for parameter, part in zip(place.parameters(), parts, strict=True):
            parameter.data = sum(w * p for w, p in zip(weights, part, strict=True))
        penalty = decay / 2 * sum(float(p.detach().square().sum()) for p in place.parameters())
        return evaluate(place, data)[0] + penalty

    for number in range(bends):
        for place in (0, 3):  # a weight of the first layer, and a bias of the last
            index, losses_there = (2,) if place else (3, 20), []
            for step in (-1e-5, 1e-5):
                points = copy.deepcopy(before)
                points[number][place][index] += step
                losses_there.append(loss_at(points))
            slope = (losses_there[1] - losses_there[0]) / 2e-5
            taken = before[number][place][index] - training.bends[number][place][index]
            assert float(taken) == pytest.approx(slope, rel=1e-5, abs=1e-9)


def test_a_resumed_training_is_the_uninterrupted_one():
    data, plan = digits(), CurvePlan(bends=2, epochs=4, batch_size=100)
    whole = CurveTraining(mlp(0), mlp(1), data, CROSSENTROPY, plan)
    list(whole.run())
    first = CurveTraining(mlp(0), mlp(1), data, CROSSENTROPY, plan)
    epochs = first.run()
    next(epochs), next(epochs)
    state = copy.deepcopy(first.state())
    second = CurveTraining(mlp(0), mlp(1), data, CROSSENTROPY, plan)
    second.restore(state)
    torch.rand(7)  # what the program draws elsewhere does not matter
    assert [epoch.epoch for epoch in second.run()] == [3, 4]
    for bend, other in zip(whole.bends, second.bends, strict=True):
        assert all(map(torch.equal, bend, other))


def test_a_curve_has_less_than_a_fifth_of_the_barrier():
    data = digits()
    a, b = (trained(seed, data) for seed in (0, 1))
    training = CurveTraining(a, b, data, CROSSENTROPY, CurvePlan(epochs=30, lr=0.2, batch_size=100))
    list(training.run())
    last = point_of(b, "weights")

    def barrier(curve: Curve) -> float:
        found = []
        with curve.moving(a, "weights") as move:
            for i in range(21):
                move((i / 20,))
                found.append(evaluate(a, data)[0])
        return max(value - (found[0] * (20 - i) + found[-1] * i) / 20 for i, value in enumerate(found))

    line, curve = barrier(Curve("chain", [last])), barrier(Curve("bezier", [*training.bends, last]))
    assert line > 0.1
    assert curve < line / 5


def test_the_net_is_as_before():
    data, net = digits(), mlp(0)
    before = copy.deepcopy(net.state_dict())
    net.train()
    net[0].bias.requires_grad_(False)
    list(CurveTraining(net, mlp(1), data, CROSSENTROPY, CurvePlan(epochs=1)).run())
    assert net.training and not net[0].bias.requires_grad and net[0].weight.requires_grad
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_what_is_equal_in_both_nets_stays():
    other = mlp(1)
    other[0].load_state_dict(mlp(0)[0].state_dict())
    training = CurveTraining(mlp(0), other, digits(), CROSSENTROPY, CurvePlan(epochs=1, weight_decay=0.1))
    list(training.run())
    assert torch.equal(training.bends[0][0], mlp(0)[0].weight)
    assert not torch.equal(training.bends[0][2], (mlp(0)[3].weight + other[3].weight) / 2)


def test_every_sample_comes_once_in_batches_of_the_user():
    sentences = [torch.ones(n, length) * n for n, length in ((4, 3), (2, 5), (6, 3))]
    own = gather([as_batch((batch, torch.arange(len(batch)))) for batch in sentences], are_own=True)
    own = own.in_own_batches()
    taken = [own.take(index).sizes for index in shuffled(own, 3, torch.Generator().manual_seed(0))]
    assert sorted(taken) == [(2,), (4,), (6,)]
    indices = torch.cat(shuffled(digits(), 64, torch.Generator().manual_seed(0)))
    assert sorted(indices.tolist()) == list(range(600))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bends": 0}, "bends 0"),
        ({"lr": 0}, "lr 0"),
        ({"momentum": 1.0}, "momentum 1.0"),
        ({"epochs": 1.5}, "epochs 1.5"),
        ({"kind": "spline"}, "'spline'"),
        ({"weight_decay": float("nan")}, "weight_decay nan"),
    ],
)
def test_a_plan_that_cannot_be(change, words):
    with pytest.raises(InputError, match=words):
        CurvePlan(**change)


def test_nets_that_cannot_be_joined():
    data = digits()
    with pytest.raises(InputError, match="equal"):
        CurveTraining(mlp(0), mlp(0), data, CROSSENTROPY, CurvePlan())
    with pytest.raises(InputError, match=r"two nets differ: 0.weight has shape \[24, 64\]"):
        CurveTraining(mlp(0), nn.Sequential(nn.Linear(64, 10)), data, CROSSENTROPY, CurvePlan())


def test_a_loss_that_is_lost():
    plan = CurvePlan(epochs=9, lr=1e9)
    with pytest.raises(InputError, match=r"epoch \d is (nan|inf), so the bends are lost; give a smaller lr="):
        list(CurveTraining(mlp(0), mlp(1), digits(), CROSSENTROPY, plan).run())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
def test_a_gpu_trains_the_same_bends():
    plan, found = CurvePlan(epochs=2, batch_size=100), []
    for device in ("cpu", "cuda"):
        nets = [mlp(seed).to(device) for seed in (0, 1)]
        nets[0][2].p = 0.0
        training = CurveTraining(*nets, digits().to(device), CROSSENTROPY, plan)
        list(training.run())
        found.append([tensor.cpu() for tensor in training.bends[0]])
    for here, there in zip(*found, strict=True):
        assert torch.allclose(here, there, rtol=1e-3, atol=1e-4)
