"""A net's buffers and attributes come back as they were, whatever a forward pass does to them."""

from collections import deque

import torch
from torch import Tensor, nn

from losslandscape.nets.net_state import NetState, kept


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
        self.new = x
        return self.linear(x)


CHANGED = {"range", "resized", "replaced", "calls", "hidden", "carry", "recent", "cache", "new"}


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
    assert inner.carry[0].tolist() == [0, 0] and len(inner.carry[1]) == 1
    assert [tensor.tolist() for tensor in inner.recent] == [[1, 1]] and list(inner.cache) == ["a"]


def test_block_is_repeatable_in_inference_mode() -> None:
    net = Restless()
    for _ in range(2):
        with kept(net), torch.inference_mode():
            net(torch.ones(2))
            assert net.calls == 1 and net.range.tolist() == [1, 1]
    assert net.calls == 0


def test_parameters_are_not_kept() -> None:
    net = nn.Linear(2, 2)
    with kept(net), torch.no_grad():
        net.weight.fill_(3)
    assert bool((net.weight == 3).all())
