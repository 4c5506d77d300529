"""Slopes, curvatures and their errors along directions agree with closed forms."""

import pytest
import torch
from torch import nn

from losslandscape.core.errors import InputError
from losslandscape.curvature.along import LossesAlong, curvature_along
from losslandscape.curvature.hess_vec_prod import Curvature
from losslandscape.data.samples import SampleSet
from losslandscape.evaluate import losses
from losslandscape.evaluate.targets import IGNORED

X = torch.randn(30, 4, generator=torch.Generator().manual_seed(1))
Y = (X[:, 0] > 0.3).float()
V = torch.tensor([3.0, 0, -4, 0])  # of length 5


def along(net, data, loss, vector=V):
    loss = losses.find(loss)
    matrix = Curvature(net, data, loss=loss)
    found = LossesAlong(net, matrix.names, data, loss, batch_size=7)
    return curvature_along(matrix, found, {"v": vector})["v"]


def error(values):
    return float(values.double().std() / len(values) ** 0.5)


def linear(outputs=1):
    torch.manual_seed(2)
    return nn.Linear(4, outputs, bias=False)


def test_a_quadratic_loss():
    """Of the loss (theta . x - y)^2 the derivatives along v are 2 (theta . x - y)(v . x) and 2 (v . x)^2."""
    net = linear()
    line = along(net, SampleSet(((X, Y),)), "regression_mse")
    along_v = X.double() @ V.double() / 5
    slopes = 2 * (X.double() @ net.weight[0].detach().double() - Y) * along_v
    curvatures = 2 * along_v**2
    assert line.slope == pytest.approx(float(slopes.mean()), rel=1e-6)
    assert line.slope_error == pytest.approx(error(slopes), rel=1e-6)
    assert line.curvature == pytest.approx(float(curvatures.mean()), rel=1e-6)
    assert line.curvature_error == pytest.approx(error(curvatures), rel=1e-5)
    assert line.product == pytest.approx(float(curvatures.mean()), rel=1e-5)


def test_logistic_regression():
    net = linear()
    line = along(net, SampleSet(((X, Y),)), "bce")
    along_v = X.double() @ V.double() / 5
    probability = torch.sigmoid(X.double() @ net.weight[0].detach().double())
    curvatures = probability * (1 - probability) * along_v**2
    assert line.slope == pytest.approx(float(((probability - Y) * along_v).mean()), rel=1e-6)
    assert line.curvature == pytest.approx(float(curvatures.mean()), rel=1e-5)  # the fourth derivative
    assert line.curvature_error == pytest.approx(error(curvatures), rel=1e-5)
    assert line.product == pytest.approx(line.curvature, rel=1e-5)


def test_samples_that_a_loss_ignores_do_not_count():
    labels = Y.long()
    labels[::3] = IGNORED
    kept = labels != IGNORED
    vector = torch.arange(8.0)
    net = linear(2)
    whole = along(net, SampleSet(((X, labels),)), "crossentropy", vector)
    part = along(net, SampleSet(((X[kept], labels[kept]),)), "crossentropy", vector)
    for name in ("slope", "curvature", "product"):
        assert getattr(whole, name) == pytest.approx(getattr(part, name), rel=1e-6)
    count, others = len(X), int(kept.sum())
    corrected = part.slope_error * ((others - 1) / others * count / (count - 1)) ** 0.5
    assert whole.slope_error == pytest.approx(corrected, rel=1e-6)


def test_an_own_loss_has_errors_if_it_returns_the_loss_of_each_sample():
    def own(net, batch):
        values = (net(batch[0])[:, 0] - batch[1]).square()
        return values.mean(), len(values), {"samples": values} if own.tells else {}

    data, lines = SampleSet(((X, Y),)), []
    for own.tells in (False, True):
        lines.append(along(linear(), data, own))
    silent, telling = lines
    assert (silent.slope_error, silent.curvature_error) == (None, None)
    known = along(linear(), data, "regression_mse")
    assert telling.slope_error == pytest.approx(known.slope_error)
    assert silent.curvature == pytest.approx(known.curvature)


def test_the_step_suits_flat_and_sharp_directions():
    """Of exp(theta), a sharp direction gets a step that the fourth derivative does not spoil."""
    net = nn.Linear(1, 2, bias=False)
    nn.init.constant_(net.weight, 5.0)

    def steep(net, batch):
        sharp, flat = net(torch.ones_like(batch[0]))[:, 0], net(batch[0])[:, 1]
        return ((10 * sharp - 50).exp() + 1e-3 * flat.square()).mean()

    data = SampleSet(((torch.ones(4, 1),),))
    sharp, flat = (
        along(net, data, steep, vector) for vector in (torch.tensor([1.0, 0]), torch.tensor([0, 1.0]))
    )
    assert sharp.curvature == pytest.approx(100, rel=1e-3) and flat.curvature == pytest.approx(2e-3, rel=1e-6)
    assert sharp.step < flat.step / 5


def test_the_net_stays_where_it_is():
    net = linear().train()
    before = net.weight.detach().clone()
    along(net, SampleSet(((X, Y),)), "regression_mse")
    assert torch.equal(net.weight, before) and net.training and net.weight.dtype is torch.float32


def test_what_cannot_be_measured_is_refused():
    data = SampleSet(((X, Y),))
    with pytest.raises(InputError, match="the direction v has length 0"):
        along(linear(), data, "regression_mse", torch.zeros(4))

    def single(net, batch):
        return (net(batch[0]) @ torch.ones(1)).mean()

    with pytest.raises(InputError, match="does not compute in float64"):
        along(linear(), data, single)
