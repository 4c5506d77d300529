"""`--x auto`: the range that a probe finds around nets and functions whose rise is known, and that a run finds again."""

import math
import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from losslandscape.cli import plot_surface
from losslandscape.core.errors import InputError
from losslandscape.data import dataloader
from losslandscape.files import h5_util
from losslandscape.measure import auto_range
from losslandscape.measure.auto_range import REACHES, Auto, choose, probe
from losslandscape.measure.evaluation import evaluate
from losslandscape.measure.losses import LOSSES
from losslandscape.nets import model_loader
from tests.helpers import DIGITS, LARGE_BATCH, SMALL_BATCH, folder_with, succeed

CENTRE = "resnet20_digits_bs=64/model_6.t7"
FILTER = ["--xnorm", "filter", "--xignore", "biasbn"]
LINE = [*DIGITS, "--model_file", CENTRE, *FILTER]
NAME = f"{CENTRE}_weights_xignore=biasbn_xnorm=filter.h5"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(folder_with(tmp_path, SMALL_BATCH, LARGE_BATCH))
    return tmp_path


class Counted:
    """A loss, by distance or coordinates, that knows how often it was asked."""

    def __init__(self, loss):
        self.loss, self.points = loss, 0

    def __call__(self, where):
        self.points += 1
        return self.loss(where)


def powers(low: float, high: float):
    return st.floats(low, high).map(lambda exponent: 10**exponent)


@given(
    steep=powers(-5, 8),
    gentle=powers(-5, 8),
    bottom=powers(-8, 2),
    rise=st.floats(1.1, 1000),
    floor=powers(-3, 0),
)
@settings(max_examples=200, deadline=None)
def test_a_bowl(steep, gentle, bottom, rise, floor):
    """The loss has risen at both ends, and the ends are at most 2.5 times as far away as they would have to be."""
    sides = [Counted(lambda t: steep * t * t + bottom), Counted(lambda t: gentle * t * t + bottom)]
    found = probe(sides, centre=bottom, rise=rise, floor=floor)
    threshold = rise * max(bottom, floor)
    needed = [math.sqrt((threshold - bottom) / slope) for slope in (steep, gentle)]
    risen = [distance for distance in needed if distance <= REACHES[-1]]
    assert found.threshold == threshold and found.reach in REACHES
    assert found.flat == pytest.approx(
        2 - len(risen), abs=int(any(distance == pytest.approx(100) for distance in needed))
    )
    if risen:
        assert found.reach >= max(risen) * (1 - 1e-9)
        assert found.reach <= max(2.5 * max(risen) * (1 + 1e-9), REACHES[0])
    else:
        assert found.reach == REACHES[-1]
    assert sum(side.points for side in sides) <= 10


def test_reaches_are_round():
    assert [f"{reach}" for reach in REACHES] == [
        "0.001",
        "0.002",
        "0.005",
        "0.01",
        "0.02",
        "0.05",
        "0.1",
        "0.2",
        "0.5",
        "1.0",
        "2.0",
        "5.0",
        "10.0",
        "20.0",
        "50.0",
        "100.0",
    ]


