"""The four modules of the paper's program that are commands here too: directions, one checkpoint, the
machine.
"""

import itertools
import subprocess

import numpy as np
import pytest

from losslandscape.cli.scheduler import RankFacts, find_problems
from losslandscape.data import dataloader
from losslandscape.evaluate.evaluation import evaluate
from losslandscape.files import h5_util
from losslandscape.nets import model_loader
from tests.helpers import DIGITS, LARGE_BATCH, SMALL_BATCH, command, folder_with, run, succeed

CENTRE = "resnet20_digits_bs=64/model_6.t7"
OTHER = "resnet20_digits_bs=512/model_40.t7"
NET = ["--model", "resnet20", "--model_file", CENTRE]
NORMS = ["--xnorm", "filter", "--xignore", "biasbn", "--ynorm", "filter", "--yignore", "biasbn"]


@pytest.fixture
def folder(tmp_path):
    return folder_with(tmp_path, SMALL_BATCH, LARGE_BATCH)


@pytest.mark.slow
def test_a_direction_file_is_the_one_that_a_surface_uses(folder):
    printed = succeed("net_plotter.py", *NET, *NORMS, cwd=folder)
    name = f"{CENTRE}_weights_xignore=biasbn_xnorm=filter_yignore=biasbn_ynorm=filter.h5"
    assert printed.startswith(f"{name}: ") and "cosine of x and y" in printed
    made = (folder / name).read_bytes()
    surface = succeed("plot_surface.py", *DIGITS, *NET[2:], *NORMS, "--x=0:0:1", "--y=0:0:1", cwd=folder)
    assert f"directions: {name}" in surface
    assert (folder / name).read_bytes() == made
    assert succeed("net_plotter.py", *NET, *NORMS, cwd=folder) == printed
    assert succeed("net_plotter.py", "--dir_file", name, cwd=folder) == printed


def test_a_direction_to_another_net_and_one_that_exists_with_other_options(folder):
    towards = ["--model_file2", OTHER, "--dir_type", "states"]
    printed = succeed("net_plotter.py", *NET, *towards, cwd=folder)
    name = printed.partition(": ")[0]
    state, other = (
        model_loader.load("resnet20", str(folder / file)).state_dict() for file in (CENTRE, OTHER)
    )
    (direction,) = h5_util.read_directions(str(folder / name))
    for tensor, here, there in zip(direction, state.values(), other.values(), strict=True):
        np.testing.assert_array_equal(tensor, (there - here).float().numpy())
    (folder / CENTRE).write_bytes((folder / OTHER).read_bytes())
    refused = run("net_plotter.py", *NET, *towards, cwd=folder)
    assert refused.returncode == 2 and "--overwrite" in refused.stderr
    again = succeed("net_plotter.py", *NET, *towards, "--overwrite", cwd=folder)
    assert f"{name}.old" in again


@pytest.mark.slow
@pytest.mark.parametrize("flags", [["--same_dir"], ["--ydir", "hessian"]], ids=" ".join)
def test_an_option_for_y_makes_two_directions(folder, flags):
    printed = succeed("net_plotter.py", *DIGITS, *NET[2:], *flags, cwd=folder)
    assert len(h5_util.read_directions(str(folder / printed.rpartition(".h5: ")[0].split()[-1]) + ".h5")) == 2


def test_what_makes_no_direction_is_refused(folder):
    for flags, word in (
        (["--model_file", "resnet20*/*.t7"], "several"),
        (["--dir_file", "none.h5"], "none.h5"),
    ):
        refused = run("net_plotter.py", *NET[:2], *flags, cwd=folder)
        assert refused.returncode == 2 and word in refused.stderr


