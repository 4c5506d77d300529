"""Ranges that the program chooses: around nets whose rise is known, between nets, along a path, and again."""

import os

import numpy as np
import pytest
import torch

from losslandscape.cli import plot_surface
from losslandscape.data import dataloader
from losslandscape.evaluate.evaluation import evaluate
from losslandscape.files import h5_util
from losslandscape.files.surface import Surface
from losslandscape.measure import auto_range
from losslandscape.measure.auto_range import Auto
from losslandscape.measure.range_search import REACHES
from losslandscape.nets import model_loader
from tests.helpers import DIGITS, LARGE_BATCH, SMALL_BATCH, folder_with, succeed

CENTRE = "resnet20_digits_bs=64/model_6.t7"
LINE = [*DIGITS, "--model_file", CENTRE, "--xnorm", "filter", "--xignore", "biasbn"]
NAME = f"{CENTRE}_weights_xignore=biasbn_xnorm=filter.h5"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(folder_with(tmp_path, SMALL_BATCH, LARGE_BATCH))
    return tmp_path


def bowl(point: tuple[float, ...]) -> float:
    """Rises to 1 at 0.97 along x and at 0.049 along y."""
    return 0.05 + point[0] ** 2 + 400 * point[1] ** 2


@pytest.mark.parametrize(
    ("asked", "alike", "expected"),
    [
        ({"x": Auto(5), "y": Auto(7)}, True, {"x": (-1, 1, 5), "y": (-1, 1, 7)}),
        ({"x": Auto(5), "y": Auto(7)}, False, {"x": (-1, 1, 5), "y": (-0.05, 0.05, 7)}),
        ({"x": (-3.0, 3.0, 9), "y": Auto(7)}, True, {"x": (-3, 3, 9), "y": (-0.05, 0.05, 7)}),
    ],
    ids=["one unit", "two units", "x is given"],
)
def test_two_axes(asked, alike, expected):
    points = []

    def loss(point):
        points.append(point)
        return bowl(point)

    axes, reasons = auto_range.choose(asked, loss, alike=alike, loss_name="crossentropy", rise=10)
    assert axes == expected
    assert sum(int(reason.split()[-3]) for reason in reasons) == len(points)
    groups = ["x and y"] if axes["x"][1] == axes["y"][1] else sorted(auto_range.unknown_axes(asked))
    assert [reason.split(":")[0] for reason in reasons] == [f"range of {group}" for group in groups]


def test_the_range_of_a_path_holds_it_with_a_margin_and_round_ends():
    assert auto_range.of_path([0.0, 10.0, 3.0]) == (-1.5, 11.5, 51)
    assert auto_range.of_path([-0.0312, 0.0], 11) == (-0.036, 0.005, 11)
    low, high, _ = auto_range.of_path([2.0, 2.0])
    assert low < 2 < high


