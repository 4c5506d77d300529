"""plot_surface.py from the command line: alone and under mpirun, stopped and resumed, on the data sets it
takes.
"""

import itertools
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from losslandscape.data import dataloader
from losslandscape.evaluate.evaluation import evaluate
from losslandscape.files import h5_util
from losslandscape.files.file_names import SEED
from losslandscape.files.surface import Surface
from losslandscape.nets import model_loader, net_plotter
from tests.helpers import (
    DIGITS,
    LARGE_BATCH,
    SMALL_BATCH,
    command,
    folder_with,
    run,
    succeed,
    write_surface_file,
)

CENTRE = "resnet20_digits_bs=64/model_6.t7"
OTHER = "resnet20_digits_bs=512/model_40.t7"
FILTER = ["--xnorm", "filter", "--xignore", "biasbn", "--ynorm", "filter", "--yignore", "biasbn"]
NAME = f"{CENTRE}_weights_xignore=biasbn_xnorm=filter_yignore=biasbn_ynorm=filter.h5"


@pytest.fixture
def folder(tmp_path):
    return folder_with(tmp_path, SMALL_BATCH, LARGE_BATCH)


def read(folder: Path, name: str) -> Surface:
    return h5_util.read_surface(str(folder / name))


def assert_same(a: Surface, b: Surface) -> None:
    assert a.names == b.names
    for name in a.names:
        assert a.measured(name).all()
        np.testing.assert_allclose(a.get(name), b.get(name), rtol=1e-6)


@pytest.mark.slow
def test_any_number_of_ranks_gives_one_surface(folder):
    """Alone, with --mpi, and under mpirun without --mpi."""
    grid = [*DIGITS, "--model_file", CENTRE, "--x=-1:1:5", "--y=-1:1:4", *FILTER]
    alone = succeed("plot_surface.py", *grid, "--surf_file", "1.h5", cwd=folder)
    assert "cosine between x and y: 0.003" in alone
    succeed("plot_surface.py", *grid, "--surf_file", "2.h5", "--mpi", ranks=2, cwd=folder)
    noticed = succeed("plot_surface.py", *grid, "--surf_file", "3.h5", ranks=3, cwd=folder)
    assert "on 3 ranks" in noticed
    for name in ("2.h5", "3.h5"):
        assert_same(read(folder, "1.h5"), read(folder, name))


@pytest.mark.slow
def test_a_grid_that_is_not_square_point_by_point(folder):
    grid = ["--x=0:1:3", "--y=-1:1:4", *FILTER, "--test_set"]
    succeed("plot_surface.py", *DIGITS, "--model_file", CENTRE, *grid, cwd=folder)
    surface = read(folder, f"{NAME}_[0.0,1.0,3]x[-1.0,1.0,4]_datasplit=32_splitidx=0.h5")
    assert surface.shape == (4, 3)
    assert surface.names == ["test_acc", "test_loss", "train_acc", "train_loss"]

    net = model_loader.load("resnet20", str(folder / CENTRE))
    weights = {key: value.clone() for key, value in net.state_dict().items()}
    axes = h5_util.read_directions(str(folder / NAME))
    splits = {"train": 32, "test": 1}
    sets = {part: dataloader.load("digits", part, datapath="", data_split=n) for part, n in splits.items()}
    points = itertools.product(enumerate(np.linspace(-1, 1, 4)), enumerate(np.linspace(0, 1, 3)))
    for (i, y), (j, x) in list(points)[::2]:
        net.load_state_dict(weights)
        with torch.no_grad():
            for parameter, a, b in zip(net.parameters(), *axes, strict=True):
                parameter += x * torch.from_numpy(a) + y * torch.from_numpy(b)
        for part, data in sets.items():
            loss, acc = evaluate(net, data)
            assert surface.get(f"{part}_loss")[i, j] == pytest.approx(loss, rel=1e-5)
            assert surface.get(f"{part}_acc")[i, j] == pytest.approx(acc, abs=100 / len(data) + 1e-9)


def some_measured(file: Path) -> bool:
    return file.exists() and bool(h5_util.read_surface(str(file)).measured("train_loss").any())


