"""A net's buffers and attributes come back as they were, whatever a forward pass does to them."""

import random
from collections import deque

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from losslandscape.nets.net_state import NetState, unchanged_state


class Restless(nn.Module):
    """A module that changes every kind of state."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.register_buffer("range", torch.zeros(2))
        self.register_buffer("resized", torch.zeros(0))
        self.register_buffer("replaced", torch.zeros(2))
        self.register_buffer("same", torch.full((2,), torch.nan))
        self.calls = 0
        self.hidden: Tensor | None = None
        self.carry = (torch.zeros(2), [torch.zeros(2)])
        self.recent: deque[Tensor] = deque([torch.ones(2)], maxlen=2)
        self.cache = {"a": torch.ones(2)}
        self.array = np.zeros(2)
        self.numbers = {1}

    def forward(self, x: Tensor) -> Tensor:
        self.range.add_(1)
        self.resized.resize_(3).fill_(1)
        self.replaced = torch.ones(2)
        self.calls += 1
        self.hidden = x
        self.carry[0].add_(1)
        self.carry[1].append(x)
        self.recent.extend([x, x])
        self.cache["b"] = x
        self.array += 1
        self.numbers.add(2)
        self.new = x
        return self.linear(x)


CHANGED = {
    "range",
    "resized",
    "replaced",
    "calls",
    "hidden",
    "carry",
    "recent",
    "cache",
    "array",
    "numbers",
    "new",
}


def test_everything_comes_back() -> None:
    inner = Restless()
    net = nn.Sequential(nn.Identity(), inner)
    state = NetState(net)
    assert state.changed() == []
    net(torch.ones(2))
    assert set(state.changed()) == {f"1.{name}" for name in CHANGED}
    state.restore()
    assert state.changed() == []
    assert (
        inner.range.tolist() == [0, 0] and inner.resized.shape == (0,) and inner.replaced.tolist() == [0, 0]
    )
    assert inner.calls == 0 and inner.hidden is None and not hasattr(inner, "new")
    assert inner.array.tolist() == [0, 0] and inner.numbers == {1}
    assert inner.carry[0].tolist() == [0, 0] and len(inner.carry[1]) == 1
    assert [tensor.tolist() for tensor in inner.recent] == [[1, 1]] and list(inner.cache) == ["a"]


class Cache:
    """A cache of keys, as transformers have one; it holds the net and itself."""

    def __init__(self, net: nn.Module) -> None:
        self.net, self.cache = net, self
        self.layers = [{"keys": torch.zeros(0)}]
        self.length = 0


def test_content_of_objects_comes_back() -> None:
    net = nn.Linear(2, 2)
    net.cache = Cache(net)
    before = net.cache
    state = NetState(net)
    assert state.changed() == []
    net.cache.layers[0]["keys"] = torch.ones(3)
    net.cache.length += 3
    net.cache.new = 1
    assert state.changed() == ["cache"]
    state.restore()
    assert state.changed() == [] and net.cache is before and not hasattr(before, "new")
    assert before.length == 0 and before.layers[0]["keys"].shape == (0,)


@pytest.mark.parametrize(
    "generator, draw",
    [
        (torch.Generator(), lambda generator: torch.rand(1, generator=generator).item()),
        (np.random.default_rng(0), lambda generator: generator.random()),
        (np.random.RandomState(0), lambda generator: generator.rand()),
        (random.Random(0), lambda generator: generator.random()),
    ],
    ids=["torch", "numpy", "RandomState", "python"],
)
def test_random_generators_come_back(generator, draw) -> None:
    net = nn.Linear(2, 2)
    net.generator = generator
    state = NetState(net)
    assert state.changed() == []
    drawn = draw(generator)
    assert state.changed() == ["generator"]
    state.restore()
    assert draw(generator) == drawn


def test_block_is_repeatable_in_inference_mode() -> None:
    net = Restless()
    for _ in range(2):
        with unchanged_state(net), torch.inference_mode():
            net(torch.ones(2))
            assert net.calls == 1 and net.range.tolist() == [1, 1]
    assert net.calls == 0


def test_parameters_are_not_kept() -> None:
    net = nn.Linear(2, 2)
    with unchanged_state(net), torch.no_grad():
        net.weight.fill_(3)
    assert bool((net.weight == 3).all())
