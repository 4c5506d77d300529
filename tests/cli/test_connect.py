"""connect.py: its files, its resumption, ranks, own code, and bad input."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from losslandscape.files import h5_util
from tests.cli.own_net import OWN, OWN_CODE
from tests.helpers import run, succeed

BASE = [*OWN, "--model_file", "a.pt", "--model_file2", "b.pt", "--points", "5", "--batch_size", "16"]
ARGS = [*BASE, "--epochs", "2", "--out", "c"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mine.py").write_text(
        OWN_CODE
        + "\ndef half(net, batch):\n    x, y = batch\n    return nn.functional.cross_entropy(net(x), y) / 2\n"
    )
    for seed, name in enumerate(("a", "b")):
        torch.manual_seed(seed)
        net = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3))
        torch.save(net.state_dict(), tmp_path / f"{name}.pt")
    return tmp_path


def values(path: Path) -> np.ndarray:
    return h5_util.read_surface(str(path)).get("train_loss")


def test_the_files_of_a_curve(folder):
    printed = succeed("connect.py", *ARGS, "--plot", "--format", "png", cwd=folder)
    assert "epoch 2/2" in printed and "train_loss: barrier of the line" in printed
    assert {"c.t7", "c.h5", "c_line.h5", "c_training.t7", "c_1d_train_loss.png"} <= set(_names(folder))
    curve, line = (h5_util.read_surface(str(folder / name)) for name in ("c.h5", "c_line.h5"))
    assert curve.x.tolist() == line.x.tolist() == [0, 0.25, 0.5, 0.75, 1]
    for end, file in ((0, "a.pt"), (-1, "b.pt")):
        shown = succeed("evaluation.py", *OWN, "--model_file", file, cwd=folder)
        loss = float(shown.split("loss ")[1].split(",")[0])
        assert curve.get("train_loss")[end] == pytest.approx(loss, rel=1e-5)
        assert line.get("train_loss")[end] == curve.get("train_loss")[end]
    a, b, bend = (torch.load(folder / name, weights_only=True) for name in ("a.pt", "b.pt", "c.t7"))
    middle = {name: a[name] / 4 + bend["state_dict"][name] / 2 + b[name] / 4 for name in a}
    torch.save(middle, folder / "middle.pt")
    shown = succeed("evaluation.py", *OWN, "--model_file", "middle.pt", cwd=folder)
    assert curve.get("train_loss")[2] == pytest.approx(float(shown.split("loss ")[1].split(",")[0]), rel=1e-5)


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_the_plane_of_a_curve(folder):
    succeed("connect.py", *ARGS, cwd=folder)
    files = ["--dir_file", "c_directions.h5", "--proj_file", "c_proj.h5"]
    grid = ["--x=0:1:2", "--y=0:1:2", "--surf_file", "p.h5", "--plot"]
    plane = [*OWN, "--model_file", "a.pt", "--dir_type", "states", *files, *grid]
    succeed("plot_surface.py", *plane, cwd=folder)
    assert "c_proj.h5_train_loss_2dcontour_proj.pdf" in _names(folder)
    nets = {net.name: (net.x, net.y) for net in h5_util.read_surface(str(folder / "p.h5")).nets}
    path = h5_util.read_projection(str(folder / "c_proj.h5"))
    assert list(nets) == ["a", "bend", "b"]
    assert (path.x[0], path.y[0]) == nets["a"] and (path.x[-1], path.y[-1]) == nets["b"]
    for t, x, y in ((0.5, path.x[30], path.y[30]), (0.25, path.x[15], path.y[15])):
        weights = np.array([(1 - t) ** 2, 2 * t * (1 - t), t**2])
        assert weights @ np.array(list(nets.values())) == pytest.approx([x, y], rel=1e-12)
    assert "a curve between two nets, at 61 places" in succeed("h5_util.py", "c_proj.h5", cwd=folder)
    bend = torch.load(folder / "c.t7", weights_only=True)["state_dict"]
    a = torch.load(folder / "a.pt", weights_only=True)
    distance = sum(float((a[name] - bend[name]).double().square().sum()) for name in a) ** 0.5
    assert np.hypot(*nets["bend"]) == pytest.approx(distance, rel=1e-6)


def test_the_same_command_measures_nothing_again(folder):
    succeed("connect.py", *ARGS, cwd=folder)
    before = {name: (folder / name).read_bytes() for name in ("c.t7", "c_training.t7")}
    measured = values(folder / "c.h5")
    printed = succeed("connect.py", *ARGS, cwd=folder)
    assert "epoch" not in printed and printed.count("0 of 5 points to measure") == 2
    assert before == {name: (folder / name).read_bytes() for name in before}
    assert np.array_equal(measured, values(folder / "c.h5"))


def test_a_stopped_training_continues_with_the_same_bends(folder):
    args = [*BASE, "--epochs", "4"]
    succeed("connect.py", *args, "--out", "whole", cwd=folder)
    from losslandscape.trajectory.curve_files import CurveFiles

    written = CurveFiles.write_training

    def stop(self, state, facts):
        written(self, state, facts)
        if state["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CurveFiles, "write_training", stop)
        assert run("connect.py", *args, "--out", "cut", cwd=folder).returncode == 130
    assert "epoch 3/4" in succeed("connect.py", *args, "--out", "cut", cwd=folder)
    whole, cut = (torch.load(folder / f"{name}.t7", weights_only=True) for name in ("whole", "cut"))
    assert all(torch.equal(whole["state_dict"][name], cut["state_dict"][name]) for name in cut["state_dict"])
    assert np.array_equal(values(folder / "whole.h5"), values(folder / "cut.h5"))


def test_more_epochs_continue(folder):
    succeed("connect.py", *ARGS, cwd=folder)
    old = values(folder / "c.h5")
    printed = succeed("connect.py", *ARGS, "--epochs", "5", cwd=folder)
    assert "epoch 3/5" in printed and "epoch 2/5" not in printed
    assert np.array_equal(values(folder / "c.h5.old"), old)
    assert not np.array_equal(values(folder / "c.h5"), old)


@pytest.mark.slow
def test_two_ranks_measure_what_one_measures(folder):
    args = [*BASE, "--epochs", "2", "--curve", "chain", "--bends", "2"]
    succeed("connect.py", *args, "--out", "one", cwd=folder)
    succeed("connect.py", *args, "--out", "two", "--mpi", ranks=2, cwd=folder)
    assert "two_2.t7" in _names(folder)
    for ending in (".h5", "_line.h5"):
        with h5py.File(folder / f"one{ending}") as one, h5py.File(folder / f"two{ending}") as two:
            assert np.array_equal(one["train_loss"], two["train_loss"])


def test_an_own_loss(folder):
    succeed("connect.py", *ARGS, cwd=folder)
    succeed("connect.py", *ARGS, "--loss_name", "mine.py:half", "--out", "half", cwd=folder)
    assert values(folder / "half_line.h5") == pytest.approx(values(folder / "c_line.h5") / 2, rel=1e-6)


CASES = {
    "one net": (["--model_file2", ""], ["joins two nets", "--model_file2"]),
    "the same net twice": (["--model_file2", "a.pt"], ["both a.pt", "--model_file2"]),
    "a copy of the net": (["--model_file2", "copy.pt"], ["two nets are equal"]),
    "another net": (["--model_file2", "wide.pt"], ["wide.pt", "0.weight"]),
    "no name": (["--out", ""], ["--out"]),
    "no folder": (["--out", "nowhere/c"], ["nowhere", "--out"]),
    "no bend": (["--bends", "0"], ["'0'"]),
    "one point": (["--points", "1"], ["points 1"]),
    "no rate": (["--lr", "0"], ["lr 0"]),
    "another curve": (["--curve", "spline"], ["spline", "bezier"]),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input(name, folder):
    flags, words = CASES[name]
    torch.save(torch.load(folder / "a.pt"), folder / "copy.pt")
    torch.save({"0.weight": torch.ones(9, 4)}, folder / "wide.pt")
    before = sorted(_names(folder))
    done = run("connect.py", *ARGS, *flags, cwd=folder)
    assert done.returncode == 2 and done.stderr.count("\n") <= 1
    assert all(word in done.stderr for word in words), done.stderr
    assert sorted(set(_names(folder)) - {"__pycache__"}) == before


def test_files_of_another_training(folder):
    succeed("connect.py", *ARGS, cwd=folder)
    done = run("connect.py", *ARGS, "--lr", "0.1", cwd=folder)
    assert done.returncode == 2
    assert "lr (there 0.05, here 0.1)" in done.stderr and "--overwrite" in done.stderr
    done = run("connect.py", *ARGS, "--epochs", "1", cwd=folder)
    assert "trained for 2 epochs" in done.stderr and "--epochs 2" in done.stderr
    succeed("connect.py", *ARGS, "--lr", "0.1", "--overwrite", cwd=folder)
    assert {"c.t7.old", "c.h5.old", "c_training.t7.old"} <= set(_names(folder))