@pytest.mark.slow
@pytest.mark.parametrize(("ranks", "number"), [(0, signal.SIGINT), (2, signal.SIGTERM)])
def test_a_stopped_run_resumes(folder, ranks, number):
    flags = [*DIGITS, "--model_file", CENTRE, "--x=-1:1:9", "--y=-1:1:5", *FILTER, "--surf_file"]
    line = command("plot_surface.py", *flags, "stopped.h5", ranks=ranks)
    job = subprocess.Popen(line, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not some_measured(folder / "stopped.h5"):
        assert time.monotonic() < deadline and job.poll() is None
        time.sleep(0.02)
    job.send_signal(number)
    out, err = job.communicate(timeout=60)
    assert job.returncode == 128 + number, out + err
    assert "resume with the same command" in out
    before = read(folder, "stopped.h5")
    left = before.missing(before.names)
    assert 0 < len(left) < 45

    out = succeed("plot_surface.py", *flags, "stopped.h5", cwd=folder)
    assert f"{len(left)} of 45 points to measure" in out
    after = read(folder, "stopped.h5")
    known = before.measured("train_loss")
    np.testing.assert_array_equal(after.get("train_loss")[known], before.get("train_loss")[known])
    succeed("plot_surface.py", *flags, "whole.h5", cwd=folder)
    assert_same(after, read(folder, "whole.h5"))
    assert "0 of 45 points to measure" in succeed("plot_surface.py", *flags, "whole.h5", cwd=folder)


def test_only_missing_points_are_measured(folder):
    flags = [*DIGITS, "--model_file", CENTRE, "--x=-1:1:5", "--surf_file", "s.h5"]
    path = folder / "s.h5"
    dir_file = f"{CENTRE}_weights.h5"
    given = np.array([-1, 0.0, -7.5, -1, np.nan])
    write_surface_file(
        str(path),
        x=np.linspace(-1, 1, 5),
        quantities={"train_loss": given, "train_acc": given},
        dir_file=dir_file,
    )
    assert "2 of 5 points to measure" in succeed("plot_surface.py", *flags, cwd=folder)
    loss = read(folder, "s.h5").get("train_loss")
    np.testing.assert_array_equal(loss[[1, 2, 4]], given[[1, 2, 4]])
    assert (loss[[0, 3]] > 0).all()


@pytest.mark.slow
def test_interpolation_reaches_the_other_net(folder):
    succeed(
        "plot_surface.py",
        *DIGITS,
        "--model_file",
        CENTRE,
        "--model_file2",
        OTHER,
        "--model_file3",
        OTHER,
        "--dir_type",
        "states",
        "--x=0:1:2",
        "--y=0:1:2",
        cwd=folder,
    )
    other = "resnet20_digits_bs=512_model_40.t7"
    name = f"resnet20_digits_bs=64_model_6.t7_{other}_states_{other}.h5"
    loss = read(folder, f"{name}_[0.0,1.0,2]x[0.0,1.0,2]_datasplit=32_splitidx=0.h5").get("train_loss")
    data = dataloader.load("digits", "train", datapath="", data_split=32)
    ends = [evaluate(model_loader.load("resnet20", str(folder / file)), data)[0] for file in (CENTRE, OTHER)]
    assert [loss[0, 0], loss[0, 1], loss[1, 0]] == pytest.approx([ends[0], ends[1], ends[1]], rel=1e-4)


def test_weights_between_nets_with_bn_are_warned_about(folder):
    out = succeed(
        "plot_surface.py", *DIGITS, "--model_file", CENTRE, "--model_file2", OTHER, "--x=0:1:2", cwd=folder
    )
    assert "use --dir_type states to interpolate" in out


@pytest.mark.slow
def test_number_of_the_directions(folder):
    """--idx draws other directions; the same index draws the same ones."""
    for idx in (0, 1):
        succeed("plot_surface.py", *DIGITS, "--model_file", CENTRE, "--x=0:0:1", "--idx", idx, cwd=folder)
    first, second = (
        h5_util.read_directions(str(folder / f"{CENTRE}_weights{suffix}.h5"))[0] for suffix in ("", "_idx=1")
    )
    assert not np.array_equal(first[0], second[0])
    torch.manual_seed(SEED + 1)
    net = model_loader.load("resnet20", str(folder / CENTRE))
    assert np.array_equal(second[0], net_plotter.random_direction(net, "weights")[0])


@pytest.mark.slow
def test_a_launcher_with_another_mpi_library_is_noticed(folder):
    """Open MPI's launcher tells its processes of four ranks; mpi4py's MPICH, not started by its own launcher,
    knows one.
    """
    env = {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "4"}
    for rank in ("0", "1"):
        done = run(
            "plot_surface.py",
            *DIGITS,
            "--model_file",
            CENTRE,
            cwd=folder,
            env={**env, "OMPI_COMM_WORLD_RANK": rank},
        )
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.count("\n") == (rank == "0"), done.stderr
        assert rank == "1" or "launcher and library do not belong together" in done.stderr
    assert not list(folder.glob("**/*.h5"))


def test_folder_of_images_and_model_folder(folder):
    from PIL import Image

    rng = np.random.RandomState(0)
    for part, label in itertools.product(("train", "test"), "ab"):
        (folder / "images" / part / label).mkdir(parents=True)
        for i in range(4):
            Image.fromarray(rng.randint(0, 256, (32, 32, 3), np.uint8)).save(
                folder / "images" / part / label / f"{i}.jpg"
            )
    succeed(
        "plot_surface.py",
        "--dataset",
        "folder",
        "--datapath",
        "images",
        "--model",
        "resnet20",
        "--model_folder",
        "resnet20_digits_bs=64",
        "--model_file",
        "model_6.t7",
        "--x=0:0:1",
        "--test_set",
        "--raw_data",
        cwd=folder,
    )
    surface = read(folder, f"{CENTRE}_weights.h5_[0.0,0.0,1]_rawdata.h5")
    data = dataloader.load("folder", "test", datapath=str(folder / "images"), raw_data=True)
    loss, acc = evaluate(model_loader.load("resnet20", str(SMALL_BATCH)), data)
    assert (surface.get("test_loss")[0], surface.get("test_acc")[0]) == pytest.approx((loss, acc))
