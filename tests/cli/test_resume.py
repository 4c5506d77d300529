"""A run resumes only the file that it would have made itself; what differs is named.

The files `before_package_*.h5` were written by the flat program, before its modules became a package, with
directions of `--params '^(conv1|linear)'`. Then some points were marked as not measured, and the zeros of the
direction files were compressed.
"""

import re
import shutil
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from losslandscape import __version__
from losslandscape.cli import plot_surface
from losslandscape.files import h5_util, lock
from losslandscape.files.lock import Lock
from tests.helpers import DIGITS, LARGE_BATCH, SMALL_BATCH, folder_with

FILES = Path(__file__).parent.parent / "files"
CENTRE = "resnet20_digits_bs=64/model_6.t7"
OTHER = "resnet20_digits_bs=512/model_40.t7"
DIRECTION_FLAGS = ["--xnorm", "filter", "--xignore", "biasbn"]
LINE = [*DIGITS, "--model_file", CENTRE, "--x=-1:1:3", *DIRECTION_FLAGS, "--surf_file", "s.h5"]
DIRECTIONS = f"{CENTRE}_weights_xignore=biasbn_xnorm=filter.h5"
MEASURED_BEFORE = {  # by file: what the flat program measured at the points that are marked as not measured
    "before_package_1d.h5": {
        "train_loss": {1: 0.0048089, 3: 0.01389836},
        "train_acc": {1: 100, 3: 100},
    },
    "before_package_2d.h5": {
        "train_loss": {0: 0.18629049, 4: 0.00241205, 7: 0.04626511},
        "train_acc": {0: 100 * 41 / 44, 4: 100, 7: 100},
        "test_loss": {0: 0.6153398, 4: 0.08417499, 7: 0.21531016},
        "test_acc": {0: 100 * 284 / 360, 4: 100 * 353 / 360, 7: 100 * 335 / 360},
    },
}


@pytest.fixture(scope="module")
def measured_once(tmp_path_factory):
    """A folder with checkpoints and a surface of `LINE`."""
    folder = folder_with(tmp_path_factory.mktemp("measured"), SMALL_BATCH, LARGE_BATCH)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        plot_surface.main(LINE)
    return folder


@pytest.fixture
def measured(measured_once, tmp_path, monkeypatch):
    """A copy of it, to work in."""
    monkeypatch.chdir(shutil.copytree(measured_once, tmp_path / "copy"))
    return tmp_path / "copy"


def refusal(capsys, arguments: list[str]) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        plot_surface.main(arguments)
    assert caught.value.code == 2
    sentence = capsys.readouterr().err.splitlines()
    assert len(sentence) == 1
    return sentence[0]


def contents(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (["--data_split", "16"], "data_split (there 32, here 16)"),
        (["--split_idx", "1"], "split_idx (there 0, here 1)"),
        (["--raw_data"], "train normalisation (there mean 0.3053"),
        (["--mean", "0.5"], "train normalisation"),
        (["--loss_name", "mse"], "loss_name (there crossentropy, here mse)"),
        (["--precision", "bf16"], "precision (there default, here bf16)"),
        (["--xnorm", "layer"], "directions (there"),
        (["--idx", "1"], "directions (there"),
        (["--model_file", OTHER], "model_file (there"),
        (["--x=-1:1:5"], "another grid"),
    ],
)
def test_a_file_of_something_else_is_refused(measured, capsys, changed, named):
    before = contents(measured)
    sentence = refusal(capsys, [*LINE, *changed])
    assert named in sentence and "--overwrite" in sentence
    assert contents(measured) == before


@pytest.mark.slow
def test_the_same_run_resumes_and_another_quantity_may_join(measured, capsys):
    plot_surface.main([*LINE, "--test_set"])
    surface = h5_util.read_surface("s.h5")
    assert surface.names == ["test_acc", "test_loss", "train_acc", "train_loss"]
    assert [run["command"].endswith("--test_set") for run in surface.runs] == [False, True]
    assert "test images" in surface.made_with
    capsys.readouterr()
    plot_surface.main(LINE)
    assert "0 of 3 points to measure" in capsys.readouterr().out


