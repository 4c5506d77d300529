"""A user's own net, data and loss: surfaces, eigenvalues, directions, series, seeds, and refusals."""

import copy

import h5py
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call, hessian

from losslandscape.cli import plot_hessian_eigen, plot_surface
from losslandscape.core import user_code
from losslandscape.core.provenance import fingerprint_of_arrays
from losslandscape.files import h5_util
from losslandscape.files.projection import Projection
from losslandscape.measure import landscape
from losslandscape.nets import net_plotter
from losslandscape.trajectory import checkpoint_series
from tests.helpers import run, succeed, write_surface_file

STUDY = """
import torch
from torch import nn

def net(width=5):
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, 2))

def data():
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    return (x[:30], (x[:30, 0] > 0).long()), (x[30:], (x[30:, 0] > 0).long())

def loss(net, batch):
    outputs = net(batch[0])
    samples = -outputs.square().mean(1)
    return samples.mean(), len(outputs), {"score": outputs.max(), "samples": samples}

def weighted(net, batch):
    losses, weights = net(batch[0]).square().mean(1), batch[1] + 1.0
    return (weights * losses).sum() / weights.sum(), weights.sum(), {"samples": losses}

def broken():
    raise RuntimeError("the disk of dreams")

def number():
    return 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


OWN = ["--model", "mine.py:net", "--dataset", "mine.py:data", "--xnorm", "filter", "--ynorm", "filter"]


def parts():
    """Net and training data as the study's file makes them."""
    return user_code.load("mine.py:net")().eval(), user_code.load("mine.py:data")()[0]


def moved(net, axes, place):
    net = copy.deepcopy(net)
    with torch.no_grad():
        for i, parameter in enumerate(net.parameters()):
            for coordinate, axis in zip(place, axes, strict=True):
                parameter += coordinate * torch.from_numpy(axis[i])
    return net


@pytest.mark.slow
def test_own_net_data_and_loss_alone_and_on_two_ranks(folder):
    grid = [
        *OWN,
        "--loss_name",
        "mine.py:loss",
        "--x=-1:1:3",
        "--y=-1:1:2",
        "--test_set",
        "--errors",
        "--batch_size",
        "7",
    ]
    plot_surface.main([*grid, "--surf_file", "one.h5"])
    succeed("plot_surface.py", *grid, "--surf_file", "two.h5", ranks=2, cwd=folder)
    one, two = h5_util.read_surface("one.h5"), h5_util.read_surface("two.h5")
    assert set(one.names) == {
        f"{part}_{name}"
        for part in ("train", "test")
        for name in ("loss", "score", "loss_se", "loss_diff_se")
    }
    for name in one.names:
        np.testing.assert_allclose(one.get(name), two.get(name), rtol=1e-6)
    net, (x, _) = parts()
    axes = h5_util.read_directions(one.dir_file)
    with torch.no_grad():
        expected = [
            [-float(moved(net, axes, (a, b))(x).square().mean()) for a in (-1, 0, 1)] for b in (-1, 1)
        ]
    np.testing.assert_allclose(one.get("train_loss"), expected, rtol=1e-5)
    assert "check_report" in one.runs[0]


def test_a_surface_is_not_resumed_when_the_code_has_changed(folder, capsys):
    command = [*OWN, "--x=-1:1:3", "--surf_file", "s.h5"]
    plot_surface.main(command)
    (folder / "mine.py").write_text(STUDY.replace("Tanh", "ReLU"))
    user_code.forget()
    with pytest.raises(SystemExit):
        plot_surface.main(command)
    assert "was made with another model code" in capsys.readouterr().err


