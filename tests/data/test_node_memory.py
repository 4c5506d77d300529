"""One rank of a node loads the data and all see it; the file that holds it disappears with them."""

import errno
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from losslandscape.core.errors import InputError
from losslandscape.data import dataloader, node_memory
from losslandscape.parallel.mpi4pytorch import Serial
from tests.helpers import REPO, mpirun

JOB = """
import json, sys
sys.path.insert(0, sys.argv[1])
from losslandscape.data import dataloader
from losslandscape.parallel import mpi4pytorch
from losslandscape.data import node_memory
ranks, calls = mpi4pytorch.connect(mpi=True), []
def load(allocate):
    calls.append(1)
    file = sys.argv[2]
    return dataloader.load("cifar10", "train", datapath="", npz_file=file, data_split=2, allocate=allocate)
data = node_memory.load_images(ranks, load)
sums = int(data.images.sum()), data.labels.sum().item()
seen = ranks.gather_all((len(calls), *sums, list(data.images.shape), data.mean))
if ranks.rank == 0:
    print(json.dumps(seen))
"""


@pytest.fixture
def npz(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "data.npz",
        images=rng.integers(0, 256, (40, 3, 8, 8), dtype=np.uint8),
        labels=rng.integers(0, 10, 40),
    )
    return str(tmp_path / "data.npz")


def from_npz(npz, *, allocate=torch.empty):
    return dataloader.load("cifar10", "train", datapath="", npz_file=npz, data_split=2, allocate=allocate)


def test_one_rank_decodes_and_all_see_the_same(npz, tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    done = subprocess.run(
        [*mpirun(3), sys.executable, "-c", JOB, str(REPO), npz],
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert [calls for calls, *_ in seen] == [1, 0, 0]
    expected = from_npz(npz)
    assert all(
        values
        == [int(expected.images.sum()), expected.labels.sum().item(), [20, 3, 8, 8], list(expected.mean)]
        for _, *values in seen
    )
    assert not list(temporary.glob("loss_landscape_*"))


def test_alone_it_is_what_is_loaded_and_leaves_no_file(npz, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    data, expected = (
        node_memory.load_images(Serial(), from_npz, npz),
        from_npz(npz),
    )
    assert torch.equal(data.images, expected.images) and torch.equal(data.labels, expected.labels)
    assert (data.mean, data.std) == (expected.mean, expected.std)
    assert [path.name for path in tmp_path.iterdir()] == ["data.npz"]


def test_a_full_temporary_folder_is_said(npz, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(InputError, match="no room for 0 MiB of data in .*set TMPDIR"):
        node_memory.load_images(Serial(), from_npz, npz)
    assert [path.name for path in tmp_path.iterdir()] == ["data.npz"]