@pytest.mark.slow
def test_the_range_around_a_net(folder, capsys):
    """The loss has risen at both ends, and not yet on both sides of the next smaller range.

    Nothing else differs from a range that is given.
    """
    plot_surface.main([*LINE, "--x", "auto:3"])
    out = capsys.readouterr().out
    [path] = (folder / "resnet20_digits_bs=64").glob("*_datasplit=32_splitidx=0.h5")
    surface = h5_util.read_surface(str(path))
    reach = float(surface.x[-1])
    assert f"range of x: -{reach:g}:{reach:g}, " in out
    assert str(path.relative_to(folder)) == f"{NAME}_[-{reach},{reach},3]_datasplit=32_splitidx=0.h5"
    np.testing.assert_array_equal(surface.x, np.linspace(-reach, reach, 3))
    assert "--x auto:3" in surface.runs[0]["command"]

    net = model_loader.load("resnet20", CENTRE)
    data = dataloader.load("digits", "train", datapath="", data_split=32)
    start = [parameter.detach().clone() for parameter in net.parameters()]
    [direction] = h5_util.read_directions(NAME)

    def loss(alpha: float) -> float:
        with torch.no_grad():
            for parameter, here, step in zip(net.parameters(), start, direction, strict=True):
                parameter.copy_(here + alpha * torch.from_numpy(step))
        return evaluate(net, data)[0]

    assert loss(0) < 0.1
    assert min(loss(-reach), loss(reach)) >= 1
    narrower = REACHES[REACHES.index(reach) - 1]
    assert min(loss(-narrower), loss(narrower)) < 1
    assert surface.get("train_loss") == pytest.approx([loss(alpha) for alpha in surface.x], rel=1e-4)

    os.rename(NAME, "probed.h5")
    plot_surface.main([*LINE, f"--x=-{reach}:{reach}:2", "--surf_file", "typed.h5"])
    for ours, theirs in zip(direction, h5_util.read_directions(NAME)[0], strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_a_plane_has_the_directions_of_a_given_range(folder):
    plane = [*LINE, "--ynorm", "filter", "--yignore", "biasbn"]
    plot_surface.main([*plane, "--x", "auto:2", "--y", "auto:2", "--surf_file", "probed.h5"])
    probed = h5_util.read_surface("probed.h5")
    np.testing.assert_array_equal(probed.x, probed.y)
    os.rename(probed.dir_file, "probed_directions.h5")
    ends = f"{probed.x[0]}:{probed.x[-1]}:2"
    plot_surface.main([*plane, f"--x={ends}", f"--y={ends}", "--surf_file", "typed.h5"])
    typed = h5_util.read_surface("typed.h5")
    np.testing.assert_array_equal(probed.get("train_loss"), typed.get("train_loss"))
    for ours, theirs in zip(
        h5_util.read_directions("probed_directions.h5"), h5_util.read_directions(typed.dir_file), strict=True
    ):
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.slow
def test_several_ranks_find_one_range_and_a_resumed_run_keeps_it(folder, capsys):
    out = succeed("plot_surface.py", *LINE, "--x", "auto:5", ranks=2, cwd=folder)
    assert out.count("range of x") == 1
    [line] = [line for line in out.splitlines() if line.startswith("surface:")]
    path = line.split()[1]
    whole = h5_util.read_surface(path)
    os.rename(path, "of_two_ranks.h5")
    plot_surface.main([*LINE, "--x", "auto:5"])
    alone = h5_util.read_surface(path)
    np.testing.assert_allclose(alone.get("train_loss"), whole.get("train_loss"), rtol=1e-6)

    measured = np.array([True, False, True, False, True])
    values = {name: np.where(measured, whole.get(name), -1) for name in whole.names}
    half = Surface(
        path,
        x=whole.x,
        y=None,
        dir_file=whole.dir_file,
        quantities=values,
        measured=measured,
        made_with=whole.made_with,
        runs=whole.runs,
    )
    h5_util.write_surface(half)
    capsys.readouterr()
    plot_surface.main([*LINE, "--x", "auto:5"])
    out = capsys.readouterr().out
    assert f", as in {path}\n" in out and "2 of 5 points to measure" in out
    resumed = h5_util.read_surface(path)
    np.testing.assert_allclose(resumed.get("train_loss"), whole.get("train_loss"), rtol=1e-6)


@pytest.mark.slow
def test_an_earlier_range_counts_for_the_same_question_only(folder, capsys):
    def reason(*flags: str) -> str:
        plot_surface.main([*LINE, *flags])
        return next(line for line in capsys.readouterr().out.splitlines() if line.startswith("range of x"))

    assert "points measured" in reason("--x", "auto:2")
    assert ", as in " in reason("--x", "auto:3")
    assert "points measured" in reason("--x", "auto:2", "--rise", "2")
    assert "points measured" in reason("--x", "auto:2", "--loss_name", "mse", "--surf_file", "mse.h5")
    assert "points measured" in reason("--x", "auto:2", "--overwrite")


@pytest.mark.slow
def test_between_two_nets_nothing_is_probed(folder, capsys):
    target = ["--model_file2", "resnet20_digits_bs=512/model_40.t7", "--dir_type", "states"]
    plot_surface.main([*DIGITS, "--model_file", CENTRE, *target, "--x", "auto:2"])
    out = capsys.readouterr().out
    assert "range of x: -0.5:1.5, as the other net lies at 1\n" in out
    [line] = [line for line in out.splitlines() if line.startswith("surface:")]
    assert line.endswith("_states.h5_[-0.5,1.5,2]_datasplit=32_splitidx=0.h5")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--x", "auto:1"], ["'auto:1'", "two points"]),
        (["--x", "auto:"], ["'auto:'"]),
        (["--y", "auto:3:4"], ["'auto:3:4'"]),
        (["--y", "automatic"], ["'automatic'", "min:max:number"]),
        (["--rise", "1"], ["'1'", "above 1"]),
        (["--rise", "nan"], ["'nan'", "above 1"]),
        (["--rise", "ten"], ["'ten'", "above 1"]),
        (["--x", "auto", "--surf_file", "nowhere/s.h5"], ["'nowhere'"]),
    ],
)
def test_bad_input(folder, capsys, flags, words):
    with pytest.raises(SystemExit) as refused:
        plot_surface.main([*LINE, *flags])
    out, err = capsys.readouterr()
    assert refused.value.code == 2 and out == ""
    assert all(word in err for word in words), err
    assert not list(folder.rglob("*.h5"))


@pytest.mark.slow
def test_the_net_is_on_its_device_before_the_search_moves_it(folder, capsys, monkeypatch):
    """A device other than the CPU gives the net new tensors; the search must move those."""
    plot_surface.main([*LINE, "--x", "auto:3"])
    expected = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("range of x"))

    def to_device(net, *_):
        for parameter in net.parameters():
            parameter.data = parameter.data.clone()
        return net

    monkeypatch.setattr(torch.nn.Module, "to", to_device)
    plot_surface.main([*LINE, "--x", "auto:3", "--overwrite"])
    assert expected in capsys.readouterr().out
