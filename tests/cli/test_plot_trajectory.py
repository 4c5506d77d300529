"""From checkpoints to directions, projection, losses and figures, with the published program's numbers."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.utils.tensorboard import SummaryWriter

from losslandscape.cli import plot_surface, plot_trajectory
from losslandscape.core.errors import InputError
from losslandscape.core.provenance import fingerprint_of_arrays
from losslandscape.data import dataloader
from losslandscape.draw import film, trajectory_figures, trajectory_path
from losslandscape.evaluate.evaluation import Evaluator
from losslandscape.files import h5_util
from losslandscape.files.projection import Projection
from losslandscape.nets import direction_file, model_loader, net_plotter
from tests.draw.surface_files import words
from tests.helpers import GOLDEN, run, write_surface_file
from tests.trajectory.checkpoints import CHECKPOINTS, stacked

PUBLISHED = json.loads((GOLDEN / "golden.json").read_text())["trajectory"]
DIRECTIONS = "run/PCA_weights_ignore=biasbn_save_epoch=1/directions.h5"
PROJECTION = f"{DIRECTIONS}_proj_cos.h5"
STATES = "PCA_states_save_epoch=1/directions.h5"
BIASBN = ["--ignore", "biasbn", "--save_epoch", "3"]  # three checkpoints, which is quick
THREE = "run/PCA_weights_ignore=biasbn_save_epoch=3/directions.h5"


@pytest.fixture(autouse=True)
def in_a_folder_with_checkpoints(inside):
    shutil.copytree(CHECKPOINTS, "run")


def project(*flags: object, folder: str = "run", end: int = 6) -> None:
    place = ["--model", "resnet20", "--model_folder", folder, "--max_epoch", str(end)]
    plot_trajectory.main([*place, "--format", "png", *map(str, flags)])


@pytest.fixture
def undrawn(monkeypatch):
    """Figures take most of the time, and most tests look at the files alone."""
    monkeypatch.setattr(trajectory_figures, "draw", lambda *_, **__: None)
    monkeypatch.setattr(trajectory_figures, "draw_losses", lambda *_, **__: None)


def flat(direction: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.asarray(tensor, float).ravel() for tensor in direction])


def same_but_for_sign(values: np.ndarray, expected: np.ndarray, **tolerance) -> None:
    np.testing.assert_allclose(values * np.sign(values @ expected), expected, **tolerance)


# The published program's numbers and files --------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_golden(name, undrawn):
    project(*(["--ignore", "biasbn"] if "ignore" in name else []))
    dir_file, published = f"run/{name}/directions.h5", PUBLISHED[name]
    shares = h5_util.read_explained_variance(dir_file)
    np.testing.assert_allclose(shares, published["explained_variance_ratio"], atol=1e-4)
    path = h5_util.read_projection(f"{dir_file}_proj_cos.h5")
    same_but_for_sign(path.x, np.array(published["proj_xcoord"]), atol=1e-4)
    same_but_for_sign(path.y, np.array(published["proj_ycoord"]), atol=1e-4)
    variances = {"explained_variance_ratio_", "singular_values_", "explained_variance_"}
    assert h5_util.names(dir_file, "direction") >= {"xdirection", "ydirection", *variances}
    tensors = list(stacked("weights")[1].values())
    for direction in h5_util.read_directions(dir_file):
        assert [values.shape for values in direction] == [tuple(tensor.shape) for tensor in tensors]
        assert np.linalg.norm(flat(direction)) == pytest.approx(1, abs=1e-5)
        for values in direction:
            assert values.any() == (values.ndim > 1 or "ignore" not in name)


@pytest.mark.slow
def test_states(undrawn):
    """BN statistics move too; the counts of batches, whole numbers that evaluation does not use, do not."""
    project("--dir_type", "states")
    matrix, tensors = stacked("states")
    _, _, expected = np.linalg.svd(matrix - matrix.mean(axis=0), full_matrices=False)
    are_moving = [tensor.is_floating_point() for tensor in tensors.values()]
    for direction, component in zip(h5_util.read_directions(f"run/{STATES}"), expected, strict=False):
        pairs = list(zip(direction, are_moving, strict=True))
        counts = [values for values, is_moving in pairs if not is_moving]
        assert len(counts) == 19 + 2
        assert not any(values.any() for values in counts)
        same_but_for_sign(flat([values for values, moves in pairs if moves]), component, atol=1e-5)


@pytest.mark.slow
def test_files_of_other_kinds_give_the_same(undrawn):
    """The format before PyTorch 1.6, `module.` before names, no counts, a NumPy accuracy, float64."""
    os.mkdir("other")
    for epoch in range(7):
        saved = torch.load(f"run/model_{epoch}.t7", weights_only=True)
        state = {f"module.{name}": value for name, value in saved["state_dict"].items()}
        state = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
        if epoch == 3:
            state = {name: value.double() for name, value in state.items()}
        saved = state if epoch == 5 else {"state_dict": state, "acc": np.float64(1), "epoch": epoch}
        torch.save(saved, f"other/model_{epoch}.t7", _use_new_zipfile_serialization=epoch % 2 == 1)
    project("--dir_type", "states")
    project("--dir_type", "states", folder="other")
    ours = h5_util.read_projection(f"run/{STATES}_proj_cos.h5")
    theirs = h5_util.read_projection(f"other/{STATES}_proj_cos.h5")
    np.testing.assert_array_equal(ours.x, theirs.x)
    np.testing.assert_array_equal(ours.distance, theirs.distance)
    assert ours.made_with["checkpoints"] != theirs.made_with["checkpoints"]


# Other names --------------------------------------------------------------------------------------

OTHER_NAMES = {  # by pattern: the name of the checkpoint of each epoch, and what its numbers count
    "epoch=*-step=*.ckpt": ("epoch={0}-step={1}.ckpt", "epoch"),
    "epoch=*.ckpt": ("epoch={0:02d}.ckpt", "epoch"),
    "checkpoint-*/model.safetensors": ("checkpoint-{1}/model.safetensors", "step"),
}


@pytest.mark.parametrize("pattern", OTHER_NAMES)
def test_checkpoints_of_other_names_have_the_same_path(undrawn, capsys, pattern):
    project(*BIASBN)
    expected = h5_util.read_projection(f"{THREE}_proj_cos.h5")
    name, unit = OTHER_NAMES[pattern]
    for epoch in (0, 3, 6):
        path = Path("other[1]", name.format(epoch, 24 * epoch))
        path.parent.mkdir(exist_ok=True, parents=True)
        saved = torch.load(f"run/model_{epoch}.t7", weights_only=True)
        if path.suffix == ".safetensors":
            save_file(saved["state_dict"], path)
        else:
            torch.save(saved, path)
    flags = ["--model", "resnet20", "--model_folder", "other[1]", "--pattern", pattern, "--ignore", "biasbn"]
    plot_trajectory.main(flags)
    (file,) = Path("other[1]").glob("PCA_weights_ignore=biasbn_pattern=*/directions.h5_proj_cos.h5")
    path = h5_util.read_projection(str(file))
    np.testing.assert_array_equal(path.x, expected.x)
    np.testing.assert_array_equal(path.y, expected.y)
    np.testing.assert_array_equal(path.distance, expected.distance)
    last = 6 if unit == "epoch" else 144
    assert path.epochs.tolist() == [0, last / 2, last] and path.unit == unit
    assert f"3 checkpoints, {unit}s 0 to {last}, of resnet20" in capsys.readouterr().out


def test_a_pattern_with_limits_and_steps_that_are_uneven(undrawn):
    for epoch in (3, 4):
        os.remove(f"run/model_{epoch}.t7")
    flags = ["--model", "resnet20", "--model_folder", "run", "--pattern", "model_*.t7"]
    plot_trajectory.main([*flags, "--start_epoch", "1"])
    path = h5_util.read_projection("run/PCA_weights_pattern=model__.t7~bf698cb8/directions.h5_proj_cos.h5")
    assert path.epochs.tolist() == [1, 2, 5, 6]
    expected, _ = stacked("weights")
    lengths = np.linalg.norm(expected[[1, 2, 5]], axis=1)
    on_plane = np.hypot(path.x, path.y)[:3]
    np.testing.assert_allclose(on_plane**2, lengths**2 * (1 - path.distance[:3] ** 2), rtol=1e-5)


def test_a_pattern_and_the_published_names_contradict_each_other(capsys):
    with pytest.raises(SystemExit):
        project("--pattern", "*.t7", "--prefix", "net_")
    assert "leave --prefix, --suffix and --save_epoch out" in capsys.readouterr().err


def test_names_that_do_not_fit_are_answered_with_a_pattern(capsys):
    for epoch in range(7):
        os.rename(f"run/model_{epoch}.t7", f"run/epoch={epoch}.ckpt")
    with pytest.raises(SystemExit):
        project()
    assert capsys.readouterr().err.endswith("no file model_<epoch>.t7; give --pattern 'epoch=*.ckpt'\n")


# Existing files -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_directions_are_used_again_if_they_were_made_with_the_same(undrawn, capsys):
    project(*BIASBN)
    before = os.stat(THREE).st_ino
    project(*BIASBN)
    assert os.stat(THREE).st_ino == before
    assert "exists and is used" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        project(*BIASBN, end=4)
    assert "checkpoints" in (error := capsys.readouterr().err) and "--overwrite" in error
    project(*BIASBN, "--overwrite", end=4)
    assert os.path.exists(f"{THREE}.old")
    assert h5_util.read_projection(f"{THREE}_proj_cos.h5").epochs.tolist() == [0, 3, 4]


def test_directions_of_the_published_program_are_used(undrawn):
    net = model_loader.build("resnet20")
    torch.manual_seed(0)
    drawn = direction_file.arrays(net_plotter.make_directions(net, "weights", [net_plotter.Recipe()] * 2))
    os.mkdir(os.path.dirname(DIRECTIONS))
    h5_util.write_directions(DIRECTIONS, drawn)
    project("--ignore", "biasbn")
    matrix, _ = stacked("weights")
    expected = matrix @ flat(drawn[1]) / np.linalg.norm(flat(drawn[1]))
    np.testing.assert_allclose(h5_util.read_projection(PROJECTION).y, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.slow
def test_projection_on_other_directions(undrawn, capsys):
    """Filter-normalised ones are long. A surface along them has multiples as its coordinates, as lstsq."""
    net = model_loader.load("resnet20", "run/model_6.t7")
    recipes = [net_plotter.Recipe(norm="filter")] * 2
    directions = direction_file.arrays(net_plotter.make_directions(net, "weights", recipes))
    h5_util.write_directions("d.h5", directions)
    project("--dir_file", "d.h5")
    assert "fit the method lstsq" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        project("--dir_file", "d.h5", "--losses", "--dataset", "digits", "--data_split", "32")
    assert "--losses" in (error := capsys.readouterr().err) and "--method lstsq" in error
    project("--dir_file", "d.h5", "--method", "lstsq")
    path = h5_util.read_projection("d.h5_proj_lstsq.h5")
    matrix, _ = stacked("weights")
    axes = np.stack([flat(direction) for direction in directions])
    multiples, *_ = np.linalg.lstsq(axes.T, matrix.T, rcond=None)
    np.testing.assert_allclose([path.x, path.y], multiples, atol=1e-6)
    off_the_plane = np.linalg.norm(matrix - multiples.T @ axes, axis=1)[:-1]
    distance = off_the_plane / np.linalg.norm(matrix, axis=1)[:-1]
    np.testing.assert_allclose(path.distance[:-1], distance, atol=1e-6)
    written = [values for direction in h5_util.read_directions("d.h5") for values in direction]
    assert path.made_with["directions"] == fingerprint_of_arrays(written)
    assert not os.path.exists("run/PCA_weights_save_epoch=1")


def test_a_random_plane(undrawn):
    """The published draws (seed 123, the net, x, y), filter-normalised, at length 1."""
    project("--ignore", "biasbn", "--plane", "random")
    dir_file = "run/random_weights_ignore=biasbn_save_epoch=1/directions.h5"
    torch.manual_seed(123)
    net = model_loader.load("resnet20", "run/model_6.t7")
    for direction in h5_util.read_directions(dir_file):
        drawn = net_plotter.random_direction(net, "weights", norm="filter", ignore="biasbn")
        expected = flat(direction_file.arrays([drawn])[0])
        np.testing.assert_allclose(flat(direction), expected / np.linalg.norm(expected), atol=1e-6)
    path = h5_util.read_projection(f"{dir_file}_proj_cos.h5")
    assert path.shares.sum() < 1e-4
    assert path.distance[:-1].min() > 0.999
    assert h5_util.read_explained_variance(dir_file) is None


def test_epochs_and_drops_of_the_learning_rate_are_kept(undrawn):
    with SummaryWriter("run") as curves:
        for epoch, rate in enumerate([0.1, 0.1, 0.01], start=1):
            curves.add_scalar("lr", rate, epoch)
    project(*BIASBN)
    path = h5_util.read_projection(f"{THREE}_proj_cos.h5")
    assert path.lr_drops.tolist() == [3]
    assert path.epochs.tolist() == [0, 3, 6]


def test_a_direction_file_that_cannot_be_used_again(undrawn, capsys):
    folder = Path(THREE).parent
    folder.mkdir()
    Path(THREE).write_text("no HDF5")
    with pytest.raises(SystemExit):
        project(*BIASBN)
    assert "--overwrite" in capsys.readouterr().err
    shutil.rmtree(folder)
    folder.write_text("a file")
    with pytest.raises(SystemExit):
        project(*BIASBN)
    assert "is not a folder" in capsys.readouterr().err


# Losses -------------------------------------------------------------------------------------------

LOSSES = ["--losses", "--dataset", "digits", "--data_split", "32", *BIASBN]


def loss_of(net: torch.nn.Module) -> float:
    data = dataloader.load("digits", "train", datapath="", data_split=32)
    with torch.no_grad():
        return torch.nn.functional.cross_entropy(net.eval()(data.batch(slice(None))), data.labels).item()


@pytest.mark.slow
def test_losses_of_checkpoints_and_of_their_places_on_the_plane(drawn, capsys):
    project(*LOSSES)
    path = h5_util.read_projection(f"{THREE}_proj_cos.h5")
    directions = [[torch.from_numpy(values) for values in axis] for axis in h5_util.read_directions(THREE)]
    for i, epoch in enumerate((0, 3, 6)):
        checkpoint = model_loader.load("resnet20", f"run/model_{epoch}.t7")
        assert path.true_loss[i] == pytest.approx(loss_of(checkpoint), rel=1e-4)
        net = model_loader.load("resnet20", "run/model_6.t7")
        with torch.no_grad():
            for parameter, d, e in zip(net.parameters(), *directions, strict=True):
                parameter += path.x[i] * d + path.y[i] * e
        assert path.projected_loss[i] == pytest.approx(loss_of(net), rel=1e-4)
    worst = int(np.abs(path.projected_loss - path.true_loss).argmax())
    true, projected = path.true_loss[worst], path.projected_loss[worst]
    expected = f"epoch {3 * worst}: {projected:.4g} where the checkpoint has {true:.4g}"
    assert expected in capsys.readouterr().out
    above, below = drawn[f"{THREE}_proj_cos.h5_losses"].axes
    lines = {line.get_label(): line.get_ydata() for line in above.lines}
    np.testing.assert_array_equal(lines["of the checkpoint"], path.true_loss)
    np.testing.assert_array_equal(lines["of its place on the plane"], path.projected_loss)
    np.testing.assert_array_equal(below.lines[0].get_ydata(), 100 * path.distance)
    assert above.lines[0].get_xdata().tolist() == [0, 3, 6]


@pytest.mark.slow
def test_losses_are_kept_resumed_and_measured_anew(monkeypatch, undrawn):
    measured = []

    def count(self):
        measured.append(0)
        return {"train_loss": len(measured)}

    monkeypatch.setattr(Evaluator, "measure", count)

    def number_measured(*flags: object) -> int:
        measured.clear()
        project(*flags)
        return len(measured)

    file = f"{THREE}_proj_cos.h5"
    assert number_measured(*LOSSES) == 6
    known = h5_util.read_projection(file)
    assert known.true_loss.tolist() == [1, 3, 5]
    assert number_measured(*BIASBN) == 0
    assert number_measured(*LOSSES) == 0
    assert h5_util.read_projection(file).true_loss.tolist() == [1, 3, 5]
    stopped = replace(known, projected_loss=np.array([2.0, np.nan, 6]))
    h5_util.write_projection(stopped)
    assert number_measured(*LOSSES) == 2
    assert h5_util.read_projection(file).true_loss.tolist() == [1, 1, 5]
    assert number_measured(*LOSSES, "--split_idx", "1") == 6
    assert h5_util.read_projection(f"{file}.old").true_loss.tolist() == [1, 1, 5]
    assert number_measured(*LOSSES, "--split_idx", "1", "--loss_name", "mse") == 6
    for factor in (1, 10):
        Path("own.py").write_text(f"def loss(net, batch): return {factor} * net(batch[0]).square().mean()\n")
        assert number_measured(*LOSSES, "--loss_name", "own.py:loss") == 6


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
OWN_FLAGS = (
    "--model own.py:net --model_folder own --prefix step --suffix .pt --state_key ema --max_epoch 3 "
    "--ignore biasbn --losses --dataset own.py:data --loss_name own.py:loss"
)


def test_an_own_net_with_its_own_data_and_loss(undrawn):
    """Tied weights count once, whichever of their names a file has; trainers' prefixes are taken off."""
    Path("own.py").write_text(OWN)
    own = {}
    exec(OWN, own)
    os.mkdir("own")
    for epoch in range(4):
        torch.manual_seed(epoch)
        state = {f"_orig_mod.{name}": value for name, value in own["net"]().state_dict().items()}
        del state["_orig_mod.3.weight" if epoch % 2 else "_orig_mod.2.weight"]
        torch.save({"ema": {"net": state}, "step": epoch}, f"own/step{epoch}.pt")
    plot_trajectory.main(OWN_FLAGS.split())
    dir_file = "own/PCA_weights_ignore=biasbn_save_epoch=1/directions.h5"
    path = h5_util.read_projection(f"{dir_file}_proj_cos.h5")
    for epoch in range(4):
        torch.manual_seed(epoch)
        net = own["net"]()
        expected = own["loss"](net, own["data"]()[0]).item()
        assert path.true_loss[epoch] == pytest.approx(expected, rel=1e-5)
    x, _ = h5_util.read_directions(dir_file)
    expected = [name in ("0.weight", "2.weight") for name, _ in net.named_parameters()]
    assert [values.any() for values in x] == expected