@pytest.mark.slow
def test_eigenvalues_over_a_plane_are_those_of_the_dense_hessian(folder, capsys):
    grid = [
        *OWN,
        "--x=-1:1:3",
        "--y=-0.5:0.5:2",
        "--tolerance",
        "1e-4",
        "--all_parameters",
        "--batch_size",
        "7",
    ]
    plot_hessian_eigen.main([*grid, "--surf_file", "eig.h5", "--plot", "--format", "png"])
    surface = h5_util.read_surface("eig.h5")
    net, (x, y) = parts()
    axes = h5_util.read_directions(surface.dir_file)
    for i, j in np.ndindex(2, 3):
        there = moved(net, axes, (surface.x[j], surface.y[i]))
        names, values = zip(*there.named_parameters(), strict=True)
        sizes = [value.numel() for value in values]

        def loss(flat, there=there, names=names, values=values, sizes=sizes):
            tensors = [piece.view_as(value) for piece, value in zip(flat.split(sizes), values, strict=True)]
            return F.cross_entropy(functional_call(there, dict(zip(names, tensors, strict=True)), (x,)), y)

        matrix = hessian(loss)(torch.cat([value.detach().flatten() for value in values]))
        ends = torch.linalg.eigvalsh(matrix)
        assert surface.get("min_eig")[i, j] == pytest.approx(
            float(ends[0]), abs=2e-3 * float(ends.abs().max())
        )
        assert surface.get("max_eig")[i, j] == pytest.approx(float(ends[-1]), rel=1e-3)
    assert (folder / "eig.h5_min_eig_max_eig_abs_ratio_heat_sns.png").stat().st_size > 5000
    capsys.readouterr()
    plot_hessian_eigen.main([*grid, "--surf_file", "eig.h5"])
    assert "0 of 6 points to measure" in capsys.readouterr().out


def test_directions_along_the_two_largest_eigenvectors(folder):
    """The loss curves along the first as its eigenvalue says, and more than along the second."""
    plot_surface.main(
        [
            *OWN[:4],
            "--xdir",
            "hessian",
            "--ydir",
            "hessian",
            "--x=-0.02:0.02:3",
            "--y=-0.02:0.02:3",
            "--surf_file",
            "h.h5",
            "--dir_file",
            "",
        ]
    )
    surface = h5_util.read_surface("h.h5")
    x, y = h5_util.read_directions(surface.dir_file)
    assert sum(float((a * a).sum()) for a in x) == pytest.approx(1, rel=1e-5)
    assert sum(float((a * b).sum()) for a, b in zip(x, y, strict=True)) == pytest.approx(0, abs=1e-3)
    loss = surface.get("train_loss")
    along_x = (loss[1, 0] - 2 * loss[1, 1] + loss[1, 2]) / 0.02**2
    along_y = (loss[0, 1] - 2 * loss[1, 1] + loss[2, 1]) / 0.02**2
    plot_hessian_eigen.main([*OWN[:4], "--x=0:0:1", "--surf_file", "at.h5"])
    assert along_x == pytest.approx(h5_util.read_surface("at.h5").get("max_eig")[0], rel=0.1)
    assert along_x > along_y > 0


@pytest.mark.slow
def test_a_series_of_checkpoints_in_one_plane(folder):
    """Each surface is that of a net moved from its own place, and the iterate moves over the grid."""
    net, (x, y) = parts()
    states = []
    for epoch in (2, 1, 10):
        torch.manual_seed(epoch)
        states.append(
            {name: value + 0.05 * epoch * torch.randn_like(value) for name, value in net.state_dict().items()}
        )
        torch.save(states[-1], f"model_{epoch}.pt")
    grid = [*OWN, "--model_file", "model_*.pt", "--x=-1:1:3", "--y=-1:1:2"]
    plot_surface.main([*grid, "--plot"])
    name = "model_10.pt_weights_xnorm=filter_ynorm=filter.h5"
    files = {epoch: f"model_{epoch}.pt_in_{name}_[-1.0,1.0,3]x[-1.0,1.0,2].h5" for epoch in (1, 2, 10)}
    axes = h5_util.read_directions(name)
    path = h5_util.read_projection(f"{files[10]}_series_proj.h5")
    assert path.epochs.tolist() == [1, 2, 10]
    assert (path.x[-1], path.y[-1]) == (0, 0)
    flat = np.stack([np.concatenate([a.ravel() for a in axis]) for axis in axes])
    last = states[2]
    for i, (epoch, state) in enumerate(((1, states[1]), (2, states[0]))):
        difference = np.concatenate([(state[key] - last[key]).numpy().ravel() for key in state])
        place = np.linalg.lstsq(flat.T, difference, rcond=None)[0]
        assert (path.x[i], path.y[i]) == pytest.approx(tuple(place), rel=1e-4)
        net.load_state_dict(state)
        with torch.no_grad():
            expected = [
                [
                    float(F.cross_entropy(moved(net, axes, (a - place[0], b - place[1]))(x), y))
                    for a in (-1, 0, 1)
                ]
                for b in (-1, 1)
            ]
        np.testing.assert_allclose(h5_util.read_surface(files[epoch]).get("train_loss"), expected, rtol=1e-4)
    assert (folder / f"{files[1]}_film.gif").stat().st_size > 5000
    plot_surface.main(
        [*OWN, "--model_file", "model_*.pt", "--surf_file", "wide"]
    )  # without a range, that of the path
    wide = h5_util.read_surface("wide_model_1.pt.h5")
    assert wide.shape == (51, 51) and wide.x.min() < path.x.min() and wide.x.max() > path.x.max()