@pytest.mark.parametrize("beyond", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_has_risen(beyond):
    def side(t: float) -> float:
        return 0.01 if t < 0.3 else beyond

    assert probe([side, side], centre=0.01).reach == 0.5


def test_a_loss_that_does_not_rise():
    flat = probe([lambda t: 2.3] * 2, centre=2.3)
    assert (flat.reach, flat.flat) == (100, 2)
    assert "on 2 of 2 sides the loss does not rise to 23, up to 100" in flat.reason
    for sides in ([lambda t: t, lambda t: 0.0], [lambda t: 0.0, lambda t: t]):
        found = probe(sides, centre=0.0)
        assert (found.reach, found.flat) == (1, 1)
        assert "on 1 of 2 sides" in found.reason


def test_a_needle():
    found = probe([lambda t: 1e9 * t] * 2, centre=0.0)
    assert found.reach == 0.001
    assert found.reason == "the narrowest that is tried; at its ends the loss is 1 or more"


def test_a_centre_without_a_loss_is_refused():
    with pytest.raises(InputError, match="the loss at the centre is nan.*-1:1:51 instead of auto"):
        choose({"x": Auto()}, lambda point: math.nan, alike=True, loss_name="crossentropy", rise=10)


def test_two_axes():
    """Of one unit they get one range, else each its own; a range that was typed stays."""
    options = {"loss_name": "crossentropy", "rise": 10}
    loss = Counted(
        lambda point: 0.05 + point[0] ** 2 + 400 * point[1] ** 2
    )  # rises to 1 at 0.97 and at 0.049
    axes, sentences = choose({"x": Auto(5), "y": Auto(7)}, loss, alike=True, **options)
    assert axes == {"x": (-1, 1, 5), "y": (-1, 1, 7)}
    assert sentences == [
        f"range of x and y: -1:1, the narrowest at whose ends the loss is 1 or more (0.05 at the centre; {loss.points} points measured)"
    ]
    axes, sentences = choose({"x": Auto(5), "y": Auto(7)}, loss, alike=False, **options)
    assert axes == {"x": (-1, 1, 5), "y": (-0.05, 0.05, 7)}
    assert [sentence[:16] for sentence in sentences] == ["range of x: -1:1", "range of y: -0.0"]
    axes, _ = choose({"x": (-3.0, 3.0, 9), "y": Auto(7)}, loss, alike=True, **options)
    assert axes == {"x": (-3, 3, 9), "y": (-0.05, 0.05, 7)}


def test_every_loss_with_a_scale_of_its_own_has_a_floor():
    assert set(auto_range.FLOORS) == set(LOSSES) - {
        "regression_mse",
        "l1",
    }  # these have the units of the data


def test_a_loss_below_zero_rises_by_as_much_as_one_above():
    found = probe([lambda distance: -2.0 + 30 * distance], centre=-2.0, rise=10, floor=0.0)
    assert found.threshold == 16 and found.reach == 1.0


def test_the_range_of_a_path_holds_it_with_a_margin_at_numbers_that_can_be_read():
    assert auto_range.of_path([0.0, 10.0, 3.0]) == (-1.5, 11.5, 51)
    assert auto_range.of_path([-0.0312, 0.0], 11) == (-0.036, 0.005, 11)
    low, high, _ = auto_range.of_path([2.0, 2.0])
    assert low < 2 < high


def test_the_range_found_around_a_net(folder, capsys):
    """As measured by hand: risen at both ends, not yet on both sides at the next smaller range. Nothing else differs from a typed range."""
    plot_surface.main([*LINE, "--x", "auto:5"])
    out = capsys.readouterr().out
    [path] = (folder / "resnet20_digits_bs=64").glob("*_datasplit=32_splitidx=0.h5")
    surface = h5_util.read_surface(str(path))
    reach = float(surface.x[-1])
    assert f"range of x: -{reach:g}:{reach:g}, " in out
    assert str(path.relative_to(folder)) == f"{NAME}_[{-reach},{reach},5]_datasplit=32_splitidx=0.h5"
    np.testing.assert_array_equal(surface.x, np.linspace(-reach, reach, 5))
    assert surface.runs[0]["command"] == " ".join(["python plot_surface.py", *LINE, "--x auto:5"])

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
    plot_surface.main([*LINE, f"--x=-{reach}:{reach}:5", "--surf_file", "typed.h5"])
    for ours, theirs in zip(direction, h5_util.read_directions(NAME)[0], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_plane_has_the_directions_of_a_typed_one(folder):
    plane = [*LINE, "--ynorm", "filter", "--yignore", "biasbn"]
    plot_surface.main([*plane, "--x", "auto:2", "--y", "auto:2", "--surf_file", "probed.h5"])
    probed = h5_util.read_surface("probed.h5")
    np.testing.assert_array_equal(probed.x, probed.y)
    os.rename(probed.dir_file, "probed_directions.h5")
    plot_surface.main(
        [*plane, *(f"--{axis}={probed.x[0]}:{probed.x[-1]}:2" for axis in "xy"), "--surf_file", "typed.h5"]
    )
    typed = h5_util.read_surface("typed.h5")
    np.testing.assert_array_equal(probed.get("train_loss"), typed.get("train_loss"))
    for ours, theirs in zip(
        h5_util.read_directions("probed_directions.h5"), h5_util.read_directions(typed.dir_file), strict=True
    ):
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_any_number_of_ranks_and_gone_on_with(folder, capsys):
    out = succeed("plot_surface.py", *LINE, "--x", "auto:5", ranks=2, cwd=folder)
    assert out.count("range of x") == 1
    [line] = [line for line in out.splitlines() if line.startswith("surface:")]
    path = line.split()[1]
    whole = h5_util.read_surface(path)
    os.rename(path, "of two ranks.h5")
    plot_surface.main([*LINE, "--x", "auto:5"])
    np.testing.assert_allclose(
        h5_util.read_surface(path).get("train_loss"), whole.get("train_loss"), rtol=1e-6
    )

    measured = np.array([True, False, True, False, True])
    values = {name: np.where(measured, whole.get(name), -1) for name in whole.names}
    h5_util.write_surface(
        h5_util.Surface(
        path,
        x=whole.x,
        y=None,
        dir_file=whole.dir_file,
        quantities=values,
        measured=measured,
        made_with=whole.made_with,
        runs=whole.runs,
        )
    )
    capsys.readouterr()
    plot_surface.main([*LINE, "--x", "auto:5"])
    out = capsys.readouterr().out
    assert f", as in {path}\n" in out and "2 of 5 points to measure" in out
    np.testing.assert_allclose(
        h5_util.read_surface(path).get("train_loss"), whole.get("train_loss"), rtol=1e-6
    )


def test_an_earlier_answer_counts_for_its_own_question_only(folder, capsys):
    def reason(*flags: str) -> str:
        plot_surface.main([*LINE, *flags])
        return next(line for line in capsys.readouterr().out.splitlines() if line.startswith("range of x"))

    assert "points measured" in reason("--x", "auto:2")
    assert ", as in " in reason("--x", "auto:3")
    assert "points measured" in reason("--x", "auto:2", "--rise", "2")
    assert "points measured" in reason("--x", "auto:2", "--loss_name", "mse", "--surf_file", "mse.h5")
    assert "points measured" in reason("--x", "auto:2", "--overwrite")


def test_between_two_nets_nothing_is_measured(folder, capsys):
    target = ["--model_file2", "resnet20_digits_bs=512/model_40.t7", "--dir_type", "states"]
    plot_surface.main([*DIGITS, "--model_file", CENTRE, *target, "--x", "auto:5"])
    out = capsys.readouterr().out
    assert "range of x: -0.5:1.5, as the other net lies at 1\n" in out
    [line] = [line for line in out.splitlines() if line.startswith("surface:")]
    assert line.endswith("_states.h5_[-0.5,1.5,5]_datasplit=32_splitidx=0.h5")


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--x", "auto:1"], "'auto:1' is not auto, or auto:number with at least two points"),
        (["--x", "auto:"], "'auto:'"),
        (["--y", "auto:3:4"], "'auto:3:4'"),
        (["--y", "automatic"], "'automatic' is not min:max:number"),
        (["--rise", "1"], "'1' is not a number above 1"),
        (["--rise", "nan"], "'nan' is not a number above 1"),
        (["--rise", "ten"], "'ten' is not a number above 1"),
        (
            ["--x", "auto", "--surf_file", "nowhere/s.h5"],
            "'nowhere'",
        ),
    ],
)
def test_bad_input(folder, capsys, flags, named):
    with pytest.raises(SystemExit) as refused:
        plot_surface.main([*LINE, *flags])
    out, err = capsys.readouterr()
    assert refused.value.code == 2 and named in err and out == ""
    assert not list(folder.rglob("*.h5"))