# Surfaces and figures -----------------------------------------------------------------------------

SURFACE = (
    f"--dataset digits --data_split 64 --model resnet20 --dir_file {DIRECTIONS} --proj_file {PROJECTION} "
    "--x=-1:1:2 --y=-1:1:2 --plot --format png"
)


@pytest.mark.slow
def test_a_path_is_drawn_only_on_surfaces_with_its_own_origin(undrawn, capsys):
    project("--ignore", "biasbn", end=5)
    surface = SURFACE.split()
    plot_surface.main([*surface, "--model_file", "run/model_5.t7", "--surf_file", "five.h5"])
    capsys.readouterr()
    with pytest.raises(SystemExit):
        plot_surface.main([*surface, "--model_file", "run/model_6.t7", "--surf_file", "six.h5"])
    assert "origin" in capsys.readouterr().err
    assert not os.path.exists("six.h5")  # before anything is measured
    os.rename(PROJECTION, "five_proj.h5")
    project("--dir_file", DIRECTIONS)
    with pytest.raises(InputError, match="another net than the centre of 'five.h5'"):
        film.read(["five.h5"], proj_file=PROJECTION)
    (path,) = film.read(["five.h5"], proj_file="five_proj.h5").paths
    assert path.x.size == 6


@pytest.mark.slow
def test_the_figure(drawn, capsys):
    project("--ignore", "biasbn")
    path_axes, distance_axes = drawn[PROJECTION].axes
    texts = words(drawn[PROJECTION])
    assert {"epoch 0", "1", "2", "6"} <= set(texts)
    assert not {"3", "4", "5"} & set(texts)  # these lie on the last one
    assert any("93.0 % of the variance" in text for text in texts)
    line = distance_axes.lines[0]
    assert line.get_xdata().tolist() == list(range(7))
    matrix, _ = stacked("weights")
    distance = h5_util.read_projection(PROJECTION).distance[:-1]
    np.testing.assert_allclose(line.get_ydata()[:-1], 100 * distance)
    drawn_length = np.hypot(*path_axes.lines[0].get_xydata()[0])
    expected = np.linalg.norm(matrix[0]) * (1 - distance[0] ** 2) ** 0.5
    np.testing.assert_allclose(drawn_length, expected, rtol=1e-3)
    assert "10.1 %" in capsys.readouterr().out