def test_the_range_under_a_path_is_that_of_the_path(folder):
    plot_surface.main([*OWN, "--x=-1:1:2", "--y=-1:1:2", "--surf_file", "a.h5"])
    dir_file = h5_util.read_surface("a.h5").dir_file
    prints = {
        "directions": fingerprint_of_arrays(a for axis in h5_util.read_directions(dir_file) for a in axis)
    }
    h5_util.write_projection(
        Projection("path.h5", np.array([-3.1, 2.0, 0.0]), np.array([0.2, 0.5, 0.0]), made_with=prints)
    )
    plot_surface.main(
        [
            *OWN,
            "--dir_file",
            dir_file,
            "--proj_file",
            "path.h5",
            "--plot",
            "--format",
            "png",
            "--surf_file",
            "b.h5",
            "--y=-1:1:4",
        ]
    )
    surface = h5_util.read_surface("b.h5")
    assert surface.shape == (4, 51) and -5 < surface.x[0] < -3.1 and 2 < surface.x[-1] < 4
    assert (folder / "path.h5_train_loss_2dcontour_proj.png").exists()


def test_planes_of_several_seeds_are_those_of_single_runs(folder, capsys):
    torch.save(parts()[0].state_dict(), "m.pt")
    command = [*OWN, "--model_file", "m.pt", "--x=-1:1:3", "--y=-1:1:3"]
    plot_surface.main([*command, "--seeds", "3"])
    assert "flatness radius" in capsys.readouterr().out
    names = [
        f"m.pt_weights_xnorm=filter_ynorm=filter{idx}.h5_[-1.0,1.0,3]x[-1.0,1.0,3].h5"
        for idx in ("", "_idx=1", "_idx=2")
    ]
    several = [h5_util.read_surface(name).get("train_loss") for name in names]
    assert not np.allclose(several[0], several[1]) and not np.allclose(several[1], several[2])
    plot_surface.main([*command, "--idx", "2", "--surf_file", "single.h5", "--overwrite"])
    np.testing.assert_allclose(h5_util.read_surface("single.h5").get("train_loss"), several[2], rtol=1e-6)


def test_seeds_need_one_net(folder, capsys):
    (folder / "other.py").write_text("import torch\ndef net():\n    return torch.nn.Linear(3, 2)\n")
    with pytest.raises(SystemExit):
        plot_surface.main([*OWN, "--model", "other.py:net", "--seeds", "2", "--x=0:1:2"])
    assert "other weights for each seed; give one of them as --model_file" in capsys.readouterr().err


