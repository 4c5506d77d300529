"""From a folder of checkpoints to directions, projection, losses and figures: the published program's numbers, and what cannot be used."""

import json
import os
import shutil
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.tensorboard import SummaryWriter

from losslandscape.cli import plot_surface, plot_trajectory
from losslandscape.core.errors import InputError
from losslandscape.core.provenance import fingerprint_of_arrays
from losslandscape.data import dataloader
from losslandscape.draw import figures, film, trajectory_figures
from losslandscape.files import h5_util
from losslandscape.nets import model_loader, net_plotter, net_tensors
from losslandscape.trajectory import trajectory, trajectory_losses
from tests.helpers import GOLDEN, run, write_surface_file

CHECKPOINTS = GOLDEN / "resnet20_digits_bs=64"
PUBLISHED = json.loads((GOLDEN / "golden.json").read_text())["trajectory"]
PCA = "PCA_weights_ignore=biasbn_save_epoch=1"


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    shutil.copytree(CHECKPOINTS, "run")


def project(*flags: object, folder: str = "run", end: int = 6) -> None:
    plot_trajectory.main(
        [
            "--model",
            "resnet20",
            "--model_folder",
            folder,
            "--max_epoch",
            str(end),
            "--format",
            "png",
            *map(str, flags),
        ]
    )


@pytest.fixture
def undrawn(monkeypatch):
    """Figures take most of the time, and most tests look at the files alone."""
    monkeypatch.setattr(trajectory_figures, "draw", lambda *_, **__: None)


@contextmanager
def caught(monkeypatch):
    """The figures instead of files."""
    found = []
    with monkeypatch.context() as patch:
        patch.setattr(figures, "save", lambda fig, stem, formats, **_: found.append(fig) or [])
        yield found


def stacked(dir_type: str) -> tuple[np.ndarray, dict[str, torch.Tensor]]:
    """All checkpoints less the last one, as float64 rows of what moves, whole numbers left out, and the last one's tensors."""
    net, rows = model_loader.build("resnet20"), []
    for epoch in range(7):
        model_loader.load_state(
            net, torch.load(CHECKPOINTS / f"model_{epoch}.t7", weights_only=True)["state_dict"], what=""
        )
        tensors = net_plotter.moving_tensors(net, dir_type)
        rows.append(
            np.concatenate([t.double().numpy().ravel() for t in tensors.values() if t.is_floating_point()])
        )
    return np.array(rows) - rows[-1], tensors


def flat(direction: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.asarray(tensor, float).ravel() for tensor in direction])


def same_but_for_sign(found: np.ndarray, expected: np.ndarray, **tolerance) -> None:
    np.testing.assert_allclose(found * np.sign(found @ expected), expected, **tolerance)


# The published program's numbers and files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PUBLISHED)
def test_golden(name, undrawn):
    project(*(["--ignore", "biasbn"] if "ignore" in name else []))
    dir_file = f"run/{name}/directions.h5"
    np.testing.assert_allclose(
        h5_util.read_explained_variance(dir_file), PUBLISHED[name]["explained_variance_ratio"], atol=1e-4
    )
    projection = h5_util.read_projection(f"{dir_file}_proj_cos.h5")
    for found, axis in ((projection.x, "proj_xcoord"), (projection.y, "proj_ycoord")):
        same_but_for_sign(found, np.array(PUBLISHED[name][axis]), atol=1e-4)
    assert h5_util.names(dir_file, "direction") >= {
        "xdirection",
        "ydirection",
        "explained_variance_ratio_",
        "singular_values_",
        "explained_variance_",
    }
    tensors = list(stacked("weights")[1].values())
    for direction in h5_util.read_directions(dir_file):
        assert [values.shape for values in direction] == [tuple(tensor.shape) for tensor in tensors]
        assert np.linalg.norm(flat(direction)) == pytest.approx(1, abs=1e-5)
        for values in direction:
            assert values.any() == (values.ndim > 1 or "ignore" not in name)


