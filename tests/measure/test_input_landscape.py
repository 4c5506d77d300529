"""Surfaces over inputs equal plain loops over moved inputs, along the directions of the literature."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import losslandscape
from examples import physics_informed
from losslandscape.core.errors import InputError
from losslandscape.data.samples import SampleSet
from losslandscape.files import h5_util
from tests.curvature.matrices import small_data, small_net

SMALL = 1e-3


def net():
    return small_net(torch.float32).eval()


def pixels():
    """Images (N, C, H, W) in [0, 1], their labels, and how the net's input is made of them."""
    data = small_data()
    mean, std = (torch.tensor(values)[:, None, None] for values in (data.mean, data.std))
    return data.images / 255, data.labels, lambda images: (images - mean) / std


def gradients():
    """The gradient of each image's loss by its pixels."""
    images, labels, normalise = pixels()
    images.requires_grad_()
    F.cross_entropy(net()(normalise(images)), labels, reduction="sum").backward()
    return images.grad


def surface(**options):
    options = {"over": "inputs", "quiet": True, "device": "cpu"} | options
    return losslandscape.loss_surface(net(), small_data(), **options)


def test_a_plane_equals_a_plain_loop():
    found = surface(x=(-0.2, 0.3, 3), y=(0, 1, 2), directions=("sign", "sample:4"))
    images, labels, normalise = pixels()
    signs = gradients().sign()
    for row, b in enumerate(found.y):
        for column, a in enumerate(found.x):
            with torch.no_grad():
                logits = net()(normalise(images + a * signs + b * (images[4] - images)))
            loss, accuracy = (
                F.cross_entropy(logits, labels),
                100 * (logits.argmax(1) == labels).float().mean(),
            )
            assert found.get("train_loss")[row, column] == pytest.approx(float(loss), rel=1e-5)
            assert found.get("train_acc")[row, column] == pytest.approx(float(accuracy))


@pytest.mark.parametrize(("direction", "length"), [("sign", 1), ("gradient", 2)])
def test_to_first_order_the_loss_rises_by_the_length_of_the_gradient(direction, length):
    found = surface(x=(-SMALL, SMALL, 3), directions=[direction]).get("train_loss")
    expected = gradients().flatten(1).norm(p=length, dim=1).mean()
    assert (found[2] - found[0]) / (2 * SMALL) == pytest.approx(float(expected), rel=1e-2)


def test_random_signs_come_from_the_seed():
    options = {"x": (0, 0.1, 2), "directions": ["random"]}
    first, again, other = (surface(**options, seed=seed).get("train_loss")[1] for seed in (1, 1, 2))
    assert first == again != other
    assert surface(x=(0, 0.1, 2), seed=1).get("train_loss")[1] == first  # the default


def test_one_sample(capsys):
    found = surface(x=(0, 0.1, 2), directions=["sign"], sample=7, quiet=False)
    images, labels, normalise = pixels()
    moved = normalise(images + 0.1 * gradients().sign())[7:8]
    with torch.no_grad():
        expected = F.cross_entropy(net()(moved), labels[7:8])
    assert found.get("train_loss")[1] == pytest.approx(float(expected), rel=1e-5)
    printed = capsys.readouterr().out
    assert "moves: the inputs" in printed and "nan" not in printed


def test_a_run_resumes_with_the_directions_of_its_file(inside, capsys):
    options = {"x": (0, 0.1, 3), "directions": ["gradient"], "surf_file": "s.h5", "quiet": False}
    first = surface(**options)
    stored = h5_util.read_directions("s.h5_directions.h5")
    images, _, _ = pixels()
    assert stored[0][0].shape == images.shape
    capsys.readouterr()
    again = surface(**options)
    np.testing.assert_array_equal(first.get("train_loss"), again.get("train_loss"))
    assert "0 of 3 points" in capsys.readouterr().out
    made = h5_util.read_made_with("s.h5", "surface")
    assert made["over"] == "inputs" and made["x axis"] == "input along its gradient"
    with pytest.raises(InputError, match="another x direction .there gradient, here sign"):
        surface(**options | {"directions": ["sign"]})
    with pytest.raises(InputError, match="another .*train"):
        surface(**options, sample=3)


class Mean(nn.Module):
    """Classifies series of any length by a linear function of their mean."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(2, 3)

    def forward(self, series):
        return self.linear(series.mean(1).square())


def test_series_of_different_lengths_in_their_own_units():
    generator = torch.Generator().manual_seed(5)
    chunks = [(torch.randn(4, n, 2, generator=generator), torch.arange(4) % 3) for n in (3, 5)]
    found = losslandscape.loss_surface(
        Mean(), chunks, x=(0, 0.5, 2), over="inputs", directions=["sign"], quiet=True
    )
    total = 0.0
    for series, labels in chunks:
        series.requires_grad_()
        F.cross_entropy(Mean()(series), labels).backward()
        moved = series.detach() + 0.5 * series.grad.sign()
        total += F.cross_entropy(Mean()(moved), labels).item() / 2
    assert found.get("train_loss")[1] == pytest.approx(total, rel=1e-5)
    assert found.made_with["x axis"] == "input along the gradient's sign"


def test_a_physics_informed_loss_takes_its_derivatives_at_the_moved_inputs():
    torch.manual_seed(1)
    model, (points,) = physics_informed.net(8), physics_informed.data().tensors
    options = {"loss": physics_informed.loss, "x": (0, 0.1, 2), "over": "inputs", "quiet": True}
    found = losslandscape.loss_surface(model, SampleSet(((points,),)), **options, seed=3)
    signs = torch.randint(0, 2, points.shape, generator=torch.Generator().manual_seed(3)) * 2 - 1
    mean, _, values = physics_informed.loss(model, (points + 0.1 * signs,))
    assert found.get("train_loss")[1] == pytest.approx(mean.item(), rel=1e-5)
    assert found.get("train_residual")[1] == pytest.approx(values["residual"].item(), rel=1e-5)
    with pytest.raises(InputError, match="no gradient by the inputs: it detaches"):
        losslandscape.loss_surface(model, SampleSet(((points,),)), **options, directions=["sign"])


TOKENS = (torch.randint(0, 9, (6, 4)), torch.randint(0, 3, (6,)))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"directions": ["hessian"]}, "there is no direction 'hessian'; choose one of 'random', 'sign'"),
        ({"directions": ["sample:99"]}, "there is no sample 99 among 23"),
        ({"sample": 23}, "sample 23 is not among the 23 of the train data"),
        ({"target": net()}, "say how weights move, not inputs"),
        ({"params": "conv"}, "say how weights move, not inputs"),
        ({"over": "labels"}, "there is no over 'labels'"),
        ({"over": "weights", "sample": 3}, "sample 3 is for surfaces over inputs; give over='inputs'"),
    ],
)
def test_what_does_not_fit_is_refused(options, words):
    with pytest.raises(InputError, match=words):
        surface(x=(0, 1, 2), **options)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (TOKENS, "the inputs are of torch.int64, such as numbers of tokens, and cannot move a little"),
        ({"train": [{"input": TOKENS[0], "labels": TOKENS[1]}]}, "needs batches that are tuples of tensors"),
    ],
)
def test_data_without_inputs_that_can_move_is_refused(data, words):
    with pytest.raises(InputError, match=words):
        losslandscape.loss_surface(Mean(), data, x=(0, 1, 2), over="inputs", quiet=True)