def test_directions_are_the_same_whatever_was_drawn_before(folder):
    """A range probe, a user's loss or data may draw random numbers."""
    found = []
    for extra in ([], ["--loss_name", "mine.py:loss"], ["--x", "auto:3"]):
        plot_surface.main([*OWN, "--x=-1:1:3", *extra, "--surf_file", f"{len(found)}.h5", "--overwrite"])
        surface = h5_util.read_surface(f"{len(found)}.h5")
        found.append(surface.made_with["directions"])
    assert len(set(found)) == 1


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--model", "mine.py:nothing"], ["mine.py", "'nothing'", "net"]),
        (["--model", "absent.py:net"], ["absent.py"]),
        (
            ["--model", "mine.py:broken"],
            ["model mine.py:broken", "RuntimeError: the disk of dreams", "in broken"],
        ),
        (["--model", "mine.py:number"], ["int"]),
        (["--model_args", "width"], ["width", "key=value"]),
        (["--dataset", "mine.py:number"], ["dataset mine.py:number", "int"]),
        (["--dataset", "mine.py:broken"], ["dataset mine.py:broken", "the disk of dreams"]),
        (["--loss_name", "mine.py:net"], ["mine.py:net"]),
        (["--loss_name", "next_token"], ["next_token"]),
        (["--params", "("], ["params '('", "regular expression"]),
        (["--params", "conv9"], ["conv9", "0.weight"]),
        (["--bn", "recompute:0"], ["recompute:0"]),
        (["--weight_decay", "-1"], ["-1"]),
        (["--model_file", "model_*.pt"], ["model_*.pt", "0 files"]),
        (["--seeds", "2", "--surf_file", "s.h5"], ["--seeds 2", "--surf_file"]),
        (["--seeds", "2", "--model", "resnet20"], ["--seeds 2", "random weights", "give --model_file"]),
        (["--trainloader", "x.npz"], ["--trainloader", "mine.py:data"]),
        (["--train_labels", "x.npy"], ["--train_labels", "mine.py:data"]),
        (["--mean", "0.5"], ["--mean", "mine.py:data"]),
        (["--raw_data"], ["--raw_data", "mine.py:data"]),
        (["--errors", "--loss_name", "mine.py:weighted"], ["--errors", "mine.py:weighted", "sample_weights"]),
        (["--dataset", "digits"], ["mine.py:net", "3x32x32"]),
    ],
)
def test_what_cannot_be_used_is_named(folder, capsys, flags, words):
    with pytest.raises(SystemExit) as ended:
        plot_surface.main([*OWN, "--x=-1:1:3", *flags])
    printed = capsys.readouterr().err
    assert ended.value.code == 2
    assert all(word in printed for word in words), printed
    assert "/losslandscape/" not in printed  # none of our frames
    assert not list(folder.glob("*.h5"))


def test_a_fingerprint_holds_all_weights_of_a_net():
    net = torch.nn.Linear(2, 2)
    first = landscape.fingerprint_of_net(net)
    with torch.no_grad():
        net.bias[1] += 1e-3
    assert landscape.fingerprint_of_net(net) != first


@pytest.mark.slow
def test_a_loss_that_raises_late_ends_all_ranks(folder):
    """It raises in the probe of the batch size, on one rank: the others do not wait for that rank."""
    (folder / "late.py").write_text(
        STUDY
        + """

def many():
    x = torch.zeros(3000, 3)
    x[5] = 1
    return x, torch.zeros(3000, dtype=torch.long)

def raises(net, batch):
    if bool((batch[0] == 1).any()):
        raise ValueError("sample 5")
    return net(batch[0]).square().mean()
"""
    )
    done = run(
        "plot_surface.py",
        "--model",
        "late.py:net",
        "--dataset",
        "late.py:many",
        "--loss_name",
        "late.py:raises",
        "--x=-1:1:3",
        "--surf_file",
        "s.h5",
        ranks=2,
        cwd=folder,
    )
    assert done.returncode == 2 and "sample 5" in done.stderr


def test_the_place_of_a_checkpoint_does_not_depend_on_counters_of_batches():
    net, last = (torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)) for _ in range(2))
    last[1].num_batches_tracked.fill_(2000)
    torch.manual_seed(0)
    axes = [net_plotter.random_direction(last, "states", norm="filter") for _ in range(2)]
    state = {
        name: value + (0.3 * x - 0.2 * y if value.is_floating_point() else 2000)
        for (name, value), x, y in zip(last.state_dict().items(), *axes, strict=True)
    }
    net.load_state_dict(state)
    assert checkpoint_series.place(net, last, axes, "states") == pytest.approx((0.3, -0.2), rel=1e-3)


LINE = ["--dataset", "mine.py:data", "--xnorm", "filter", "--x=-1:1:3"]


def test_nets_without_checkpoints_do_not_share_a_name(folder):
    (folder / "other.py").write_text(STUDY)
    nets = {
        "mine.py_net": ["mine.py:net"],
        "mine.py_net_width=6": ["mine.py:net", "--model_args", "width=6"],
        "other.py_net": ["other.py:net"],
    }
    for name, flags in nets.items():
        plot_surface.main(["--model", *flags, *LINE])
        surface = h5_util.read_surface(f"{name}_weights_xnorm=filter.h5_[-1.0,1.0,3].h5")
        assert np.isfinite(surface.get("train_loss")).all()