def test_states(undrawn):
    """BN statistics move too; the count of batches, a whole number that evaluation does not use, does not."""
    project("--dir_type", "states")
    matrix, tensors = stacked("states")
    _, _, expected = np.linalg.svd(matrix - matrix.mean(axis=0), full_matrices=False)
    directions = h5_util.read_directions("run/PCA_states_save_epoch=1/directions.h5")
    for direction, component in zip(directions, expected, strict=False):
        assert len(direction) == len(tensors)
        counts = [
            values
            for values, (name, tensor) in zip(direction, tensors.items(), strict=True)
            if not tensor.is_floating_point()
        ]
        assert len(counts) == 19 + 2
        assert not any(values.any() for values in counts)
        moving = [
            values
            for values, tensor in zip(direction, tensors.values(), strict=True)
            if tensor.is_floating_point()
        ]
        same_but_for_sign(flat(moving), component, atol=1e-5)


def test_files_of_other_kinds_give_the_same(undrawn):
    """The format before PyTorch 1.6, `module.` before names, no counts of batches, a NumPy accuracy, float64."""
    os.mkdir("other")
    for epoch in range(7):
        saved = torch.load(f"run/model_{epoch}.t7", weights_only=True)
        state = {
            f"module.{name}": value
            for name, value in saved["state_dict"].items()
            if not name.endswith("num_batches_tracked")
        }
        if epoch == 3:
            state = {name: value.double() for name, value in state.items()}
        saved = state if epoch == 5 else {"state_dict": state, "acc": np.float64(1), "epoch": epoch}
        torch.save(saved, f"other/model_{epoch}.t7", _use_new_zipfile_serialization=epoch % 2 == 1)
    project("--dir_type", "states")
    project("--dir_type", "states", folder="other")
    ours, theirs = (
        h5_util.read_projection(f"{folder}/PCA_states_save_epoch=1/directions.h5_proj_cos.h5")
        for folder in ("run", "other")
    )
    np.testing.assert_array_equal(ours.x, theirs.x)
    np.testing.assert_array_equal(ours.distance, theirs.distance)
    assert ours.made_with["checkpoints"] != theirs.made_with["checkpoints"]


@pytest.mark.parametrize("dir_type", net_tensors.DIRECTION_TYPES)
def test_the_matrix_comes_in_pieces_of_any_size(dir_type):
    net = model_loader.build("resnet20")
    training = trajectory.read([f"run/model_{epoch}.t7" for epoch in range(7)], net, dir_type)
    assert len(training.mapped) == 7
    expected, _ = stacked(dir_type)
    for memory in (7 * 4 * 100_003, 2**30):
        np.testing.assert_array_equal(np.concatenate(list(training.pieces(memory=memory)), axis=1), expected)
    vector = np.arange(expected.shape[1], dtype=np.float32)
    direction = training.direction(vector)
    assert np.array_equal(training.vector([torch.from_numpy(values) for values in direction]), vector)


def test_cut():
    sizes = {"a": 5, "empty": 0, "b": 1, "c": 7}
    for width in range(1, 15):
        parts = list(trajectory.cut(sizes, width))
        assert [sum(stop - start for _, start, stop in part) for part in parts[:-1]] == [width] * (
            len(parts) - 1
        )
        assert [(name, i) for part in parts for name, start, stop in part for i in range(start, stop)] == [
            (name, i) for name in sizes for i in range(sizes[name])
        ]


def test_epochs():
    for epoch in (10, 13):
        shutil.copy("run/model_6.t7", f"run/model_{epoch}.t7")
    options = {"prefix": "model_", "suffix": ".t7"}
    assert list(trajectory.find_files("run", start=1, end=6, step=2, **options)) == [
        1,
        3,
        5,
        6,
    ]  # the last is the origin, whatever the step
    assert list(trajectory.find_files("run", start=0, end=6, step=3, **options)) == [0, 3, 6]


