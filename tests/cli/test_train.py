"""Training: the published names and files, and a resumed training that equals the uninterrupted one."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from losslandscape.cli import train
from losslandscape.cli.train_request import TrainRequest, build_parser
from losslandscape.nets import model_loader
from losslandscape.trajectory.training_folder import find_checkpoints
from tests.helpers import REPO

LINE = re.compile(r"e: \d+ loss: \d+\.\d{5} train_err: \d+\.\d{3} test_top1: \d+\.\d{3} test_loss \d+\.\d{5}")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
RECIPE = "lr=0.01_bs=4_wd=0.0005_mom=0.9_save_epoch=10"
QUICK = "--model resnet20 --batch_size 4 --lr 0.01 --cpu".split()


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Flags for a dataset that an epoch passes in a blink: noise in three classes."""
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    flags = []
    for part, count in {"train": 9, "test": 4}.items():
        pixels = random.integers(256, size=(count, 3, 32, 32), dtype=np.uint8)
        np.savez(folder / f"{part}.npz", images=pixels, labels=np.arange(count) % 3)
        flags += [f"--{part}loader", str(folder / f"{part}.npz")]
    return flags


@pytest.fixture(scope="module")
def one_epoch(images, tmp_path_factory):
    """The folder of a training of one epoch; tests only read it."""
    return run_training(images, tmp_path_factory.mktemp("one_epoch"), "--epochs", "1")


def run_training(images, save, *flags):
    """Train in this process, and return the one folder that it made."""
    train.main([*QUICK, "--save", str(save), *images, *flags])
    (folder,) = Path(save).iterdir()
    return folder


def state(folder, epoch):
    return torch.load(folder / f"model_{epoch}.t7", weights_only=True)["state_dict"]


def are_equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    "flags, name",
    [
        ("", "vgg9_sgd_lr=0.1_bs=128_wd=0.0005_mom=0.9_save_epoch=10"),
        (
            "--model resnet56 --optimizer adam --lr 0.001 --batch_size 8192 --weight_decay 0 --save_epoch 1 "
            "--momentum 0",
            "resnet56_adam_lr=0.001_bs=8192_wd=0.0_mom=0.0_save_epoch=1",
        ),
        (
            "--lr_decay 0.5 --loss_name mse --noaug --raw_data --label_corrupt_prob 0.25 --ngpu 4 --idx 3",
            "vgg9_sgd_lr=0.1_lr_decay=0.5_bs=128_wd=0.0005_mom=0.9_save_epoch=10_loss=mse_noaug_rawdata"
            "_randlabel=0.25_ngpu=4_idx=3",
        ),
        (
            "--noaug --precision bf16 --ngpu 2",
            "vgg9_sgd_lr=0.1_bs=128_wd=0.0005_mom=0.9_save_epoch=10_noaug_bf16_ngpu=2",
        ),
    ],
)
def test_the_published_name_of_the_folder(flags, name):
    (request,) = TrainRequest.each_of(build_parser(None).parse_args(flags.split()))
    assert request.folder == Path("trained_nets") / name


@pytest.mark.slow
def test_files_of_a_training(images, tmp_path):
    folder = run_training(images, tmp_path, "--epochs", "4", "--save_epoch", "3")
    assert folder.name == "resnet20_sgd_lr=0.01_bs=4_wd=0.0005_mom=0.9_save_epoch=3"
    names = {path.name for path in folder.iterdir() if "tfevents" not in path.name}
    checkpoints = {f"{kind}_{epoch}.t7" for kind in ("model", "opt_state") for epoch in (0, 1, 3, 4)}
    assert names == {"log.out", *checkpoints}
    assert any("tfevents" in path.name for path in folder.iterdir())

    lines = (folder / "log.out").read_text().splitlines()
    assert all(LINE.fullmatch(line) for line in lines)
    assert [int(line.split()[1]) for line in lines] == [1, 2, 3, 4]

    checkpoint = torch.load(folder / "model_3.t7", weights_only=True)
    assert checkpoint.keys() == {"acc", "epoch", "state_dict"} and checkpoint["epoch"] == 3
    assert checkpoint["acc"] == pytest.approx(100 - float(lines[2].split()[7]), abs=1e-3)
    assert list(checkpoint["state_dict"]) == list(model_loader.build("resnet20").state_dict())
    assert torch.load(folder / "opt_state_3.t7", weights_only=True).keys() == {"optimizer"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        (),
        ("--optimizer", "adam", "--noaug", "--label_corrupt_prob", "0.5"),
        ("--precision", "bf16"),
    ],
)
def test_resumed_equals_uninterrupted(images, tmp_path, flags):
    """Epoch 3 of the training that is resumed is lost: it is in the log, but its checkpoint was not kept."""
    flags = ("--save_epoch", "2", *flags)
    whole = run_training(images, tmp_path / "whole", "--epochs", "4", *flags)
    half = run_training(images, tmp_path / "half", "--epochs", "3", *flags)
    files = ("--resume_model", str(half / "model_2.t7"), "--resume_opt", str(half / "opt_state_2.t7"))
    run_training(images, tmp_path / "half", "--epochs", "4", *flags, *files)
    assert are_equal(state(whole, 4), state(half, 4))
    assert (whole / "log.out").read_text() == (half / "log.out").read_text()


