"""Nets and losses that change, draw random numbers or need their batches give the values of a plain loop."""

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import losslandscape
from losslandscape.core.errors import InputError
from losslandscape.core.random_state import seeded
from losslandscape.files import h5_util
from losslandscape.files.file_names import SEED
from losslandscape.files.surface import Surface
from losslandscape.nets import net_plotter
from tests.evaluate.unsteady import (
    SAMPLES,
    Base,
    Counting,
    Dropping,
    Observing,
    Own,
    Remembering,
    contrastive,
    data,
    noisy,
)

LINE = (-1.0, 1.0, 5)


def moved(net: nn.Module, alpha: float) -> nn.Module:
    """Return a new copy of the net, one step along the direction that `loss_surface` draws."""
    torch.manual_seed(SEED)
    direction = net_plotter.random_direction(net, "weights", norm="filter", ignore="biasbn")
    copied = copy.deepcopy(net)
    with torch.no_grad():
        for parameter, d in zip(copied.parameters(), direction, strict=True):
            parameter.add_(alpha * d)
    return copied.eval()


@torch.no_grad()
def plain_loop(net, loss=None, *, batch_size=SAMPLES, seed=None):
    """Return the mean loss at each point of `LINE`, each of a new copy of the net."""
    inputs, labels = data()
    losses = []
    for alpha in np.linspace(*LINE):
        there, total = moved(net, alpha), 0.0
        with seeded(seed or 0):
            for x, y in zip(inputs.split(batch_size), labels.split(batch_size), strict=True):
                mean = loss(there, (x, y)) if loss else F.cross_entropy(there(x), y)
                total += len(x) * float(mean)
        losses.append(total / SAMPLES)
    return losses


def measured(net, loss="crossentropy", **options):
    surface = losslandscape.loss_surface(net, data(), loss, x=LINE, **options)
    return surface.get("train_loss")


def measured_surface(loss, **options):
    """Return the surface in the batches of a loader."""
    loader = DataLoader(TensorDataset(*data()), batch_size=8)
    return losslandscape.loss_surface(Base(), loader, loss, x=LINE, **options)


@pytest.mark.parametrize("make", [Observing, Remembering, Counting])
@pytest.mark.parametrize("order", ["coarse", "row"])
def test_state_is_restored_before_every_point(make, order):
    net = make()
    expected = plain_loop(net, batch_size=16)
    assert measured(net, batch_size=16, order=order) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("make, named", [(Observing, "largest"), (Remembering, "hidden")])