# Files that are there --------------------------------------------------------------------------------------------------------


def test_directions_are_used_again_if_they_were_made_with_the_same(undrawn, capsys):
    project("--ignore", "biasbn")
    dir_file = f"run/{PCA}/directions.h5"
    before = os.stat(dir_file).st_ino
    project("--ignore", "biasbn")
    assert os.stat(dir_file).st_ino == before
    assert "is there and is used" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        project("--ignore", "biasbn", end=5)
    assert "was made with another checkpoints" in capsys.readouterr().err
    project("--ignore", "biasbn", "--overwrite", end=5)
    assert os.path.exists(f"{dir_file}.old")
    assert h5_util.read_projection(f"{dir_file}_proj_cos.h5").x.shape == (6,)


def test_directions_of_the_published_program_are_used(undrawn):
    net = model_loader.build("resnet20")
    torch.manual_seed(0)
    drawn = net_plotter.arrays(net_plotter.make_directions(net, "weights", [net_plotter.Recipe()] * 2))
    os.mkdir(f"run/{PCA}")
    h5_util.write_directions(f"run/{PCA}/directions.h5", drawn)
    project("--ignore", "biasbn")
    matrix, _ = stacked("weights")
    found = h5_util.read_projection(f"run/{PCA}/directions.h5_proj_cos.h5")
    np.testing.assert_allclose(
        found.y, matrix @ flat(drawn[1]) / np.linalg.norm(flat(drawn[1])), rtol=1e-6, atol=1e-9
    )


def test_projection_on_other_directions(undrawn, capsys):
    """Filter-normalised ones are long: a surface along them has multiples as its coordinates, which is what lstsq gives."""
    net = model_loader.load("resnet20", "run/model_6.t7")
    directions = net_plotter.arrays(
        net_plotter.make_directions(net, "weights", [net_plotter.Recipe(norm="filter")] * 2)
    )
    h5_util.write_directions("d.h5", directions)
    project("--dir_file", "d.h5")
    assert "fit --method lstsq, not cos" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        project("--dir_file", "d.h5", "--losses", "--dataset", "digits", "--data_split", "32")
    assert "--losses" in (said := capsys.readouterr().err) and "give --method lstsq" in said
    project("--dir_file", "d.h5", "--method", "lstsq")
    found = h5_util.read_projection("d.h5_proj_lstsq.h5")
    matrix, _ = stacked("weights")
    axes = np.stack([flat(direction) for direction in directions])
    multiples, *_ = np.linalg.lstsq(axes.T, matrix.T, rcond=None)
    np.testing.assert_allclose([found.x, found.y], multiples, atol=1e-6)
    np.testing.assert_allclose(
        found.distance[:-1],
        np.linalg.norm(matrix - multiples.T @ axes, axis=1)[:-1] / np.linalg.norm(matrix, axis=1)[:-1],
        atol=1e-6,
    )
    assert found.made_with["directions"] == fingerprint_of_arrays(
        values for direction in h5_util.read_directions("d.h5") for values in direction
    )
    assert not os.path.exists(f"run/{PCA}")


def test_a_random_plane(undrawn):
    """The published draws (seed 123, the net, x, y), filter-normalised against the last checkpoint, at length 1; hardly anything moves in it."""
    project("--ignore", "biasbn", "--plane", "random")
    dir_file = "run/random_weights_ignore=biasbn_save_epoch=1/directions.h5"
    torch.manual_seed(123)
    net = model_loader.load("resnet20", "run/model_6.t7")
    for direction in h5_util.read_directions(dir_file):
        expected = flat(
            net_plotter.arrays(
                [net_plotter.random_direction(net, "weights", norm="filter", ignore="biasbn")]
            )[0]
        )
        np.testing.assert_allclose(flat(direction), expected / np.linalg.norm(expected), atol=1e-6)
    found = h5_util.read_projection(f"{dir_file}_proj_cos.h5")
    assert found.shares.sum() < 1e-4
    assert found.distance[:-1].min() > 0.999
    assert h5_util.read_explained_variance(dir_file) is None