def test_tsne_has_no_plane(drawn):
    project("--method", "tsne")
    new = [name for name in os.listdir("run") if not name.endswith(".t7")]
    assert new == ["tsne_weights_save_epoch=1.h5"]
    (fig,) = drawn.values()
    texts = {text.replace("\n", " ") for text in words(fig)}
    assert {"t-SNE 1", "t-SNE 2", trajectory_path.TSNE} <= texts
    assert len(fig.axes) == 1
    values = {"train_loss": np.arange(6.0)}
    write_surface_file("s.h5", x=np.arange(3.0), y=np.arange(2.0), quantities=values)
    with pytest.raises(InputError, match="no plane"):
        film.read(["s.h5"], proj_file="run/tsne_weights_save_epoch=1.h5")


# Input that cannot be used ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        ("--model_folder nowhere", ["'nowhere'", "--model_folder"]),
        ("--max_epoch 9", ["run/model_7.t7", "epoch 7 is missing among the 7 that run has, 0 to 6"]),
        ("--save_epoch 2 --max_epoch 5 --prefix net_", ["run/net_0.t7", "no file net_<epoch>.t7"]),
        ("--max_epoch 1", ["epochs 0 to 1 in steps of 1", "--max_epoch"]),
        ("--start_epoch 6 --max_epoch 0", ["epochs 6 to 0"]),
        ("--save_epoch 0", ["'0' is not a whole number of at least 1"]),
        ("--model resnet56", ["run/model_0.t7", "layer1.3.conv1.weight"]),
        ("--save_epoch 3 --dir_file nowhere/new.h5", ["the folder 'nowhere'"]),
        ("--save_epoch 3 --dir_file one.h5", ["'one.h5'", "one direction"]),
        ("--save_epoch 3 --dir_file two.h5", ["'two.h5'"]),
        ("--dir_file two.h5 --plane random", ["are two planes"]),
        ("--method tsne --plane random", ["--method tsne has no plane"]),
        ("--animate nowhere.h5", ["nowhere.h5"]),
        ("--method tsne --losses", ["leave", "--losses out"]),
        ("--losses --test_set", ["--test_set"]),
        ("--losses --dataset digits --data_split 2000", ["data_split 2000"]),
    ],
)
def test_one_sentence_and_status_2(flags, parts, capsys, undrawn):
    h5_util.write_directions("one.h5", [[np.ones((2, 2))]])
    h5_util.write_directions("two.h5", [[np.ones((2, 2))]] * 2)
    with pytest.raises(SystemExit) as ended:
        project(*flags.split())
    assert ended.value.code == 2
    sentence = capsys.readouterr().err.strip().splitlines()[-1]
    assert "error: " in sentence
    assert all(part in sentence for part in parts)


