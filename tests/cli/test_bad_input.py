"""Bad input on the command line: one sentence, status 2, no traceback, nothing changed on disk."""

from pathlib import Path

import numpy as np
import pytest
import torch

from losslandscape.files import h5_util
from tests.helpers import DIGITS, GOLDEN, REPO, SMALL_BATCH, folder_with, run, write_surface_file

CENTRE = "resnet20_digits_bs=64/model_6.t7"
SURFACE = ["plot_surface.py", *DIGITS, "--model_file", CENTRE]
GRID = ["--x=-1:1:3", "--y=-1:1:3"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files that cannot be used; no test may change it."""
    tmp_path = tmp_path_factory.mktemp("folder")
    folder_with(tmp_path, SMALL_BATCH, GOLDEN / "resnet20_noshort_digits_bs=64" / "model_6.t7")
    whole = SMALL_BATCH.read_bytes()
    (tmp_path / "cut.t7").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.t7").write_text("not a checkpoint")
    torch.save({"state_dict": {"conv1.weight": torch.zeros(16, 3, 5, 5)}}, tmp_path / "foreign.t7")
    (tmp_path / "images" / "cat").mkdir(parents=True)
    state = torch.load(SMALL_BATCH, weights_only=True)["state_dict"]
    weights = [
        tensor.numpy()
        for name, tensor in state.items()
        if not name.endswith(("running_mean", "running_var", "num_batches_tracked"))
    ]
    h5_util.write_directions(str(tmp_path / "line.h5"), [weights])
    h5_util.write_directions(str(tmp_path / "other_net.h5"), [weights[:-1], weights[:-1]])
    write_surface_file(
        str(tmp_path / "curve.h5"),
        x=np.arange(3.0),
        quantities={"train_loss": np.arange(3.0)},
        dir_file="line.h5",
    )
    write_surface_file(
        str(tmp_path / "plane.h5"),
        x=np.arange(3.0),
        y=np.arange(2.0),
        quantities={"train_loss": np.ones((2, 3))},
    )
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


CASES = {
    "unknown model": ([*SURFACE, "--model", "resnet21"], ["resnet21", "resnet20", "vgg9", "densenet121"]),
    "unknown data set": ([*SURFACE, "--dataset", "mnist"], ["mnist", "cifar10", "digits", "folder"]),
    "unknown norm": ([*SURFACE, "--xnorm", "filters"], ["filters", "dfilter", "layer"]),
    "unknown ignore": ([*SURFACE, "--yignore", "bias"], ["'bias'", "biasbn"]),
    "unknown direction type": ([*SURFACE, "--dir_type", "state"], ["'state'", "weights", "states"]),
    "unknown loss": ([*SURFACE, "--loss_name", "hinge"], ["hinge", "crossentropy", "mse"]),
    "missing checkpoint": ([*SURFACE, "--model_file", "absent.t7"], ["absent.t7"]),
    "missing second checkpoint": ([*SURFACE, "--model_file2", "absent.t7"], ["absent.t7"]),
    "truncated checkpoint": ([*SURFACE, "--model_file", "cut.t7"], ["cut.t7"]),
    "text as checkpoint": ([*SURFACE, "--model_file", "text.t7"], ["text.t7"]),
    "foreign checkpoint": (
        [*SURFACE, "--model_file", "foreign.t7"],
        ["foreign.t7", "conv1.weight", "[16, 3, 5, 5]", "[16, 3, 3, 3]"],
    ),
    "another architecture": (
        [*SURFACE, "--model", "wrn56_2"],
        ["conv1.weight", "[16, 3, 3, 3]", "[32, 3, 3, 3]"],
    ),
    "another architecture for x": (
        [*SURFACE, "--model_file2", "resnet20_noshort_digits_bs=64/model_6.t7"],
        ["shortcut.0.weight"],
    ),
    "two numbers": ([*SURFACE, "--x=1:2"], ["1:2", "-1:1:51"]),
    "no numbers": ([*SURFACE, "--x=a:b:c"], ["a:b:c"]),
    "zero points": ([*SURFACE, "--y=-1:1:0"], ["-1:1:0"]),
    "three colons": ([*SURFACE, "--y=-1:1:3:4"], ["-1:1:3:4"]),
    "infinite range": ([*SURFACE, "--x=-inf:1:3"], ["-inf:1:3"]),
    "no extent": ([*SURFACE, "--x=1:1:3"], ["1:1:3"]),
    "folder without train": (
        [*SURFACE, "--dataset", "folder", "--datapath", "images"],
        ["images/train", "DIR/train/<class>/"],
    ),
    "empty classes": ([*SURFACE, "--dataset", "folder", "--datapath", "."], ["train", "DIR/train/<class>/"]),
    "bad split": ([*SURFACE, "--data_split", "3", "--split_idx", "3"], ["split_idx 3", "data_split 3"]),
    "direction file that is none": ([*SURFACE, "--dir_file", "text.t7"], ["text.t7"]),
    "new direction file in a missing folder": ([*SURFACE, "--dir_file", "nowhere/d.h5"], ["nowhere"]),
    "direction of another net": (
        [*SURFACE, "--dir_file", "other_net.h5"],
        ["other_net.h5", "does not fit the net"],
    ),
    "direction of one dimension": ([*SURFACE, *GRID, "--dir_file", "line.h5"], ["line.h5", "one direction"]),
    "surface as direction": ([*SURFACE, "--dir_file", "curve.h5"], ["curve.h5", "not a direction file"]),
    "surface file that is none": ([*SURFACE, "--surf_file", "text.t7"], ["text.t7"]),
    "direction as surface": ([*SURFACE, "--surf_file", "line.h5"], ["line.h5", "not a surface file"]),
    "surface of another grid": (
        [*SURFACE, "--dir_file", "line.h5", "--surf_file", "curve.h5"],
        ["curve.h5", "another grid"],
    ),
    "surface in a missing folder": (
        [*SURFACE, "--dir_file", "line.h5", "--surf_file", "nowhere/s.h5"],
        ["nowhere"],
    ),
    "several GPUs a rank": ([*SURFACE, "--ngpu", "2"], ["ngpu 2", "--cuda"]),
    "several GPUs for eigenvectors": ([*SURFACE, "--ngpu", "2", "--xdir", "hessian"], ["--xdir", "--ngpu 2"]),
    "several GPUs for directions": (["net_plotter.py", "--ngpu", "2"], ["2", "mpirun -n 2"]),
    "y flags without y": ([*SURFACE, "--same_dir"], ["--same_dir", "--y"]),
    "abbreviated flag": ([*SURFACE, "--model_fil", "x"], ["--model_fil"]),
    "contour of a curve": (["plot_2D.py", "--surf_file", "curve.h5"], ["curve.h5", "1-D", "plot_1D.py"]),
    "curve of a plane": (["plot_1D.py", "--surf_file", "plane.h5"], ["plane.h5", "2-D", "plot_2D.py"]),
    "unknown quantity": (
        ["plot_2D.py", "--surf_file", "plane.h5", "--surf_name", "test_loss"],
        ["test_loss", "train_loss"],
    ),
    "plot of a checkpoint": (["plot_2D.py", "--surf_file", CENTRE], [CENTRE]),
    "training an unknown net": (["cifar10/main.py", "--dataset", "digits", "--model", "lenet"], ["lenet"]),
}
if not torch.cuda.is_available():
    CASES["no CUDA"] = ([*SURFACE, "--cuda"], ["cuda: ", "CPU"])


@pytest.mark.parametrize("name", CASES)
def test_one_sentence_and_exit_status_2(name, folder):
    (script, *flags), named = CASES[name]
    before = contents(folder)
    done = run(script, *flags, cwd=folder)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    (sentence,) = done.stderr.strip().splitlines()
    for part in named:
        assert part in sentence
    assert contents(folder) == before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["unknown norm", "direction of another net"])
def test_every_rank_stops_and_one_speaks(name, folder):
    (script, *flags), named = CASES[name]
    before = contents(folder)
    done = run(script, *flags, ranks=3, cwd=folder)
    assert done.returncode == 2, done.stdout + done.stderr
    (sentence,) = [line for line in done.stderr.splitlines() if "error:" in line]
    assert all(part in sentence for part in named)
    assert contents(folder) == before


@pytest.mark.slow
def test_an_error_on_one_rank_alone_stops_all(tmp_path):
    """The second rank reads another checkpoint of the same name, as on a node with a disk of its own."""
    launch = tmp_path / "launch.py"
    launch.write_text(
        "import os, sys\nos.chdir('a' if os.environ['PMI_RANK'] == '0' else 'b')\n"
        f"sys.path.insert(0, {str(REPO)!r})\n"
        "from losslandscape.cli import plot_surface\nplot_surface.main(sys.argv[1:])\n"
    )
    whole = SMALL_BATCH.read_bytes()
    for name, content in (("a", whole), ("b", whole[: len(whole) // 2])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.t7").write_bytes(content)
    done = run(str(launch), *DIGITS, "--model_file", "model.t7", ranks=2, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "model.t7" in done.stderr
    assert "Traceback" not in done.stderr
