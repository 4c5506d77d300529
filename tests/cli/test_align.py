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
    assert "groups:      12, of 16 to 64 neurons" in printed and ", 0 after" in printed
    aligned, first = read_checkpoint(tmp_path / "aligned.t7"), read_checkpoint(SMALL_BATCH)
    assert (aligned.epoch, aligned.acc) == (6, 95.0)
    assert all(torch.equal(aligned.state[name], value) for name, value in first.state.items())


def test_activations_match_it_too(tmp_path):
    write_permuted(tmp_path / "b.t7")
    flags = [*NET, *DIGITS[2:4], "--model_file2", "b.t7", "--match", "activations", "--out", "aligned.t7"]
    assert ", 0 after" in succeed("align.py", *flags, cwd=tmp_path)


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