@pytest.mark.slow
def test_a_retrained_checkpoint_is_noticed(measured, capsys):
    """The trap of the published program: the direction file fits a net that is not there any more."""
    saved = torch.load(CENTRE, weights_only=True)
    saved["state_dict"]["conv1.weight"] *= 1.5
    torch.save(saved, CENTRE)
    sentence = refusal(capsys, [*LINE[:-1], "t.h5"])
    assert f"{DIRECTIONS!r} was made with another model_file" in sentence
    old = contents(measured)
    plot_surface.main([*LINE, "--overwrite"])
    new = contents(measured)
    assert new["s.h5.old"] == old["s.h5"] and new[f"{DIRECTIONS}.old"] == old[DIRECTIONS]
    plot_surface.main([*LINE[:-1], "fresh.h5"])
    np.testing.assert_array_equal(
        h5_util.read_surface("s.h5").get("train_loss"), h5_util.read_surface("fresh.h5").get("train_loss")
    )
    plot_surface.main([*LINE, "--overwrite"])
    assert (measured / "s.h5.old2").exists() and not (measured / f"{DIRECTIONS}.old2").exists()


@pytest.mark.slow
def test_a_surface_of_the_published_program_is_resumed(measured):
    known = h5_util.read_surface("s.h5")
    with h5py.File("old.h5", "w") as file:
        file["dir_file"], file["xcoordinates"] = DIRECTIONS, known.x
        file["train_loss"], file["train_acc"] = [123.0, -1.0, -1.0], [50.0, -1.0, -1.0]
    plot_surface.main([*LINE[:-1], "old.h5"])
    resumed = h5_util.read_surface("old.h5")
    np.testing.assert_array_equal(resumed.get("train_loss"), [123.0, *known.get("train_loss")[1:]])
    assert resumed.made_with == known.made_with


def test_the_record_of_a_run(measured, measured_once):
    (record,) = h5_util.read_surface("s.h5").runs
    assert record["command"] == " ".join(["python plot_surface.py", *LINE])
    assert record["losslandscape"] == __version__
    assert record["torch"] == torch.__version__.split("+")[0] or record["torch"] == torch.__version__
    assert sys.version.startswith(record["python"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", record["time"])
    assert record["files"] == {"model_file": str(measured_once / CENTRE)}


def test_a_second_run_is_refused_or_waits_and_finds_all_measured(measured, monkeypatch, capsys):
    whole = Path("s.h5").read_bytes()
    Path("s.h5").unlink()
    first = Lock("s.h5")
    first.acquire()
    assert "s.h5" in refusal(capsys, LINE)
    assert not Path("s.h5").exists()

    def finish_the_first_run(_):
        Path("s.h5").write_bytes(whole)
        first.release()

    monkeypatch.setattr(lock.time, "sleep", finish_the_first_run)
    plot_surface.main([*LINE, "--wait"])
    assert "0 of 3 points to measure" in capsys.readouterr().out
    assert not Path("s.h5.running").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", MEASURED_BEFORE)
def test_a_surface_of_the_flat_program_is_resumed(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(folder_with(tmp_path, SMALL_BATCH))
    shutil.copy(FILES / name, tmp_path)
    before = h5_util.read_surface(name)
    shutil.copy(FILES / name.replace(".h5", "_directions.h5"), before.dir_file)
    (record,) = before.runs
    missing = before.missing(before.names)

    _, _, *arguments = record["command"].replace("'", "").split()
    plot_surface.main(arguments)
    assert f"{len(missing)} of {before.size} points to measure" in capsys.readouterr().out
    after = h5_util.read_surface(name)
    assert after.names == before.names
    for quantity, values in MEASURED_BEFORE[name].items():
        old, new = before.get(quantity).ravel(), after.get(quantity).ravel()
        assert sorted(values) == missing.tolist()
        np.testing.assert_array_equal(np.delete(new, missing), np.delete(old, missing))
        np.testing.assert_allclose(new[missing], [values[point] for point in missing], rtol=1e-4)
    assert after.made_with == before.made_with
    assert after.runs[:-1] == before.runs and len(after.runs) == 2