def spoil(epoch: int, change) -> None:
    saved = torch.load(f"run/model_{epoch}.t7", weights_only=True)
    change(saved["state_dict"])
    torch.save(saved, f"run/model_{epoch}.t7")


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda state: state.update({"linear.weight": torch.zeros(7, 64)}), ["'linear.weight'", "[7, 64]"]),
        (lambda state: state["layer2.0.bn1.weight"].fill_(float("nan")), ["NaN", "--max_epoch"]),
        (lambda state: state.pop("conv1.weight"), ["'conv1.weight'", "missing"]),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_named(change, parts, undrawn, capsys):
    spoil(4, change)
    with pytest.raises(SystemExit):
        project()
    sentence = capsys.readouterr().err
    assert all(part in sentence for part in ["run/model_4.t7", *parts])
    assert not os.path.exists("run/PCA_weights_save_epoch=1")


def test_checkpoints_that_are_all_the_same(undrawn, capsys):
    for epoch in range(6):
        shutil.copy("run/model_6.t7", f"run/model_{epoch}.t7")
    with pytest.raises(SystemExit):
        project()
    assert "the same weights" in capsys.readouterr().err


def test_damaged_projection_files():
    for name, values in (("epochs", np.arange(2)), ("distance", np.zeros((3, 1))), ("shares", np.zeros(3))):
        h5_util.write_projection(Projection("p.h5", np.arange(3.0), np.arange(3.0), **{name: values}))
        with pytest.raises(InputError, match=f"'{name}' has shape"):
            h5_util.read_projection("p.h5")


