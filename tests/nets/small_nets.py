"""Small nets, and whether a file loads into them or is refused."""

from collections import OrderedDict

import pytest
import torch
from torch import nn

from losslandscape.core.errors import InputError
from losslandscape.nets.checkpoint import read_checkpoint
from losslandscape.nets.state_loading import load_state

try:
    from safetensors.torch import save_file
except ImportError:
    save_file = None


needs_safetensors = pytest.mark.skipif(save_file is None, reason="the package safetensors is not installed")


def small_net(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    net = nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 2, 3), bn=nn.BatchNorm2d(2), head=nn.Linear(2, 2)))
    net.bn.running_mean += torch.rand(2)
    return net


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.norm, self.head = (
            nn.Embedding(5, 3),
            nn.LayerNorm(3),
            nn.Linear(3, 5, bias=False),
        )
        self.head.weight = self.embedding.weight


class Wrapper(nn.Module):
    def __init__(self, name: str, net: nn.Module, **others: nn.Module) -> None:
        super().__init__()
        for key, module in {name: net, **others}.items():
            self.add_module(key, module)


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(
        torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


def loads(net: nn.Module, path, *, state_key: str = "") -> bool:
    """Whether the file gives a fresh net the numbers of `net`."""
    fresh = Tied() if isinstance(net, Tied) else small_net(1)
    assert not same(fresh, net)
    saved = read_checkpoint(path, state_key=state_key)
    load_state(fresh, saved.state, what=str(path), candidates=saved.candidates)
    return same(fresh, net)


def refused(net: nn.Module, path, *parts: str, state_key: str = "") -> None:
    before = [value.clone() for value in net.state_dict().values()]
    with pytest.raises(InputError) as error:
        saved = read_checkpoint(path, state_key=state_key)
        load_state(net, saved.state, what=str(path), candidates=saved.candidates)
    message = str(error.value)
    assert "\n" not in message and len(message) < 600 and message.startswith(str(path))
    for part in parts:
        assert part in message, message
    assert all(torch.equal(a, b) for a, b in zip(before, net.state_dict().values(), strict=True))


def same_state(state, net: nn.Module) -> bool:
    own = net.state_dict()
    return list(state) == list(own) and all(
        torch.equal(a, b) for a, b in zip(state.values(), own.values(), strict=True)
    )


def one_sentence(error: pytest.ExceptionInfo, *parts: object) -> None:
    message = str(error.value)
    assert "\n" not in message and len(message) < 400
    for part in parts:
        assert str(part) in message, message
