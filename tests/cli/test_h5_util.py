"""What `python h5_util.py FILE…` reports on a file, and what it concludes."""

import os
import shutil
from itertools import chain

import h5py
import numpy as np
import pytest

from losslandscape.cli.h5_util import report
from losslandscape.core.errors import InputError
from losslandscape.core.provenance import fingerprint_of_arrays, fingerprint_of_file, record_of_run
from losslandscape.files import h5_util
from losslandscape.files.projection import Projection
from tests.helpers import DIGITS, SMALL_BATCH, folder_with, run, succeed, write_surface_file

X, Y = np.linspace(-1, 1, 5), np.linspace(0, 1, 3)
DIRECTIONS = [
    [np.array([[3, 0], [0, 0]], np.float32), np.zeros(2, np.float32)],
    [np.array([[0, 4], [0, 0]], np.float32), np.zeros(2, np.float32)],
]
RECIPE = {"model": "resnet20", "x direction": "random of seed 123, norm filter, ignore biasbn"}


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def table(path):
    """The report's lines that have a name, by name."""
    rows = [line.split(maxsplit=1) for line in report(str(path)).splitlines()]
    return {row[0]: row[1].strip() for row in rows if len(row) == 2}


def conclusions(path):
    return report(str(path)).partition("\nconclusions\n")[2]


def checkpoint(name="model.t7", content="weights"):
    with open(name, "w") as file:
        file.write(content)
    return os.path.abspath(name)


ARGUMENTS = ("--overwrite", "--x=-1:1:5", "--model_file", "my model.t7")


def surface(points=15, *, arguments=ARGUMENTS, names=("train_loss", "train_acc"), ranks=1, **facts):
    """A surface in a plane, measured at its first `points` points: loss alpha² + beta², accuracy 50."""
    h5_util.write_directions("d.h5", DIRECTIONS, made_with=RECIPE)
    file = checkpoint()
    made_with = {
        "model": "resnet20",
        "model_file": fingerprint_of_file(file),
        "directions": fingerprint_of_arrays(chain(*DIRECTIONS)),
        **facts,
    }
    made = h5_util.open_surface(
        "s.h5", x=X, y=Y, dir_file="d.h5", names=list(names), made_with=made_with, overwrite=True
    )
    for index in range(points):
        made.set(
            index,
            {name: sum(c**2 for c in made.point(index)) if name.endswith("loss") else 50.0 for name in names},
        )
    made.runs.append(
        record_of_run(
            "plot_surface.py", list(arguments), device="cpu", ranks=ranks, files={"model_file": file}
        )
    )
    h5_util.write_surface(made)
    return made


def published(path="s.h5", *, values, y=None):
    with h5py.File(path, "w") as file:
        file["dir_file"], file["xcoordinates"], file["train_loss"] = "d.h5", X, values
        if y is not None:
            file["ycoordinates"] = y
    return path


# Surfaces ---------------------------------------------------------------------------------------------------


def test_a_surface_of_ours():
    surface()
    rows = table("s.h5")
    assert rows["s.h5:"] == "a surface in a plane, made by this program"
    assert rows["grid"] == "x -1:1:5, y 0:1:3"
    assert rows["train_loss"] == "15 of 15 points (100 %), lowest 0 at x=0 y=0, highest 2 at x=-1 y=1"
    assert rows["train_acc"].startswith("15 of 15 points (100 %), lowest 50 at")
    assert rows["model"] == "resnet20"
    text = report("s.h5")
    assert "  directions  d.h5 (unchanged)\n" in text
    assert "x direction  random of seed 123, norm filter, ignore biasbn" in text
    assert "\n  python plot_surface.py --overwrite --x=-1:1:5 --model_file 'my model.t7'\n" in text
    record = h5_util.read_surface("s.h5").runs[0]
    assert all(f"{name} {record[name]}" in text for name in ("python", "torch", "numpy", "h5py"))
    assert all(record[name] in text for name in ("time", "host", "device"))
    assert f"{os.path.abspath('model.t7')} (unchanged)" in text
    assert conclusions("s.h5") == "  - every point is computed"


def test_runs_that_differ_in_time_alone_share_their_lines():
    made = surface()
    for hour, ranks in ((3, 1), (4, 1), (5, 2)):
        made.runs.append({**made.runs[0], "time": f"2030-01-01T0{hour}:00", "ranks": ranks})
    made.runs[0]["time"] = "2030-01-01T02:00"
    h5_util.write_surface(made)
    text = report("s.h5")
    assert "3 runs, 2030-01-01T02:00 to 2030-01-01T04:00" in text
    assert text.count("  python plot_surface.py --overwrite") == 2
    assert "2 ranks" in text