def test_learning_rate_drops(undrawn):
    with SummaryWriter("run") as curves:
        for epoch, rate in enumerate([0.1, 0.1, 0.01, 0.01, 0.1, 0.001], start=1):
            curves.add_scalar("lr", rate, epoch)
    project("--ignore", "biasbn")
    found = h5_util.read_projection(f"run/{PCA}/directions.h5_proj_cos.h5")
    assert found.lr_drops.tolist() == [3, 6]
    assert found.epochs.tolist() == list(range(7))
    assert trajectory.learning_rate_drops(".") == []


# Losses ----------------------------------------------------------------------------------------------------------------------


LOSSES = ["--losses", "--dataset", "digits", "--data_split", "32", "--ignore", "biasbn", "--save_epoch", "3"]
PROJECTION = "run/PCA_weights_ignore=biasbn_save_epoch=3/directions.h5_proj_cos.h5"


def loss_of(net: torch.nn.Module) -> float:
    data = dataloader.load("digits", "train", datapath="", data_split=32)
    with torch.no_grad():
        return torch.nn.functional.cross_entropy(net.eval()(data.batch(slice(None))), data.labels).item()


def test_losses_of_checkpoints_and_of_their_places_on_the_plane(monkeypatch, capsys):
    with caught(monkeypatch) as figs:
        project(*LOSSES)
    found = h5_util.read_projection(PROJECTION)
    directions = [
        [torch.from_numpy(values) for values in direction]
        for direction in h5_util.read_directions(PROJECTION.removesuffix("_proj_cos.h5"))
    ]
    for i, epoch in enumerate((0, 3, 6)):
        assert found.true_loss[i] == pytest.approx(
            loss_of(model_loader.load("resnet20", f"run/model_{epoch}.t7")), rel=1e-4
        )
        net = model_loader.load("resnet20", "run/model_6.t7")
        with torch.no_grad():
            for parameter, d, e in zip(net.parameters(), *directions, strict=True):
                parameter += found.x[i] * d + found.y[i] * e
        assert found.projected_loss[i] == pytest.approx(loss_of(net), rel=1e-4)
    gaps = np.abs(found.projected_loss - found.true_loss)
    worst = int(gaps.argmax())
    assert (
        f"epoch {3 * worst}: {found.projected_loss[worst]:.4g} where the checkpoint has {found.true_loss[worst]:.4g}"
        in capsys.readouterr().out
    )
    above, below = figs[1].axes
    lines = {line.get_label(): line.get_ydata() for line in above.lines}
    np.testing.assert_array_equal(lines["of the checkpoint"], found.true_loss)
    np.testing.assert_array_equal(lines["of its place on the plane"], found.projected_loss)
    np.testing.assert_array_equal(below.lines[0].get_ydata(), 100 * found.distance)
    assert above.lines[0].get_xdata().tolist() == [0, 3, 6]


def test_losses_are_kept_gone_on_with_and_measured_anew(monkeypatch, undrawn):
    measured = []

    def count(found, training, net, directions, *, dir_type, loss):
        return measure(
            found,
            training,
            net,
            directions,
            dir_type=dir_type,
            loss=lambda: measured.append(0) or len(measured),
        )

    measure = trajectory_losses.measure
    monkeypatch.setattr(trajectory_losses, "measure", count)
    monkeypatch.setattr(trajectory_figures, "draw_losses", lambda *_, **__: None)

    def measures(*flags: object) -> int:
        measured.clear()
        project(*flags)
        return len(measured)

    assert measures(*LOSSES) == 6
    known = h5_util.read_projection(PROJECTION)
    assert known.true_loss.tolist() == [1, 3, 5]
    assert measures("--ignore", "biasbn", "--save_epoch", "3") == 0
    assert measures(*LOSSES) == 0
    assert h5_util.read_projection(PROJECTION).true_loss.tolist() == [1, 3, 5]
    h5_util.write_projection(
        replace(known, projected_loss=np.array([2.0, np.nan, 6]))
    )  # as a run leaves it that was stopped
    assert measures(*LOSSES) == 2
    assert h5_util.read_projection(PROJECTION).true_loss.tolist() == [1, 1, 5]
    assert measures(*LOSSES, "--split_idx", "1") == 6
    assert h5_util.read_projection(f"{PROJECTION}.old").true_loss.tolist() == [
        1,
        1,
        5,
    ]  # what took hours is not written over
    assert measures(*LOSSES, "--split_idx", "1", "--loss_name", "mse") == 6
    for factor in (1, 10):
        Path("own.py").write_text(f"def loss(net, batch): return {factor} * net(batch[0]).square().mean()\n")
        assert measures(*LOSSES, "--loss_name", "own.py:loss") == 6