def test_files_under_the_name_that_all_nets_shared_are_resumed_by_their_net(folder):
    old = "_weights_xnorm=filter.h5"
    own = ["--model", "mine.py:net", *LINE]
    plot_surface.main(own)
    for path in folder.glob(f"mine.py_net{old}*"):
        path.rename(path.name.removeprefix("mine.py_net"))
    expected = h5_util.read_surface(f"{old}_[-1.0,1.0,3].h5").get("train_loss")
    with h5py.File(f"{old}_[-1.0,1.0,3].h5", "a") as file:
        file["train_loss"][:2] = 123, -1
        file["measured"][1] = False
    plot_surface.main(own)
    resumed = h5_util.read_surface(f"{old}_[-1.0,1.0,3].h5")
    np.testing.assert_allclose(resumed.get("train_loss"), [123, *expected[1:]], rtol=1e-6)
    assert not list(folder.glob("mine.py_net*"))
    plot_surface.main([*own, "--model_args", "width=6"])
    assert (folder / f"mine.py_net_width=6{old}").exists()


def test_checkpoints_of_one_name_have_a_surface_each(folder):
    """Their folders are in the order of their numbers, and the last checkpoint is the origin."""
    for step in (20, 100, 3):
        net = parts()[0]
        with torch.no_grad():
            net[0].weight += 0.1 * step
        (folder / f"checkpoint-{step}").mkdir()
        torch.save(net.state_dict(), f"checkpoint-{step}/model.pt")
    grid = ["--x=-1:1:3", "--y=-1:1:2", "--surf_file", "all"]
    for _ in range(2):  # the second run resumes: files of the first are no checkpoints
        plot_surface.main([*OWN, "--model_file", "checkpoint-*/model.*", *grid])
    surfaces = [h5_util.read_surface(f"all_checkpoint-{step}_model.pt.h5") for step in (3, 20, 100)]
    assert all(np.isfinite(surface.get("train_loss")).all() for surface in surfaces)
    path = h5_util.read_projection("all_checkpoint-100_model.pt.h5_series_proj.h5")
    assert path.epochs.tolist() == [3, 20, 100] and path.unit == "step"
    assert path.x[-1] == path.y[-1] == 0 and "place of the net" not in surfaces[-1].made_with


@pytest.mark.parametrize(
    "flags",
    [
        ["--ydir", "hessian"],
        ["--y=-1:1:3", "--ydir", "hessian", "--same_dir"],
        ["--model_file2", "x.pt", "--xdir", "hessian"],
        ["--bn", "recompute"],
    ],
)
def test_flags_that_would_do_nothing_are_refused(folder, capsys, flags):
    with pytest.raises(SystemExit) as ended:
        plot_surface.main([*OWN, "--x=-1:1:3", *flags])
    assert (
        ended.value.code == 2
        and next(flag for flag in flags if flag.endswith(("dir", "bn"))) in capsys.readouterr().err
    )


def test_a_checkpoint_that_is_replaced_while_its_series_runs_is_reported(folder, capsys, monkeypatch):
    for epoch in range(3):
        net = parts()[0]
        with torch.no_grad():
            net[0].weight += 0.1 * epoch
        torch.save(net.state_dict(), f"model_{epoch}.pt")
    place = checkpoint_series.place

    def and_replace(*args):
        found = place(*args)
        torch.save({name: value + 1 for name, value in parts()[0].state_dict().items()}, "model_1.pt")
        return found

    monkeypatch.setattr(checkpoint_series, "place", and_replace)
    with pytest.raises(SystemExit):
        plot_surface.main([*OWN, "--model_file", "model_*.pt", "--x=-1:1:2", "--y=-1:1:2"])
    assert "model_1.pt: was changed while this ran" in capsys.readouterr().err
    assert not list(folder.glob("model_1.pt*.h5"))


def test_eigenvalues_of_the_published_program_are_not_mixed_with_ours(folder, capsys):
    write_surface_file(
        "p.h5",
        x=np.linspace(-1, 1, 3),
        quantities={"min_eig": np.full(3, -2.0), "max_eig": np.full(3, 30.0)},
        dir_file="d.h5",
    )
    before = (folder / "p.h5").read_bytes()
    with pytest.raises(SystemExit) as ended:
        plot_hessian_eigen.main([*OWN, "--x=-1:1:3", "--surf_file", "p.h5"])
    assert ended.value.code == 2 and "published program" in capsys.readouterr().err
    assert (folder / "p.h5").read_bytes() == before
