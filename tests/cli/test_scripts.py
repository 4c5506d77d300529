"""script/experiments.py: the commands that it writes, what it skips, and experiments from nets to figure."""

import os
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from losslandscape.cli import command_line, plot_1D, plot_2D, plot_surface
from losslandscape.files import h5_util
from losslandscape.files.surface import Surface
from losslandscape.parallel import mpi4pytorch
from script import experiments
from tests.helpers import GOLDEN, LARGE_BATCH, SMALL_BATCH, command, succeed

SCRIPT = "script/experiments.py"
SMALL = "resnet20_sgd_lr=0.1_bs=64_wd=0.0005_mom=0.9_save_epoch=1_noaug"
LARGE = "resnet20_sgd_lr=0.1_bs=512_wd=0.0005_mom=0.9_save_epoch=40_noaug"
WITHOUT = "resnet20_noshort_sgd_lr=0.02_bs=64_wd=0.0005_mom=0.9_save_epoch=1_noaug"
DIGITS = [
    "--nets",
    "nets",
    "--small_batch",
    "64",
    "--large_batch",
    "512",
    "--dataset",
    "digits",
    "--data_split",
    "32",
    "--format",
    "png",
]


@pytest.fixture
def folder(tmp_path):
    """Three of the golden nets in folders that are named as the training names them."""
    for name, checkpoint in {
        SMALL: SMALL_BATCH,
        LARGE: LARGE_BATCH,
        WITHOUT: GOLDEN / "resnet20_noshort_digits_bs=64" / "model_6.t7",
    }.items():
        (tmp_path / "nets" / name).mkdir(parents=True)
        shutil.copy(checkpoint, tmp_path / "nets" / name)
    return tmp_path


def training_folders(nets: Path) -> None:
    """A folder as the published program names it for every net of every experiment."""
    for experiment in experiments.EXPERIMENTS.values():
        for net in (net for panel in experiment.panels() for net in panel.nets):
            folder = (
                nets
                / f"{net.model}_{net.optimizer}_lr=0.1_bs={net.batch}_wd={net.decay}{'_save_epoch=1' if net.model == 'vgg9' else ''}"
            )
            folder.mkdir(exist_ok=True, parents=True)
            for name in ("model_0.t7", "model_300.t7", "model_40.t7", "opt_state_300.t7"):
                (folder / name).touch()


def listed(capsys, *flags: str) -> list[list[str]]:
    """The commands of `--list`, as words."""
    experiments.main([*flags, "--list"])
    return [shlex.split(line) for line in capsys.readouterr().out.splitlines() if not line.startswith("#")]


@pytest.mark.parametrize(
    ("name", "panels", "dimensions"),
    [
        *((f"interpolation_{model}", 4, 1) for model in ("vgg9", "resnet56")),
        *(
            (f"curves_{model}_{optimizer}", 4, 1)
            for model in ("vgg9", "resnet56")
            for optimizer in ("sgd", "adam")
        ),
        ("contours", 4, 2),
    ],
)
def test_commands_that_are_listed(name, panels, dimensions, tmp_path, monkeypatch, capsys):
    """The scripts accept them; they name the last checkpoints, and one range; the figure has what they make."""
    monkeypatch.chdir(tmp_path)
    training_folders(tmp_path / "my nets")
    *surfaces, figure = listed(
        capsys, name, "--nets", "my nets", "--ranks", "4", "--cuda", "--data_split", "10"
    )
    assert not list(tmp_path.rglob("*.h5"))
    made = []
    for words in surfaces:
        assert words[:4] == ["mpirun", "-n", "4", "python"]
        assert Path(words[4]).resolve() == Path(plot_surface.__file__).resolve()
        args = plot_surface.build_parser().parse_args(words[5:])
        files = [args.model_file, *([args.model_file2] if name.startswith("interpolation") else [])]
        assert all(Path(file).exists() and Path(file).name == "model_300.t7" for file in files)
        assert all(
            Path(file).parent.name.startswith(f"{args.model}_{'adam' if 'adam' in file else 'sgd'}_")
            for file in files
        )
        assert args.cuda and args.data_split == 10
        made.append((*files, args.surf_file))
        if name.startswith("interpolation"):
            assert (args.x, args.y, args.dir_type) == ((-0.5, 1.5, 401), None, "states")
            assert "_bs=128_" in args.model_file and args.model_file2 == args.model_file.replace(
                "_bs=128_", "_bs=8192_" if "vgg9" in name else "_bs=4096_"
            )
        else:
            assert args.x == (-1, 1, 51) and args.y == (args.x if dimensions == 2 else None)
            assert (args.dir_type, args.xnorm, args.xignore) == ("weights", "filter", "biasbn")
            assert dimensions == 1 or (args.ynorm, args.yignore) == ("filter", "biasbn")
    assert len(set(made)) == len({surface for *_, surface in made}) == panels
    assert figure[0] == "python" and Path(figure[1]).name == f"plot_{dimensions}D.py"
    args = (plot_1D if dimensions == 1 else plot_2D).argument_parser().parse_args(figure[2:])
    assert args.surf_file == [surface for *_, surface in made]
    assert len(set(args.title)) == panels
    assert args.out == f"figures/{name}"