def test_a_path_is_drawn_on_surfaces_of_its_own_origin_alone(undrawn, capsys):
    project("--ignore", "biasbn", end=5)
    dir_file = f"run/{PCA}/directions.h5"
    surface = [
        "--dataset",
        "digits",
        "--data_split",
        "64",
        "--model",
        "resnet20",
        "--dir_file",
        dir_file,
        "--proj_file",
        f"{dir_file}_proj_cos.h5",
        "--x=-1:1:2",
        "--y=-1:1:2",
        "--plot",
        "--format",
        "png",
    ]
    plot_surface.main([*surface, "--model_file", "run/model_5.t7", "--surf_file", "five.h5"])
    capsys.readouterr()
    with pytest.raises(SystemExit):
        plot_surface.main([*surface, "--model_file", "run/model_6.t7", "--surf_file", "six.h5"])
    assert "origin" in capsys.readouterr().err and not os.path.exists("six.h5")  # before anything is measured
    os.rename(f"{dir_file}_proj_cos.h5", "five_proj.h5")
    project("--dir_file", dir_file)
    with pytest.raises(InputError, match="another net than the centre of 'five.h5'"):
        film.read(["five.h5"], proj_file=f"{dir_file}_proj_cos.h5")
    assert film.read(["five.h5"], proj_file="five_proj.h5").projection.x.size == 6


def test_epochs_with_zeros_before_them(undrawn):
    for epoch in range(7):
        os.rename(f"run/model_{epoch}.t7", f"run/model_{epoch:03d}.t7")
    os.mkdir("run/model_9.t7")
    project("--ignore", "biasbn")
    assert h5_util.read_projection(f"run/{PCA}/directions.h5_proj_cos.h5").epochs.tolist() == list(
        range(7)
    )
    with pytest.raises(InputError, match="epoch 7 is missing among the 7 that run has, 0 to 6"):
        trajectory.find_files("run", prefix="model_", suffix=".t7", start=0, end=9, step=1)


def test_a_direction_file_that_cannot_be_used_again(undrawn, capsys):
    for make, says in (
        (lambda: os.mkdir(f"run/{PCA}"), ""),
        (lambda: Path(f"run/{PCA}/directions.h5").write_text("no HDF5"), "--overwrite makes it anew"),
        (lambda: shutil.rmtree(f"run/{PCA}"), ""),
        (lambda: Path(f"run/{PCA}").write_text("a file"), "is no folder"),
    ):
        make()
        if says:
            with pytest.raises(SystemExit):
                project("--ignore", "biasbn")
            assert says in capsys.readouterr().err


OWN = """
import torch
from torch import nn

def net():
    net = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm((4,)), nn.Linear(4, 4), nn.Linear(4, 4))
    net[3].weight = net[2].weight
    return net

def data():
    torch.manual_seed(1)
    return [(torch.randn(5, 3), torch.randn(5, 4))]

def loss(net, batch):
    inputs, target = batch
    return (net(inputs) - target).square().sum()
"""


