"""Built-in and own losses against PyTorch and plain loops, in batches of any size."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from losslandscape.core.errors import InputError
from losslandscape.core.user_code import OwnCodeError
from losslandscape.data import user_data
from losslandscape.evaluate import losses
from losslandscape.evaluate.evaluation import Evaluator, evaluate
from losslandscape.evaluate.fit_check import check_data
from losslandscape.evaluate.targets import IGNORED


class Outputs(nn.Module):
    """Gives the tensors of a batch back, scaled by a weight of 1: what it is given is what the loss sees."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.scale * x


class Dictionary(nn.Module):
    """Takes keywords and returns an object with logits, as the nets of transformers do."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 11)

    def forward(self, input_ids, attention_mask=None):
        logits = self.embedding(input_ids)
        return {"logits": logits if attention_mask is None else logits * attention_mask[..., None]}


def measured(loss, net, data, batch_size):
    return Evaluator(net, {"train": user_data.as_samples(data)}, loss=loss, batch_size=batch_size).measure()


def rand(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


LABELS = torch.arange(23) % 7
PIXELS = torch.where(rand(23, 4, 5, seed=1) > 1, IGNORED, (torch.arange(20) % 3).view(4, 5))
TARGETS = rand(23, 2, seed=2)
CASES = {
    "crossentropy": (
        rand(23, 7),
        LABELS,
        lambda out, y: {"loss": F.cross_entropy(out, y), "acc": 100 * (out.argmax(1) == y).float().mean()},
    ),
    "mse": (
        rand(23, 7),
        LABELS,
        lambda out, y: {
            "loss": F.mse_loss(out.softmax(1), F.one_hot(y, 7).float()),
            "acc": 100 * (out.argmax(1) == y).float().mean(),
        },
    ),
    "crossentropy_top5": (
        rand(23, 7),
        LABELS,
        lambda out, y: {
            "loss": F.cross_entropy(out, y),
            "acc": 100 * (out.argmax(1) == y).float().mean(),
            "top5": 100
            * torch.tensor(
                [float(label in row.argsort(descending=True)[:5]) for row, label in zip(out, y, strict=True)]
            ).mean(),
        },
    ),
    "regression_mse": (rand(23, 2), TARGETS, lambda out, y: {"loss": F.mse_loss(out, y)}),
    "l1": (rand(23, 1), TARGETS[:, 0], lambda out, y: {"loss": F.l1_loss(out[:, 0], y)}),
    "bce": (
        rand(23, 2),
        (TARGETS > 0).float(),
        lambda out, y: {
            "loss": F.binary_cross_entropy_with_logits(out, y),
            "acc": 100 * ((out > 0) == (y > 0)).float().mean(),
        },
    ),
}


@pytest.mark.parametrize("batch_size", [23, 5])
@pytest.mark.parametrize("name", CASES)
def test_built_in_losses_are_those_of_pytorch(name, batch_size):
    outputs, target, expected = CASES[name]
    found = measured(name, Outputs(), (outputs, target), batch_size)
    assert found == pytest.approx(
        {f"train_{key}": float(value) for key, value in expected(outputs, target).items()}, rel=1e-5
    )


@pytest.mark.parametrize("name", ["crossentropy", "mse"])
def test_ignored_labels_are_left_out(name):
    outputs, labels = rand(23, 7), LABELS.clone()
    labels[::3] = IGNORED
    kept = labels != IGNORED
    assert measured(name, Outputs(), (outputs, labels), 5) == pytest.approx(
        measured(name, Outputs(), (outputs[kept], labels[kept]), 5), rel=1e-6
    )


def test_the_published_mse_of_pixels_is_that_of_each_pixel():
    """With as many pixels as classes, axes that are mixed up would not be noticed by their lengths."""
    outputs, classes = rand(8, 5, 5), (3 * torch.arange(40) + 1).view(8, 5) % 7 % 5
    expected = measured("mse", Outputs(), (outputs.movedim(1, 2).flatten(0, 1), classes.flatten()), 40)
    assert measured("mse", Outputs(), (outputs, classes), 3) == pytest.approx(expected, rel=1e-5)


def test_a_class_that_the_net_does_not_know_is_named():
    with pytest.raises(InputError, match="a target of 7, .* classes 0 to 6"):
        check_data(
            Outputs(), user_data.as_samples((rand(23, 7), LABELS + 1)), losses.find("crossentropy"), "net"
        )


@pytest.mark.parametrize("batch_size", [23, 5])
def test_ignored_pixels_are_left_out(batch_size):
    outputs = rand(23, 3, 4, 5)
    found = measured("crossentropy", Outputs(), (outputs, PIXELS), batch_size)
    counted = PIXELS != IGNORED
    right = (outputs.argmax(1) == PIXELS)[counted].float().mean()
    assert found == pytest.approx(
        {
            "train_loss": float(F.cross_entropy(outputs, PIXELS, ignore_index=IGNORED)),
            "train_acc": 100 * float(right),
        },
        rel=1e-5,
    )


def token_loss(net, ids, targets):
    with torch.no_grad():
        return float(
            F.cross_entropy(net(ids)["logits"].flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
        )


@pytest.mark.parametrize("batch_size", [9, 2])
def test_next_tokens_in_every_form(batch_size):
    net, ids = Dictionary(), torch.arange(9 * 6).view(9, 6) * 7 % 11
    following = F.pad(ids[:, 1:], (0, 1), value=IGNORED)
    plain = token_loss(net, ids, following)
    lengths = torch.tensor([6, 5, 4, 3, 2, 6, 6, 1, 2])
    mask = (torch.arange(6) < lengths[:, None]).long()
    padded = F.pad(ids.masked_fill(mask == 0, IGNORED)[:, 1:], (0, 1), value=IGNORED)
    with torch.no_grad():
        masked = float(
            F.cross_entropy(net(ids, mask)["logits"].flatten(0, 1), padded.flatten(), ignore_index=IGNORED)
        )
    for data, expected in (
        ({"input_ids": ids}, plain),
        ({"input_ids": ids, "labels": ids}, plain),
        ((ids,), plain),
        ((ids, following), plain),
        ({"input_ids": ids, "attention_mask": mask}, masked),
    ):
        found = measured("next_token", net, [data], batch_size)
        assert found == pytest.approx(
            {"train_loss": expected, "train_perplexity": math.exp(expected)}, rel=1e-5
        )


def test_own_loss_with_weights_further_values_and_gradients_of_the_input():
    """A mean over tokens does not depend on the batches of sentences; the gradient is that of sin."""
    lengths = [3, 7, 7, 2, 5]
    sentences = [rand(2, length, seed=length + i) for i, length in enumerate(lengths)]

    def loss(net, batch):
        x = batch["x"].requires_grad_()
        (slope,) = torch.autograd.grad(net(x).sin().sum(), x)
        return (
            slope.square().mean(),
            x.numel(),
            {"minus": -slope.mean(), "largest": 2.0, "samples": slope.square().mean(1)},
        )

    found = measured(loss, Outputs(), [{"x": sentence} for sentence in sentences], 1)
    everything = torch.cat([sentence.flatten() for sentence in sentences]).cos()
    assert found == pytest.approx(
        {
            "train_loss": float(everything.square().mean()),
            "train_minus": -float(everything.mean()),
            "train_largest": 2.0,
        },
        rel=1e-5,
    )
    assert measured(loss, Outputs(), [{"x": sentence} for sentence in sentences], 16) == pytest.approx(
        found, rel=1e-5
    )


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (lambda x: x, ["a tensor of shape [2, 3] as the loss", "mean"]),
        (lambda x: None, ["a NoneType as the loss"]),
        (lambda x: (x.mean(), 2, {"more": x}), ["a tensor of shape [2, 3] as more"]),
        (lambda x: (x.mean(), 2, {"train loss": 1.0}), ["'train loss'"]),
        (lambda x: (x.mean(), 2, {"loss": 1.0}), ["'loss'"]),
        (lambda x: (x.mean(), 2, {"samples": x}), ["samples", "2 samples"]),
        (lambda x: (x.mean(), 2, 3.0), ["a float as the third value"]),
        (lambda x: (x.mean(), 2, {}, 1), ["a tuple of 4"]),
    ],
)
def test_an_own_loss_that_returns_something_else_is_refused(result, words):
    with pytest.raises(InputError) as caught:
        losses.find(lambda net, batch: result(batch[0])).of(None, (torch.zeros(2, 3),))
    assert all(word in str(caught.value) for word in [*words, "return the mean loss"])


def test_an_own_loss_gives_the_same_values_for_every_batch():
    values = iter([{"a": 1.0, "b": 2.0}, {"b": 4.0, "a": 3.0}, {"a": 1.0}])
    loss = losses.find(lambda net, batch: (torch.tensor(0.0), 1, next(values)))
    batch = (torch.zeros(10, 1),)
    assert loss.quantities(None, batch) == ["loss", "a", "b"]
    assert loss.of(None, batch).sums.tolist() == [0, 3, 4]
    with pytest.raises(InputError, match="the values a where it returned a, b before"):
        loss.of(None, batch)


def test_an_own_loss_that_raises_shows_its_own_traceback():
    def broken(net, batch):
        return batch["nothing"]

    with pytest.raises(OwnCodeError) as caught:
        losses.find(broken).of(None, {"x": torch.zeros(2)})
    assert "broken" in caught.value.trace and "KeyError" in caught.value.trace


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("crossentropy", {"x": torch.zeros(4, 3)}, ["x", "labels"]),
        ("next_token", {"x": torch.zeros(4, 3)}, ["x", "input_ids"]),
        ("crossentropy", (rand(4, 3), rand(4, 2)), ["crossentropy", "[2, 3]", "[2, 2]"]),
        ("regression_mse", (rand(4, 3), rand(4, 2)), ["regression_mse", "differ in size"]),
    ],
)
def test_data_that_a_built_in_loss_cannot_use(name, data, words):
    class AnyKeyword(Outputs):
        def forward(self, x):
            return super().forward(x)

    with pytest.raises(InputError) as caught:
        check_data(
            AnyKeyword(),
            user_data.as_samples([data] if isinstance(data, dict) else data),
            losses.find(name),
            "net",
        )
    assert all(word in str(caught.value) for word in words)


def test_evaluate_leaves_the_mode_and_gives_what_the_loss_measures():
    net = Outputs().train()
    assert evaluate(net, user_data.as_samples((rand(23, 2), TARGETS)), loss="l1") == pytest.approx(
        (float(F.l1_loss(rand(23, 2), TARGETS)),)
    )
    assert net.training


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_class_numbers_of_any_integer_kind(dtype):
    torch.manual_seed(0)
    net, inputs, labels = nn.Linear(4, 200), torch.randn(20, 4), torch.arange(20) * 6 + 90
    labels[:9] = 156  # in uint8, that is -100
    found, expected = (
        evaluate(net, user_data.as_samples((inputs, kind)))
        for kind in ((labels % 200).to(dtype), labels % 200)
    )
    assert found == expected
