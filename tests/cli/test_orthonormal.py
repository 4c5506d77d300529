"""plot_surface.py --axes orthonormal: the plane through three nets, its marks, its range, and bad input."""

import itertools
import json

import numpy as np
import pytest
import torch

from losslandscape.files import h5_util
from losslandscape.files.surface import read_places
from tests.cli.own_net import OWN, OWN_CODE
from tests.helpers import run, succeed

NETS = ["--model_file", "a.pt", "--model_file2", "b.pt", "--model_file3", "c.pt"]
PLANE = [*OWN, *NETS, "--axes", "orthonormal", "--surf_file", "s.h5"]
GRID = ["--x=-1:5:3", "--y=-1:5:3"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mine.py").write_text(OWN_CODE)
    for seed, name in enumerate("abc"):
        torch.manual_seed(seed)
        net = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3))
        torch.save(net.state_dict(), tmp_path / f"{name}.pt")
    return tmp_path


def weights(folder, name: str) -> np.ndarray:
    state = torch.load(folder / f"{name}.pt", weights_only=True)
    return np.concatenate([tensor.double().numpy().ravel() for tensor in state.values()])


def test_marks_and_values(folder):
    succeed("plot_surface.py", *PLANE, "--x=-1:1:3", "--y=-1:1:3", cwd=folder)
    surface = h5_util.read_surface(str(folder / "s.h5"))
    places = {net.name: np.array([net.x, net.y]) for net in surface.nets}
    assert list(places) == ["a", "b", "c", "mean"]
    for one, other in itertools.combinations("abc", 2):
        distance = np.linalg.norm(weights(folder, one) - weights(folder, other))
        assert np.linalg.norm(places[one] - places[other]) == pytest.approx(distance, rel=1e-6)
    assert places["mean"] == pytest.approx((places["a"] + places["b"] + places["c"]) / 3)
    stored = h5_util.read_made_with(str(folder / surface.dir_file), "direction")
    assert surface.dir_file.endswith("a.pt_b.pt_weights_c.pt_axes=orthonormal.h5")
    assert stored["axes"] == "orthonormal" and read_places(stored) == surface.nets


@pytest.mark.parametrize("name", ["b", "c"])
def test_a_net_has_its_own_loss_at_its_mark(folder, name):
    succeed("plot_surface.py", *PLANE, *GRID, cwd=folder)
    mark = next(net for net in h5_util.read_surface(str(folder / "s.h5")).nets if net.name == name)
    point = [f"--x={mark.x}:{mark.x}:1", f"--y={mark.y}:{mark.y}:1", "--overwrite"]
    succeed("plot_surface.py", *PLANE, *point, cwd=folder)
    shown = succeed("evaluation.py", *OWN, "--model_file", f"{name}.pt", cwd=folder)
    loss = float(shown.split("loss ")[1].split(",")[0])
    assert h5_util.read_surface(str(folder / "s.h5")).get("train_loss")[0, 0] == pytest.approx(loss, rel=1e-5)


def test_the_range_holds_the_nets_with_a_margin(folder):
    printed = succeed("plot_surface.py", *PLANE, "--samples", "2", "--refine", "0.5", cwd=folder)
    surface = h5_util.read_surface(str(folder / "s.h5"))
    for axis, coordinates in (("x", surface.x), ("y", surface.y)):
        marks = [getattr(net, axis) for net in surface.nets]
        assert coordinates[0] < min(marks) - 0.1 and coordinates[-1] > max(marks) + 0.1
        assert f"range of {axis}: that of the nets" in printed


def test_an_auto_axis_holds_the_nets_too(folder):
    succeed("plot_surface.py", *PLANE, "--samples", "2", "--x", "auto:5", "--y=-1:9:2", cwd=folder)
    surface = h5_util.read_surface(str(folder / "s.h5"))
    marks = [net.x for net in surface.nets]
    assert len(surface.x) == 5 and surface.x[0] < min(marks) and surface.x[-1] > max(marks)
    assert surface.y.tolist() == [-1, 9]


def test_names_and_resumption(folder):
    succeed("plot_surface.py", *PLANE, *GRID, cwd=folder)
    before = h5_util.read_surface(str(folder / "s.h5"))
    names = ["--net_names", "first", "second", "third"]
    assert "0 of 9 points" in succeed("plot_surface.py", *PLANE, *GRID, *names, cwd=folder)
    after = h5_util.read_surface(str(folder / "s.h5"))
    assert [net.name for net in after.nets] == ["first", "second", "third", "mean"]
    assert np.array_equal(before.get("train_loss"), after.get("train_loss"))
    directions = [*OWN, "--model_file", "a.pt", "--dir_file", before.dir_file, "--surf_file", "given.h5"]
    succeed("plot_surface.py", *directions, *GRID, cwd=folder)
    given = h5_util.read_surface(str(folder / "given.h5"))
    assert [net.name for net in given.nets] == ["a", "b", "c", "mean"]
    assert np.array_equal(before.get("train_loss"), given.get("train_loss"))


def test_published_axes_have_no_marks(folder):
    succeed("plot_surface.py", *OWN, *NETS, *GRID, "--surf_file", "s.h5", cwd=folder)
    surface = h5_util.read_surface(str(folder / "s.h5"))
    assert surface.nets == [] and surface.dir_file.endswith("a.pt_b.pt_weights_c.pt.h5")


def test_places_in_a_damaged_file():
    assert (
        read_places({}) == read_places({"nets": "["}) == read_places({"nets": json.dumps([["a", 1]])}) == []
    )


CASES = {
    "two nets": (["--model_file3", ""], ["three nets", "--model_file3"]),
    "the same net twice": (["--model_file3", "b.pt"], ["one line"]),
    "the centre again": (["--model_file2", "a.pt"], ["two of the three nets are equal", "--model_file2"]),
    "another net": (["--model_file3", "wide.pt"], ["wide.pt"]),
    "two names": (["--net_names", "a", "b"], ["2 names", "three nets"]),
    "names without axes": (["--axes", "", "--net_names", "a", "b", "c"], ["--axes orthonormal"]),
    "given directions": (["--dir_file", "d.h5"], ["leave --dir_file out"]),
    "other axes": (["--axes", "polar"], ["polar", "orthonormal"]),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input(name, folder):
    flags, words = CASES[name]
    torch.save({"0.weight": torch.ones(9, 4)}, folder / "wide.pt")
    done = run("plot_surface.py", *PLANE, *GRID, *flags, cwd=folder)
    assert done.returncode == 2 and done.stderr.count("\n") <= 1
    assert all(word in done.stderr for word in words), done.stderr
    assert not list(folder.glob("*.h5"))