def test_an_own_net_with_its_own_data_and_loss(tmp_path, undrawn, monkeypatch):
    """Tied weights count once, whichever of their names a file has; what trainers put around names is taken off."""
    monkeypatch.setattr(trajectory_figures, "draw_losses", lambda *_, **__: None)
    (tmp_path / "own.py").write_text(OWN)
    code = {}
    exec(OWN, code)
    os.mkdir("own")
    for epoch in range(4):
        torch.manual_seed(epoch)
        state = code["net"]().state_dict()
        left_out = "3.weight" if epoch % 2 else "2.weight"
        torch.save(
            {
                "ema": {
                    "net": {f"_orig_mod.{name}": value for name, value in state.items() if name != left_out}
                },
                "step": epoch,
            },
            f"own/step{epoch}.pt",
        )
    plot_trajectory.main(
        [
            "--model",
            "own.py:net",
            "--model_folder",
            "own",
            "--prefix",
            "step",
            "--suffix",
            ".pt",
            "--state_key",
            "ema",
            "--max_epoch",
            "3",
            "--ignore",
            "biasbn",
            "--losses",
            "--dataset",
            "own.py:data",
            "--loss_name",
            "own.py:loss",
        ]
    )
    found = h5_util.read_projection(
        "own/PCA_weights_ignore=biasbn_save_epoch=1/directions.h5_proj_cos.h5"
    )
    for epoch in range(4):
        torch.manual_seed(epoch)
        net = code["net"]()
        assert found.true_loss[epoch] == pytest.approx(code["loss"](net, code["data"]()[0]).item(), rel=1e-5)
    x, _ = h5_util.read_directions("own/PCA_weights_ignore=biasbn_save_epoch=1/directions.h5")
    assert [values.any() for values in x] == [
        name in ("0.weight", "2.weight") for name, _ in net.named_parameters()
    ]


def test_losses_that_are_not_numbers(monkeypatch):
    projection = h5_util.Projection(
        "p.h5",
        np.arange(4.0),
        np.arange(4.0),
        distance=np.zeros(4),
        true_loss=np.array([np.nan, 3, 2, 1]),
        projected_loss=np.array([1, np.inf, 2.1, 1]),
    )
    h5_util.write_projection(projection)
    with caught(monkeypatch) as figs:
        trajectory_figures.draw_losses("p.h5")
    assert "2 of 4 checkpoints have a loss that is NaN or infinite" in words(figs[0])
    said = trajectory_losses.describe(projection)
    assert "1 of 4 checkpoints have a loss that is NaN" in said
    assert "at checkpoint 2: inf where the checkpoint has 3; it is within 10 % at 2 of 4 checkpoints" in said
    h5_util.write_projection(h5_util.Projection("q.h5", np.arange(4.0), np.arange(4.0)))
    with pytest.raises(InputError, match="--losses"):
        trajectory_figures.draw_losses("q.h5")


# Figures ---------------------------------------------------------------------------------------------------------------------


def words(fig) -> list[str]:
    fig.draw_without_rendering()
    return [
        text.get_text() for axes in fig.axes for text in [*axes.texts, axes.xaxis.label, axes.yaxis.label]
    ] + [text.get_text() for text in fig.texts]


def test_the_figure(monkeypatch, capsys):
    with caught(monkeypatch) as figs:
        project("--ignore", "biasbn")
    path, distance = figs[0].axes
    said = words(figs[0])
    assert {"epoch 0", "1", "2", "6"} <= set(said)
    assert not {"3", "4", "5"} & set(said)  # they lie on the last one
    assert any("93.0 % of the variance" in text for text in said)
    line = distance.lines[0]
    assert line.get_xdata().tolist() == list(range(7))
    matrix, _ = stacked("weights")
    np.testing.assert_allclose(
        line.get_ydata()[:-1],
        100 * h5_util.read_projection(f"run/{PCA}/directions.h5_proj_cos.h5").distance[:-1],
    )
    np.testing.assert_allclose(
        np.hypot(*path.lines[0].get_xydata().T)[0],
        np.linalg.norm(matrix[0]) * (1 - (line.get_ydata()[0] / 100) ** 2) ** 0.5,
        rtol=1e-3,
    )
    assert "10.1 %" in capsys.readouterr().out