def test_a_net_that_changes_is_warned_of(make, named, capsys):
    measured(make())
    (warning,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning")]
    assert "changes while it is measured" in warning and named in warning
    with pytest.raises(InputError, match=f"changes while it is measured .{named}"):
        measured(make(), strict=True, quiet=True)


def test_a_quiet_run_prints_only_warnings(capsys):
    measured(Base(), quiet=True)
    assert capsys.readouterr().out == ""
    measured(Observing(), quiet=True)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("warning: the net changes")


def test_steady_nets_are_not_warned_of(capsys):
    for net in (Base(), Counting()):
        measured(net, strict=True)
    assert "warning" not in capsys.readouterr().out


@pytest.mark.parametrize("net, loss", [(Dropping(), None), (Base(), noisy)], ids=["net", "loss"])
def test_fixed_random_numbers(net, loss, capsys):
    expected = plain_loop(net, loss, batch_size=20)
    options = {"batch_size": 20, "fix_randomness": True, "strict": True}
    assert measured(net, loss or "crossentropy", **options) == pytest.approx(expected, rel=1e-5)
    assert "every point gets the same" in capsys.readouterr().out


def test_random_numbers_are_warned_of(capsys):
    measured(Base(), noisy)
    assert "draws random numbers" in capsys.readouterr().out
    with pytest.raises(InputError, match="draws random numbers.*fix_randomness=True"):
        measured(Base(), noisy, strict=True)


def test_fixed_and_new_random_numbers_do_not_mix(tmp_path):
    measured(Base(), noisy, surf_file=tmp_path / "surface.h5", quiet=True)
    with pytest.raises(InputError, match="another random numbers"):
        measured(Base(), noisy, surf_file=tmp_path / "surface.h5", fix_randomness=True)


def test_a_generator_of_the_loss_is_warned_of():
    with pytest.raises(InputError, match="outside of the net's modules"):
        measured(Base(), Own(), strict=True, fix_randomness=True)


def test_the_loaders_batches_are_kept(tmp_path, capsys):
    loader = DataLoader(TensorDataset(*data()), batch_size=8)
    file = tmp_path / "surface.h5"
    surface = losslandscape.loss_surface(Base(), loader, contrastive, x=LINE, strict=True, surf_file=file)
    assert surface.get("train_loss") == pytest.approx(plain_loop(Base(), contrastive, batch_size=8), rel=1e-5)
    assert surface.made_with["batches"] == "of 8"
    assert "measured in batches of 8" in capsys.readouterr().out
    other = DataLoader(TensorDataset(*data()), batch_size=10)
    with pytest.raises(InputError, match=r"another batches \(there of 8, here of 10\)"):
        losslandscape.loss_surface(Base(), other, contrastive, x=LINE, surf_file=file)


@pytest.mark.parametrize("loss", ["crossentropy", contrastive], ids=["mean", "contrastive"])
def test_a_file_that_does_not_know_its_batches_is_doubted(loss, tmp_path, capsys):
    """A file of an earlier version is resumed, with a warning if its points may have other batches."""
    file = str(tmp_path / "surface.h5")
    surface = measured_surface(loss, surf_file=file)
    losses = surface.get("train_loss")
    losses[-1] = -1  # the mark of a point that is not measured
    part = {"train_loss": losses, "train_acc": losses}
    facts = {name: value for name, value in surface.made_with.items() if name != "batches"}
    h5_util.write_surface(Surface(file, x=surface.x, y=None, quantities=part, made_with=facts))
    capsys.readouterr()
    measured_surface(loss, surf_file=file)
    doubted = "does not say how its points were measured (here batches of 8)" in capsys.readouterr().out
    assert doubted == (loss is contrastive)


def test_without_batches_of_the_user_their_size_is_asked_for(capsys):
    measured(Base(), contrastive)
    assert "give the batch_size= of the training" in capsys.readouterr().out
    expected = plain_loop(Base(), contrastive, batch_size=20)
    assert measured(Base(), contrastive, batch_size=20, strict=True) == pytest.approx(expected, rel=1e-5)


def test_a_loss_that_takes_only_whole_batches():
    def of_pairs(net, batch):
        pairs = net(batch[0]).view(2, 4, 2)
        return (pairs[0] - pairs[1]).square().mean()

    loader = DataLoader(TensorDataset(*data()), batch_size=8)
    surface = losslandscape.loss_surface(Base(), loader, of_pairs, x=LINE, quiet=True)
    assert surface.get("train_loss") == pytest.approx(plain_loop(Base(), of_pairs, batch_size=8), rel=1e-5)


def test_batches_of_a_random_loss_are_kept():
    """Random numbers hide whether the loss depends on the batches: here it does."""

    def augmented(net, batch):
        return contrastive(net, (batch[0] + 1e-3 * torch.randn_like(batch[0]), batch[1]))

    loader = DataLoader(TensorDataset(*data()), batch_size=8)
    surface = losslandscape.loss_surface(Base(), loader, augmented, x=LINE)
    assert surface.get("train_loss") == pytest.approx(plain_loop(Base(), contrastive, batch_size=8), rel=0.02)
    assert surface.made_with["batches"] == "of 8"
    surface = losslandscape.loss_surface(Base(), TensorDataset(*data()), augmented, x=LINE)
    assert surface.made_with["batches"] == "of 128"


@pytest.mark.parametrize("scale, named", [(0.1, "draws random numbers"), (0.0, "only whole batches")])
def test_a_loss_that_takes_only_whole_batches_is_examined_in_them(scale, named, capsys):
    def of_eight(net, batch):
        outputs = F.normalize(net(batch[0] + scale * torch.randn_like(batch[0])))
        return F.cross_entropy(outputs @ outputs.T, torch.arange(8))

    loader = DataLoader(TensorDataset(*data()), batch_size=8)
    losslandscape.loss_surface(Base(), loader, of_eight, x=LINE)
    output = capsys.readouterr().out
    assert named in output and ("warning" in output) == bool(scale)


@pytest.mark.parametrize("samples", [1, 2, 17, 33])
def test_no_batch_of_one_sample_is_made(samples):
    """A batch norm without statistics refuses one sample, which the examination of the loss must not give."""
    net = nn.Sequential(Base(), nn.BatchNorm1d(2, track_running_stats=False))
    inputs, labels = data(samples)
    if samples == 1:
        with pytest.raises(InputError, match="Expected more than 1 value"):
            losslandscape.loss_surface(net, (inputs, labels), x=(0, 0, 1))
        return
    surface = losslandscape.loss_surface(net, (inputs, labels), x=(0, 0, 1))
    assert surface.get("train_loss") == pytest.approx([F.cross_entropy(net(inputs), labels).item()], rel=1e-5)


def test_a_net_that_refuses_the_next_batch_is_told_of(capsys):
    before = []  # outside of the net, where it cannot be restored

    class Net(Base):
        def forward(self, x):
            before.append(x)
            return self.linear(x + before[0])

    with pytest.raises(InputError, match="takes a batch of the data, and then not another"):
        losslandscape.loss_surface(Net(), data(), x=LINE)


def test_samples_that_are_not_finite_only_together_are_named():
    inputs, labels = data()
    net = nn.Sequential(Base(), nn.BatchNorm1d(2, track_running_stats=False))
    inputs[7] = math.nan
    with pytest.raises(InputError, match="is among numbers 0 to 39, counted from 0"):
        losslandscape.loss_surface(net, (inputs, labels), x=LINE)


@pytest.mark.parametrize("bad", [0, 7, 2000])
def test_one_sample_that_is_not_finite_is_named(bad, tmp_path):
    inputs, labels = torch.randn(2001, 3), torch.zeros(2001, dtype=torch.long)
    inputs[bad, 1] = math.nan
    file = tmp_path / "surface.h5"
    with pytest.raises(InputError, match=f"nan on the train data.*number {bad}, counted from 0"):
        losslandscape.loss_surface(Base(), (inputs, labels), x=(-1, 1, 4), surf_file=file)
    assert np.isnan(
        losslandscape.loss_surface(Base(), (inputs, labels), x=(-1, 1, 4), allow_nan=True).get("train_loss")
    ).all()


def test_a_test_sample_that_is_not_finite_is_named():
    inputs, labels = data()
    bad = inputs.clone()
    bad[3] = math.inf
    sets = {"train": (inputs, labels), "test": (bad, labels)}
    with pytest.raises(InputError, match="on the test data.*number 3,"):
        losslandscape.loss_surface(Base(), sets, x=LINE)


def test_the_centre_is_measured_once(capsys):
    """A surface with a single point is complete when the centre is measured."""
    calls = []

    def counted(net, batch):
        calls.append(len(batch[0]))
        return F.cross_entropy(net(batch[0]), batch[1])

    surface = losslandscape.loss_surface(Base(), data(3000), counted, x=(0, 0, 1), batch_size=3000)
    assert calls.count(3000) == 1
    inputs, labels = data(3000)
    with torch.no_grad():
        expected = float(F.cross_entropy(Base()(inputs), labels))
    assert surface.get("train_loss") == pytest.approx([expected])