def test_from_the_command_line(tmp_path):
    place = ["--model", "resnet20", "--model_folder", "run"]
    ended = run("plot_trajectory.py", *place, "--max_epoch", "8", cwd=tmp_path)
    assert ended.returncode == 2
    sentence = ended.stderr.strip().splitlines()[-1]
    assert sentence.startswith("plot_trajectory.py: error: run/model_7.t7: epoch 7 is missing")
    assert "Traceback" not in ended.stderr


def test_directions_are_made_in_a_new_file(capsys, undrawn):
    """As for checkpoints in a folder that is read-only."""
    project(*BIASBN)
    published = h5_util.read_directions(THREE)
    shutil.rmtree(os.path.dirname(THREE))
    project(*BIASBN, "--dir_file", "new.h5")
    assert "--dir_file new.h5 does not exist; new directions are made there" in capsys.readouterr().out
    for made, expected in zip(h5_util.read_directions("new.h5"), published, strict=True):
        np.testing.assert_array_equal(flat(made), flat(expected))
    assert h5_util.read_projection("new.h5_proj_cos.h5").x.size == 3
    assert not os.path.exists(os.path.dirname(THREE))
    project(*BIASBN, "--dir_file", "random.h5", "--plane", "random")
    assert h5_util.read_made_with("random.h5", "direction")["plane"].startswith("random")


def test_a_folder_that_cannot_be_written_is_named_before_checkpoints_are_read(monkeypatch, capsys):
    monkeypatch.setattr(os, "access", lambda place, mode: not str(place).endswith("/run"))
    with pytest.raises(SystemExit):
        project(*BIASBN)
    output = capsys.readouterr()
    assert "/run' of 'PCA_weights_ignore=biasbn_save_epoch=3' cannot be written to" in output.err
    assert output.err.strip().endswith("give another file for the directions with --dir_file")
    assert "checkpoints" not in output.out