@pytest.mark.slow
def test_several_nets_are_trained_as_each_alone(images, tmp_path, capsys):
    flags = ("--epochs", "1", "--label_corrupt_prob", "0.5")
    both = ("--model", "resnet20", "resnet20_noshort", "--idx", "0", "2")
    train.main([*QUICK, "--save", str(tmp_path / "together"), *images, *flags, *both])
    lines = [line for line in capsys.readouterr().out.splitlines() if "e: 1 " in line]
    assert [line.split("  e:")[0] for line in lines] == [
        "resnet20 (1 of 4)",
        "resnet20 idx=2 (2 of 4)",
        "resnet20_noshort (3 of 4)",
        "resnet20_noshort idx=2 (4 of 4)",
    ]
    folders = {path.name: path for path in (tmp_path / "together").iterdir()}
    assert len(folders) == 4
    for model, idx in (("resnet20", "0"), ("resnet20_noshort", "2")):
        alone = run_training(images, tmp_path / model, *flags, "--model", model, "--idx", idx)
        together = folders[alone.name]
        assert are_equal(state(alone, 1), state(together, 1))
        assert (alone / "log.out").read_text() == (together / "log.out").read_text()
        labels = [np.load(folder / "train_labels.npy") for folder in (alone, together)]
        assert np.array_equal(*labels)


@pytest.mark.slow
def test_several_nets_are_resumed_in_their_order(images, tmp_path):
    both = [*QUICK, *images, "--model", "resnet20", "resnet20_noshort"]
    train.main([*both, "--save", str(tmp_path / "whole"), "--epochs", "2"])
    whole = [tmp_path / "whole" / f"{name}_sgd_{RECIPE}" for name in ("resnet20", "resnet20_noshort")]
    models, optimizers = (
        [str(folder / f"{kind}_1.t7") for folder in whole] for kind in ("model", "opt_state")
    )
    files = ["--resume_model", *models, "--resume_opt", *optimizers]
    train.main([*both, "--save", str(tmp_path / "half"), "--epochs", "2", *files])
    for folder in whole:
        assert are_equal(state(folder, 2), state(tmp_path / "half" / folder.name, 2))


def test_the_last_epoch_is_kept(images, tmp_path, capsys):
    folder = run_training(images, tmp_path, "--epochs", "2")
    for epoch in (0, 1, 2):
        assert torch.load(folder / f"model_{epoch}.t7", weights_only=True)["epoch"] == epoch
        assert (folder / f"opt_state_{epoch}.t7").exists()
    assert "not kept" not in capsys.readouterr().out
    files = find_checkpoints(str(folder), prefix="model_", suffix=".t7", start=0, end=2, step=1)
    assert list(files) == [0, 1, 2]


def test_resuming_without_the_optimizer_is_reported(images, one_epoch, tmp_path, capsys):
    model = str(one_epoch / "model_1.t7")
    folder = run_training(images, tmp_path, "--epochs", "2", "--resume_model", model)
    assert "without --resume_opt" in capsys.readouterr().out
    epochs = [line.split()[1] for line in (folder / "log.out").read_text().splitlines()]
    assert epochs == ["2"]


def test_seed_and_idx(images, one_epoch, tmp_path):
    again = run_training(images, tmp_path / "again", "--epochs", "1")
    assert are_equal(state(one_epoch, 1), state(again, 1))
    repetition = run_training(images, tmp_path / "repetition", "--epochs", "1", "--idx", "1")
    assert repetition.name.endswith("_idx=1")
    assert not are_equal(state(one_epoch, 0), state(repetition, 0))


def test_corrupted_labels_are_kept(images, tmp_path):
    folder = run_training(images, tmp_path, "--epochs", "1", "--label_corrupt_prob", "0.5")
    labels = np.load(folder / "train_labels.npy")
    assert folder.name.endswith("_randlabel=0.5")
    assert labels.dtype == np.int64 and labels.shape == (9,)
    assert (labels != np.arange(9) % 3).any()


