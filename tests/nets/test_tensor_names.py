"""Checkpoints load under whatever names trainers give the tensors."""

import pytest
import torch
from torch import nn
from torch.nn.parallel import DataParallel
from torch.optim.swa_utils import AveragedModel

from losslandscape.nets.checkpoint import read_checkpoint
from losslandscape.nets.state_loading import load_state
from tests.nets.small_nets import Wrapper, loads, same, small_net


def compiled(net: nn.Module) -> nn.Module:
    """With the names that torch.compile gives, which takes seconds to import."""
    return Wrapper("_orig_mod", net)


WRAPPED = {
    "DataParallel": DataParallel,
    "compiled": compiled,
    "compiled within DataParallel": lambda net: DataParallel(compiled(net)),
    "DataParallel within compiled": lambda net: compiled(DataParallel(net)),
    "Lightning": lambda net: Wrapper("model", net, loss=nn.BCEWithLogitsLoss(pos_weight=torch.ones(2))),
    "Lightning, compiled": lambda net: Wrapper("net", compiled(net), metric=nn.Linear(1, 1)),
    "Lightning within DDP": lambda net: DataParallel(Wrapper("model", net)),
    "two of Lightning": lambda net: Wrapper("model", Wrapper("net", net)),
    "averaged": AveragedModel,
}


@pytest.mark.parametrize("name", WRAPPED)
def test_wrappers_of_a_net_are_taken_off(name, tmp_path):
    net, file = small_net(), tmp_path / "m.ckpt"
    torch.save({"epoch": 3, "state_dict": WRAPPED[name](net).state_dict()}, file)
    assert loads(net, file)


def test_a_layer_that_was_compiled_alone(tmp_path):
    net, file = small_net(), tmp_path / "m.pt"
    state = {name.replace("bn.", "bn._orig_mod."): value for name, value in net.state_dict().items()}
    torch.save(state, file)
    assert loads(net, file)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda net: Wrapper("model", net),
        lambda net: Wrapper("module", net),
        lambda net: Wrapper("backbone", net),
        DataParallel,
        compiled,
        lambda net: Wrapper("model", Wrapper("body", net)),
    ],
)
def test_the_names_of_the_net_itself_decide(wrap, tmp_path):
    """Names of the net that begin like a wrapper stay, and files with and without it are read."""
    net, fresh = wrap(small_net()), wrap(small_net(1))
    for file, state in (
        ("own.pt", net.state_dict()),
        ("inner.pt", small_net().state_dict()),
        ("parallel.pt", DataParallel(net).state_dict()),
    ):
        torch.save(state, tmp_path / file)
        saved = read_checkpoint(tmp_path / file)
        load_state(fresh, saved.state, what=file)
        assert same(fresh, net)
        nn.init.zeros_(next(fresh.parameters()))
