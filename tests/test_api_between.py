"""Curves and planes between nets from Python."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import losslandscape
from losslandscape.core.errors import InputError
from losslandscape.evaluate import bn_statistics

X = torch.randn(90, 4, generator=torch.Generator().manual_seed(1))
Y = (X[:, 0] + 0.3 * X[:, 1] > 0).long()


def small_net(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))


def connect(**options):
    return losslandscape.connect(
        small_net(0), small_net(1), ((X, Y), (X[:9], Y[:9])), points=3, epochs=2, quiet=True, **options
    )


def test_a_curve():
    nets = small_net(0).train(), small_net(1)
    before, drawn = copy.deepcopy(nets[0].state_dict()), torch.get_rng_state()
    found = losslandscape.connect(*nets, ((X, Y), (X[:9], Y[:9])), points=3, epochs=2, quiet=True)
    assert nets[0].training and torch.equal(drawn, torch.get_rng_state())
    assert all(torch.equal(before[name], value) for name, value in nets[0].state_dict().items())
    assert {"train_loss", "test_acc"} <= set(found.curve.names) and found.curve.path == ""
    for t, index in ((0.0, 0), (0.5, 1), (1.0, 2)):  # batch norms estimated anew, in one batch of all samples
        net = small_net(0)
        for parameter, a, bend, b in zip(
            net.parameters(),
            nets[0].parameters(),
            _parameters(found.bends[0]),
            nets[1].parameters(),
            strict=True,
        ):
            parameter.data = (1 - t) ** 2 * a.data + 2 * t * (1 - t) * bend + t**2 * b.data
        bn_statistics.recompute(net.eval(), [(X, Y)], lambda net, batch: net(batch[0]))
        loss = nn.functional.cross_entropy(net(X), Y).item()
        assert found.curve.get("train_loss")[index] == pytest.approx(loss, rel=1e-4)
    assert np.array_equal(found.line.get("train_loss")[[0, 2]], found.curve.get("train_loss")[[0, 2]])


def _parameters(state: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    return [value for name, value in state.items() if "running" not in name and "num_" not in name]


def test_files_resume(tmp_path, capsys):
    first = connect(out=tmp_path / "c")
    names = {path.name for path in tmp_path.iterdir()}
    assert {"c.t7", "c.h5", "c_line.h5", "c_training.t7", "c_directions.h5", "c_proj.h5"} == names
    again = losslandscape.connect(
        small_net(0), small_net(1), ((X, Y), (X[:9], Y[:9])), points=3, epochs=2, out=str(tmp_path / "c")
    )
    assert "epoch" not in capsys.readouterr().out
    assert np.array_equal(first.curve.get("train_loss"), again.curve.get("train_loss"))
    with pytest.raises(InputError, match=r"another lr .*overwrite=True"):
        connect(out=tmp_path / "c", lr=0.1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bends": 0}, "bends 0"),
        ({"curve": "spline"}, "'spline'"),
        ({"bn_samples": 1}, "bn_samples 1"),
        ({"samples": 0}, "samples 0"),
    ],
)
def test_arguments_that_cannot_be_used(options, words):
    with pytest.raises(InputError, match=words):
        connect(**options)


def test_other_nets():
    with pytest.raises(InputError, match="other is of type str"):
        losslandscape.connect(small_net(0), "net", (X, Y))
    with pytest.raises(InputError, match="the two nets differ"):
        losslandscape.connect(small_net(0), nn.Linear(4, 2), (X, Y), quiet=True)
    with pytest.raises(InputError, match="equal"):
        losslandscape.connect(small_net(0), small_net(0), (X, Y), quiet=True)


def test_a_plane_through_three_nets():
    nets = [small_net(seed) for seed in range(3)]
    surface = losslandscape.loss_surface(
        nets[0], (X, Y), target=tuple(nets[1:]), orthonormal=True, samples=5, quiet=True
    )
    assert [place.name for place in surface.nets] == ["net", "target 1", "target 2", "mean"]
    flat = [nn.utils.parameters_to_vector(net.parameters()).detach().double() for net in nets]
    places = np.array([place[1:] for place in surface.nets])
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert np.linalg.norm(places[i] - places[j]) == pytest.approx(
            float((flat[i] - flat[j]).norm()), rel=1e-6
        )
    assert surface.x[0] < places[:, 0].min() and places[:, 0].max() < surface.x[-1]
    assert surface.y[0] < places[:, 1].min() and places[:, 1].max() < surface.y[-1]
    with pytest.raises(InputError, match="give two nets as target="):
        losslandscape.loss_surface(nets[0], (X, Y), target=nets[1], orthonormal=True)