@pytest.mark.slow
def test_a_checkpoint_is_evaluated_on_training_and_test_data(folder):
    printed = succeed("evaluation.py", *DIGITS, "--model_file", CENTRE, cwd=folder).splitlines()
    net = model_loader.load("resnet20", str(folder / CENTRE))
    for line, (part, split) in zip(printed, (("train", 32), ("test", 1)), strict=False):
        data = dataloader.load("digits", part, datapath="", data_split=split)
        loss, accuracy = evaluate(net, data)
        assert line.startswith(f"{part} ({len(data)} samples): loss {loss:.4f}"[:-1])
        assert line.endswith(f", accuracy {accuracy:.2f} %")
    assert printed[2].endswith("%")


def test_an_accuracy_far_below_the_recorded_one_is_warned_about(folder):
    printed = succeed("evaluation.py", *DIGITS, "--model_file", CENTRE, "--raw_data", cwd=folder)
    assert "warning: " in printed.splitlines()[-1] and "preprocessing" in printed


def test_own_data_and_another_loss_are_evaluated(folder):
    (folder / "mine.py").write_text(
        "import torch\n"
        "def net():\n    return torch.nn.Linear(3, 2)\n"
        "def data():\n    train = torch.ones(8, 3), torch.zeros(8, 2)\n"
        "    return train, (torch.ones(5, 3), torch.zeros(5, 2))\n"
        "def loss(net, batch):\n    return (net(batch[0]) ** 2).mean(), 8, {'size': torch.tensor(2.5)}\n"
    )
    mine = ["--model", "mine.py:net", "--dataset", "mine.py:data", "--loss_name", "mine.py:loss"]
    printed = succeed("evaluation.py", *mine, cwd=folder)
    untrained, train, test = printed.splitlines()
    assert untrained == "no --model_file: the net is as mine.py:net makes it"
    assert train.startswith("train (8 samples): loss ") and train.endswith("size 2.5")
    assert test.startswith("test (5 samples): loss ")
    refused = run("evaluation.py", "--model", "mine.py:other", *mine[2:], cwd=folder)
    assert refused.returncode == 2 and "other" in refused.stderr


def facts(number: int, **differing: list) -> list[RankFacts]:
    usual = {"node": "a", "device": "cpu", "gpu": "", "cores": 4, "sees_folder": True, "versions": "1"}
    columns = {name: differing.get(name, itertools.repeat(value)) for name, value in usual.items()}
    rows = itertools.islice(zip(*columns.values(), strict=False), number)
    return [RankFacts(rank, *row) for rank, row in enumerate(rows)]


@pytest.mark.parametrize(
    ("ranks", "seconds", "words"),
    [
        (facts(4), 0.001, []),
        (facts(5), 0.001, ["a has 5 ranks for 4 cores"]),
        (facts(2, node=["a", "b"], sees_folder=[True, False]), 0.001, ["rank 1 on b", "working folder"]),
        (facts(2, gpu=["x", "x"]), 0.001, ["share a GPU on a"]),
        (facts(2, gpu=["x", "x"], node=["a", "b"]), 0.001, []),
        (facts(2, versions=["1", "2"]), 0.001, ["different versions"]),
        (facts(2), 0.5, ["0.5 s"]),
    ],
)
def test_what_is_wrong_with_a_machine_is_said_in_a_sentence(ranks, seconds, words):
    problems = find_problems(ranks, seconds)
    assert len(problems) == (1 if words else 0)
    assert all(word in problems[0] for word in words)


@pytest.mark.slow
def test_ranks_describe_themselves(folder):
    done = run("scheduler.py", ranks=2, cwd=folder)
    assert "2 ranks on 1 node" in done.stdout and "rank 1 on " in done.stdout
    assert done.stdout.splitlines()[-1] == "ready" and done.returncode == 0
    assert not list(folder.glob(".ranks_*"))


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_ends_all_ranks(folder):
    line = command("scheduler.py", ranks=2)
    done = subprocess.run(line, cwd="/sys", capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stderr.count("error: ") == 1


def test_one_process_is_ready(folder):
    printed = succeed("scheduler.py", cwd=folder)
    assert printed.startswith("1 rank on 1 node") and printed.endswith("ready\n")