@pytest.mark.parametrize(("ranks", "launcher"), [(1, ""), (4, "mpirun -n 4 ")])
def test_a_partly_computed_surface_says_how_to_resume_it(ranks, launcher):
    surface(9, ranks=ranks)
    assert "9 of 15 points (60 %), lowest 0 at x=0 y=0, highest 1.25" in report("s.h5")
    first, command, *more = conclusions("s.h5").splitlines()
    assert first == "  - 6 points still to be computed; resume with this command:"
    assert command.strip() == f"{launcher}python plot_surface.py --x=-1:1:5 --model_file 'my model.t7'"
    assert not more


def test_a_file_that_a_run_writes_and_one_that_was_kept_aside():
    surface(9)
    checkpoint("s.h5.running")
    assert "a run is writing this file now, or was killed: its lock file s.h5.running exists" in conclusions(
        "s.h5"
    )
    os.rename("s.h5", "s.h5.old2")
    assert "kept aside" in conclusions("s.h5.old2")
    assert "kept aside" not in conclusions("d.h5")


def test_values_that_are_no_numbers():
    made = surface(15, dir_type="states")
    for index in (3, 4, 8, 9):
        made.set(index, {"train_loss": np.nan, "train_acc": np.nan})
    made.set(12, {"train_loss": np.inf})
    made.set(13, {"train_acc": np.nan})
    h5_util.write_surface(made)
    rows, text = table("s.h5"), conclusions("s.h5")
    loss = "15 of 15 points (100 %), lowest 0 at x=0 y=0, highest 2 at x=-1 y=1, 4 NaN, 1 infinite"
    assert rows["train_loss"] == loss
    assert rows["train_acc"].endswith(", 5 NaN")
    assert "train_loss is NaN at every point with x from 0.5 to 1, y from 0 to 0.5; along --dir_type" in text
    assert "  - train_loss is infinite at x=0, y=1" in text.splitlines()
    assert "train_acc is NaN at 5 of 6 points with x from 0.5 to 1, y from 0 to 1; " in text


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([np.nan, np.nan, 1, 1, np.nan], "x from -1 to -0.5 and x=1"),
        ([1, 1, np.nan, 1, 1], "x=0"),
        ([np.nan] * 5, "x from -1 to 1"),
    ],
)
def test_stretches_of_a_line_without_numbers(values, says):
    write_surface_file("line.h5", x=X, quantities={"train_loss": np.array(values, float)})
    assert f"  - train_loss is NaN at {says}" in conclusions("line.h5").splitlines()


def test_a_line_with_many_holes():
    values = np.where(np.arange(21) % 2, 1, np.nan)
    write_surface_file("line.h5", x=np.linspace(-1, 1, 21), quantities={"train_loss": values})
    assert "train_loss is NaN at 11 of 21 points with x from -1 to 1" in conclusions("line.h5")


def test_quantities_that_are_no_numbers_at_the_same_points_share_a_sentence():
    made = surface(15)
    made.set(7, {"train_loss": np.nan, "train_acc": np.nan})
    h5_util.write_surface(made)
    assert "  - train_acc and train_loss are NaN at x=0, y=0.5" in conclusions("s.h5").splitlines()


def test_nothing_finite_and_nothing_measured():
    write_surface_file("line.h5", x=X, quantities={"train_loss": np.full(5, np.nan)})
    assert table("line.h5")["train_loss"] == "5 of 5 points (100 %), 5 NaN"
    write_surface_file("empty.h5", x=X, quantities={})
    assert "5 points still to be computed; resume by running plot_surface.py" in conclusions("empty.h5")


def test_checkpoints_that_changed_or_are_gone():
    made = surface()
    other, gone = checkpoint("model_2.t7"), os.path.abspath("nowhere.t7")
    made.runs[-1]["files"] |= {"model_file2": other, "model_file3": gone}
    h5_util.write_surface(made)
    assert f"{other} (not checked)" in report("s.h5")
    assert f"--model_file3 {gone} is not there any more" in conclusions("s.h5")
    h5_util.write_directions(
        "d.h5", DIRECTIONS, made_with={**RECIPE, "x direction": f"to {fingerprint_of_file(other)}"}
    )
    assert f"{other} (unchanged)" in report("s.h5")
    for name in ("model.t7", "model_2.t7"):
        checkpoint(name, "trained anew")
    text = conclusions("s.h5")
    assert f"--model_file {os.path.abspath('model.t7')} has changed since this surface was made" in text
    assert f"--model_file2 {other} has changed" in text


def test_a_checkpoint_of_another_host():
    made = surface()
    made.runs[-1]["host"] = "node17"
    h5_util.write_surface(made)
    os.remove("model.t7")
    assert "is not there any more (the last run was on node17, this is " in conclusions("s.h5")


