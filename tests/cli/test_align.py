"""align.py writes the second net with its neurons permuted to match the first net's."""

import torch

from losslandscape.nets import model_loader
from losslandscape.nets.checkpoint import read_checkpoint, write_checkpoint
from losslandscape.nets.permutation_groups import find_groups
from tests.helpers import DIGITS, SMALL_BATCH, run, succeed
from tests.nets.permutable_nets import IMAGES
from tests.nets.test_permutation_groups import shuffled

NET = ["--dataset", "digits", "--model", "resnet20", "--model_file", SMALL_BATCH]


def write_permuted(path):
    net = model_loader.load("resnet20", str(SMALL_BATCH))
    state = shuffled(net, find_groups(net, ((IMAGES,), {})).groups)
    net.load_state_dict({**net.state_dict(), **state})
    write_checkpoint(str(path), net, epoch=6, acc=95.0)


def test_a_permuted_checkpoint_is_matched_back(tmp_path):
    write_permuted(tmp_path / "b.t7")
    printed = succeed("align.py", *NET, "--model_file2", "b.t7", "--out", "aligned.t7", cwd=tmp_path)
    assert "groups:      12, with 16-64 neurons" in printed and ", 0 after" in printed
    aligned, first = read_checkpoint(tmp_path / "aligned.t7"), read_checkpoint(SMALL_BATCH)
    assert (aligned.epoch, aligned.acc) == (6, 95.0)
    assert all(torch.equal(aligned.state[name], value) for name, value in first.state.items())


def test_activations_match_it_too(tmp_path):
    write_permuted(tmp_path / "b.t7")
    flags = [*NET, *DIGITS[2:4], "--model_file2", "b.t7", "--match", "activations", "--out", "aligned.t7"]
    assert ", 0 after" in succeed("align.py", *flags, cwd=tmp_path)


OWN = """
import torch
from torch import nn

class Recurrent(nn.Module):
    def __init__(self, branches):
        super().__init__()
        self.layer, self.last, self.branches = nn.RNN(64, 8, batch_first=True), nn.Linear(8, 10), branches

    def forward(self, x):
        return self.last(self.layer(x.flatten(2))[0][:, -1 if self.branches and x.sum() > 0 else 0])

def net(branches=False):
    return Recurrent(branches)

def data():
    return torch.rand(4, 2, 8, 8), torch.arange(4)
"""


def test_nets_without_known_symmetries_are_one_sentence(tmp_path):
    (tmp_path / "mine.py").write_text(OWN)
    flags = ["--model", "mine.py:net", "--dataset", "mine.py:data", "--out", "c.t7"]
    net = model_loader.build(f"{tmp_path}/mine.py:net")
    write_checkpoint(str(tmp_path / "a.t7"), net)
    flags += ["--model_file", "a.t7", "--model_file2", "a.t7"]
    for more, sentence in [
        ([], "no neurons of the net, a Recurrent, can change places (because of"),
        (["--model_args", "branches=True"], "torch.fx cannot trace the net, a Recurrent"),
    ]:
        done = run("align.py", *flags, *more, cwd=tmp_path)
        assert done.returncode == 2 and sentence in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_bad_input_is_one_sentence(tmp_path):
    (tmp_path / "there.t7").write_text("")
    for flags, sentence in [
        (["--out", "c.t7"], "neurons of two nets are matched; give a checkpoint as --model_file2"),
        (["--model_file2", SMALL_BATCH, "--out", "there.t7"], "there.t7 exists; give another --out"),
        (["--model_file2", "there.t7", "--out", "c.t7"], "there.t7: is not a checkpoint"),
    ]:
        done = run("align.py", *NET, *flags, cwd=tmp_path)
        assert done.returncode == 2 and sentence in done.stderr and done.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there.t7"]
