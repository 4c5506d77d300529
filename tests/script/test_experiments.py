"""script/experiments.py: the commands that it writes, what it skips, and experiments from nets to figure."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from losslandscape.cli import plot_1D, plot_2D, plot_surface
from losslandscape.files import h5_util
from losslandscape.files.surface import Surface
from script import experiments
from tests.helpers import GOLDEN, LARGE_BATCH, REPO, SMALL_BATCH, command, succeed

SCRIPT = "script/experiments.py"
NETS = {
    "resnet20_sgd_lr=0.1_bs=64_wd=0.0005_mom=0.9_save_epoch=1_noaug": SMALL_BATCH,
    "resnet20_sgd_lr=0.1_bs=512_wd=0.0005_mom=0.9_save_epoch=40_noaug": LARGE_BATCH,
    "resnet20_noshort_sgd_lr=0.02_bs=64_wd=0.0005_mom=0.9_save_epoch=1_noaug": (
        GOLDEN / "resnet20_noshort_digits_bs=64" / "model_6.t7"
    ),
}
DIGITS = (
    "--nets nets --small_batch 64 --large_batch 512 --dataset digits --data_split 32 --format png".split()
)
PANELS = 4  # of each experiment


@pytest.fixture
def folder(inside):
    """A working folder with three of the golden nets, named as the training names them."""
    for name, checkpoint in NETS.items():
        (inside / "nets" / name).mkdir(parents=True)
        shutil.copy(checkpoint, inside / "nets" / name)
    return inside


def make_all_nets(nets: Path) -> None:
    """Make empty checkpoints of every net of every experiment, in folders with the published names."""
    panels = [panel for experiment in experiments.EXPERIMENTS.values() for panel in experiment.panels()]
    for net in {net for panel in panels for net in panel.nets}:
        more = "_save_epoch=1" if net.model == "vgg9" else ""
        folder = nets / f"{net.model}_{net.optimizer}_lr=0.1_bs={net.batch}_wd={net.decay}{more}"
        folder.mkdir(parents=True)
        for name in ("model_0.t7", "model_300.t7", "model_40.t7", "opt_state_300.t7"):
            (folder / name).touch()


def listed(capsys, *flags: str) -> list[list[str]]:
    """The commands of `--list`, as words."""
    experiments.main([*flags, "--list"])
    lines = capsys.readouterr().out.splitlines()
    return [shlex.split(line) for line in lines if not line.startswith("#")]


def listed_surfaces_and_figure(name, tmp_path, monkeypatch, capsys):
    """The parsed options of each surface and of the figure, where all nets are there."""
    monkeypatch.chdir(tmp_path)
    make_all_nets(tmp_path / "my nets")
    flags = ["--nets", "my nets", "--ranks", "4", "--cuda", "--data_split", "10"]
    *surface_commands, figure_command = listed(capsys, name, *flags)
    assert not list(tmp_path.rglob("*.h5"))
    surfaces = []
    for words in surface_commands:
        assert words[:4] == ["mpirun", "-n", "4", "python"]
        assert Path(words[4]).resolve() == REPO / "plot_surface.py"
        surfaces.append(plot_surface.build_parser().parse_args(words[5:]))
    assert figure_command[0] == "python"
    script = Path(figure_command[1]).name
    plot = {"plot_1D.py": plot_1D, "plot_2D.py": plot_2D}[script]
    figure = plot.argument_parser().parse_args(figure_command[2:])
    assert all(surface.cuda and surface.data_split == 10 for surface in surfaces)
    assert len({surface.surf_file for surface in surfaces}) == len(surfaces) == PANELS
    assert figure.surf_file == [surface.surf_file for surface in surfaces]
    assert len(set(figure.title)) == PANELS
    assert figure.out == f"figures/{name}"
    return surfaces, script


def assert_last_checkpoint(file, model):
    path = Path(file)
    optimizer = "adam" if "adam" in file else "sgd"
    assert path.exists() and path.name == "model_300.t7"
    assert path.parent.name.startswith(f"{model}_{optimizer}_")


@pytest.mark.parametrize(("model", "large_batch"), [("vgg9", 8192), ("resnet56", 4096)])
def test_interpolations(model, large_batch, tmp_path, monkeypatch, capsys):
    name = f"interpolation_{model}"
    surfaces, script = listed_surfaces_and_figure(name, tmp_path, monkeypatch, capsys)
    assert script == "plot_1D.py"
    assert len({(surface.model_file, surface.model_file2) for surface in surfaces}) == PANELS
    for surface in surfaces:
        assert_last_checkpoint(surface.model_file, model)
        assert_last_checkpoint(surface.model_file2, model)
        assert (surface.x, surface.y, surface.dir_type) == ((-0.5, 1.5, 401), None, "states")
        assert "_bs=128_" in surface.model_file
        assert surface.model_file2 == surface.model_file.replace("_bs=128_", f"_bs={large_batch}_")


@pytest.mark.parametrize("model", ["vgg9", "resnet56"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_curves(model, optimizer, tmp_path, monkeypatch, capsys):
    name = f"curves_{model}_{optimizer}"
    surfaces, script = listed_surfaces_and_figure(name, tmp_path, monkeypatch, capsys)
    assert script == "plot_1D.py"
    assert len({surface.model_file for surface in surfaces}) == PANELS
    for surface in surfaces:
        assert_last_checkpoint(surface.model_file, model)
        assert optimizer in surface.model_file
        assert (surface.x, surface.y) == ((-1, 1, 51), None)
        assert (surface.dir_type, surface.xnorm, surface.xignore) == ("weights", "filter", "biasbn")


def test_contours(tmp_path, monkeypatch, capsys):
    surfaces, script = listed_surfaces_and_figure("contours", tmp_path, monkeypatch, capsys)
    assert script == "plot_2D.py"
    assert len({surface.model_file for surface in surfaces}) == PANELS
    for surface in surfaces:
        assert_last_checkpoint(surface.model_file, surface.model)
        assert surface.x == surface.y == (-1, 1, 51)
        assert (surface.dir_type, surface.xnorm, surface.xignore) == ("weights", "filter", "biasbn")
        assert (surface.ynorm, surface.yignore) == ("filter", "biasbn")


def test_titles_say_what_differs():
    def titles(name):
        return [panel.title for panel in experiments.EXPERIMENTS[name].panels()]

    assert titles("contours") == ["ResNet-56", "ResNet-56-noshort", "ResNet-110-noshort", "VGG-9"]
    assert titles("interpolation_vgg9")[0] == "SGD, weight decay 0, batch 128 to 8192"
    assert titles("curves_resnet56_adam")[-1] == "weight decay 0.0005, batch 4096"


def test_which_checkpoint_is_taken(tmp_path):
    def taken(decay: float = 0.0005, model: str = "resnet56") -> str:
        path = experiments.Net(model, "sgd", decay, 128).find(tmp_path)
        return path and str(path.relative_to(tmp_path))

    def make(folder: str, *epochs: int) -> None:
        (tmp_path / folder).mkdir()
        for epoch in epochs:
            (tmp_path / folder / f"model_{epoch}.t7").touch()

    make("resnet56_sgd_lr=0.1_bs=128_wd=0.0005_mom=0.9_save_epoch=10")
    make("resnet56_sgd_lr=0.1_bs=1280_wd=0.0005", 1)
    make("resnet56_adam_lr=0.1_bs=128_wd=0.0005", 1)
    make("resnet56_noshort_sgd_lr=0.1_bs=128_wd=0.0005", 1)
    assert taken() is None
    plain = "resnet56_sgd_lr=0.2_lr_decay=0.5_bs=128_wd=0.0005_mom=0.9_save_epoch=10_noaug"
    make(f"{plain}_idx=1", 300)
    make(plain, 9, 10)
    make("resnet56_sgd_lr=0.1_bs=128_wd=0", 7)
    assert taken() == f"{plain}/model_10.t7"
    assert taken(decay=0.0) == "resnet56_sgd_lr=0.1_bs=128_wd=0/model_7.t7"
    assert taken(model="resnet56_noshort") == "resnet56_noshort_sgd_lr=0.1_bs=128_wd=0.0005/model_1.t7"


@pytest.mark.slow
def test_planes_with_the_range_of_the_first_net(folder, capsys):
    """One net is missing. The others are measured in one range, on two ranks, and drawn together."""
    flags = ["contours", "--models", "resnet20", "resnet20_noshort", "resnet110"]
    flags += ["--resolution", "3", "--range", "auto", *DIGITS]
    first, second, _ = listed(capsys, *flags)
    assert {"--x=auto:3", "--y=auto:3"} <= set(first)
    assert {"--x=LOW:HIGH:3", "--y=LOW:HIGH:3"} <= set(second)
    out = succeed(SCRIPT, *flags, "--ranks", 2, cwd=folder)
    assert "# skipped ResNet-110: there is no nets/resnet110_sgd_*bs=64_wd=0.0005*/model_*.t7\n" in out
    assert out.count("9 of 9 points to measure on 2 ranks") == 2
    figures = folder / "figures"
    with_shortcuts, without = (
        h5_util.read_surface(str(figures / f"{model}_sgd_bs=64_wd=0.0005_3.h5"))
        for model in ("resnet20", "resnet20_noshort")
    )
    for surface in (with_shortcuts, without):
        assert surface.measured("train_loss").all()
        np.testing.assert_array_equal(surface.x, with_shortcuts.x)
        np.testing.assert_array_equal(surface.y, with_shortcuts.x)
    assert not np.array_equal(with_shortcuts.get("train_loss"), without.get("train_loss"))
    assert (figures / "contours_train_loss_2dcontour.png").exists()


@pytest.mark.slow
def test_a_stopped_interpolation_is_resumed(folder):
    flags = ["interpolation_resnet56", "--models", "resnet20", "--resolution", 801, *DIGITS, "--out", "out"]
    path = folder / "out" / "resnet20_sgd_bs=64_bs=512_wd=0.0005_801.h5"
    out = output_of_stopped(command(SCRIPT, *flags), path)
    assert "stopped by SIGTERM" in out and "the figure" not in out
    assert out.count("# skipped ") == 3
    there_is_no = "nets/resnet20_adam_*bs=64_wd=0.0*/model_*.t7 and no nets/resnet20_adam_*bs=512_"
    assert f"# skipped Adam, weight decay 0, batch 64 to 512: there is no {there_is_no}" in out

    leave_one_point(path)
    assert "1 of 801 points to measure" in succeed(SCRIPT, *flags, cwd=folder)
    assert {file.name for file in (folder / "out").glob("*.png")} == {
        f"interpolation_resnet56_1d_{kind}.png" for kind in ("loss_acc", "train_loss", "train_err")
    }


def output_of_stopped(words: list[str], surf_file: Path) -> str:
    """Start a command, and stop it by a signal when it has measured two points."""
    pipe = subprocess.PIPE
    with subprocess.Popen(words, cwd=surf_file.parent.parent, stdout=pipe, stderr=pipe, text=True) as job:
        deadline = time.monotonic() + 120
        while count_measured(surf_file) < 2:
            assert time.monotonic() < deadline and job.poll() is None
            time.sleep(0.05)
        job.send_signal(signal.SIGTERM)
        out, err = job.communicate(timeout=60)
    assert job.returncode == 143, out + err
    return out


def count_measured(surf_file: Path) -> int:
    if not surf_file.exists():
        return 0
    return np.count_nonzero(h5_util.read_surface(str(surf_file)).measured("train_loss"))


def leave_one_point(path: Path) -> None:
    """Fill a surface but for one point, as to measure all would take a minute."""
    surface = h5_util.read_surface(str(path))
    known = surface.measured("train_loss")
    quantities = {name: np.where(known, surface.get(name), 1.5) for name in surface.names}
    measured = np.ones(surface.shape, bool)
    measured[400] = False
    quantities["train_loss"][400] = -1
    filled = Surface(
        str(path),
        x=surface.x,
        y=None,
        dir_file=surface.dir_file,
        quantities=quantities,
        measured=measured,
        made_with=surface.made_with,
    )
    h5_util.write_surface(filled)


def refusal(capfd, *flags: str) -> str:
    """The sentence with which the script refuses; handlers of signals are as before."""
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit) as refused:
        experiments.main(list(flags))
    assert signal.getsignal(signal.SIGINT) is before
    error = capfd.readouterr().err
    assert refused.value.code == 2 and error.count("\n") == 1
    return error


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["contours"], "no net for contours in 'cifar10/trained_nets'"),
        (["contour"], "'contour'"),
        (["contours", "--ranks", "0"], "'0'"),
    ],
)
def test_bad_input(folder, capfd, flags, expected):
    assert expected in refusal(capfd, *flags)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "expected"),
    [(["--dir_typ", "states"], "arguments: --dir_typ states"), (["--range", "1"], "'1:51'")],
)
def test_what_plot_surface_refuses_ends_the_experiment(folder, capfd, flags, expected):
    error = refusal(capfd, "contours", "--models", "resnet20", *DIGITS, *flags)
    assert error.startswith("plot_surface.py: error") and expected in error


def test_it_is_not_for_mpirun(monkeypatch, capfd):
    monkeypatch.setenv("PMI_RANK", "0")
    monkeypatch.setenv("PMI_SIZE", "2")
    assert "without mpirun, and give --ranks N" in refusal(capfd, "contours")


def test_ranks_without_a_launcher(folder, monkeypatch, capfd):
    """As where MPI is not installed: the PATH has no mpirun, and none lies beside this Python."""
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    flags = ["contours", "--models", "resnet20", *DIGITS, "--ranks", "2"]
    assert "2 ranks need mpirun, which is not installed" in refusal(capfd, *flags)