def test_directions_that_changed_moved_or_are_gone():
    surface()
    os.mkdir("moved")
    for name in ("s.h5", "d.h5"):
        shutil.move(name, f"moved/{name}")
    assert "moved/d.h5 (unchanged)" in report("moved/s.h5")
    h5_util.write_directions("moved/d.h5", DIRECTIONS[::-1], made_with=RECIPE)
    assert "moved/d.h5 holds other directions than this surface was made with" in conclusions("moved/s.h5")
    assert "x direction" not in report("moved/s.h5")
    checkpoint("moved/d.h5")
    assert "moved/d.h5 (cannot be read)" in report("moved/s.h5")
    os.remove("moved/d.h5")
    assert "d.h5 (gone)" in report("moved/s.h5")


def test_a_record_with_missing_and_odd_entries():
    made = surface(9)
    made.runs += [
        {},
        {"command": "python 'open", "files": ["no", "dict"]},
        "not a record",
        {"time": 3, "note": "by hand\x1b[2J", "ranks": "many"},
    ]
    h5_util.write_surface(made)
    text = report("s.h5")
    assert "command not known" in text
    assert "note by hand?[2J" in text
    assert "resume with this command:\n      python ''\"'\"'open'" in text


def test_a_file_of_the_published_program():
    values = np.array([3.0, -1, 0, -1, 7])
    published(values=values)
    rows = table("s.h5")
    assert rows["s.h5:"] == "a surface on a line, made by the published program"
    assert rows["grid"] == "x -1:1:5"
    assert rows["train_loss"] == "3 of 5 points (60 %), lowest 0 at x=0, highest 7 at x=1"
    text = report("s.h5")
    assert "made with" not in text.splitlines()
    assert "runs" not in text.splitlines()
    assert "writes -1 (1 for min_eig) where a value is not computed" in text
    assert "2 points still to be computed; resume by running plot_surface.py" in text
    published(values=np.arange(15.0).reshape(5, 3), y=Y)  # as it allocates grids that are not square
    assert (
        table("s.h5")["train_loss"] == "15 of 15 points (100 %), lowest 0 at x=-1 y=0, highest 14 at x=1 y=1"
    )


@pytest.mark.parametrize(
    ("name", "word"),
    [("test_loss", "--test_set"), ("train_loss_se", "--errors"), ("min_eig", "plot_hessian_eigen.py")],
)
def test_the_command_to_resume_measures_what_is_missing(name, word):
    made = surface(15, names=("train_loss",))
    made.add(name)
    script = word if word.endswith(".py") else "plot_surface.py"
    made.runs += [
        {"command": f"python {script} {'' if script == word else word}".strip()},
        {"command": "python plot_surface.py --plot"},
    ]
    h5_util.write_surface(made)
    assert conclusions("s.h5").splitlines()[1].strip() == made.runs[1]["command"]


def test_eigenvalues_that_are_negative():
    write_surface_file(
        "line.h5", x=X, quantities={"min_eig": np.array([-3.0, np.nan, 2, -1, 1]), "max_eig": np.full(5, 9.0)}
    )
    assert (
        "  - min_eig is negative at 2 of 3 points: the loss curves down there in some direction"
        in conclusions("line.h5").splitlines()
    )


def test_the_check_report_of_the_last_run_that_has_one():
    made = surface()
    made.runs[0]["check_report"] = {"lines": ["moves: all"], "warnings": []}
    made.runs += [
        {
            "command": "python plot_surface.py",
            "check_report": {"lines": ["moves: 3 of 4"], "warnings": ["only 75 % of the parameters move"]},
        },
        {},
    ]
    h5_util.write_surface(made)
    text = report("s.h5")
    checks = "  - moves: 3 of 4\n  - warning: only 75 % of the parameters move\n"
    assert f"\nchecked at the last run that measured\n{checks}" in text
    assert "moves: all" not in text and "check_report {" not in text
    for odd in ("text", {"lines": 3}, {"warnings": [{"a": 1}]}):
        made.runs[1]["check_report"] = odd
        h5_util.write_surface(made)
        report("s.h5")


# Directions and projections ---------------------------------------------------------------------------------


def test_directions():
    h5_util.write_directions("d.h5", DIRECTIONS, made_with=RECIPE)
    text = report("d.h5").splitlines()
    assert text == [
        "d.h5: a direction file with two directions, made by this program",
        "  x                  2 tensors (1 zero), 6 values, norm 3",
        "  y                  2 tensors (1 zero), 6 values, norm 4",
        "  cosine of x and y  0.000000",
        "made with",
        "  model        resnet20",
        "  x direction  random of seed 123, norm filter, ignore biasbn",
    ]