def test_titles_say_what_differs():
    titles = {
        name: [panel.title for panel in experiment.panels()]
        for name, experiment in experiments.EXPERIMENTS.items()
    }
    assert titles["contours"] == ["ResNet-56", "ResNet-56-noshort", "ResNet-110-noshort", "VGG-9"]
    assert titles["interpolation_vgg9"][0] == "SGD, weight decay 0, batch 128 to 8192"
    assert titles["curves_resnet56_adam"][-1] == "weight decay 0.0005, batch 4096"


def test_which_net_is_found(tmp_path):
    def found(decay: float = 0.0005, model: str = "resnet56") -> str:
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
    assert found() is None
    make("resnet56_sgd_lr=0.2_lr_decay=0.5_bs=128_wd=0.0005_mom=0.9_save_epoch=10_noaug_idx=1", 300)
    make("resnet56_sgd_lr=0.2_lr_decay=0.5_bs=128_wd=0.0005_mom=0.9_save_epoch=10_noaug", 9, 10)
    make("resnet56_sgd_lr=0.1_bs=128_wd=0", 7)
    assert (
        found() == "resnet56_sgd_lr=0.2_lr_decay=0.5_bs=128_wd=0.0005_mom=0.9_save_epoch=10_noaug/model_10.t7"
    )
    assert found(decay=0.0) == "resnet56_sgd_lr=0.1_bs=128_wd=0/model_7.t7"
    assert found(model="resnet56_noshort") == "resnet56_noshort_sgd_lr=0.1_bs=128_wd=0.0005/model_1.t7"


def test_planes_with_the_range_of_the_first_net(folder, monkeypatch, capsys):
    """The third net is not there. The others are measured on two ranks in one range, and drawn together."""
    flags = [
        "contours",
        "--models",
        "resnet20",
        "resnet20_noshort",
        "resnet110",
        "--resolution",
        "3",
        "--range",
        "auto",
        *DIGITS,
    ]
    monkeypatch.chdir(folder)
    first, second, _ = listed(capsys, *flags)
    assert {"--x=auto:3", "--y=auto:3"} <= set(first) and {"--x=LOW:HIGH:3", "--y=LOW:HIGH:3"} <= set(second)
    out = succeed(SCRIPT, *flags, "--ranks", 2, cwd=folder)
    assert "# skipped ResNet-110: there is no nets/resnet110_sgd_*bs=64_wd=0.0005*/model_*.t7\n" in out
    assert out.count("9 of 9 points to measure on 2 ranks") == 2
    first, second = (
        h5_util.read_surface(str(folder / "figures" / f"{model}_sgd_bs=64_wd=0.0005_3.h5"))
        for model in ("resnet20", "resnet20_noshort")
    )
    for surface in (first, second):
        assert surface.measured("train_loss").all()
        np.testing.assert_array_equal(surface.x, first.x)
        np.testing.assert_array_equal(surface.y, first.x)
    assert not np.array_equal(first.get("train_loss"), second.get("train_loss"))
    assert (folder / "figures" / "contours_train_loss_2dcontour.png").stat().st_size > 5000


