"""One rank of a node loads the data and all see it; the file that holds it disappears with them."""

import dataclasses
import errno
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from losslandscape.core.errors import InputError
from losslandscape.core.provenance import fingerprint_of_arrays
from losslandscape.data import dataloader, node_memory, samples
from losslandscape.data.image_set import ImageSet
from losslandscape.data.own_batches import OwnBatches
from losslandscape.files import h5_util
from losslandscape.parallel.mpi4pytorch import Serial
from tests.helpers import REPO, mpirun, succeed

JOB = """
import json, sys
import torch
from losslandscape.core.errors import InputError
from losslandscape.data import node_memory
from losslandscape.parallel import mpi4pytorch
from tests.data.test_node_memory import from_npz, ragged

ranks = mpi4pytorch.connect(mpi=True)
calls = []

def counted(load, *args, **options):
    calls.append(load)
    return load(*args, **options)

def broken():
    raise InputError("nothing to load")

images = node_memory.load_images(ranks, counted, from_npz, sys.argv[1])
sets = node_memory.load_samples(ranks, counted, ragged)
try:
    node_memory.load_samples(ranks, broken)
except InputError as error:
    sentence = str(error)
sums = [[int(tensor.sum()) for tensor in chunk.values()] for chunk in sets["train"].chunks]
facts = [images.images.sum().item(), images.labels.tolist(), list(images.images.shape), images.mean, sums]
facts += [sets["test"].batch(slice(None)).sum().item(), sets["test"].labels.tolist()]
seen = ranks.gather_all((len(calls), sentence, facts))
if ranks.rank == 0:
    print(json.dumps(seen))
"""


@pytest.fixture
def npz(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 3, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", images=images, labels=rng.integers(0, 10, 40))
    return str(tmp_path / "data.npz")


def from_npz(npz, *, allocate=torch.empty):
    return dataloader.load("cifar10", "train", datapath="", npz_file=npz, data_split=2, allocate=allocate)


def ragged():
    """Samples of two lengths and two types, so of two chunks, and an image."""
    batches = [{"ids": torch.arange(n).view(1, n), "weights": torch.ones(1, n) / 2} for n in (3, 8)]
    images = ImageSet(torch.arange(12).view(1, 3, 2, 2).byte(), torch.tensor([1]), (0.5,), (2.0,))
    return {"train": samples.stack(batches), "test": images}


@pytest.mark.slow
def test_one_rank_loads_and_all_see_the_same(npz, tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    done = subprocess.run(
        [*mpirun(3), sys.executable, "-c", JOB, npz],
        env={**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    expected = from_npz(npz)
    sums = [[3, 1], [28, 4]]
    facts = [expected.images.sum().item(), expected.labels.tolist(), [20, 3, 8, 8], list(expected.mean), sums]
    image = ragged()["test"]
    facts += [image.batch(slice(None)).sum().item(), [1]]
    loads = [2, 0, 0]
    assert json.loads(done.stdout) == [[count, "nothing to load", facts] for count in loads]
    assert not list(temporary.glob("loss_landscape_*"))


def test_alone_it_is_what_is_loaded_and_leaves_no_file(npz, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    data = node_memory.load_images(Serial(), from_npz, npz)
    expected = from_npz(npz)
    assert torch.equal(data.images, expected.images) and torch.equal(data.labels, expected.labels)
    assert (data.mean, data.std) == (expected.mean, expected.std)
    assert [path.name for path in tmp_path.iterdir()] == ["data.npz"]


def test_a_full_temporary_folder_is_named(npz, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(InputError, match="no room for 0 MiB of data in .*set TMPDIR"):
        node_memory.load_images(Serial(), from_npz, npz)
    assert [path.name for path in tmp_path.iterdir()] == ["data.npz"]


class TwoNodes(Serial):
    """One rank of two, whose other node has loaded something else."""

    def gather_all(self, value):
        return [value, "another fingerprint" if isinstance(value, str) else value]


def test_data_that_differs_from_node_to_node_is_refused():
    with pytest.raises(InputError, match="differs from node to node; .*seed"):
        node_memory.load_samples(TwoNodes(), ragged)


class FirstOfTwo(Serial):
    """The first rank of a node with two, alone."""

    local_size = 2


def test_own_batches_are_read_from_the_file_as_they_were():
    batches = [
        {
            "images": [torch.ones(1, 2, 2) * i, torch.ones(1, 3, 3)],
            "targets": [{"boxes": torch.ones(i, 4)}, {}],
        }
        for i in range(3)
    ]
    batches.append({"images": torch.eye(3).to_sparse(), "targets": np.ones(2), "name": "text"})
    own = OwnBatches.of(batches)
    shared = node_memory.load_samples(FirstOfTwo(), lambda: {**ragged(), "train": own})
    before, after = (fingerprint_of_arrays(data.arrays()) for data in (own, shared["train"]))
    assert before == after and shared["train"].sizes == own.sizes
    assert torch.equal(shared["test"].images, ragged()["test"].images)
    loaded = samples.gather(list(ragged()["train"].chunks), are_own=True)
    shared = node_memory.load_samples(FirstOfTwo(), lambda: {"train": loaded})
    assert shared["train"].own_sizes == loaded.own_sizes == (1, 1)


def test_batches_of_a_class_that_cannot_be_sent_are_refused():
    @dataclasses.dataclass
    class Local:
        x: torch.Tensor

    with pytest.raises(InputError, match="cannot be sent to other ranks .*at the top of its file"):
        node_memory.load_samples(FirstOfTwo(), lambda: {"train": OwnBatches.of([Local(torch.ones(2))])})


GRAPHS = """
import dataclasses
import torch

@dataclasses.dataclass
class Graphs:
    x: torch.Tensor
    graph: torch.Tensor
    y: torch.Tensor
    num_graphs: int = 2

def data():
    for n in (3, 5):
        graph = torch.arange(n) % 2
        yield Graphs(torch.arange(3.0 * n).view(n, 3) / n, graph, torch.tensor([0, 1]))
"""
NET = """
import torch
def net():
    torch.manual_seed(0)
    return torch.nn.Linear(3, 2)
def loss(net, batch):
    outputs = torch.zeros(batch.num_graphs, 2).index_add(0, batch.graph, net(batch.x))
    return torch.nn.functional.cross_entropy(outputs, batch.y)
"""


@pytest.mark.slow
def test_ranks_share_batches_of_the_user_s_class(inside):
    """The other ranks have not run the file that defines the class."""
    (inside / "graphs.py").write_text(GRAPHS)
    (inside / "net.py").write_text(NET)
    flags = [
        "--model",
        "net.py:net",
        "--loss_name",
        "net.py:loss",
        "--dataset",
        "graphs.py:data",
        "--x=-1:1:5",
    ]
    surfaces = []
    for ranks in (0, 2):
        succeed("plot_surface.py", *flags, "--surf_file", f"{ranks}.h5", ranks=ranks, cwd=inside)
        surfaces.append(h5_util.read_surface(f"{ranks}.h5").get("train_loss"))
    np.testing.assert_allclose(surfaces[0], surfaces[1], rtol=1e-6)
