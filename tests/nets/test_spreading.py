"""A net over several GPUs: which layers lie where, and its loss through accelerate's hooks."""

import sys

import pytest
import torch
from torch import nn

from losslandscape.core.errors import InputError
from losslandscape.data import user_data
from losslandscape.evaluate.evaluation import Evaluator
from losslandscape.nets import spreading
from losslandscape.nets.moving import moving
from tests.language_models import WORDS, write_model

accelerate = pytest.importorskip("accelerate", reason="the package accelerate is not installed")
PLENTY = 2**30


class Block(nn.Module):
    """A layer that adds its input to its output, so it must lie on one device."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(8, 16), nn.Linear(16, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.down(self.up(x))


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 8), *[Block() for _ in range(6)], nn.Linear(8, 2)).eval()


def test_layers_follow_one_another_over_the_gpus_and_stay_whole():
    places = spreading.device_map(net(), {2: PLENTY, 3: PLENTY})
    assert list(places) == [str(number) for number in range(8)]
    assert list(places.values()) == sorted(places.values()) and set(places.values()) == {2, 3}
    sizes = {gpu: sum(name.isdigit() and place == gpu for name, place in places.items()) for gpu in (2, 3)}
    assert min(sizes.values()) >= 3


def test_a_model_of_transformers_splits_between_its_layers(tmp_path):
    places = spreading.device_map(write_model(tmp_path, layers=8), {0: PLENTY, 1: PLENTY})
    assert places["model.embed_tokens"] == 0 and places["lm_head"] == 1
    assert not any(name.startswith("model.layers.0.") for name in places)


def test_a_net_that_is_too_large_is_refused():
    with pytest.raises(InputError, match="the net takes 0.0 GiB, and 2 GPUs have 0.0 GiB free; .* more GPUs"):
        spreading.spread(net(), {0: 500, 1: 500})


def test_without_accelerate_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(InputError, match="accelerate.*pip install accelerate"):
        spreading.spread(net(), {0: PLENTY, 1: PLENTY})


def test_a_spread_net_is_measured_in_place(tmp_path, monkeypatch):
    """Hooks on one CPU stand for several GPUs: nothing may copy or move the net, and it moves as ever."""
    model = write_model(tmp_path, dtype=torch.float32, layers=8)
    tokens = torch.randint(len(WORDS), (4, 8), generator=torch.Generator().manual_seed(0))
    data = {"train": user_data.as_samples({"input_ids": tokens})}
    direction = [torch.randn(tensor.shape) for tensor in model.parameters()]

    def loss(evaluator: Evaluator) -> float:
        with moving(model, [direction], "weights") as move:
            move((0.1,))
            return evaluator.measure()["train_loss"]

    expected = loss(Evaluator(model, data, loss="next_token", batch_size=2))
    whole = dict.fromkeys(spreading.device_map(model, {0: PLENTY, 1: PLENTY}), "cpu")
    accelerate.dispatch_model(model, whole, force_hooks=True)
    model.hf_device_map = dict.fromkeys(whole, 0) | {"lm_head": 1}
    assert spreading.is_spread(model) and spreading.place(model, torch.device("meta")) is model
    monkeypatch.setattr(type(model), "__deepcopy__", lambda *_: pytest.fail("copied"), raising=False)
    assert loss(Evaluator(model, data, loss="next_token", batch_size=2)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="this machine has no two CUDA devices")
def test_two_gpus_measure_what_one_does(tmp_path):
    tokens = torch.randint(len(WORDS), (4, 8), generator=torch.Generator().manual_seed(0))
    data = {"train": user_data.as_samples({"input_ids": tokens})}
    losses = []
    for gpus in (1, 2):
        model = write_model(tmp_path, dtype=torch.float32, layers=8)
        if gpus == 1:
            model.to("cuda:0")
        else:
            spreading.spread(model, {0: PLENTY, 1: PLENTY})
            assert {p.device.index for p in model.parameters()} == {0, 1}
            assert "cuda:0" in spreading.describe(model) and "cuda:1" in spreading.describe(model)
        direction = [torch.ones(tensor.shape) for tensor in model.parameters()]
        with moving(model, [direction], "weights") as move:
            move((0.01,))
            losses.append(Evaluator(model, data, loss="next_token", weight_decay=0.1).measure())
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
