"""Which GPU a rank takes, and who shares one."""

from types import SimpleNamespace

import pytest
import torch

from losslandscape.core.errors import InputError
from losslandscape.parallel import devices
from losslandscape.parallel.mpi4pytorch import Serial


class NodeOf(Serial):
    """A rank of a node whose ranks see the GPUs with these UUIDs."""

    def __init__(self, local_rank, uuids):
        self.rank = self.local_rank = local_rank
        self.size = self.local_size = len(uuids)
        self._uuids = uuids

    def gather_node(self, value):
        assert value == self._uuids[self.local_rank]
        return self._uuids


@pytest.mark.parametrize(
    ("uuids", "sharers", "warned"),
    [
        (["a", "b", "c"], [1, 1, 1], False),  # also where each rank sees one GPU only, as number 0
        (["a", "b", "a"], [2, 1, 2], True),
        (["a", "a"], [2, 2], True),
    ],
)
def test_ranks_that_share_a_gpu_are_counted_and_warned(monkeypatch, capsys, uuids, sharers, warned):
    for rank, uuid in enumerate(uuids):
        properties = SimpleNamespace(uuid=uuid)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _, properties=properties: properties)
        assert devices.sharers(NodeOf(rank, uuids), torch.device("cuda", 0)) == sharers[rank]
    assert ("share" in capsys.readouterr().out) == warned


@pytest.mark.parametrize(("gpus", "numbers"), [(4, [0, 1, 2, 3, 0]), (1, [0, 0]), (3, [0, 1, 2])])
def test_ranks_take_gpus_in_turn(monkeypatch, gpus, numbers):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "set_device", lambda _: None)
    uuids = ["gpu"] * len(numbers)
    assert [devices.choose(True, NodeOf(rank, uuids)).index for rank in range(len(numbers))] == numbers


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_missing_gpu_is_reported():
    with pytest.raises(InputError, match="no CUDA device"):
        devices.choose(True, Serial())


@pytest.mark.parametrize(
    ("gpus", "count", "firsts"), [(1, 2, [0, 1, 0]), (2, 4, [0, 2, 0]), (2, 5, [0, 2, 0]), (3, 3, [0, 0, 0])]
)
def test_ranks_take_several_gpus_in_turn(monkeypatch, gpus, count, firsts):
    chosen = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: (100 + index, 200))
    for rank, first in enumerate(firsts):
        assert devices.choose(True, NodeOf(rank, ["a"] * 3), gpus) == torch.device("cuda", first)
        free = devices.free_memory(chosen[-1], gpus)
        assert free == {index: 100 + index for index in range(first, first + gpus)}


def test_more_gpus_than_there_are_and_none_at_all_are_refused(monkeypatch):
    with pytest.raises(InputError, match="ngpu 2 is for CUDA devices"):
        devices.choose(False, Serial(), 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InputError, match="ngpu 3: PyTorch finds 2 CUDA devices here; .*smaller"):
        devices.choose(True, Serial(), 3)