def test_drops_lie_on_the_path_at_the_end_of_the_epoch_before(monkeypatch):
    x = np.array([8.0, 4, 2, 0])
    h5_util.write_projection(
        h5_util.Projection(
            "p.h5", x, x**2, epochs=np.array([0, 10, 20, 30]), lr_drops=np.array([0, 6, 21, 31, 99])
        )
    )
    with caught(monkeypatch) as figs:
        trajectory_figures.draw("p.h5")
    assert len(figs[0].axes) == 1
    marks = [line for line in figs[0].axes[0].lines if line.get_label() == "learning rate falls"]
    np.testing.assert_allclose(marks[0].get_xydata(), [[6, 40], [2, 4]])


def test_a_projection_of_the_published_program_is_drawn(monkeypatch):
    """It has coordinates and nothing else."""
    h5_util.write_projection(h5_util.Projection("p.h5", np.array([1.0, 0.5, 0]), np.array([0.2, 0.4, 0])))
    with caught(monkeypatch) as figs:
        trajectory_figures.draw("p.h5")
    assert len(figs[0].axes) == 1
    assert "epoch" not in " ".join(words(figs[0]))


def test_epochs_of_a_long_training_do_not_collide(monkeypatch):
    turn = np.linspace(0, 20, 301)
    h5_util.write_projection(
        h5_util.Projection(
            "p.h5", (20 - turn) * np.cos(turn), (20 - turn) * np.sin(turn), epochs=np.arange(301)
        )
    )
    with caught(monkeypatch) as figs:
        trajectory_figures.draw("p.h5")
    fig = figs[0]
    fig.draw_without_rendering()
    labels = fig.axes[0].texts
    boxes = [text.get_window_extent() for text in labels]
    assert 4 < len(boxes) <= 2 + trajectory_figures.MOST_NAMED
    assert {"epoch 0", "300"} <= {text.get_text() for text in labels}
    assert not any(box.overlaps(other) for i, box in enumerate(boxes) for other in boxes[:i])


def test_tsne_has_no_plane(monkeypatch):
    with caught(monkeypatch) as figs:
        project("--method", "tsne")
    assert sorted(name for name in os.listdir("run") if not name.endswith(".t7")) == [
        "tsne_weights_save_epoch=1.h5"
    ]
    said = words(figs[0])
    assert {"t-SNE 1", "t-SNE 2", trajectory_figures.TSNE} <= set(said)
    assert len(figs[0].axes) == 1
    write_surface_file(
        "s.h5", x=np.arange(3.0), y=np.arange(2.0), quantities={"train_loss": np.arange(6.0)}
    )
    with pytest.raises(InputError, match="no plane and so no contours"):
        film.read(["s.h5"], proj_file="run/tsne_weights_save_epoch=1.h5")


# What cannot be used ---------------------------------------------------------------------------------------------------------