def test_interpolations_stopped_and_gone_on_with(folder):
    flags = ["interpolation_resnet56", "--models", "resnet20", "--resolution", 801, *DIGITS, "--out", "out"]
    path = folder / "out" / "resnet20_sgd_bs=64_bs=512_wd=0.0005_801.h5"
    with subprocess.Popen(
        command(SCRIPT, *flags), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as job:
        deadline = time.monotonic() + 120
        while not path.exists() or h5_util.read_surface(str(path)).measured("train_loss").sum() < 2:
            assert time.monotonic() < deadline and job.poll() is None
            time.sleep(0.05)
        job.send_signal(signal.SIGTERM)
        out, err = job.communicate(timeout=60)
    assert job.returncode == 143, out + err
    assert "stopped by SIGTERM" in out and "the figure" not in out
    assert out.count("# skipped ") == 3
    assert (
        "# skipped Adam, weight decay 0, batch 64 to 512: there is no nets/resnet20_adam_*bs=64_wd=0.0*/model_*.t7 and no nets/resnet20_adam_*bs=512_"
        in out
    )

    surface = h5_util.read_surface(str(path))
    values = {name: surface.get(name) for name in surface.names}
    known = surface.measured("train_loss")
    rest = {
        name: np.where(known, array, 1.5) for name, array in values.items()
    }  # what is left to measure would take a minute
    rest["train_loss"][400], known[:] = -1, True
    known[400] = False
    h5_util.write_surface(
        Surface(
            str(path),
            x=surface.x,
            y=None,
            dir_file=surface.dir_file,
            quantities=rest,
            measured=known,
            made_with=surface.made_with,
        )
    )
    out = succeed(SCRIPT, *flags, cwd=folder)
    assert "1 of 801 points to measure" in out
    assert {file.name for file in (folder / "out").glob("*.png")} == {
        f"interpolation_resnet56_1d_{kind}.png" for kind in ("loss_acc", "train_loss", "train_err")
    }


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (
            ["contours"],
            "error: there is no net for contours in 'cifar10/trained_nets'; train some with cifar10/main.py, or give another --nets",
        ),
        (["contour"], "'contour'"),
        (
            ["contours", "--models", "resnet20", *DIGITS, "--dir_typ", "states"],
            "plot_surface.py: error: unrecognized arguments: --dir_typ states",
        ),
        (["contours", "--models", "resnet20", *DIGITS, "--range", "1"], "1:51"),
        (["contours", "--ranks", "0"], "'0'"),
    ],
)
def test_bad_input(folder, monkeypatch, capfd, flags, named):
    monkeypatch.chdir(folder)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit) as refused:
        experiments.main(flags)
    _, err = capfd.readouterr()
    assert refused.value.code == 2 and named in err and err.count("\n") == 1
    assert signal.getsignal(signal.SIGINT) is before


def test_it_is_not_for_mpirun(monkeypatch, capsys):
    monkeypatch.setenv("PMI_RANK", "0")
    monkeypatch.setenv("PMI_SIZE", "2")
    with pytest.raises(SystemExit) as refused:
        experiments.main(["contours"])
    assert refused.value.code == 2 and "without mpirun, and say --ranks N" in capsys.readouterr().err


def test_ranks_without_a_launcher(folder, monkeypatch, capsys):
    """As where MPI is not installed: the PATH has no mpirun, and none lies beside this Python."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.setattr(experiments.sys, "executable", "/nowhere/python")
    with pytest.raises(SystemExit) as refused:
        experiments.main(["contours", "--models", "resnet20", *DIGITS, "--ranks", "2"])
    assert (
        refused.value.code == 2
        and "--ranks 2 needs mpirun, which is not installed" in capsys.readouterr().err
    )


def test_ctrl_c_outside_the_grid_ends_without_a_traceback(capsys, monkeypatch):
    for variable in (name for names in mpi4pytorch.LAUNCHERS.values() for name in names):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(SystemExit) as ended, command_line.sentence(command_line.Parser("x")):
        raise KeyboardInterrupt
    assert ended.value.code == 130 and "the same command goes on" in capsys.readouterr().err