@pytest.mark.parametrize(
    ("y", "says"),
    [
        ([1.0, 1.0], "x and y are at an angle of 45 degrees"),
        ([-2.0, 0.0], "x and y are parallel"),
        ([0.0, 0.0], "y is zero"),
        ([np.nan, np.inf], "y holds 2 values that are NaN or infinite"),
        ([1.0], "different shapes"),
    ],
)
def test_directions_that_a_plane_should_not_have(y, says):
    h5_util.write_directions("d.h5", [[np.array([1.0, 0.0])], [np.array(y)]])
    assert says in conclusions("d.h5")


def test_pca_directions_of_the_published_program():
    with h5py.File("pca.h5", "w") as file:
        file["xdirection/0"], file["ydirection/0"] = (
            np.array([1, 0], np.float32),
            np.array([0, 1], np.float32),
        )
        file["explained_variance_ratio_"] = [0.803, 0.1234]
    assert (
        table("pca.h5")["pca.h5:"]
        == "a PCA direction file with two directions, made by the published program"
    )
    assert table("pca.h5")["explained"] == "variance  80.30 %, 12.34 %; together 92.64 %"


def test_a_projection():
    with h5py.File("p.h5", "w") as file:
        file["proj_xcoord"], file["proj_ycoord"] = [2.0, 0.5, np.nan, 0], [-1.0, 3, 1, 0]
    assert report("p.h5").splitlines() == [
        "p.h5: the projection of a trajectory of 4 checkpoints, made by the published program",
        "  x      from 0 to 2",
        "  y      from -1 to 3",
        "  first  x=2 y=-1",
        "  last   x=0 y=0",
        "conclusions",
        "  - 1 of 4 checkpoints have no place: NaN or infinite",
    ]


def test_a_projection_of_ours():
    true = np.array([2.0, 0.5, 0.1])
    h5_util.write_projection(
        Projection(
            "p.h5",
            np.array([2.0, 1, 0]),
            np.array([1.0, 0, 0]),
            epochs=np.array([0.0, 5, 10]),
            distance=np.array([0.1, 0.6, np.nan]),
            lr_drops=np.array([5.0]),
            shares=np.array([0.7, 0.2]),
            true_loss=true,
            projected_loss=true * [1, 3, 1],
            made_with={"method": "cos"},
        )
    )
    text = report("p.h5").splitlines()
    for row in (
        "epochs                  from 0 to 10",
        "distance from the plane  from 0.1 to 0.6",
        "learning rate drops      at epoch 5",
        "variance along x, y      70.00 %, 20.00 %",
        "true loss                from 0.1 to 2",
    ):
        assert any(row.split() == line.split() for line in text), row
    assert "checkpoint of epoch 5 has loss 0.5, and its place on the plane 1.5: the path leaves" in text[-1]


# The command line -------------------------------------------------------------------------------------------


def test_the_good_files_are_reported_and_the_first_bad_one_refused(tmp_path):
    surface()
    checkpoint("text.h5")
    done = run("h5_util.py", "s.h5", "nowhere.h5", "text.h5", "d.h5", cwd=tmp_path)
    assert done.returncode == 2
    refusal = "there is no surface, direction or projection file 'nowhere.h5'"
    assert done.stderr == f"h5_util.py: error: {refusal}\n"
    assert "s.h5: a surface" in done.stdout
    assert "d.h5: a direction file" in done.stdout


def test_files_of_no_known_kind():
    checkpoint("text.h5")
    with h5py.File("other.h5", "w") as file:
        file["weights"] = [1.0]
    with h5py.File("damaged.h5", "w") as file:
        file["xcoordinates"], file["measured"] = X, [True]
    sentences = {
        "text.h5": "is not an HDF5 file",
        "other.h5": "no surface, direction or projection file",
        "damaged.h5": "'measured' has shape",
    }
    for path, says in sentences.items():
        with pytest.raises(InputError, match=says):
            report(path)


@pytest.mark.slow
def test_a_surface_as_the_program_makes_it(tmp_path):
    """What plot_surface records is what the report reads; the command in it resumes."""
    folder = folder_with(tmp_path, SMALL_BATCH)
    model = f"{SMALL_BATCH.parent.name}/{SMALL_BATCH.name}"
    flags = [*DIGITS, "--model_file", model, "--x=-1:1:3", "--surf_file", "s.h5", "--overwrite"]
    succeed("plot_surface.py", *flags, cwd=folder)
    assert conclusions("s.h5") == "  - every point is computed"
    text = report("s.h5")
    assert f"{folder / model} (unchanged)" in text
    assert "(unchanged)" in next(line for line in text.splitlines() if line.startswith("  directions"))
    assert "random of seed 123, norm none, ignore nothing" in text
    with h5py.File("s.h5", "a") as file:  # as if it had been stopped
        file["train_loss"][1], file["measured"][1] = -1, False
    words = conclusions("s.h5").splitlines()[1].split()
    assert "--overwrite" not in words
    succeed(words[1], *words[2:], cwd=folder)
    assert conclusions("s.h5") == "  - every point is computed"