def spoil(epoch: int, change) -> None:
    saved = torch.load(f"run/model_{epoch}.t7", weights_only=True)
    change(saved["state_dict"])
    torch.save(saved, f"run/model_{epoch}.t7")


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--model_folder", "nowhere"], ["'nowhere'", "--model_folder"]),
        (["--max_epoch", "9"], ["run/model_7.t7", "epoch 7 is missing among the 7 that run has, 0 to 6"]),
        (
            ["--save_epoch", "2", "--max_epoch", "5", "--prefix", "net_"],
            ["run/net_0.t7", "no file net_<epoch>.t7"],
        ),
        (["--max_epoch", "1"], ["epochs 0 to 1 in steps of 1 are fewer than 3 checkpoints"]),
        (["--start_epoch", "6", "--max_epoch", "0"], ["epochs 6 to 0"]),
        (["--save_epoch", "0"], ["'0' is not a whole number of at least 1"]),
        (["--model", "resnet56"], ["run/model_0.t7", "layer1.3.conv1.weight"]),
        (["--dir_file", "nowhere.h5"], ["nowhere.h5"]),
        (["--dir_file", "one.h5"], ["'one.h5' has one direction"]),
        (["--dir_file", "two.h5"], ["'two.h5' does not fit the net"]),
        (["--dir_file", "two.h5", "--plane", "random"], ["are two planes"]),
        (["--method", "tsne", "--plane", "random"], ["--method tsne has no plane"]),
        (["--animate", "nowhere.h5"], ["nowhere.h5"]),
        (["--method", "tsne", "--losses"], ["leave", "--losses out"]),
        (["--losses", "--test_set"], ["--test_set"]),
        (["--losses", "--dataset", "digits", "--data_split", "2000"], ["--data_split 2000"]),
    ],
)
def test_one_sentence_and_status_2(flags, says, capsys, undrawn):
    h5_util.write_directions("one.h5", [[np.ones((2, 2))]])
    h5_util.write_directions("two.h5", [[np.ones((2, 2))]] * 2)
    with pytest.raises(SystemExit) as stopped:
        project(*flags)
    assert stopped.value.code == 2
    sentence = capsys.readouterr().err.strip().splitlines()[-1]
    assert (
        sentence.startswith(("pytest", "__main__", "python", "plot_trajectory", "-c"))
        and "error: " in sentence
    )
    assert all(part in sentence for part in says)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda state: state.update({"linear.weight": torch.zeros(7, 64)}),
            ["run/model_4.t7", "'linear.weight' has shape [7, 64]"],
        ),
        (
            lambda state: state["layer2.0.bn1.weight"].fill_(float("nan")),
            ["run/model_4.t7", "'layer2.0.bn1.weight' holds NaN", "--max_epoch"],
        ),
        (lambda state: state.pop("conv1.weight"), ["run/model_4.t7", "'conv1.weight' is missing"]),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_named(change, says, undrawn, capsys):
    spoil(4, change)
    with pytest.raises(SystemExit):
        project()
    sentence = capsys.readouterr().err
    assert all(part in sentence for part in says)
    assert not os.path.exists("run/PCA_weights_save_epoch=1")


def test_checkpoints_that_are_all_the_same(undrawn, capsys):
    for epoch in range(6):
        shutil.copy("run/model_6.t7", f"run/model_{epoch}.t7")
    with pytest.raises(SystemExit):
        project()
    assert "hold the same weights" in capsys.readouterr().err


def test_a_checkpoint_that_changes_meanwhile():
    net = model_loader.build("resnet20")
    training = trajectory.read([f"run/model_{epoch}.t7" for epoch in range(3)], net, "weights")
    torch.save({"state_dict": net.state_dict()}, "run/model_1.t7")
    with pytest.raises(InputError, match="run/model_1.t7: was changed while it was read"):
        next(training.pieces())


def test_damaged_projection_files():
    for name, values in (("epochs", np.arange(2)), ("distance", np.zeros((3, 1))), ("shares", np.zeros(3))):
        h5_util.write_projection(h5_util.Projection("p.h5", np.arange(3.0), np.arange(3.0), **{name: values}))
        with pytest.raises(InputError, match=f"'{name}' has shape"):
            h5_util.read_projection("p.h5")


def test_from_the_command_line(tmp_path):
    done = run(
        "plot_trajectory.py", "--model", "resnet20", "--model_folder", "run", "--max_epoch", "8", cwd=tmp_path
    )
    assert done.returncode == 2
    assert (
        done.stderr.strip()
        .splitlines()[-1]
        .startswith("plot_trajectory.py: error: run/model_7.t7: epoch 7 is missing")
    )
    assert "Traceback" not in done.stderr