def test_one_warning_for_nan(images, tmp_path, capsys):
    folder = run_training(images, tmp_path, "--epochs", "3", "--lr", "1e30")
    assert capsys.readouterr().out.count("Warning") == 1
    assert len((folder / "log.out").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    "flags, named",
    [
        (["--epochs", "0"], "--epochs: '0'"),
        (["--batch_size", "0"], "--batch_size: '0'"),
        (["--lr", "nan"], "--lr nan"),
        (["--momentum", "1"], "--momentum 1.0"),
        (["--weight_decay", "-1"], "--weight_decay -1"),
        (["--label_corrupt_prob", "1.5"], "1.5"),
        (["--rand_seed=-1"], "--rand_seed -1"),
        (["--ngpu", "64"], "--ngpu 64"),
        (["--model", "resnet21"], "resnet21"),
        (["--dataset", "cifar11"], "cifar11"),
        (["--loss_name", "hinge"], "hinge"),
        (["--optimizer", "lbfgs"], "lbfgs"),
        (["--trainloader", "nowhere.npz"], "nowhere.npz"),
        (["--resume_model", "nowhere.t7"], "nowhere.t7"),
        (["--resume_opt", "nowhere.t7"], "--resume_model"),
        (["--precision", "fp16"], "fp16"),
        (
            ["--precision", "tf32"],
            "precision tf32 is for CUDA devices; compute on one, or choose fp32 or bf16",
        ),
        (["--model", "resnet20", "resnet21"], "resnet21"),
        (["--model", "resnet20", "resnet20"], "resnet20 is given twice"),
        (["--idx", "1", "1"], "resnet20 idx=1 is given twice"),
        (["--idx", "0", "-1"], "--idx -1"),
        (["--idx", "0", "1", "--resume_model", __file__], "--resume_model has 1 file for 2 nets"),
        (["--resume_opt", __file__, __file__], "--resume_opt has 2 files for 1 net"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(images, inside, capsys, flags, named):
    with pytest.raises(SystemExit) as ended:
        train.main([*images, *QUICK, *flags])
    assert ended.value.code == 2
    assert named in capsys.readouterr().err
    assert not list(inside.iterdir())


def test_labels_beyond_the_net_are_refused(images, tmp_path, capsys):
    np.savez(tmp_path / "many.npz", images=np.zeros((20, 3, 32, 32), np.uint8), labels=np.arange(20))
    with pytest.raises(SystemExit):
        run_training(images, tmp_path / "nets", "--trainloader", str(tmp_path / "many.npz"))
    assert "0 to 19" in capsys.readouterr().err
    assert not (tmp_path / "nets").exists()


@pytest.mark.slow
def test_checkpoints_to_resume_are_checked(images, one_epoch, tmp_path, capsys):
    model, optimizer = str(one_epoch / "model_1.t7"), str(one_epoch / "opt_state_1.t7")
    for flags, named in {
        ("--epochs", "1", "--resume_model", model): "epoch 1, and the last epoch is 1; give more --epochs",
        ("--resume_model", model, "--resume_opt", model): "opt_state_N.t7",
        (
            "--resume_model",
            model,
            "--resume_opt",
            optimizer,
            "--optimizer",
            "adam",
        ): "another net or optimizer",
        ("--resume_model", model, "--model", "resnet32"): "layer1.3.conv1.weight",
    }.items():
        with pytest.raises(SystemExit):
            run_training(images, tmp_path / "other", *flags)
        assert named in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
@pytest.mark.parametrize("command, folder", [(["main.py"], "cifar10"), (["cifar10/main.py"], ".")])
def test_starts_from_either_folder(command, folder):
    ended = subprocess.run(
        [sys.executable, *command, "--epochs", "0"],
        check=False,
        cwd=REPO / folder,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 2
    assert "--epochs: '0'" in ended.stderr and "Traceback" not in ended.stderr


@needs_cuda
@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_gpu_trains_several_nets_as_each_alone_and_a_cpu_goes_on(images, tmp_path, optimizer):
    flags = [*QUICK[:-1], *images, "--precision", "fp32", "--optimizer", optimizer]
    both = ["--model", "resnet20", "resnet20_noshort", "--epochs", "2", "--save", str(tmp_path / "both")]
    train.main([*flags, *both])
    for model in ("resnet20", "resnet20_noshort"):
        train.main([*flags, "--model", model, "--epochs", "2", "--save", str(tmp_path / model)])
        (alone,) = (tmp_path / model).iterdir()
        losses = [
            float((folder / "log.out").read_text().split()[3])
            for folder in (alone, tmp_path / "both" / alone.name)
        ]
        assert losses[0] == pytest.approx(losses[1], rel=0.02)  # the order of sums may differ
    files = ["--resume_model", str(alone / "model_1.t7"), "--resume_opt", str(alone / "opt_state_1.t7")]
    here = ["--model", "resnet20_noshort", "--epochs", "2", "--save", str(tmp_path / "here"), "--cpu"]
    train.main([*flags, *here, *files])
    (resumed,) = (tmp_path / "here").iterdir()
    assert resumed.name == alone.name
