"""A file is gone on with only by a run that would have made the same: everything else is refused, and what differs is named."""

import re
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from losslandscape.cli import plot_surface
from losslandscape.core import provenance
from losslandscape.core.errors import InputError
from losslandscape.files import h5_util
from tests.helpers import DIGITS, LARGE_BATCH, SMALL_BATCH, command, folder_with, run, succeed

CENTRE = "resnet20_digits_bs=64/model_6.t7"
OTHER = "resnet20_digits_bs=512/model_40.t7"
LINE = [
    *DIGITS,
    "--model_file",
    CENTRE,
    "--x=-1:1:3",
    "--xnorm",
    "filter",
    "--xignore",
    "biasbn",
    "--surf_file",
    "s.h5",
]
DIRECTIONS = f"{CENTRE}_weights_xignore=biasbn_xnorm=filter.h5"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(folder_with(tmp_path, SMALL_BATCH, LARGE_BATCH))
    return tmp_path


@pytest.fixture
def measured(folder):
    """A folder with a surface of `LINE`."""
    plot_surface.main(LINE)
    return folder


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
def test_going_on_with_something_else_is_refused(measured, capsys, changed, named):
    before = contents(measured)
    sentence = refusal(capsys, [*LINE, *changed])
    assert named in sentence and "--overwrite" in sentence
    assert contents(measured) == before


def test_the_same_run_goes_on_and_another_quantity_may_join(measured, capsys):
    plot_surface.main([*LINE, "--test_set"])
    surface = h5_util.read_surface("s.h5")
    assert surface.names == ["test_acc", "test_loss", "train_acc", "train_loss"]
    assert [run["command"].endswith("--test_set") for run in surface.runs] == [False, True]
    assert "test images" in surface.made_with
    capsys.readouterr()
    plot_surface.main(LINE)
    assert "0 of 3 points to measure" in capsys.readouterr().out


def test_a_retrained_checkpoint_is_noticed(measured, capsys):
    """The trap of the published program: the direction file's name says xnorm=filter, of a net that is not there any more."""
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


def test_a_surface_of_the_published_program_is_continued(measured):
    known = h5_util.read_surface("s.h5")
    import h5py

    with h5py.File("old.h5", "w") as file:
        file["dir_file"], file["xcoordinates"] = DIRECTIONS, known.x
        file["train_loss"], file["train_acc"] = [123.0, -1.0, -1.0], [50.0, -1.0, -1.0]
    plot_surface.main([*LINE[:-1], "old.h5"])
    continued = h5_util.read_surface("old.h5")
    np.testing.assert_array_equal(continued.get("train_loss"), [123.0, *known.get("train_loss")[1:]])
    assert continued.made_with == known.made_with


def test_run_records_say_who_and_with_what(measured):
    (record,) = h5_util.read_surface("s.h5").runs
    assert record["command"] == " ".join(["python plot_surface.py", *LINE])
    assert record["torch"] == torch.__version__.split("+")[0] or record["torch"] == torch.__version__
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", record["time"])
    assert record["files"] == {"model_file": str(measured / CENTRE)}


def test_preprocessing_that_differs_is_warned_about(folder, capsys):
    line = [*DIGITS[:3], "8", *DIGITS[4:], "--model_file", CENTRE, "--x=0:0:1"]
    plot_surface.main([*line, "--surf_file", "right.h5"])
    assert "the checkpoint says" not in capsys.readouterr().out
    plot_surface.main([*line, "--mean", "3", "--surf_file", "wrong.h5"])
    assert re.search(
        r"warning: the accuracy at the centre is [\d.]+ % .*, and the checkpoint says [\d.]+ %",
        capsys.readouterr().out,
    )


def test_variances_that_become_negative_are_told_before(folder, capsys):
    plot_surface.main(
        [
            *DIGITS,
            "--model_file",
            CENTRE,
            "--model_file2",
            OTHER,
            "--dir_type",
            "states",
            "--x=-4:4:9",
            "--surf_file",
            "s.h5",
        ]
    )
    said = re.search(
        r"variance is negative at (\d+) of 9 points, first that of \S+ at \((\S+)\)", capsys.readouterr().out
    )
    assert said
    surface = h5_util.read_surface("s.h5")
    nan = np.isnan(surface.get("train_loss"))
    assert nan.sum() == int(said[1]) > 0
    assert nan[surface.x == float(said[2])].all()


@pytest.mark.parametrize("wait", [False, True])
def test_two_runs_of_one_surface(folder, wait):
    """The second stops and says so, or waits and finds everything measured."""
    line = [*LINE[:3], "2", *LINE[4:], "--x=-1:1:9"]
    with subprocess.Popen(
        command("plot_surface.py", *line),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as first:
        while not (folder / "s.h5").exists():
            assert first.poll() is None
            time.sleep(0.05)
        second = run("plot_surface.py", *line, *(["--wait"] if wait else []), cwd=folder)
        if wait:
            assert second.returncode == 0 and "0 of 9 points to measure" in second.stdout
        else:
            assert second.returncode == 2 and len(second.stderr.splitlines()) == 1 and "s.h5" in second.stderr
        assert first.wait() == 0
    assert h5_util.read_surface(str(folder / "s.h5")).measured("train_loss").all()
    assert not list(folder.glob("*.running"))


def test_fingerprints():
    a, b = np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(3, 2)
    assert provenance.fingerprint_of_arrays([a]) == provenance.fingerprint_of_arrays([np.asfortranarray(a)])
    different = [[a], [b], [a.astype(np.float32)], [a + 1], [a, a], [np.float64(0)], []]
    assert len({provenance.fingerprint_of_arrays(arrays) for arrays in different}) == len(different)


def test_facts_that_only_one_side_has_are_not_compared():
    provenance.require_same("f", {"a": "1"}, {"b": "2"}, "do this")
    with pytest.raises(InputError, match=r"^'f' was made with another a \(there 1, here 2\); do this$"):
        provenance.require_same("f", {"a": "1"}, {"a": "2", "b": "3"}, "do this")


def test_a_run_from_the_shell_records_its_command(folder):
    succeed("plot_surface.py", *LINE, cwd=folder)
    (record,) = h5_util.read_surface("s.h5").runs
    assert record["command"] == " ".join(["python plot_surface.py", *LINE])
    assert sys.version.startswith(record["python"])
